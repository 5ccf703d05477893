#include "os/shared_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

int hw_shared_file_create(const char *path, size_t size_bytes, void **base) {
    if (unlink(path) != 0 && errno != ENOENT) return errno;
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) return errno;
    void *start = MAP_FAILED;
    if (ftruncate(file, (off_t)size_bytes) == 0)
        start = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    int error = start == MAP_FAILED ? errno : 0;
    close(file);
    if (error == 0) *base = start;
    else unlink(path);
    return error;
}

int hw_shared_file_commit(const char *path, size_t offset_bytes, size_t size_bytes) {
    int file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return errno;
    int error;
    do error = posix_fallocate(file, (off_t)offset_bytes, (off_t)size_bytes);
    while (error == EINTR);
    close(file);
    return error;
}

void hw_shared_file_unmap(void *base, size_t size_bytes) { munmap(base, size_bytes); }
