/* Leases: to lend a block is to take a view of it, and then to give no more of them until it is back. */
#include "binding/leases.h"
#include "binding/export.h"
#include "binding/heap_types.h"
#include "binding/pool_types.h"
#include "binding/region_types.h"

bool *hw_leased(PyObject *block) {
    if (Py_IS_TYPE(block, &HwBlock_Type)) return &((BlockObject *)block)->leased;
    if (Py_IS_TYPE(block, &HwRegionBlock_Type)) return &((RegionBlockObject *)block)->leased;
    return PyObject_TypeCheck(block, &HwBuffer_Type) ? &((BufferObject *)block)->leased : NULL;
}

static Py_ssize_t exports_of(PyObject *block) {
    if (Py_IS_TYPE(block, &HwBlock_Type)) return ((BlockObject *)block)->exports;
    if (Py_IS_TYPE(block, &HwRegionBlock_Type)) return ((RegionBlockObject *)block)->exports;
    return ((BufferObject *)block)->exports;
}

static PyObject *borrower_of(PyObject *block) {
    PyObject *module = PyImport_ImportModule("heapwright.owners.lease");
    PyObject *borrower = module ? PyObject_CallMethod(module, "borrower_of", "O", block) : NULL;
    Py_XDECREF(module);
    return borrower;
}

PyObject *hw_raise_leased(PyObject *block, const void *address, Py_ssize_t size_bytes, Py_ssize_t exports, const char *what) {
    PyObject *borrower = borrower_of(block);
    if (borrower == NULL) return NULL;
    return hw_raise("BlockLeased", "{s:K,s:n,s:n,s:s,s:N,s:N}", "address", (unsigned long long)(uintptr_t)address, "size_bytes",
                    size_bytes, "exports", exports, "what", what, "borrower", borrower, "site", hw_site_of(block));
}

static const hw_lender *lender_of(PyObject *block) {
    if (Py_IS_TYPE(block, &HwBlock_Type)) return &hw_block_lender;
    return Py_IS_TYPE(block, &HwRegionBlock_Type) ? &hw_region_block_lender : &hw_buffer_lender;
}

static bool *require_block(PyObject *block) {
    bool *leased = hw_leased(block);
    if (leased == NULL)
        PyErr_Format(PyExc_TypeError, "only a block of a heap, a pool or an arena can be lent, not %.100s", Py_TYPE(block)->tp_name);
    return leased;
}

/* The borrower's view; None if somebody else has one, or the block is lent. The lease is an export of its own beside it. */
static PyObject *lend(PyObject *module, PyObject *block) {
    bool *leased = require_block(block);
    if (leased == NULL) return NULL;
    if (exports_of(block) != 0) Py_RETURN_NONE;
    PyObject *view = PyMemoryView_FromObject(block);
    if (view == NULL) return NULL;
    if (exports_of(block) != 1) { /* making it may have run Python, and that may have looked at the block */
        Py_DECREF(view);
        Py_RETURN_NONE;
    }
    lender_of(block)->expose(block);
    *leased = true;
    return view;
}

/* True: the lease ended, since nothing but itself was exported. False: there are views. */
static PyObject *take_back(PyObject *module, PyObject *block) {
    bool *leased = require_block(block);
    if (leased == NULL) return NULL;
    if (!*leased || exports_of(block) != 1) Py_RETURN_FALSE;
    *leased = false;
    lender_of(block)->conceal(block);
    Py_RETURN_TRUE;
}

static PyMethodDef FUNCTIONS[] = {
    {"lend", lend, METH_O, "lend(block, /)\n--\n\nA view of a block that nobody else gets; None where somebody has one."},
    {"take_back", take_back, METH_O, "take_back(block, /)\n--\n\nEnd that, if no view is left; return whether it ended."},
    {NULL},
};

int hw_bind_leases(PyObject *module) { return PyModule_AddFunctions(module, FUNCTIONS); }
