/* RecordHeap.check(): the invariants of core/records.h, walked, and a second trace that owes the collector nothing. */
#include "binding/record_types.h"

#include "core/record_check.h"

const char HW_RECORD_CHECK_DOC[] =
    "check($self, /)\n--\n\n"
    "Walk every invariant of the heap, in whatever phase a cycle is, and find what can be reached once more without any of the "
    "collector's own data. The GIL is free meanwhile.\n\n"
    "Returns\n-------\nint\n    How many records are there that nothing leads to, and that no cycle has freed yet. After `collect` it is 0.\n\n"
    "Raises\n------\nCorruptedHeap\n    An invariant does not hold; it is named, and where.\n"
    "MemoryError\n    There is no memory to work in: 8 bytes a record.\n\n"
    "Complexity: O(records and their references).";

typedef struct {
    const char *broken;
    uint64_t where, unreachable;
} verdict;

static verdict look(const hw_records *records, void *scratch) {
    verdict said = {.where = HW_RECORD_NO_ID};
    said.broken = hw_records_check(records, scratch, &said.where);
    uint64_t lowest;
    if (said.broken == NULL) said.unreachable = hw_records_unreachable(records, scratch, &lowest);
    return said;
}

/* What `where` is depends on the invariant (core/record_check.h): a slot, where it is of handles or entries of the table; or a record. */
static bool is_slot(const char *broken) { return strstr(broken, "handle") != NULL || strstr(broken, "entr") != NULL; }

static PyObject *raise_broken(RecordHeapObject *self, const verdict *said) {
    char words[256];
    uint32_t number = hw_record_pool_of(said->where), index = hw_record_index_of(said->where);
    uint64_t offset_bytes = 0;
    if (said->where == HW_RECORD_NO_ID || number >= hw_records_of(self)->pools_count || is_slot(said->broken)) {
        PyOS_snprintf(words, sizeof words, "%s (handle %u)", said->broken, index);
    } else {
        offset_bytes = (uint64_t)index * hw_records_of(self)->pools[number]->stride_bytes;
        PyOS_snprintf(words, sizeof words, "%s (%.100s %u)", said->broken, self->pools[number].class->tp_name, index);
    }
    return hw_raise("CorruptedHeap", "{s:s,s:K}", "invariant", words, "offset_bytes", (unsigned long long)offset_bytes);
}

PyObject *hw_record_check_method(RecordHeapObject *self, PyObject *unused) {
    if (hw_record_heap_enter(self) < 0) return NULL;
    hw_marker *marker = &self->collector.marker;
    PyThreadState *thread = hw_record_begin_long(self);
    bool beside = hw_marker_state_of(marker) == HW_MARKER_RUNNING;
    if (beside) hw_marker_stop(marker); /* the check is for between two calls, with nobody at work */
    void *scratch = PyMem_RawMalloc(hw_records_check_bytes(hw_records_of(self)) + 8); /* of no record, none */
    verdict said = {0};
    if (scratch != NULL) said = look(hw_records_of(self), scratch);
    PyMem_RawFree(scratch);
    if (beside) hw_marker_start(marker); /* there is its thread */
    hw_record_end_long(self, thread);
    if (scratch == NULL) return PyErr_NoMemory();
    return said.broken == NULL ? PyLong_FromUnsignedLongLong(said.unreachable) : raise_broken(self, &said);
}
