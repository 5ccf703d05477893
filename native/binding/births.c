/* Births: the one door through which heapwright.observe.births hears of all that is made. The GIL is its lock. */
#include "binding/births.h"

PyObject *hw_birth_watcher;

static PyObject *call_watcher(PyObject *object, PyObject *old) {
    PyObject *watcher = Py_NewRef(hw_birth_watcher); /* while it runs, another thread may put another in its place */
    PyObject *result = PyObject_CallFunctionObjArgs(watcher, object, old, NULL);
    Py_DECREF(watcher);
    return result;
}

PyObject *hw_born_watched(PyObject *object) {
    if (object == NULL) return NULL;
    PyObject *result = call_watcher(object, Py_None);
    if (result == NULL) Py_CLEAR(object); /* it goes back where it came from: nobody has it */
    Py_XDECREF(result);
    return object;
}

void hw_birth_tell(PyObject *object, PyObject *old) {
    PyObject *result = call_watcher(object, old);
    if (result == NULL) PyErr_WriteUnraisable(old); /* what it is about has happened, and cannot fail any more */
    Py_XDECREF(result);
}

static PyObject *watch_births(PyObject *module, PyObject *watcher) {
    PyObject *before = hw_birth_watcher;
    hw_birth_watcher = watcher == Py_None ? NULL : Py_NewRef(watcher);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

static PyObject *birth(PyObject *module, PyObject *object) { return hw_born(Py_NewRef(object)); }

static PyObject *birth_moved(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    if (n != 2) return PyErr_SetString(PyExc_TypeError, "birth_moved() takes the old object and the new one"), NULL;
    hw_reborn(args[1], args[0]);
    Py_RETURN_NONE;
}

static PyObject *birth_withdraw(PyObject *module, PyObject *object) {
    hw_birth_withdraw(object);
    Py_RETURN_NONE;
}

static PyMethodDef FUNCTIONS[] = {
    {"watch_births", watch_births, METH_O, "watch_births(watcher, /)\n--\n\nCall watcher(new, old) for all that is made; None: nobody."},
    {"birth", birth, METH_O, "birth(object, /)\n--\n\nTell of something that was not made here; return it."},
    {"birth_moved", (PyCFunction)(void (*)(void))birth_moved, METH_FASTCALL,
     "birth_moved(old, new, /)\n--\n\nSay that a block has another handle: not a birth."},
    {"birth_withdraw", birth_withdraw, METH_O,
     "birth_withdraw(object, /)\n--\n\nSay that a block is no program's: a pool or an arena bought it for itself."},
    {NULL},
};

int hw_bind_births(PyObject *module) { return PyModule_AddFunctions(module, FUNCTIONS); }
