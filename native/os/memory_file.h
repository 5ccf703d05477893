/* Memory that is a file without a name (memfd): other processes get it by its descriptor, the kernel frees it with the last
 * descriptor and mapping anywhere, and its size is sealed, so that nobody can cut it off under a mapping.
 *
 * Locks are on single bytes, and belong to an *open file*, which descriptors and mappings refer to and messages carry (OFD
 * locks, fcntl(2)). Who opens the file anew (hw_memory_file_reopen) has one of its own. The kernel unlocks when the last
 * reference to the open file is gone, however that came about. A mapping is such a reference: hw_memory_file_hold makes
 * one that forked children do not get, so that what it keeps locked is locked by this process alone.
 *
 * Each returns 0 or an errno value, and has had no effect if it fails. hw_pages_fail_nth makes them fail. */
#ifndef HW_OS_MEMORY_FILE_H
#define HW_OS_MEMORY_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A new one, all zeros, with memory behind every page: no store to it can fail. */
int hw_memory_file_create(size_t size_bytes, int *file);

/* EINVAL: the size is not sealed. */
int hw_memory_file_size(int file, size_t *size_bytes);

/* Which memory it is, the same for every descriptor of it. */
int hw_memory_file_identity(int file, uint64_t *identity);

/* The same memory, as another open file. Needs /proc. */
int hw_memory_file_reopen(int file, int *other);
void hw_memory_file_close(int file);

/* Readable and writable, shared with whoever else maps it. */
int hw_memory_file_map(int file, size_t size_bytes, void **base);
void hw_memory_file_unmap(void *base, size_t size_bytes);

/* A mapping that does nothing but keep the open file; whether children that are forked get it, too. */
int hw_memory_file_hold(int file, bool inherited, void **hold);
int hw_memory_file_keep_from_children(void *hold);
void hw_memory_file_let_go(void *hold);

/* One byte: waits for whoever has it, or EAGAIN. The same open file may lock a byte twice, and unlocks it once. */
int hw_memory_file_lock(int file, size_t byte);
int hw_memory_file_try_lock(int file, size_t byte);
void hw_memory_file_unlock(int file, size_t byte);

/* Takes the memory behind the range away, for everybody; it reads as zeros. */
int hw_memory_file_punch(int file, size_t offset_bytes, size_t size_bytes);

#endif
