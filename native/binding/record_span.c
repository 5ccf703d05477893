/* Fields of variable size: text, bytes, and arrays of references. The record has the block alone, so a new value is a new
 * block, or the old one where it fits; the old one goes back when nobody can be in it any more. */
#include "binding/record_types.h"

/* A block for `bytes`; what is due is done first, so it comes before anything is looked up. 0 or -1. */
static int new_block(RecordHeapObject *heap, uint32_t pool, uint64_t bytes, hw_record_span *span) {
    if (hw_record_heap_pace(heap) < 0) return -1;
    int error = hw_record_heap_span(&heap->collector.heap, pool, bytes, span);
    if (error != 0 && hw_record_heap_make_room(heap) == 0) error = hw_record_heap_span(&heap->collector.heap, pool, bytes, span);
    if (error == 0) return 0;
    if (!PyErr_Occurred()) hw_raise_record_full(heap, bytes, error);
    return -1;
}

static int store_bytes(RecordFieldObject *field, RecordHeapObject *heap, RecordObject *record, const char *from, Py_ssize_t size) {
    hw_record_span span;
    if (new_block(heap, hw_record_pool_of(hw_record_id_of(record)), (uint64_t)size, &span) < 0) return -1;
    if (size != 0) memcpy(hw_span_entries(hw_records_of(heap), span), from, (size_t)size);
    span.count = (uint32_t)size;
    void *where = hw_record_place(heap, hw_record_id_of(record)) + field->offset_bytes;
    hw_record_span before = hw_span_load(where);
    memcpy(where, &span, sizeof span);
    hw_record_heap_release(&heap->collector.heap, before);
    return 0;
}

/* New entries, checked before anything is changed: 0 or -1. */
static int store_references(RecordFieldObject *field, RecordHeapObject *heap, RecordObject *record, PyObject *values) {
    PyObject *list = PySequence_Tuple(values); /* from here on no code of others runs, but finalizers */
    if (list == NULL) return -1;
    Py_ssize_t n = PyTuple_GET_SIZE(list);
    hw_record_span span = {0, 0};
    for (Py_ssize_t i = 0; i < n; i++)
        if (hw_record_target_id(field, heap, PyTuple_GET_ITEM(list, i)) == HW_RECORD_NO_ID) goto failed;
    if (new_block(heap, hw_record_pool_of(hw_record_id_of(record)), (uint64_t)n * sizeof(uint32_t), &span) < 0) goto failed;
    uint32_t *entries = hw_span_entries(hw_records_of(heap), span);
    for (Py_ssize_t i = 0; i < n; i++) entries[i] = hw_record_index_of(hw_record_id_of((RecordObject *)PyTuple_GET_ITEM(list, i)));
    span.count = (uint32_t)n;
    uint64_t id = hw_record_id_of(record);
    void *where = hw_record_place(heap, id) + field->offset_bytes;
    hw_record_span before = hw_span_load(where);
    hw_span_store(hw_records_of(heap), id, hw_record_field_edge(heap, field, id), where, span);
    hw_record_heap_release(&heap->collector.heap, before);
    Py_DECREF(list);
    return 0;
failed:
    Py_DECREF(list);
    return -1;
}

int hw_record_span_store(RecordFieldObject *field, RecordHeapObject *heap, uint64_t id, PyObject *value) {
    RecordObject *record = (RecordObject *)hw_record_handle_of(heap, id); /* it may move while there is made room */
    if (record == NULL) return -1;
    int result = -1;
    if (field->code == 'a') {
        result = store_references(field, heap, record, value);
    } else if (field->code == 's' && PyUnicode_Check(value)) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(value, &size);
        if (text != NULL) result = store_bytes(field, heap, record, text, size);
    } else if (field->code == 'y' && PyBytes_Check(value)) {
        result = store_bytes(field, heap, record, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value));
    } else {
        PyErr_Format(PyExc_TypeError, "%.100s.%U takes %s, not %.100s", field->owner->tp_name, field->name,
                     field->code == 's' ? "a str" : "bytes", Py_TYPE(value)->tp_name);
    }
    Py_DECREF(record);
    return result;
}

/* ---- entries of an array of references, for heapwright.gc.references ------------------------------------------------------ */

typedef struct {
    RecordObject *record;
    uint64_t id;
    void *where;
    hw_record_span span;
    const hw_record_edge *edge;
} array;

static int find_array(RecordFieldObject *field, PyObject *object, array *a) {
    if (field->code != 'a' || !Py_IS_TYPE(object, field->owner)) return PyErr_SetString(PyExc_TypeError, "not an array of that record"), -1;
    a->record = (RecordObject *)object;
    a->id = hw_record_id_of(a->record);
    if (a->id == HW_RECORD_NO_ID) return -1;
    a->where = hw_record_place(a->record->heap, a->id) + field->offset_bytes;
    a->span = hw_span_load(a->where);
    a->edge = hw_record_field_edge(a->record->heap, field, a->id);
    return 0;
}

static int find_entry(RecordFieldObject *field, PyObject *args, const char *format, array *a, Py_ssize_t *i, PyObject **value) {
    PyObject *object;
    if (!PyArg_ParseTuple(args, format, &object, i, value) || find_array(field, object, a) < 0) return -1;
    if (*i >= 0 && *i < (Py_ssize_t)a->span.count) return 0;
    PyErr_Format(PyExc_IndexError, "there is no %U[%zd]: it has %u", field->name, *i, a->span.count);
    return -1;
}

PyObject *hw_record_array_length(RecordFieldObject *field, PyObject *object) {
    array a;
    return find_array(field, object, &a) < 0 ? NULL : PyLong_FromUnsignedLong(a.span.count);
}

PyObject *hw_record_array_get(RecordFieldObject *field, PyObject *args) {
    array a;
    Py_ssize_t i;
    if (find_entry(field, args, "On:_get", &a, &i, NULL) < 0) return NULL;
    const uint32_t *entries = hw_span_entries(hw_records_of(a.record->heap), a.span);
    uint64_t target = hw_edge_load(a.edge, &entries[i]);
    return hw_record_handle_of(a.record->heap, target);
}

PyObject *hw_record_array_set(RecordFieldObject *field, PyObject *args) {
    array a;
    Py_ssize_t i;
    PyObject *value;
    if (find_entry(field, args, "OnO:_set", &a, &i, &value) < 0) return NULL;
    uint64_t target = hw_record_target_id(field, a.record->heap, value);
    if (target == HW_RECORD_NO_ID) return NULL;
    uint32_t *entries = hw_span_entries(hw_records_of(a.record->heap), a.span);
    hw_edge_store(hw_records_of(a.record->heap), a.id, a.edge, false, &entries[i], target);
    Py_RETURN_NONE;
}

PyObject *hw_record_array_append(RecordFieldObject *field, PyObject *args) {
    array a;
    PyObject *object, *value;
    if (!PyArg_ParseTuple(args, "OO:_append", &object, &value) || find_array(field, object, &a) < 0) return NULL;
    RecordHeapObject *heap = a.record->heap;
    hw_records *records = hw_records_of(heap);
    uint64_t target = hw_record_target_id(field, heap, value);
    if (target == HW_RECORD_NO_ID) return NULL;
    if (a.span.block == 0 || ((uint64_t)a.span.count + 1) * sizeof(uint32_t) > hw_span_payload(records, a.span)->capacity_bytes) {
        hw_record_span larger;
        uint64_t bytes = ((uint64_t)a.span.count + a.span.count / 2 + 4) * sizeof(uint32_t);
        if (new_block(heap, hw_record_pool_of(a.id), bytes, &larger) < 0 || find_array(field, object, &a) < 0) return NULL;
        if (a.span.count != 0) memcpy(hw_span_entries(records, larger), hw_span_entries(records, a.span), a.span.count * sizeof(uint32_t));
        larger.count = a.span.count;
        hw_span_store(records, a.id, a.edge, a.where, larger);
        hw_record_heap_release(&heap->collector.heap, a.span);
        a.span = larger;
        target = hw_record_target_id(field, heap, value); /* again: records may have moved */
    }
    uint32_t *entries = hw_span_entries(records, a.span);
    /* relaxed: a marker may be at this entry still, from before the array was shortened; what it reads is a record in any case */
    __atomic_store_n(&entries[a.span.count], hw_record_index_of(target), __ATOMIC_RELAXED);
    hw_span_set_count(records, a.id, a.edge, a.where, a.span.count + 1);
    Py_RETURN_NONE;
}

PyObject *hw_record_array_shorten(RecordFieldObject *field, PyObject *args) {
    array a;
    PyObject *object;
    Py_ssize_t count;
    if (!PyArg_ParseTuple(args, "On:_shorten", &object, &count) || find_array(field, object, &a) < 0) return NULL;
    if (count < 0 || count > (Py_ssize_t)a.span.count) return PyErr_Format(PyExc_IndexError, "%U has %u", field->name, a.span.count);
    hw_span_set_count(hw_records_of(a.record->heap), a.id, a.edge, a.where, (uint32_t)count);
    Py_RETURN_NONE;
}

PyObject *hw_record_span_load(RecordFieldObject *field, RecordHeapObject *heap, uint64_t id) {
    if (field->code == 'a') { /* heapwright.gc.references: a sequence that reads and writes the record */
        PyObject *record = hw_record_handle_of(heap, id);
        PyObject *module = record == NULL ? NULL : PyImport_ImportModule("heapwright.gc.references");
        PyObject *references = module == NULL ? NULL : PyObject_CallMethod(module, "References", "OO", record, field);
        Py_XDECREF(module);
        Py_XDECREF(record);
        return references;
    }
    hw_record_span span = hw_span_load(hw_record_place(heap, id) + field->offset_bytes);
    const char *bytes = span.count == 0 ? "" : hw_span_entries(hw_records_of(heap), span);
    if (field->code == 's') return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)span.count, NULL);
    return PyBytes_FromStringAndSize(bytes, (Py_ssize_t)span.count);
}
