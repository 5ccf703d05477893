/* A file mapped shared: what is written there survives the process, however it ends. */
#ifndef HW_OS_SHARED_FILE_H
#define HW_OS_SHARED_FILE_H

#include <stddef.h>

/* Makes the file `path` (mode 0600, truncated) of `size_bytes` and maps it; untouched pages take no memory.
 * Returns 0 or errno. */
int hw_shared_file_create(const char *path, size_t size_bytes, void **mapping);

/* Ends the mapping, not the file. */
void hw_shared_file_unmap(void *mapping, size_t size_bytes);

#endif
