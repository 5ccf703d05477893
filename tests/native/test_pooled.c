/* The pooled allocator as a program meets it: threads that allocate, resize, free each other's blocks and check what they
 * wrote, with the keeper and a trimmer at work; every system call made to fail in turn; a fork in the middle of it all,
 * and from several threads at once; an end while others still ask.
 * HEAPWRIGHT_FUZZ_SECONDS=n goes on with new seeds for that long. */
#undef NDEBUG
#include "core/demand.h"
#include "os/pages.h"
#include "process/pooled.h"
#include "process/record.h"
#include "process/retention.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, HELD = 40, SHARED = 64 };

typedef struct {
    unsigned char *bytes;
    size_t size;
    unsigned char fill;
} block;

static uint32_t random_below(uint64_t *state, uint32_t n) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((*state >> 16) % n);
}

static size_t random_size(uint64_t *state) {
    unsigned log = 10 + random_below(state, random_below(state, 8) ? 11 : 14); /* 1 KiB to 16 MiB */
    return ((size_t)1 << log) + random_below(state, 1u << log);
}

static void verify(const block *b) {
    /* ends and a few places between: every byte would take all the time */
    for (size_t i = 0; i < b->size; i += b->size / 16 + 1) assert(b->bytes[i] == b->fill);
    assert(b->bytes[b->size - 1] == b->fill);
    assert(hw_pooled_size(b->bytes) == b->size);
}

static block make(uint64_t *state) {
    block b = {.size = random_size(state), .fill = (unsigned char)random_below(state, 256)};
    bool zeroed = random_below(state, 3) == 0;
    b.bytes = hw_pooled_allocate(b.size, zeroed);
    if (b.bytes == NULL) return b;
    assert(hw_pooled_owns(b.bytes) && (uintptr_t)b.bytes % 64 == 0);
    if (zeroed)
        for (size_t i = 0; i < b.size; i++) assert(b.bytes[i] == 0);
    memset(b.bytes, b.fill, b.size);
    return b;
}

static pthread_mutex_t exchange_lock = PTHREAD_MUTEX_INITIALIZER;
static block exchange[SHARED]; /* blocks change hands here, so that one thread frees what another allocated */
static atomic_bool stop;

static void *work(void *argument) {
    uint64_t state = (uint64_t)(uintptr_t)argument;
    block held[HELD] = {0};
    for (int step = 0; step < 1000; step++) {
        block *b = &held[random_below(&state, HELD)];
        uint32_t op = random_below(&state, 10);
        if (b->bytes == NULL) {
            *b = make(&state);
        } else if (op < 5) {
            verify(b);
            hw_pooled_free(b->bytes);
            b->bytes = NULL;
        } else if (op < 8) {
            size_t size = random_size(&state), kept = size < b->size ? size : b->size;
            unsigned char *moved = hw_pooled_reallocate(b->bytes, size);
            if (moved == NULL) continue;
            for (size_t i = 0; i < kept; i += kept / 16 + 1) assert(moved[i] == b->fill);
            *b = (block){.bytes = moved, .size = size, .fill = b->fill};
            memset(moved, b->fill, size);
        } else {
            pthread_mutex_lock(&exchange_lock);
            block *other = &exchange[random_below(&state, SHARED)], kept = *other;
            *other = *b;
            *b = kept;
            pthread_mutex_unlock(&exchange_lock);
        }
    }
    for (int i = 0; i < HELD; i++)
        if (held[i].bytes != NULL) verify(&held[i]), hw_pooled_free(held[i].bytes);
    return NULL;
}

static void *trim(void *unused) {
    (void)unused;
    while (!atomic_load(&stop)) {
        hw_pooled_trim(1 << 20);
        uint64_t where;
        const char *broken = hw_pooled_check(&where);
        if (broken != NULL) fprintf(stderr, "%s at %llu\n", broken, (unsigned long long)where), abort();
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    return NULL;
}

static void expect_empty(void) {
    hw_pooled_figures figures;
    uint64_t where;
    hw_pooled_read(&figures);
    assert(figures.requested_bytes == 0 && figures.allocated_bytes == 0 && figures.blocks == 0);
    assert(hw_pooled_check(&where) == NULL);
}

static void threads(uint64_t seed) {
    pthread_t worker[THREADS], trimmer;
    atomic_store(&stop, false);
    pthread_create(&trimmer, NULL, trim, NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&worker[i], NULL, work, (void *)(uintptr_t)(seed * 1000 + i + 1));
    for (int i = 0; i < THREADS; i++) pthread_join(worker[i], NULL);
    atomic_store(&stop, true);
    pthread_join(trimmer, NULL);
    for (int i = 0; i < SHARED; i++)
        if (exchange[i].bytes != NULL) hw_pooled_free(exchange[i].bytes), exchange[i].bytes = NULL;
    expect_empty();
}

/* Every n-th request to the kernel fails: the answer is NULL or a good block, and nothing is lost. */
static void failing_kernel(void) {
    for (long n = 1; n <= 60; n++) {
        uint64_t state = (uint64_t)n * 7919 + 1;
        block held[HELD] = {0};
        hw_pooled_trim(0);
        hw_pages_fail_nth(n);
        for (int step = 0; step < 120; step++) {
            block *b = &held[random_below(&state, HELD)];
            if (b->bytes == NULL) {
                *b = make(&state);
            } else {
                verify(b);
                hw_pooled_free(b->bytes);
                b->bytes = NULL;
                if (step % 5 == 0) hw_pooled_trim(0);
            }
            if (hw_pages_fail_nth(0) == 0) hw_pages_fail_nth(n); /* each time again */
        }
        hw_pages_fail_nth(0);
        for (int i = 0; i < HELD; i++)
            if (held[i].bytes != NULL) verify(&held[i]), hw_pooled_free(held[i].bytes);
        expect_empty();
    }
    void *huge = hw_pooled_allocate((size_t)1 << 46, false); /* more than there is address space for */
    assert(huge == NULL);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they need address space of their own */

/* A program that limits its own address space later on is refused what does not fit, and goes on. */
static void limited(void) {
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_AS, &(struct rlimit){.rlim_cur = 1 << 20, .rlim_max = 1 << 20});
        block held[400];
        uint64_t where;
        int n = 0;
        while (n < 400 && (held[n].bytes = hw_pooled_allocate(held[n].size = 1 << 20, true)) != NULL) n++;
        assert(n > 0 && n < 400);
        for (int i = 0; i < n; i++) hw_pooled_free(held[i].bytes);
        assert(hw_pooled_allocate(100000, false) != NULL && hw_pooled_check(&where) == NULL);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#else
static void limited(void) {}
#endif

static void forked(void) {
    unsigned char *mine = hw_pooled_allocate(100000, false);
    memset(mine, 42, 100000);
    pid_t child = fork();
    if (child == 0) {
        uint64_t where;
        assert(mine[99999] == 42 && hw_process_record->heap_blocks == 1);
        hw_pooled_free(mine);
        unsigned char *own = hw_pooled_allocate(5 << 20, true);
        memset(own, 1, 5 << 20);
        hw_pooled_free(own);
        assert(hw_pooled_check(&where) == NULL);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert(mine[0] == 42 && mine[99999] == 42);
    hw_pooled_free(mine);
    expect_empty();
}

static void *fork_often(void *unused) {
    (void)unused;
    for (int i = 0; i < 25; i++) {
        unsigned char *block = hw_pooled_allocate(100000, false); /* there is a keeper again */
        pid_t child = fork();
        if (child == 0) _exit(hw_process_record->heap_blocks > 0 && !hw_keeper_runs ? 0 : 1);
        int status;
        assert(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        hw_pooled_free(block);
    }
    return NULL;
}

static int threads_of_this_process(void) {
    DIR *tasks = opendir("/proc/self/task");
    int n = -2; /* . and .. */
    while (readdir(tasks) != NULL) n++;
    closedir(tasks);
    return n;
}

/* Threads without the GIL fork at once, and each stops the keeper that the others start: at the end there is one. */
static void forks_at_once(void) {
    int before = threads_of_this_process() - hw_keeper_runs;
    pthread_t worker[THREADS];
    for (int i = 0; i < THREADS; i++) pthread_create(&worker[i], NULL, fork_often, NULL);
    for (int i = 0; i < THREADS; i++) pthread_join(worker[i], NULL);
    hw_keeper_ensure();
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* the kernel lists a joined thread a little longer */
    assert(threads_of_this_process() == before + 1);
    expect_empty();
}

/* A thread that asks for blocks all the time, as one without the GIL does while the hook comes out. */
static void *ask(void *unused) {
    (void)unused;
    while (!atomic_load(&stop)) {
        void *slot = hw_pooled_allocate(2000, false);
        if (slot != NULL) hw_pooled_free(slot);
        void *span = hw_pooled_allocate(50000, false);
        if (span != NULL) hw_pooled_free(span);
        nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL); /* there are moments without a block, or it never ends */
    }
    return NULL;
}

static void retired(void) {
    unsigned char *block = hw_pooled_allocate(50000, false);
    assert(!hw_pooled_retire());
    hw_pooled_free(block);
    assert(hw_pooled_retire() && hw_pooled_retire());
    assert(hw_pooled_allocate(2000, false) == NULL && hw_pooled_allocate(50000, false) == NULL);
    assert(hw_pooled_start() == 0);

    pthread_t asker[THREADS];
    hw_pooled_figures figures;
    atomic_store(&stop, false);
    for (int i = 0; i < THREADS; i++) pthread_create(&asker[i], NULL, ask, NULL);
    for (int i = 0; i < 50; i++) {
        while (!hw_pooled_retire()) sched_yield();
        for (int look = 0; look < 20; look++, sched_yield()) {
            hw_pooled_read(&figures);
            assert(figures.blocks == 0);
        }
        hw_pooled_start();
        sched_yield();
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) pthread_join(asker[i], NULL);
    expect_empty();
}

/* The law of retention: what is live and what is retained never pass the recent peak by more than the slack. */
static void law_of_retention(void) {
    uint64_t state = 99, peak = 0;
    block held[HELD] = {0};
    hw_pooled_trim(0);
    for (int step = 0; step < 2000; step++) {
        block *b = &held[random_below(&state, HELD)];
        if (b->bytes == NULL) {
            *b = make(&state);
        } else {
            hw_pooled_free(b->bytes);
            b->bytes = NULL;
        }
        hw_pooled_figures f;
        hw_pooled_read(&f);
        uint64_t live = f.committed_bytes - f.free_bytes;
        if (live > peak) peak = live;
        uint64_t slack = peak >> HW_SLACK_SHIFT, least = HW_SLACK_MIN_PAGES * 4096;
        /* a slab's span is live, its free slots are retained: allocated + retained counts them once */
        assert(f.allocated_bytes + f.retained_bytes <= peak + (slack > least ? slack : least));
    }
    for (int i = 0; i < HELD; i++)
        if (held[i].bytes != NULL) hw_pooled_free(held[i].bytes);
    expect_empty();
}

#if defined(__SANITIZE_THREAD__) /* it maps shadow memory as it goes */
static long address_space_pages(void) { return 0; }
#else
static long address_space_pages(void) {
    long pages = 0;
    int file = open("/proc/self/statm", O_RDONLY);
    char text[64] = {0};
    assert(file >= 0 && read(file, text, sizeof text - 1) > 0 && sscanf(text, "%ld", &pages) == 1);
    close(file);
    return pages;
}
#endif

/* A start that fails, at whichever call, leaves nothing behind, and can be tried again. */
static void failing_start(void) {
    long before = address_space_pages(), n = 1;
    for (;; n++) {
        hw_pages_fail_nth(n);
        int error = hw_pooled_start();
        hw_pages_fail_nth(0);
        if (error == 0) break;
        assert(address_space_pages() == before && !hw_pooled_owns(&stop));
    }
    assert(n > 2); /* two extents */
    assert(hw_pooled_start() == 0);
}

int main(void) {
    assert(!hw_pooled_owns(&stop));
    failing_start();
    const char *fuzz = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (fuzz == NULL ? 0 : atoi(fuzz));
    uint64_t seed = fuzz == NULL ? 1 : (uint64_t)time(NULL);
    law_of_retention(); /* first: then the recent peak is its own */
    failing_kernel();
    do threads(seed++);
    while (time(NULL) < end);
    forked();
    forks_at_once();
    retired();
    limited();
    puts("pooled: ok");
    return 0;
}
