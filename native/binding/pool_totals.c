/* The figures of a pool as Python sees them: the fields of heapwright.model.statistics.PoolStatistics. */
#include "binding/pool_types.h"

PyObject *hw_totals_figures(const PoolTotals *totals, const PoolSeen *seen) {
    struct {
        const char *name;
        uint64_t value;
    } const rows[] = {
        {"requested_bytes", totals->requested},
        {"allocated_bytes", totals->allocated},
        {"committed_bytes", totals->committed},
        {"reserved_bytes", totals->committed},
        {"resident_bytes", seen->resident},
        {"peak_requested_bytes", totals->peak_requested},
        {"peak_allocated_bytes", totals->peak_allocated},
        {"peak_committed_bytes", totals->peak_committed},
        {"total_requested_bytes", totals->total_requested},
        {"total_allocated_bytes", totals->total_allocated},
        {"total_committed_bytes", totals->total_committed},
        {"free_bytes", seen->free},
        {"largest_free_bytes", seen->largest_free},
        {"releasable_bytes", seen->releasable},
        {"control_bytes", seen->control},
        {"block_count", totals->blocks},
        {"peak_block_count", totals->peak_blocks},
        {"total_block_count", totals->total_blocks},
        {"chunk_count", seen->chunks},
        {"grow_count", totals->grown},
        {"failed_count", totals->failed},
    };
    PyObject *figures = PyDict_New();
    for (size_t i = 0; figures != NULL && i < sizeof rows / sizeof rows[0]; i++) {
        PyObject *value = PyLong_FromUnsignedLongLong(rows[i].value);
        if (value == NULL || PyDict_SetItemString(figures, rows[i].name, value) < 0) Py_CLEAR(figures);
        Py_XDECREF(value);
    }
    return figures;
}
