/* The three types of the heaps room, and who keeps whom alive: a view keeps its block, a live block its heap, a heap its
 * space; a heap that NumPy's arrays come from or lie in is kept by process/array_heap.h. So the pages outlive every address that was handed out. None refers back, so none takes part in a cycle of its
 * own, and a space and a block need no cycle collector. */
#ifndef HW_BINDING_HEAP_TYPES_H
#define HW_BINDING_HEAP_TYPES_H

#include "binding/binding.h"
#include "heap/heap.h"
#include "process/array_heap.h"

typedef struct HeapObject HeapObject;
typedef struct BlockObject BlockObject;

typedef struct {
    PyObject_HEAD
    hw_space space;
    Py_ssize_t exports; /* buffers exported from blocks in it: while there are any, access is not taken away */
    HeapObject *heap;   /* the one on it, not owned: it owns this; or NULL */
    bool has_records;   /* it is a record heap's: nobody else has it */
} SpaceObject;

struct HeapObject {
    PyObject_HEAD
    hw_heap heap;
    SpaceObject *space;
    Py_ssize_t alignment;    /* for requests that name none */
    PyThread_type_lock lock; /* held by a long operation that has released the GIL, see heap.c */
    bool busy;               /* one is under way */
    double decay_s;          /* as it was set */
    uint32_t until_tick;     /* operations before decay looks at the clock; 0: there is no decay */
    int waiting; /* threads in wait_until_idle */
    long pid;                /* the process that lock and busy are about */
    BlockObject **by_number; /* the handles of live blocks, borrowed, where release() may free them; NULL: elsewhere */
    size_t by_number_size;
    hw_array_heap arrays;    /* those of its blocks that are NumPy's: no handle of ours is theirs */
};

struct BlockObject {
    PyObject_HEAD
    HeapObject *heap; /* NULL: freed. A live block is in the heap under (address - base, number) */
    char *address;
    Py_ssize_t size_bytes;
    Py_ssize_t exports;
    uint32_t number;
    uint8_t alignment_log2; /* as asked for: kept when the block moves */
    bool pinned;            /* the handle itself is one of the exports, until it dies: export.h */
    bool leased;            /* so is a lease, until it ends: leases.h */
    PyObject *weak_references;
};

extern PyTypeObject HwSpace_Type, HwHeap_Type, HwBlock_Type;
extern const char *const HW_STRATEGY_NAMES[HW_STRATEGIES];

/* 0, or -1 with SpaceInUse set: there is a heap on it. */
int hw_space_require_free(const SpaceObject *space);

/* A new handle; steals nothing. NULL: no memory for the handle. */
BlockObject *hw_block_new(HeapObject *heap, hw_strategy_handle handle, Py_ssize_t size_bytes, uint8_t alignment_log2);

/* Waits until no long operation is under way on the heap. Until the GIL is released again, none is. */
void hw_heap_enter(HeapObject *heap);

/* A long operation on the heap, without the GIL: between the two nobody else touches heap or space. */
PyThreadState *hw_heap_begin_long(HeapObject *heap);
void hw_heap_end_long(HeapObject *heap, PyThreadState *thread);

/* binding/heap_purge.c */
extern const char HW_HEAP_TRIM_DOC[], HW_HEAP_TRIM_STEP_DOC[], HW_HEAP_DECAY_TICK_DOC[];
/* Raises MemoryLockRefused: `size_bytes` were to be kept in memory. Always returns NULL. */
PyObject *hw_raise_lock_refused(size_t size_bytes, int error);

PyObject *hw_heap_trim_method(HeapObject *self, PyObject *args, PyObject *kwargs);
PyObject *hw_heap_trim_step_method(HeapObject *self, PyObject *args, PyObject *kwargs);
PyObject *hw_heap_decay_tick_method(HeapObject *self, PyObject *args, PyObject *kwargs);
PyObject *hw_heap_get_decay(HeapObject *self, void *unused);
int hw_heap_set_decay(HeapObject *self, PyObject *seconds, void *unused);
void hw_heap_decay_in_passing(HeapObject *self); /* once in so many operations, if there is decay at all */
PyObject *hw_heap_check_method(HeapObject *self, PyObject *unused);
PyObject *hw_heap_counters_method(HeapObject *self, PyObject *unused);
PyObject *hw_heap_walk_method(HeapObject *self, PyObject *unused);

/* heap_marks.c: the table of handles by number. Enlist: 0, or -1 with MemoryError set. */
int hw_handle_enlist(HeapObject *heap, BlockObject *block);
static inline void hw_handle_delist(HeapObject *heap, BlockObject *block) {
    if (heap->by_number != NULL && heap->by_number[block->number] == block) heap->by_number[block->number] = NULL;
}
PyObject *hw_heap_set_mark_method(HeapObject *self, PyObject *unused);
PyObject *hw_heap_release_mark_method(HeapObject *self, PyObject *args);
PyObject *hw_heap_is_open_method(HeapObject *self, PyObject *args);

/* Frees a live block whose handle dies. */
void hw_heap_drop_block(BlockObject *block);

/* Raises BlockFreed for a freed block. Returns 0 or -1. */
int hw_block_require_live(const BlockObject *block);

int hw_bind_space(PyObject *module);
int hw_bind_block(PyObject *module);
int hw_bind_heap(PyObject *module);

#endif
