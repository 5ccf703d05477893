/* A file mapped shared: what is stored in it is in the file at once, without a system call, and stays there however
 * the process ends. The file is sparse; a page of it takes memory from when it is committed.
 *
 * Committing is what makes storing safe: a store to a page for which the file system has no room left kills the
 * process with SIGBUS, a commit that finds no room returns ENOSPC.
 *
 * No descriptor is kept. A program that closes descriptors it does not know (daemons do) would close ours, the number
 * would be used again, and the next commit would grow somebody else's file.
 *
 * Each returns 0 or an errno value. */
#ifndef HW_OS_SHARED_FILE_H
#define HW_OS_SHARED_FILE_H

#include <stddef.h>

/* A new file of mode 0600, all of it a hole, mapped at *base. One of that name is unlinked, not truncated: another
 * process may have it mapped. */
int hw_shared_file_create(const char *path, size_t size_bytes, void **base);

/* Room for the range, which reads as zeros where nothing was stored. ENOSPC, EDQUOT: there is none. */
int hw_shared_file_commit(const char *path, size_t offset_bytes, size_t size_bytes);

/* Ends the mapping; the file stays. */
void hw_shared_file_unmap(void *base, size_t size_bytes);

#endif
