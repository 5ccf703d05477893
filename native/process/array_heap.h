/* Array heap: a heap whose blocks are the data of NumPy's arrays. NumPy knows a block by its address, a heap by offset and
 * number; between the two is a table of the live blocks.
 *
 * At most one heap serves at a time. One that served goes on being known for as long as blocks of it live, so that what
 * NumPy gives back is recognised whatever serves by then. From the moment a heap is known until it is not, its owner keeps
 * it: `left` says when that ends.
 *
 * Invariants:
 *   A1  the known heaps are the one that serves, and those with blocks
 *   A2  the table of a heap holds the address of each of its array blocks, and nothing else
 *   A3  the record counts the bytes that were asked for of all these blocks, and for each heap that has a place in it, of
 *       that heap's
 *
 * Not thread-safe: everything here is called with the lock of the heaps held (the GIL). `enter` may let it go for a while. */
#ifndef HW_PROCESS_ARRAY_HEAP_H
#define HW_PROCESS_ARRAY_HEAP_H

#include "core/address_table.h"
#include "heap/heap.h"

#include <stdbool.h>
#include <stddef.h>

#define HW_ARRAY_ALIGNMENT ((size_t)64)

typedef struct hw_array_heap {
    hw_heap *heap;
    /* Waits until no long operation is under way on the heap; until the lock is let go again, none is. */
    void (*enter)(struct hw_array_heap *self);
    /* The last thing done with it: its owner need not keep it any longer. */
    void (*left)(struct hw_array_heap *self);
    size_t blocks; /* live ones, and one that is being made */
    hw_address_table table;
    struct hw_array_heap *next; /* among the known */
    int place;                  /* in the record, or -1 */
} hw_array_heap;

/* The heap that serves, or NULL. */
extern hw_array_heap *hw_array_heap_serving;

/* The list of the known, or NULL. */
extern hw_array_heap *hw_array_heap_known;

/* Makes the heap (or none: NULL) the one that serves; the one before is left if it has no blocks. Returns 0, with *newly
 * whether this one was not known before, so that its owner is to keep it from now on; or errno, and then nothing has
 * changed. */
int hw_array_heap_serve(hw_array_heap *self, bool *newly);

/* The known heap that the address lies in, or NULL. O(known heaps). */
hw_array_heap *hw_array_heap_of(const void *address);

/* A block from a known heap, aligned to HW_ARRAY_ALIGNMENT, zeroed if asked; NULL where the heap has no room or the
 * operating system no memory, or where the space may not be read and written. */
void *hw_array_heap_allocate(hw_array_heap *self, size_t size_bytes, bool zeroed);

/* Frees a block of the heap. An address in it that is not the start of a live array block ends the process with a message,
 * since going on would corrupt the heap. */
void hw_array_heap_free(hw_array_heap *self, void *address);

/* Gives a block of the heap another size where it lies; false, with the block as it was, where it cannot. */
bool hw_array_heap_resize(hw_array_heap *self, void *address, size_t size_bytes);

/* Bytes that were asked for. */
size_t hw_array_heap_size(const hw_array_heap *self, const void *address);

#endif
