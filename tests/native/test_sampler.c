/* The sampler as a process has it: threads that allocate while others fork, and while it is stopped and started. What
 * is booked in the end is exact, in the parent and in every child, and nobody waits for a lock that is gone. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/sampler.h"

#define CHECK(condition)                                                                                             \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition);                                      \
            _exit(1);                                                                                                \
        }                                                                                                            \
    } while (0)

enum { THREADS = 4, ROUNDS = 3000, CHILDREN = 8 };

static char directory[] = "/tmp/test_sampler_XXXXXX";
static _Thread_local uint32_t thread_number;
static atomic_bool stop;

/* A stack of a few frames that depends on the thread; "truncated" for some. */
static uint32_t walk(hw_frame_ref *frames, uint32_t capacity, bool *truncated) {
    uint32_t depth = thread_number % 5;
    for (uint32_t i = 0; i < depth; i++) frames[i] = (hw_frame_ref){.key = 1 + thread_number * 8 + i};
    *truncated = depth == 4;
    return depth;
}

static void describe(const hw_frame_ref *frame, hw_frame_text *text) {
    static char function[20];
    *text = (hw_frame_text){"file.py", 7, function, 0, 1};
    text->function_bytes = (size_t)snprintf(function, sizeof function, "f%u", (unsigned)frame->key);
}

static const hw_frame_walker WALKER = {walk, describe};

static void *address(uint32_t thread, uint32_t block) { return (void *)(uintptr_t)((thread << 20 | block) * 64ull); }

/* Each thread ends with every third of its last blocks live: 100 bytes each. */
static void *work(void *number) {
    thread_number = (uint32_t)(uintptr_t)number;
    for (uint32_t block = 1; block <= ROUNDS; block++) {
        hw_sampler_allocated(address(thread_number, block), 100);
        if (block % 3 != 0) hw_sampler_freed(address(thread_number, block));
    }
    return NULL;
}

static void *churn(void *number) {
    thread_number = (uint32_t)(uintptr_t)number;
    for (uint32_t block = 1; !atomic_load(&stop); block = block % 64 + 1) {
        hw_sampler_allocated(address(thread_number, block), 100);
        hw_sampler_freed(address(thread_number, block));
    }
    return NULL;
}

/* The table of a process, mapped by a reader. */
static const hw_sites_header *read_table(pid_t pid) {
    char path[80];
    snprintf(path, sizeof path, "%s/%ld.sites", directory, (long)pid);
    int file = open(path, O_RDONLY);
    CHECK(file >= 0);
    void *region = mmap(NULL, hw_site_table_region_bytes(), PROT_READ, MAP_SHARED, file, 0);
    CHECK(region != MAP_FAILED);
    close(file);
    const hw_sites_header *header = region;
    CHECK(header->magic == HW_SITES_MAGIC && header->pid == (uint64_t)pid);
    uint64_t live = 0;
    const hw_sites_stack *stacks = (const void *)((const char *)region + header->stacks_offset);
    for (uint64_t i = 0; i < header->stacks_used; i++) live += stacks[i].live_bytes;
    CHECK(live == header->live_bytes);
    return header;
}

static void put_table(const hw_sites_header *header) { munmap((void *)header, hw_site_table_region_bytes()); }

static void start_threads(pthread_t *threads, void *(*body)(void *)) {
    for (uintptr_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, body, (void *)(i + 1)) == 0);
}

static void join_threads(pthread_t *threads) {
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

static void test_threads(void) {
    pthread_t threads[THREADS];
    CHECK(hw_sampler_start(directory, 0, 1, &WALKER) == 0);
    start_threads(threads, work);
    join_threads(threads);
    const hw_sites_header *header = read_table(getpid());
    CHECK(header->samples == THREADS * ROUNDS && header->live_bytes == THREADS * (ROUNDS / 3) * 100);
    put_table(header);
    hw_sampler_stop();
}

static void test_forks_among_threads(void) {
    pthread_t threads[THREADS];
    CHECK(hw_sampler_start(directory, 0, 1, &WALKER) == 0);
    hw_sampler_allocated(address(100, 1), 1000);
    start_threads(threads, churn);
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();
        if (child == 0) {
            hw_sampler_freed(address(100, 1)); /* its copy, not the parent's */
            hw_sampler_allocated(address(101, 1), 1 << 20);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        const hw_sites_header *header = read_table(child);
        CHECK(header->samples == 1 && header->parent_pid == (uint64_t)getpid());
        /* What the threads had live at that moment: at most one block each, live for ever in the child. */
        uint64_t others = header->live_bytes - (1 << 20);
        CHECK(others % 100 == 0 && others <= THREADS * 100);
        put_table(header);
    }
    atomic_store(&stop, true);
    join_threads(threads);
    const hw_sites_header *header = read_table(getpid());
    CHECK(header->live_bytes == 1000);
    put_table(header);
    hw_sampler_stop();
}

static void test_stop_and_start_among_threads(void) {
    pthread_t threads[THREADS];
    atomic_store(&stop, false);
    start_threads(threads, churn);
    for (int i = 0; i < 60; i++) {
        CHECK(hw_sampler_start(directory, i % 2 ? 0 : 4096, 1, &WALKER) == 0);
        usleep(500);
        hw_sampler_stop();
        put_table(read_table(getpid()));
    }
    atomic_store(&stop, true);
    join_threads(threads);
}

int main(void) {
    char command[64];
    CHECK(mkdtemp(directory) != NULL);
    test_threads();
    test_forks_among_threads();
    test_stop_and_start_among_threads();
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command) == 0 ? 0 : 1;
}
