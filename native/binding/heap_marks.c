/* _native.Heap: marks of a bump heap, and what has to be known for them. To release a mark is to free blocks whose handles
 * others hold: so a bump heap knows the handle of each of its live blocks, and tells it. */
#include "binding/heap_types.h"

enum { HANDLES_FIRST = 64 };

int hw_handle_enlist(HeapObject *heap, BlockObject *block) {
    size_t needed = block == NULL ? 0 : (size_t)block->number, size = heap->by_number_size;
    if (needed >= size) {
        size = size == 0 ? HANDLES_FIRST : 2 * size;
        while (needed >= size) size *= 2;
        BlockObject **grown = PyMem_Realloc(heap->by_number, size * sizeof *grown);
        if (grown == NULL) return PyErr_NoMemory(), -1;
        for (size_t i = heap->by_number_size; i < size; i++) grown[i] = NULL;
        heap->by_number = grown;
        heap->by_number_size = size;
    }
    if (block != NULL) heap->by_number[block->number] = block;
    return 0;
}

/* NULL: raised, since the strategy has no marks. */
static hw_bump *require_bump(HeapObject *self) {
    hw_heap_enter(self);
    if (hw_heap_strategy(&self->heap) == HW_BUMP) return self->heap.control;
    hw_raise("UnsupportedByStrategy", "{s:s,s:s,s:s}", "operation", "mark", "strategy",
             HW_STRATEGY_NAMES[hw_heap_strategy(&self->heap)], "use", HW_STRATEGY_NAMES[HW_BUMP]);
    return NULL;
}

static bool parse_mark(PyObject *args, hw_bump_mark *mark) {
    unsigned long long serial;
    unsigned int depth;
    if (!PyArg_ParseTuple(args, "KI", &serial, &depth)) return false;
    *mark = (hw_bump_mark){serial, depth};
    return true;
}

PyObject *hw_heap_set_mark_method(HeapObject *self, PyObject *unused) {
    hw_bump_mark mark;
    if (require_bump(self) == NULL) return NULL;
    int error = hw_heap_mark(&self->heap, &mark);
    if (error != 0)
        return hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "making room for the control data of a heap", "errno",
                        error > 0 ? error : ENOMEM);
    return Py_BuildValue("(KI)", (unsigned long long)mark.serial, (unsigned int)mark.depth);
}

PyObject *hw_heap_is_open_method(HeapObject *self, PyObject *args) {
    hw_bump_mark mark;
    hw_bump *bump = require_bump(self);
    if (bump == NULL || !parse_mark(args, &mark)) return NULL;
    return PyBool_FromLong(hw_bump_is_open(bump, mark));
}

/* The handle of a block in the table: NULL if the block is not live, or is one of NumPy's. */
static BlockObject *handle_of(HeapObject *self, uint32_t number) {
    return number < self->by_number_size ? self->by_number[number] : NULL;
}

PyObject *hw_heap_release_mark_method(HeapObject *self, PyObject *args) {
    hw_bump_mark mark;
    hw_bump *bump = require_bump(self);
    if (bump == NULL || !parse_mark(args, &mark)) return NULL;
    if (!hw_bump_is_open(bump, mark)) Py_RETURN_FALSE;
    uint32_t first = hw_bump_first_since(bump, mark);
    for (uint32_t number = first; number < bump->count; number++) { /* all or nothing */
        hw_strategy_seen seen = hw_bump_see(bump, number);
        BlockObject *block = handle_of(self, number);
        if (!seen.live || (block != NULL && block->exports == 0)) continue;
        return hw_raise_exported((PyObject *)block, self->heap.space->base + seen.offset_bytes, (Py_ssize_t)seen.requested_bytes,
                                 block == NULL ? 1 : block->exports, /* NumPy's: one */
                                 block != NULL && block->pinned, "release the mark");
    }
    for (uint32_t number = first; number < bump->count; number++) {
        BlockObject *block = handle_of(self, number);
        if (block == NULL) continue;
        self->by_number[number] = NULL;
        block->heap = NULL;
        Py_DECREF(self); /* the caller holds another */
    }
    hw_bump_release(bump, mark);
    Py_RETURN_TRUE;
}
