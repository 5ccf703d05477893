#include "os/peer.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

enum { BATCH = 512 }; /* IOV_MAX is 1024 on Linux */

int hw_peer_read(pid_t pid, const uint64_t *addresses, size_t count, size_t size, unsigned char *into) {
    memset(into, 0, count * size);
    size_t done = 0;
    while (done < count) {
        struct iovec remote[BATCH];
        size_t batch = count - done < BATCH ? count - done : BATCH;
        for (size_t i = 0; i < batch; i++)
            remote[i] = (struct iovec){(void *)(uintptr_t)addresses[done + i], size};
        struct iovec local = {into + done * size, batch * size};
        ssize_t got = process_vm_readv(pid, &local, 1, remote, batch, 0);
        if (got < 0 && errno != EFAULT) return errno;
        size_t whole = got < 0 ? 0 : (size_t)got / size;
        /* A short read stops at the first address that is gone: skip that one and go on behind it. */
        if (whole < batch) memset(into + (done + whole) * size, 0, size);
        done += whole < batch ? whole + 1 : batch;
    }
    return 0;
}
