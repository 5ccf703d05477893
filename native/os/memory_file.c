#include "os/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "os/pages.h"

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW };

static int lock(int file, int command, short type, size_t byte) {
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    while (fcntl(file, command, &range) != 0)
        if (errno != EINTR) return errno == EACCES ? EAGAIN : errno;
    return 0;
}

int hw_memory_file_create(size_t size_bytes, int *file) {
    if (hw_pages_injected()) return ENOMEM;
    int made = memfd_create("heapwright", MFD_CLOEXEC | MFD_ALLOW_SEALING), error = 0;
    if (made < 0) return errno;
    if (ftruncate(made, (off_t)size_bytes) != 0 || fcntl(made, F_ADD_SEALS, SEALS | F_SEAL_SEAL) != 0) error = errno;
    /* Memory that is not there would be found out by a store, which the kernel ends the process for (SIGBUS). */
    while (error == 0 && fallocate(made, 0, 0, (off_t)size_bytes) != 0)
        if (errno != EINTR) error = errno;
    if (error != 0) close(made);
    else *file = made;
    return error;
}

int hw_memory_file_size(int file, size_t *size_bytes) {
    if (hw_pages_injected()) return ENOMEM;
    struct stat status;
    int seals = fcntl(file, F_GET_SEALS);
    if (seals < 0) return errno; /* EINVAL where it is no memory at all */
    if ((seals & SEALS) != SEALS) return EINVAL;
    if (fstat(file, &status) != 0) return errno;
    *size_bytes = (size_t)status.st_size;
    return 0;
}

int hw_memory_file_identity(int file, uint64_t *identity) {
    if (hw_pages_injected()) return ENOMEM;
    struct stat status;
    if (fstat(file, &status) != 0) return errno;
    *identity = (uint64_t)status.st_ino; /* of the one file system that all of these are in */
    return 0;
}

int hw_memory_file_reopen(int file, int *other) {
    char path[32];
    if (hw_pages_injected()) return EMFILE;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int opened = open(path, O_RDWR | O_CLOEXEC);
    if (opened < 0) return errno;
    *other = opened;
    return 0;
}

void hw_memory_file_close(int file) { close(file); }

int hw_memory_file_map(int file, size_t size_bytes, void **base) {
    if (hw_pages_injected()) return ENOMEM;
    void *start = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (start == MAP_FAILED) return errno;
    *base = start;
    return 0;
}

void hw_memory_file_unmap(void *base, size_t size_bytes) { munmap(base, size_bytes); }

int hw_memory_file_hold(int file, bool inherited, void **hold) {
    if (hw_pages_injected()) return ENOMEM;
    void *page = mmap(NULL, hw_pages_size(), PROT_NONE, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) return errno;
    int error = inherited ? 0 : hw_memory_file_keep_from_children(page);
    if (error != 0) hw_memory_file_let_go(page);
    else *hold = page;
    return error;
}

int hw_memory_file_keep_from_children(void *hold) {
    return madvise(hold, hw_pages_size(), MADV_DONTFORK) == 0 ? 0 : errno;
}

void hw_memory_file_let_go(void *hold) { munmap(hold, hw_pages_size()); }

int hw_memory_file_lock(int file, size_t byte) {
    if (hw_pages_injected()) return ENOLCK;
    return lock(file, F_OFD_SETLKW, F_WRLCK, byte);
}

int hw_memory_file_try_lock(int file, size_t byte) {
    if (hw_pages_injected()) return ENOLCK;
    return lock(file, F_OFD_SETLK, F_WRLCK, byte);
}

void hw_memory_file_unlock(int file, size_t byte) { lock(file, F_OFD_SETLK, F_UNLCK, byte); }

int hw_memory_file_punch(int file, size_t offset_bytes, size_t size_bytes) {
    if (hw_pages_injected()) return ENOMEM;
    while (fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset_bytes, (off_t)size_bytes) != 0)
        if (errno != EINTR) return errno;
    return 0;
}
