#include "os/shared_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int hw_shared_file_create(const char *path, size_t size_bytes, void **mapping) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return errno;
    int error = 0;
    if (ftruncate(fd, (off_t)size_bytes) < 0) error = errno;
    if (error == 0) {
        *mapping = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (*mapping == MAP_FAILED) error = errno;
    }
    close(fd);
    return error;
}

void hw_shared_file_unmap(void *mapping, size_t size_bytes) { munmap(mapping, size_bytes); }
