/* The program of benchmarks/purge.py, for one contender: `purge malloc` for whoever stands behind malloc in this process, or
 * `purge N` for a heap with strategy N. Prints one line of JSON. */
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "heap/heap.h"
#include "os/pages.h"

enum { SURVIVES = 10, SLICES_MAX = 1 << 20, SLICE_NS = 300000 }; /* one block in so many; the slice of Heap.trim */
static const double SIZE_LOG2_MIN = 4, SIZE_LOG2_MAX = 16;

typedef struct {
    void *address; /* NULL: freed */
    size_t size_bytes;
    uint32_t number;
} held;

static hw_space space;
static hw_heap heap;
static int strategy = -1; /* malloc */
static uint64_t state = 88172645463325252u;

static uint64_t random_bits(void) { return state ^= state << 13, state ^= state >> 7, state ^= state << 17; }

static size_t random_size(void) {
    double unit = (double)(random_bits() >> 11) / 9007199254740992.0;
    return (size_t)exp2(SIZE_LOG2_MIN + unit * (SIZE_LOG2_MAX - SIZE_LOG2_MIN));
}

static void allocate(held *block) {
    *block = (held){.size_bytes = random_size()};
    if (strategy < 0) {
        block->address = malloc(block->size_bytes);
    } else {
        hw_strategy_handle handle;
        if (hw_heap_allocate_fused(&heap, (enum hw_strategy)strategy, block->size_bytes, 16, &handle) == 0)
            block->address = space.base + handle.offset_bytes, block->number = handle.number;
    }
    if (block->address == NULL) fputs("no memory\n", stderr), exit(1);
    memset(block->address, 1, block->size_bytes);
}

static void release(held *block) {
    hw_strategy_handle handle = {(uint64_t)((char *)block->address - space.base), block->number};
    if (strategy < 0) free(block->address);
    else if (hw_heap_free_fused(&heap, (enum hw_strategy)strategy, handle) != 0) abort();
    block->address = NULL;
}

static double mib_resident(void) {
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL || fscanf(statm, "%*d %ld", &pages) != 1) exit(1);
    fclose(statm);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static double mib_live(const held *blocks, long count) {
    double bytes = 0;
    for (long i = 0; i < count; i++)
        if (blocks[i].address != NULL) bytes += (double)blocks[i].size_bytes;
    return bytes / (1 << 20);
}

static double ms(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* One stop of whoever it is; whether there is more to give back. */
static bool give_back(void) {
    if (strategy >= 0) {
        size_t returned_bytes;
        hw_purge_begin(&heap, 0, space.page_bytes);
        return hw_purge_slice(&heap, SLICE_NS, &returned_bytes) == HW_PURGE_MORE;
    }
    void (*collect)(bool) = (void (*)(bool))dlsym(RTLD_DEFAULT, "mi_collect");
    int (*control)(const char *, void *, size_t *, void *, size_t) =
        (int (*)(const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT, "mallctl");
    void (*release_free)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "MallocExtension_ReleaseFreeMemory");
    int (*trim)(size_t) = (int (*)(size_t))dlsym(RTLD_DEFAULT, "malloc_trim");
    if (collect != NULL) collect(true);
    else if (control != NULL) control("arena.4096.purge", NULL, NULL, NULL, 0);
    else if (release_free != NULL) release_free();
    else trim(0);
    return false;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **arguments) {
    if (count != 4) arguments = (char *[]){arguments[0], "0", "20000", "50000"}; /* first fit */
    long live = atol(arguments[2]), churn = atol(arguments[3]), stops = 0;
    if (strcmp(arguments[1], "malloc") != 0) {
        strategy = atoi(arguments[1]);
        if (hw_space_open(&space, (size_t)16 << 30, 1, false, HW_PAGES_READ | HW_PAGES_WRITE) != 0) return 1;
        if (hw_heap_open(&heap, &space, (enum hw_strategy)strategy) != 0) return 1;
    }
    held *blocks = calloc((size_t)live, sizeof *blocks);
    static double wall[SLICES_MAX], cpu[SLICES_MAX];
    if (blocks == NULL) return 1;
    memset(blocks, 1, (size_t)live * sizeof *blocks), memset(wall, 1, sizeof wall), memset(cpu, 1, sizeof cpu);
    double before = mib_resident();

    for (long i = 0; i < live; i++) allocate(&blocks[i]);
    for (long i = 0; i < churn; i++) {
        held *block = &blocks[random_bits() % (uint64_t)live];
        release(block);
        allocate(block);
    }
    double full_live = mib_live(blocks, live), full = mib_resident() - before;
    for (long i = 0; i < live; i++)
        if (i % SURVIVES != 0) release(&blocks[i]);
    double left_live = mib_live(blocks, live), freed = mib_resident() - before, total = 0;
    for (bool more = true; more && stops < SLICES_MAX; stops++) {
        double wall_start = ms(CLOCK_MONOTONIC), cpu_start = ms(CLOCK_THREAD_CPUTIME_ID);
        more = give_back();
        cpu[stops] = ms(CLOCK_THREAD_CPUTIME_ID) - cpu_start;
        wall[stops] = ms(CLOCK_MONOTONIC) - wall_start;
        total += wall[stops];
    }
    double left = mib_resident() - before;
    qsort(wall, (size_t)stops, sizeof *wall, ascending);
    qsort(cpu, (size_t)stops, sizeof *cpu, ascending);
    printf("{\"live_mib\": %.1f, \"left_live_mib\": %.1f, \"full_over_live\": %.3f, \"freed_over_live\": %.3f, "
           "\"given_back_over_live\": %.3f, \"books_mib\": %.2f, \"stops\": %ld, \"median_stop_ms\": %.3f, "
           "\"longest_stop_ms\": %.3f, \"longest_stop_cpu_ms\": %.3f, \"all_stops_ms\": %.1f}\n",
           full_live, left_live, full / full_live, freed / left_live, left / left_live,
           strategy < 0 ? 0 : (double)heap.control_bytes / (1 << 20), stops, wall[stops / 2], wall[stops - 1],
           cpu[stops - 1], total);
    return 0;
}
