/* What the files about records share: record.c (handles), record_field.c (their fields), record_span.c (fields of variable
 * size), record_heap.c (the heap), record_collect.c (its collector), record_report.c (what reports ask), record_table.c (all records of a type, as bytes).
 *
 * Who keeps whom: a handle keeps its heap, a table too; a heap keeps the classes of its records and their spaces. A handle
 * is a root of the heap while it lives, so no record dies that somebody holds; there is at most one handle of a record. */
#ifndef HW_BINDING_RECORD_TYPES_H
#define HW_BINDING_RECORD_TYPES_H

#include "binding/binding.h"
#include "heap/record_pace.h"

enum { HW_RECORD_FIELDS_MAX = 64 };

typedef struct RecordKindObject RecordKindObject;
typedef struct RecordFieldObject RecordFieldObject;

struct RecordFieldObject { /* a descriptor in the class */
    PyObject_HEAD
    PyObject *name;
    PyObject *targets;     /* of a reference: tuple of the classes that it may refer to; NULL until they are there */
    PyTypeObject *target;  /* ... where it is a single one; borrowed from the tuple */
    PyTypeObject *owner;   /* the class; NULL until it is there */
    uint16_t offset_bytes;
    uint16_t size_bytes;   /* of fixed bytes */
    uint16_t index;        /* among the fields */
    int16_t edge;          /* its place among the edges, or the weak ones, of the kind; -1: no reference */
    char code;             /* as in the table of record_field.c */
};

struct RecordKindObject { /* how the records of a class lie: __record_kind__ */
    PyObject_HEAD
    PyObject *fields;      /* tuple of RecordField, in the order of declaration */
    PyObject *blank;       /* bytes: a record with every default that lies in it */
    PyObject *late;        /* tuple: of each field, its default if that is text or bytes and not empty; else None */
    hw_record_edge *edges, *weak; /* `pool` of an edge: not said */
    uint16_t *edge_fields, *weak_fields; /* which field an edge is of */
    uint16_t *payloads;
    uint16_t edges_count, narrow_count, spans_count, weak_count, payloads_count;
    uint64_t required;     /* bit of a field: it has no default */
    bool finalizer;
};

typedef struct { /* a class of records, in one heap */
    PyTypeObject *class;
    RecordKindObject *kind;
    PyObject *space;
    hw_record_edge *edges, *weak; /* those of the kind, with the pools of this heap */
} RecordPool;

enum { HW_RECORD_HEAP_OPEN, HW_RECORD_HEAP_BUSY, HW_RECORD_HEAP_CLOSED };

typedef struct {
    PyObject_HEAD
    hw_record_collector collector;
    RecordPool pools[HW_RECORD_POOLS_MAX];
    int state;               /* not open: look in hw_record_heap_enter */
    uint32_t last_pool;      /* that a record was made in */
    PyThread_type_lock lock; /* held by a long operation without the GIL */
    long pid;                /* of the process whose operation that is */
    bool finalizing;         /* finalizers are being called */
    Py_ssize_t exports;      /* tables with views, and views */
    PyObject *weak_references;
} RecordHeapObject;

typedef struct { /* a handle; its class is the class of the record */
    PyObject_HEAD
    RecordHeapObject *heap;
    hw_record_handle handle;
    PyObject *weak_references;
} RecordObject;

extern PyTypeObject HwRecord_Type, HwRecordField_Type, HwRecordKind_Type, HwRecordHeap_Type;

static inline hw_records *hw_records_of(RecordHeapObject *heap) { return &heap->collector.heap.records; }

/* Waits until no long operation is under way; 0, or -1 with HandleReleased set if the heap is closed. */
int hw_record_heap_enter_slow(RecordHeapObject *heap);
static inline int hw_record_heap_enter(RecordHeapObject *heap) {
    return __builtin_expect(heap->state == HW_RECORD_HEAP_OPEN, 1) ? 0 : hw_record_heap_enter_slow(heap);
}

/* Between the two nobody else touches the heap, and the GIL is free: whoever comes waits in hw_record_heap_enter. record_collect.c */
PyThreadState *hw_record_begin_long(RecordHeapObject *heap);
void hw_record_end_long(RecordHeapObject *heap, PyThreadState *thread);

/* The id of a handle's record: HW_RECORD_NO_ID with an error set if the heap is closed. It is good until something may
 * compact: until the next call that may run Python code or make a record. */
static inline uint64_t hw_record_id_of(RecordObject *self) {
    if (hw_record_heap_enter(self->heap) < 0) return HW_RECORD_NO_ID;
    const hw_record_handle_entry *entry = hw_record_handle_entry_of(&hw_records_of(self->heap)->handles, self->handle);
    if (__builtin_expect(entry != NULL, 1)) return entry->id;
    hw_raise("HandleReleased", "{s:s}", "handle", "record");
    return HW_RECORD_NO_ID;
}

static inline unsigned char *hw_record_place(RecordHeapObject *heap, uint64_t id) {
    return hw_record_at(hw_records_of(heap)->pools[hw_record_pool_of(id)], hw_record_index_of(id));
}

static inline const hw_record_edge *hw_record_field_edge(RecordHeapObject *heap, const RecordFieldObject *field, uint64_t id) {
    const RecordPool *pool = &heap->pools[hw_record_pool_of(id)];
    return field->code == 'w' || field->code == 'W' ? &pool->weak[field->edge] : &pool->edges[field->edge];
}

/* The handle of a live record: a new reference, or NULL with an error. */
PyObject *hw_record_handle_of(RecordHeapObject *heap, uint64_t id);

/* The id of a record that `field` of a record of `heap` may refer to; HW_RECORD_NO_ID with an error set. */
uint64_t hw_record_target_id(RecordFieldObject *field, RecordHeapObject *heap, PyObject *value);

/* record_field.c: gives a field its value. 0 or -1; may not run anything that makes records or compacts before it stores. */
int hw_record_field_store(RecordFieldObject *field, RecordHeapObject *heap, uint64_t id, PyObject *value);
PyObject *hw_record_field_load(RecordFieldObject *field, RecordHeapObject *heap, uint64_t id);

/* record_span.c: the same of text, bytes and arrays of references. */
int hw_record_span_store(RecordFieldObject *field, RecordHeapObject *heap, uint64_t id, PyObject *value);
PyObject *hw_record_span_load(RecordFieldObject *field, RecordHeapObject *heap, uint64_t id);
PyObject *hw_record_array_length(RecordFieldObject *field, PyObject *record);
PyObject *hw_record_array_get(RecordFieldObject *field, PyObject *args);
PyObject *hw_record_array_set(RecordFieldObject *field, PyObject *args);
PyObject *hw_record_array_append(RecordFieldObject *field, PyObject *args);
PyObject *hw_record_array_shorten(RecordFieldObject *field, PyObject *args);

/* record_heap.c */
uint32_t hw_record_pool_number(RecordHeapObject *heap, PyObject *class); /* HW_RECORD_NONE with an error set */
PyObject *hw_raise_record_full(RecordHeapObject *heap, uint64_t size_bytes, int error);

/* record_collect.c: what is due before something is made, and the finalizers after. 0 or -1. */
int hw_record_heap_pace(RecordHeapObject *heap);
int hw_record_heap_make_room(RecordHeapObject *heap); /* a whole collection, after which a request that failed is tried again */
PyObject *hw_record_collect_method(RecordHeapObject *self, PyObject *args, PyObject *kwargs);
PyObject *hw_record_step_method(RecordHeapObject *self, PyObject *args, PyObject *kwargs);
PyObject *hw_record_trim_method(RecordHeapObject *self, PyObject *unused);
PyObject *hw_record_pauses_method(RecordHeapObject *self, PyObject *unused);
PyObject *hw_record_counters_method(RecordHeapObject *self, PyObject *unused);
PyObject *hw_record_pool_counters_method(RecordHeapObject *self, PyObject *number);
PyObject *hw_record_compact_method(RecordHeapObject *self, PyObject *unused);
extern const char HW_RECORD_COLLECT_DOC[], HW_RECORD_STEP_DOC[], HW_RECORD_COMPACT_DOC[], HW_RECORD_TRIM_DOC[];

/* record_check.c */
PyObject *hw_record_check_method(RecordHeapObject *self, PyObject *unused);
extern const char HW_RECORD_CHECK_DOC[];

/* record_run.c: records that were made together, and their root. */
PyObject *hw_record_make_run_method(RecordHeapObject *self, PyObject *args);
PyObject *hw_record_fill_references_method(RecordHeapObject *self, PyObject *args);
int hw_record_heap_make_records(RecordHeapObject *self, uint32_t number, uint32_t count, uint32_t *first);

/* record_report.c */
PyObject *hw_record_why_alive_method(RecordHeapObject *self, PyObject *record);
PyObject *hw_record_dominators_method(RecordHeapObject *self, PyObject *unused);
PyObject *hw_record_cycles_method(RecordHeapObject *self, PyObject *args);
PyObject *hw_record_references_method(RecordHeapObject *self, PyObject *args);
PyObject *hw_record_roots_method(RecordHeapObject *self, PyObject *unused);

/* record_table.c */
PyObject *hw_record_table_method(RecordHeapObject *self, PyObject *args);

int hw_bind_record(PyObject *module);
int hw_bind_record_field(PyObject *module);
int hw_bind_record_heap(PyObject *module);
int hw_bind_record_run(PyObject *module);
int hw_bind_record_table(PyObject *module);
int hw_bind_record_weak(PyObject *module);

#endif
