/* The hook: what NumPy and CPython call instead of the allocator they had.
 *
 * There are two places to hook, with one behaviour (docs/adr/0002):
 *   array   the four functions in the structure of NumPy's default handler (NumPy < 2.5). Every array of every thread and
 *           context has that handler, also those made before; it is always called with the GIL held.
 *   raw     CPython's raw domain (NumPy >= 2.5 takes array data from it). Called with or without the GIL.
 *
 * A request of HW_POOLED_MIN_BYTES or more is served by the pooled allocator; smaller ones, and all of them in system
 * mode, are forwarded to the functions that were there before. A block goes back to where its address says it came
 * from, whatever the mode is by then. */
#ifndef HW_PROCESS_HOOK_H
#define HW_PROCESS_HOOK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { HW_MODE_OFF, HW_MODE_SYSTEM, HW_MODE_POOLED };

/* OFF forwards everything and counts nothing. Atomic: the raw hook reads it without the GIL, perhaps long before the pool
 * answers, which is why the hook comes out only when the pool has retired (pooled.h). */
extern atomic_int hw_hook_mode;

/* Whether malloc_usable_size may be asked about blocks of the original allocator (not where CPython's debug hooks put a
 * header in front of each). Without it, forwarded bytes are not counted. */
extern bool hw_hook_knows_sizes;

/* The layout of NumPy's PyDataMemAllocator (NEP 49). */
typedef struct {
    void *ctx;
    void *(*malloc)(void *ctx, size_t size);
    void *(*calloc)(void *ctx, size_t nelem, size_t elsize);
    void *(*realloc)(void *ctx, void *address, size_t size);
    void (*free)(void *ctx, void *address, size_t size);
} hw_array_functions;

/* The layout of CPython's PyMemAllocatorEx (PEP 445). */
typedef struct {
    void *ctx;
    void *(*malloc)(void *ctx, size_t size);
    void *(*calloc)(void *ctx, size_t nelem, size_t elsize);
    void *(*realloc)(void *ctx, void *address, size_t size);
    void (*free)(void *ctx, void *address);
} hw_raw_functions;

/* What was there before; set before the hook is put in. */
extern hw_array_functions hw_array_original;
extern hw_raw_functions hw_raw_original;

/* What to put there. */
extern const hw_array_functions hw_array_hook;
extern const hw_raw_functions hw_raw_hook;

#endif
