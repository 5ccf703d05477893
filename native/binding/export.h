/* export.c: how a block lends its bytes as a buffer.
 *
 * A buffer of a block comes from a small object of its own, the export, and not from the block: as long as anybody holds
 * the export, the block counts a view, and is neither freed nor moved. So it is the life of a reference that counts, not
 * whether a consumer released its buffer. That matters because some release at once, and keep an address and an object:
 *
 *   torch.frombuffer(x)                       keeps the object that the buffer came from: the export
 *   numpy.ndarray(shape, buffer=memoryview)   keeps what the memoryview's buffer came from: the export
 *   numpy.ndarray(shape, buffer=block)        keeps the block itself, and no export. It asks in a way that nobody else does
 *                                             (FORGETFUL in export.c), and pins the block: its handle is a view, for life */
#ifndef HW_BINDING_EXPORT_H
#define HW_BINDING_EXPORT_H

#include "binding/binding.h"

#include <stdbool.h>

typedef struct {
    char *address;
    Py_ssize_t size_bytes;
    bool readonly;
} hw_lent;

/* What a type of block does when somebody wants its bytes (0, or -1 with the error set: it is freed, or may not be read), when it
 * has one view more, one less, and when its handle becomes a view (again: nothing). While there is a view, it has to keep the
 * address good. */
typedef int (*hw_lend)(PyObject *block, hw_lent *bytes);
typedef void (*hw_lending)(PyObject *block);
typedef struct {
    hw_lend lend;
    hw_lending expose, conceal, pin;
} hw_lender;

/* bf_getbuffer of a lender: 0, or -1 with the error set. */
int hw_export(PyObject *block, const hw_lender *lender, Py_buffer *view, int flags);

/* Of each type of block that is lent out. */
extern const hw_lender hw_block_lender, hw_buffer_lender, hw_region_block_lender;

/* bf_releasebuffer of a lender. It is never called, since the buffers come from exports; but where a type has one, NumPy's
 * frombuffer takes a memoryview, and keeps it. */
void hw_export_released(PyObject *block, Py_buffer *view);

int hw_bind_export(PyObject *module);

#endif
