/* births.c: who is told when a program gets memory: a block, a pool's buffer, an arena's block, a shared value, a node.
 * Nobody, as a rule: then a birth costs one comparison, and nothing else. */
#ifndef HW_BINDING_BIRTHS_H
#define HW_BINDING_BIRTHS_H

#include "binding/binding.h"

/* Called as watcher(new, old): a birth (old is None), `new` in the place of `old`, or (new is None) the end of what is
 * known of `old`. NULL: nobody watches. */
extern PyObject *hw_birth_watcher;

PyObject *hw_born_watched(PyObject *object);
void hw_birth_tell(PyObject *object, PyObject *old);

/* A new object, which the program is about to get. Returns it; or NULL with the error set, and then it is gone. NULL
 * passes through. */
static inline PyObject *hw_born(PyObject *object) {
    return __builtin_expect(hw_birth_watcher == NULL, 1) ? object : hw_born_watched(object);
}

/* A block has another handle: it is as old as it was, and from where it was from. Returns `object`; NULL passes through. */
static inline PyObject *hw_reborn(PyObject *object, PyObject *old) {
    if (__builtin_expect(hw_birth_watcher != NULL, 0) && object != NULL) hw_birth_tell(object, old);
    return object;
}

/* It was not for the program: what a pool buys belongs to the pool, whoever asked the pool when it had to buy. */
static inline void hw_birth_withdraw(PyObject *object) {
    if (__builtin_expect(hw_birth_watcher != NULL, 0)) hw_birth_tell(Py_None, object);
}

#endif
