/* The sampler: which call sites hold the bytes. Every allocated byte has the same small chance of being sampled (a
 * Poisson process with a mean of `mean_bytes`), so a block of n bytes is sampled with probability 1 - exp(-n/mean) and
 * then stands for n / (1 - exp(-n/mean)) bytes: an unbiased estimate. The allocator calls the two functions below for
 * every block it hands out or takes back; the common case is one subtraction and one test. */
#ifndef HW_PROCESS_SAMPLER_H
#define HW_PROCESS_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/site_table.h"

/* Called from any thread, with or without the GIL, never inside the allocator's own lock.
 *
 * Order: `allocated` after the block is the caller's, `freed` before it can be anybody else's. Otherwise another thread
 * may be handed the address, and have it sampled, before its former life is taken out of the table. A block that moves
 * or changes its size is freed and allocated. errno is left alone. */
void hw_sampler_allocated(void *address, size_t size_bytes);
void hw_sampler_freed(void *address);

/* One frame of a call stack, as the walker sees it: what to look up, and what to ask for if that is not known. */
typedef struct {
    uint64_t key;     /* equal for the same instruction of the same code object, else different; 0: cannot say */
    const void *code; /* the walker's own; valid until `walk`'s caller returns */
    int32_t offset_bytes;
} hw_frame_ref;

/* How to see the stack of the language that runs in this process. Called with any lock of the program's held, and
 * from inside malloc: may not allocate, nor wait, nor run the language. */
typedef struct {
    /* The innermost frames of this thread, innermost first; *truncated: there are more. 0: none, or not safe to look. */
    uint32_t (*walk)(hw_frame_ref *frames, uint32_t capacity, bool *truncated);
    /* The text of one; pointers in it are valid until the next call. Never called by two threads at a time. */
    void (*describe)(const hw_frame_ref *frame, hw_frame_text *text);
} hw_frame_walker;

/* Starts a site table in <directory>/<pid>.sites (core/site_table.h); a forked child gets one of its own there.
 * `mean_bytes` 0: every block is recorded. `seed` 0: from the clock. `directory` is absolute. `walker` stays for ever.
 * Returns 0, EALREADY, EINVAL, ENAMETOOLONG, or what the system said. */
int hw_sampler_start(const char *directory, uint64_t mean_bytes, uint64_t seed, const hw_frame_walker *walker);

/* Stops; the file stays as it is now. No effect when not started. */
void hw_sampler_stop(void);

#endif
