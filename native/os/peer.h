/* Another process's memory, read without stopping it. */
#ifndef HW_OS_PEER_H
#define HW_OS_PEER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads `size` bytes at each of `count` addresses of process `pid` into `into` (count * size bytes, packed). What cannot
 * be read (unmapped meanwhile) is left as zeros. Returns 0, or errno when nothing can be read at all (EPERM, ESRCH). */
int hw_peer_read(pid_t pid, const uint64_t *addresses, size_t count, size_t size, unsigned char *into);

#endif
