/* _native.Account: core/account.h under the GIL. No method lets go of it or calls Python between its look and its change, so
 * each is one step for every thread, finalizer and signal handler, and no lock exists that a fork could leave held. */
#include "binding/heap_types.h"
#include "core/account.h"

typedef struct {
    PyObject_HEAD
    hw_account account;
} AccountObject;

static int parse_amounts(PyObject *const *args, Py_ssize_t n, hw_amounts *amounts) {
    uint64_t *const fields[] = {&amounts->requested, &amounts->allocated, &amounts->blocks};
    if (n < 1 || n > 3) {
        PyErr_SetString(PyExc_TypeError, "expected requested_bytes, and optionally allocated_bytes and blocks");
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if (hw_as_size(args[i], fields[i]) < 0) return -1;
    return 0;
}

static PyObject *account_take(AccountObject *self, PyObject *const *args, Py_ssize_t n) {
    hw_amounts amounts = {0, 0, 0};
    if (parse_amounts(args, n, &amounts) < 0) return NULL; /* may call Python: before the step, not in it */
    if (hw_account_take(&self->account, amounts)) Py_RETURN_NONE;
    return hw_raise("LimitExceeded", "{s:O,s:K,s:K}", "size_bytes", args[0], "current_bytes",
                    (unsigned long long)self->account.requested.current, "limit_bytes",
                    (unsigned long long)self->account.limit_bytes);
}

static PyObject *account_give(AccountObject *self, PyObject *const *args, Py_ssize_t n) {
    hw_amounts amounts = {0, 0, 0};
    if (parse_amounts(args, n, &amounts) < 0) return NULL;
    if (hw_account_give(&self->account, amounts)) Py_RETURN_NONE;
    return PyErr_SetString(PyExc_ValueError, "more is given back than was taken: somebody counts twice"), NULL;
}

static PyObject *account_refuse(AccountObject *self, PyObject *unused) {
    self->account.refused++;
    Py_RETURN_NONE;
}

static PyObject *account_figures(AccountObject *self, PyObject *unused) {
    const hw_account a = self->account;
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "requested_bytes", a.requested.current,
                         "peak_requested_bytes", a.requested.peak, "total_requested_bytes", a.requested.total,
                         "allocated_bytes", a.allocated.current, "peak_allocated_bytes", a.allocated.peak,
                         "total_allocated_bytes", a.allocated.total, "block_count", a.blocks.current, "peak_block_count",
                         a.blocks.peak, "total_block_count", a.blocks.total, "failed_count", a.refused);
}

static PyObject *get_limit(AccountObject *self, void *unused) {
    if (self->account.limit_bytes == UINT64_MAX) Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(self->account.limit_bytes);
}

static PyObject *account_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *limit = Py_None;
    uint64_t limit_bytes = UINT64_MAX;
    if (!PyArg_ParseTuple(args, "|O:Account", &limit)) return NULL;
    if (limit != Py_None && hw_as_size(limit, &limit_bytes) < 0) return NULL;
    AccountObject *self = (AccountObject *)type->tp_alloc(type, 0); /* zeros */
    if (self != NULL) self->account.limit_bytes = limit_bytes;
    return (PyObject *)self;
}

static PyMethodDef account_methods[] = {
    {"take", (PyCFunction)(void (*)(void))account_take, METH_FASTCALL,
     "take($self, requested_bytes, allocated_bytes=0, blocks=0, /)\n--\n\n"
     "Add to what is out: all three, or raise LimitExceeded, count a refusal and add nothing."},
    {"give", (PyCFunction)(void (*)(void))account_give, METH_FASTCALL,
     "give($self, requested_bytes, allocated_bytes=0, blocks=0, /)\n--\n\n"
     "Take from what is out; ValueError and nothing changed where that is more than is out."},
    {"refuse", (PyCFunction)account_refuse, METH_NOARGS, "refuse($self, /)\n--\n\nCount a request that was not served."},
    {"figures", (PyCFunction)account_figures, METH_NOARGS,
     "figures($self, /)\n--\n\nReturn everything counted, as it was at one moment."},
    {NULL},
};

static PyGetSetDef account_getset[] = {
    {"limit_bytes", (getter)get_limit, NULL, "Most requested bytes that may be out, or None.", NULL},
    {NULL},
};

static PyTypeObject account_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.Account",
    .tp_doc = "Account(limit_bytes=None, /)\n--\n\nRequested bytes, allocated bytes and blocks: current, peak and total.",
    .tp_basicsize = sizeof(AccountObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = account_new,
    .tp_methods = account_methods,
    .tp_getset = account_getset,
};

int hw_bind_account(PyObject *module) { return PyModule_AddType(module, &account_type); }
