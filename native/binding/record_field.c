/* _native.RecordField and RecordKind: the fields of a class of records as descriptors, and how its records lie. Where a field
 * lies is worked out by heapwright.gc.layout; here it is read and written.
 *
 *   code   in the record                  in Python
 *   b B h H i I q Q                       int, within its range
 *   f d                                   float
 *   ?      one byte                       bool
 *   x      size_bytes bytes               bytes, of that length or shorter: the rest is zero
 *   r w    uint32_t, an index             the handle of a record, or None       (w: weak)
 *   R W    uint64_t, an id                the same, of one of several classes
 *   s y    a span of bytes                str; bytes
 *   a      a span of uint32_t             a sequence of handles
 */
#include "binding/record_types.h"

#include <math.h>

/* ---- values --------------------------------------------------------------------------------------------------------- */

static int out_of_range(const RecordFieldObject *field, PyObject *value, long long lowest, unsigned long long highest) {
    hw_raise("record_errors.ValueOutOfRange", "{s:s,s:O,s:O,s:L,s:K}", "owner", field->owner->tp_name, "field", field->name, "value",
             value, "lowest", lowest, "highest", highest);
    return -1;
}

static int wrong_type(const RecordFieldObject *field, PyObject *value, const char *wanted) {
    PyErr_Format(PyExc_TypeError, "%.100s.%U takes %s, not %.100s", field->owner->tp_name, field->name, wanted,
                 Py_TYPE(value)->tp_name);
    return -1;
}

static int store_signed(const RecordFieldObject *field, void *where, PyObject *value, unsigned bits) {
    int overflow;
    if (!PyLong_Check(value)) return wrong_type(field, value, "an int");
    long long n = PyLong_AsLongLongAndOverflow(value, &overflow), highest = (long long)(UINT64_MAX >> (65 - bits));
    if (overflow != 0 || n > highest || n < -highest - 1) return out_of_range(field, value, -highest - 1, (unsigned long long)highest);
    switch (bits) {
    case 8: *(int8_t *)where = (int8_t)n; break;
    case 16: *(int16_t *)where = (int16_t)n; break;
    case 32: *(int32_t *)where = (int32_t)n; break;
    default: *(int64_t *)where = n;
    }
    return 0;
}

static int store_unsigned(const RecordFieldObject *field, void *where, PyObject *value, unsigned bits) {
    if (!PyLong_Check(value)) return wrong_type(field, value, "an int");
    unsigned long long n = PyLong_AsUnsignedLongLong(value), highest = UINT64_MAX >> (64 - bits);
    bool failed = n == (unsigned long long)-1 && PyErr_Occurred();
    if (failed) PyErr_Clear(); /* negative, or more than 64 bits */
    if (failed || n > highest) return out_of_range(field, value, 0, highest);
    switch (bits) {
    case 8: *(uint8_t *)where = (uint8_t)n; break;
    case 16: *(uint16_t *)where = (uint16_t)n; break;
    case 32: *(uint32_t *)where = (uint32_t)n; break;
    default: *(uint64_t *)where = n;
    }
    return 0;
}

static int store_float(const RecordFieldObject *field, void *where, PyObject *value) {
    if (!PyFloat_Check(value) && !PyLong_Check(value)) return wrong_type(field, value, "a float");
    double n = PyFloat_AsDouble(value);
    if (n == -1.0 && PyErr_Occurred()) return -1;
    if (field->code == 'd') {
        *(double *)where = n;
        return 0;
    }
    if (isfinite(n) && isinf((float)n)) {
        PyErr_Format(PyExc_OverflowError, "%.100s.%U is f32 and cannot hold %R", field->owner->tp_name, field->name, value);
        return -1;
    }
    *(float *)where = (float)n;
    return 0;
}

static int store_fixed(const RecordFieldObject *field, void *where, PyObject *value) {
    if (!PyBytes_Check(value)) return wrong_type(field, value, "bytes");
    Py_ssize_t size = PyBytes_GET_SIZE(value);
    if (size > field->size_bytes) {
        PyErr_Format(PyExc_ValueError, "%.100s.%U has room for %u B and was given %zd B", field->owner->tp_name, field->name,
                     field->size_bytes, size);
        return -1;
    }
    memcpy(where, PyBytes_AS_STRING(value), (size_t)size);
    memset((char *)where + size, 0, field->size_bytes - (size_t)size);
    return 0;
}

/* ---- references ----------------------------------------------------------------------------------------------------- */

static bool may_refer_to(const RecordFieldObject *field, PyObject *value) {
    if (field->target != NULL) return Py_IS_TYPE(value, field->target);
    for (Py_ssize_t i = 0; field->targets != NULL && i < PyTuple_GET_SIZE(field->targets); i++)
        if (Py_IS_TYPE(value, (PyTypeObject *)PyTuple_GET_ITEM(field->targets, i))) return true;
    return false;
}

uint64_t hw_record_target_id(RecordFieldObject *field, RecordHeapObject *heap, PyObject *value) {
    if (!may_refer_to(field, value)) {
        hw_raise("record_errors.WrongRecord", "{s:s,s:O,s:O,s:O}", "owner", field->owner->tp_name, "field", field->name, "targets",
                 field->targets == NULL ? Py_None : field->targets, "value", value);
        return HW_RECORD_NO_ID;
    }
    RecordObject *record = (RecordObject *)value;
    if (record->heap == heap) return hw_record_id_of(record);
    hw_raise("record_errors.ForeignRecord", "{s:s,s:O}", "owner", field->owner->tp_name, "field", field->name);
    return HW_RECORD_NO_ID;
}

static int store_reference(RecordFieldObject *field, RecordHeapObject *heap, uint64_t id, PyObject *value) {
    uint64_t target = HW_RECORD_NO_ID;
    if (value != Py_None) {
        target = hw_record_target_id(field, heap, value);
        if (target == HW_RECORD_NO_ID) return -1;
    }
    bool weak = field->code == 'w' || field->code == 'W';
    void *where = hw_record_place(heap, id) + field->offset_bytes;
    hw_edge_store(hw_records_of(heap), id, hw_record_field_edge(heap, field, id), weak, where, target);
    return 0;
}

static PyObject *load_reference(RecordFieldObject *field, RecordHeapObject *heap, uint64_t id) {
    const hw_record_edge *edge = hw_record_field_edge(heap, field, id);
    const void *where = hw_record_place(heap, id) + field->offset_bytes;
    bool weak = field->code == 'w' || field->code == 'W';
    uint64_t target = weak ? hw_weak_load(hw_records_of(heap), edge, where) : hw_edge_load(edge, where);
    return target == HW_RECORD_NO_ID ? Py_NewRef(Py_None) : hw_record_handle_of(heap, target);
}

/* ---- by code -------------------------------------------------------------------------------------------------------- */

int hw_record_field_store(RecordFieldObject *field, RecordHeapObject *heap, uint64_t id, PyObject *value) {
    void *where = hw_record_place(heap, id) + field->offset_bytes;
    switch (field->code) {
    case 'b': return store_signed(field, where, value, 8);
    case 'h': return store_signed(field, where, value, 16);
    case 'i': return store_signed(field, where, value, 32);
    case 'q': return store_signed(field, where, value, 64);
    case 'B': return store_unsigned(field, where, value, 8);
    case 'H': return store_unsigned(field, where, value, 16);
    case 'I': return store_unsigned(field, where, value, 32);
    case 'Q': return store_unsigned(field, where, value, 64);
    case 'f':
    case 'd': return store_float(field, where, value);
    case '?':
        if (!PyBool_Check(value)) return wrong_type(field, value, "a bool");
        *(uint8_t *)where = value == Py_True;
        return 0;
    case 'x': return store_fixed(field, where, value);
    case 's':
    case 'y':
    case 'a': return hw_record_span_store(field, heap, id, value);
    default: return store_reference(field, heap, id, value);
    }
}

PyObject *hw_record_field_load(RecordFieldObject *field, RecordHeapObject *heap, uint64_t id) {
    const void *where = hw_record_place(heap, id) + field->offset_bytes;
    switch (field->code) {
    case 'b': return PyLong_FromLong(*(const int8_t *)where);
    case 'h': return PyLong_FromLong(*(const int16_t *)where);
    case 'i': return PyLong_FromLong(*(const int32_t *)where);
    case 'q': return PyLong_FromLongLong(*(const int64_t *)where);
    case 'B': return PyLong_FromUnsignedLong(*(const uint8_t *)where);
    case 'H': return PyLong_FromUnsignedLong(*(const uint16_t *)where);
    case 'I': return PyLong_FromUnsignedLong(*(const uint32_t *)where);
    case 'Q': return PyLong_FromUnsignedLongLong(*(const uint64_t *)where);
    case 'f': return PyFloat_FromDouble((double)*(const float *)where);
    case 'd': return PyFloat_FromDouble(*(const double *)where);
    case '?': return PyBool_FromLong(*(const uint8_t *)where);
    case 'x': return PyBytes_FromStringAndSize(where, field->size_bytes);
    case 's':
    case 'y':
    case 'a': return hw_record_span_load(field, heap, id);
    default: return load_reference(field, heap, id);
    }
}

static RecordObject *require_own(RecordFieldObject *self, PyObject *object) {
    if (__builtin_expect(self->owner != NULL && Py_IS_TYPE(object, self->owner), 1)) return (RecordObject *)object;
    PyErr_Format(PyExc_TypeError, "%U is a field of another class than %.100s", self->name, Py_TYPE(object)->tp_name);
    return NULL;
}

static PyObject *field_get(RecordFieldObject *self, PyObject *object, PyObject *type) {
    if (object == NULL || object == Py_None) return Py_NewRef(self);
    RecordObject *record = require_own(self, object);
    uint64_t id = record == NULL ? HW_RECORD_NO_ID : hw_record_id_of(record);
    return id == HW_RECORD_NO_ID ? NULL : hw_record_field_load(self, record->heap, id);
}

static int field_set(RecordFieldObject *self, PyObject *object, PyObject *value) {
    RecordObject *record = require_own(self, object);
    uint64_t id = record == NULL ? HW_RECORD_NO_ID : hw_record_id_of(record);
    if (id == HW_RECORD_NO_ID) return -1;
    if (value == NULL) return PyErr_Format(PyExc_AttributeError, "%U cannot be deleted: a record has all of its fields", self->name), -1;
    return hw_record_field_store(self, record->heap, id, value);
}

/* ---- fields and kinds as objects ------------------------------------------------------------------------------------ */

static PyObject *field_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    PyObject *name;
    const char *code;
    unsigned short offset_bytes, size_bytes, index;
    short edge;
    if (!PyArg_ParseTuple(args, "UsHHHh:RecordField", &name, &code, &offset_bytes, &size_bytes, &index, &edge)) return NULL;
    RecordFieldObject *self = (RecordFieldObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    PyUnicode_InternInPlace(&name);
    self->name = Py_NewRef(name);
    self->code = code[0];
    self->offset_bytes = offset_bytes;
    self->size_bytes = size_bytes;
    self->index = index;
    self->edge = edge;
    return (PyObject *)self;
}

static PyObject *field_settle(RecordFieldObject *self, PyObject *args) {
    PyObject *owner, *targets;
    if (!PyArg_ParseTuple(args, "O!O!", &PyType_Type, &owner, &PyTuple_Type, &targets)) return NULL;
    Py_XSETREF(self->owner, (PyTypeObject *)Py_NewRef(owner));
    self->target = PyTuple_GET_SIZE(targets) == 1 ? (PyTypeObject *)PyTuple_GET_ITEM(targets, 0) : NULL;
    Py_XSETREF(self->targets, Py_NewRef(targets));
    Py_RETURN_NONE;
}

static int field_traverse(RecordFieldObject *self, visitproc visit, void *arg) {
    Py_VISIT(self->owner);
    Py_VISIT(self->targets);
    return 0;
}

static int field_clear(RecordFieldObject *self) {
    self->target = NULL;
    Py_CLEAR(self->owner);
    Py_CLEAR(self->targets);
    return 0;
}

static void field_dealloc(RecordFieldObject *self) {
    PyObject_GC_UnTrack(self);
    field_clear(self);
    Py_CLEAR(self->name);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *get_name(RecordFieldObject *self, void *unused) { return Py_NewRef(self->name); }
static PyObject *get_targets(RecordFieldObject *self, void *unused) { return self->targets ? Py_NewRef(self->targets) : PyTuple_New(0); }
static PyObject *get_code(RecordFieldObject *self, void *unused) { return PyUnicode_FromStringAndSize(&self->code, 1); }
static PyObject *get_offset(RecordFieldObject *self, void *unused) { return PyLong_FromLong(self->offset_bytes); }

static PyMethodDef FIELD_METHODS[] = {
    {"settle", (PyCFunction)field_settle, METH_VARARGS, "settle($self, owner, targets, /)\n--\n\nWhose it is, and what it may refer to."},
    {"_length", (PyCFunction)hw_record_array_length, METH_O, "_length($self, record, /)\n--\n\nEntries of an array."},
    {"_get", (PyCFunction)hw_record_array_get, METH_VARARGS, "_get($self, record, i, /)\n--\n\nAn entry."},
    {"_set", (PyCFunction)hw_record_array_set, METH_VARARGS, "_set($self, record, i, value, /)\n--\n\nChange an entry."},
    {"_append", (PyCFunction)hw_record_array_append, METH_VARARGS, "_append($self, record, value, /)\n--\n\nOne more entry. O(1) amortised."},
    {"_shorten", (PyCFunction)hw_record_array_shorten, METH_VARARGS, "_shorten($self, record, count, /)\n--\n\nFewer entries."},
    {NULL},
};

static PyGetSetDef FIELD_GETSET[] = {
    {"name", (getter)get_name, NULL, "As in the class.", NULL},
    {"targets", (getter)get_targets, NULL, "Classes that it may refer to.", NULL},
    {"code", (getter)get_code, NULL, "One letter: what it holds.", NULL},
    {"offset_bytes", (getter)get_offset, NULL, "Where in the record.", NULL},
    {NULL},
};

PyTypeObject HwRecordField_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.RecordField",
    .tp_doc = "RecordField(name, code, offset_bytes, size_bytes, index, edge, /)\n--\n\nA field of a class of records.",
    .tp_basicsize = sizeof(RecordFieldObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = field_new,
    .tp_dealloc = (destructor)field_dealloc,
    .tp_traverse = (traverseproc)field_traverse,
    .tp_clear = (inquiry)field_clear,
    .tp_descr_get = (descrgetfunc)field_get,
    .tp_descr_set = (descrsetfunc)field_set,
    .tp_methods = FIELD_METHODS,
    .tp_getset = FIELD_GETSET,
};

/* The edges of one list: (code, offset) of each field, in the order of the layout. */
static int list_edges(RecordKindObject *kind, PyObject *fields, bool weak) {
    uint16_t count = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fields); i++) {
        const RecordFieldObject *field = (RecordFieldObject *)PyTuple_GET_ITEM(fields, i);
        count += field->edge >= 0 && (field->code == 'w' || field->code == 'W') == weak;
    }
    hw_record_edge *edges = PyMem_Calloc(count + 1, sizeof *edges);
    uint16_t *of = PyMem_Calloc(count + 1, sizeof *of);
    if (weak) kind->weak = edges, kind->weak_fields = of, kind->weak_count = count;
    else kind->edges = edges, kind->edge_fields = of, kind->edges_count = count;
    if (edges == NULL || of == NULL) return PyErr_NoMemory(), -1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fields); i++) {
        const RecordFieldObject *field = (RecordFieldObject *)PyTuple_GET_ITEM(fields, i);
        if (field->edge < 0 || (field->code == 'w' || field->code == 'W') != weak) continue;
        if (field->edge >= count) return PyErr_SetString(PyExc_ValueError, "edges are numbered one by one"), -1;
        uint8_t kind_of = field->code == 'a' ? HW_EDGE_SPAN : field->code == 'R' || field->code == 'W' ? HW_EDGE_WIDE : HW_EDGE_NARROW;
        edges[field->edge] = (hw_record_edge){.offset_bytes = field->offset_bytes, .kind = kind_of};
        of[field->edge] = (uint16_t)i;
        if (!weak) kind->narrow_count += field->code == 'r', kind->spans_count += field->code == 'a';
    }
    return 0;
}

static PyObject *kind_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    PyObject *fields, *blank, *late;
    unsigned long long required;
    int finalizer;
    if (!PyArg_ParseTuple(args, "O!SO!Kp:RecordKind", &PyTuple_Type, &fields, &blank, &PyTuple_Type, &late, &required, &finalizer)) return NULL;
    RecordKindObject *self = (RecordKindObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->fields = Py_NewRef(fields);
    self->blank = Py_NewRef(blank);
    self->late = Py_NewRef(late);
    self->required = required;
    self->finalizer = finalizer;
    Py_ssize_t n = PyTuple_GET_SIZE(fields);
    for (Py_ssize_t i = 0; i < n; i++)
        if (!Py_IS_TYPE(PyTuple_GET_ITEM(fields, i), &HwRecordField_Type)) {
            PyErr_SetString(PyExc_TypeError, "the fields of a kind are RecordField");
            Py_DECREF(self);
            return NULL;
        }
    self->payloads = PyMem_Calloc((size_t)n + 1, sizeof *self->payloads);
    if (self->payloads == NULL) PyErr_NoMemory();
    if (self->payloads == NULL || list_edges(self, fields, false) < 0 || list_edges(self, fields, true) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        const RecordFieldObject *field = (RecordFieldObject *)PyTuple_GET_ITEM(fields, i);
        if (field->code == 's' || field->code == 'y') self->payloads[self->payloads_count++] = field->offset_bytes;
    }
    return (PyObject *)self;
}

static int kind_traverse(RecordKindObject *self, visitproc visit, void *arg) {
    Py_VISIT(self->fields);
    return 0;
}

static int kind_clear(RecordKindObject *self) {
    Py_CLEAR(self->fields);
    return 0;
}

static void kind_dealloc(RecordKindObject *self) {
    PyObject_GC_UnTrack(self);
    PyMem_Free(self->edges);
    PyMem_Free(self->weak);
    PyMem_Free(self->edge_fields);
    PyMem_Free(self->weak_fields);
    PyMem_Free(self->payloads);
    kind_clear(self);
    Py_CLEAR(self->blank);
    Py_CLEAR(self->late);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *get_fields(RecordKindObject *self, void *unused) { return Py_NewRef(self->fields); }
static PyObject *get_stride(RecordKindObject *self, void *unused) { return PyLong_FromSsize_t(PyBytes_GET_SIZE(self->blank)); }

static PyGetSetDef KIND_GETSET[] = {
    {"fields", (getter)get_fields, NULL, "In the order of the class.", NULL},
    {"stride_bytes", (getter)get_stride, NULL, "Of a record.", NULL},
    {NULL},
};

PyTypeObject HwRecordKind_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.RecordKind",
    .tp_doc = "RecordKind(fields, blank, late, required, finalizer, /)\n--\n\nHow the records of a class lie.",
    .tp_basicsize = sizeof(RecordKindObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = kind_new,
    .tp_dealloc = (destructor)kind_dealloc,
    .tp_traverse = (traverseproc)kind_traverse,
    .tp_clear = (inquiry)kind_clear,
    .tp_getset = KIND_GETSET,
};

int hw_bind_record_field(PyObject *module) {
    if (PyModule_AddType(module, &HwRecordField_Type) < 0) return -1;
    return PyModule_AddType(module, &HwRecordKind_Type);
}
