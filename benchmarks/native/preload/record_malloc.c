/* Records a program's own malloc calls, in order, for benchmarks/strategies.py: LD_PRELOAD this, RECORD_MALLOC=FILE.
 *
 * The file is an array of events, made as large as it can become and mapped, so that recording is a store. What does not fit
 * is dropped. Children do not inherit it: the variable is taken out of the environment. glibc only. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
    uint64_t address, size_bytes;
    uint64_t is_free;
} event;

enum { EVENTS_MAX = 4000000 };

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static event *events;
static _Atomic uint32_t recorded;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("RECORD_MALLOC");
    if (path == NULL) return;
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, EVENTS_MAX * sizeof(event)) != 0) _exit(97);
    void *mapped = mmap(NULL, EVENTS_MAX * sizeof(event), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) _exit(97);
    unsetenv("RECORD_MALLOC");
    unsetenv("LD_PRELOAD");
    events = mapped;
}

static void *record(void *address, size_t size_bytes, uint64_t is_free) {
    if (events == NULL || address == NULL) return address;
    uint32_t i = atomic_fetch_add_explicit(&recorded, 1, memory_order_relaxed);
    if (i < EVENTS_MAX) events[i] = (event){(uint64_t)(uintptr_t)address, size_bytes, is_free};
    else atomic_store_explicit(&recorded, EVENTS_MAX, memory_order_relaxed);
    return address;
}

void *malloc(size_t size) { return record(__libc_malloc(size), size, 0); }
void *calloc(size_t count, size_t size) { return record(__libc_calloc(count, size), count * size, 0); }
void *memalign(size_t alignment, size_t size) { return record(__libc_memalign(alignment, size), size, 0); }
void *aligned_alloc(size_t alignment, size_t size) { return record(__libc_memalign(alignment, size), size, 0); }

int posix_memalign(void **address, size_t alignment, size_t size) {
    *address = record(__libc_memalign(alignment, size), size, 0);
    return *address == NULL ? ENOMEM : 0;
}

void *realloc(void *old, size_t size) {
    void *new = __libc_realloc(old, size);
    if (new == NULL && size != 0) return NULL;
    record(old, 0, 1);
    return record(new, size, 0);
}

void free(void *address) {
    record(address, 0, 1); /* before: afterwards another thread may have it */
    __libc_free(address);
}
