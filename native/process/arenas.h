/* The table of CPython's small-object arenas: where they are, for whoever explains this process's memory.
 *
 * CPython tells nobody where its arenas are, but lets one stand between it and the kernel (PyObject_SetArenaAllocator).
 * The addresses go to <session>/<pid>.arenas, mapped shared, so that they can be read at any moment from outside.
 *
 *      int64 magic | version | arena_bytes | slots (ever used) | lost (did not fit) | 3 reserved | address[capacity]
 *
 * An address of 0 is a slot that can be used again. A forked child writes a table of its own. */
#ifndef HW_PROCESS_ARENAS_H
#define HW_PROCESS_ARENAS_H

#include <stddef.h>
#include <stdint.h>

#define HW_ARENAS_MAGIC INT64_C(0x31305341524E4552) /* "RENRAS01" */
#define HW_ARENAS_VERSION 1
#define HW_ARENAS_HEADER_WORDS 8
#define HW_ARENAS_CAPACITY 131072 /* 128 GiB in arenas of 1 MiB; the file is sparse */

/* Opens the table of this process in `directory`. 0 or errno. */
int hw_arenas_open(const char *directory);

/* From the arena allocator; any thread (interpreters with a GIL of their own share the table). */
void hw_arenas_added(uintptr_t address, size_t size_bytes);
void hw_arenas_removed(uintptr_t address);

/* Arenas that were there before anybody could watch: finds CPython's own list of them by its shape. `block` is any live
 * small object, `heap` the C library's heap, where CPython keeps the list. Adds what it finds to the table and returns
 * how many that were; 0 if the list cannot be recognised, for example under another malloc. */
size_t hw_arenas_find_earlier(uintptr_t block, uintptr_t heap_start, uintptr_t heap_end);

#endif
