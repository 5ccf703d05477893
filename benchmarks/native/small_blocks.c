/* What small allocations cost in C: slab and bump through their fused calls, beside mimalloc, tcmalloc and glibc, in turns.
 *
 *   build/bench/small_blocks [rounds] [live ...]         default: 31 rounds; 1000 10000 100000 live blocks
 *
 * random   a working set of blocks of 16 to 1023 bytes, of which one chosen at random is freed and allocated anew with
 *          another size: ns for the pair
 * FIFO     the same, but always the oldest
 * make     blocks of 16 to 127 bytes, made one after the other: ns for each
 * end      all of these at once: a reset, or each one freed: ns for all
 *
 * Sizes and choices are made beforehand: they are no part of the figure. Every block's first byte is written when it is
 * allocated, as any use would. CPU time of short batches, all contenders taking turns within a round: the least and the
 * median over rounds, and the median of the ratios to mimalloc within a round. Columns are separated by tabs.
 *
 * mimalloc and tcmalloc are opened at run time (MIMALLOC and TCMALLOC name other files); without one its row is missing,
 * and without mimalloc the ratios are 0. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "heap/heap.h"

enum { ROUNDS_MAX = 1001, BATCH = 8192, COUNTS_MAX = 8 };

typedef struct {
    hw_space space;
    hw_heap heap;
} own;

typedef struct contender contender;
struct contender {
    const char *name;
    void (*replace)(contender *, const uint32_t *which, const uint16_t *sizes, uint32_t times);
    uint32_t live;
    void **pointers;
    hw_strategy_handle *handles;
    own own;
    void *control;
};

static void *(*mimalloc_malloc)(size_t), *(*tcmalloc_malloc)(size_t);
static void (*mimalloc_free)(void *), (*tcmalloc_free)(void *);

#define OWN(function, allocate, release)                                                                               \
    static void function(contender *c, const uint32_t *which, const uint16_t *sizes, uint32_t times) {                 \
        char *base = c->own.space.base;                                                                                \
        for (uint32_t i = 0; i < times; i++) {                                                                         \
            hw_strategy_handle *handle = &c->handles[which[i]];                                                        \
            release;                                                                                                   \
            if (allocate != 0) abort();                                                                                \
            base[handle->offset_bytes] = 1;                                                                            \
        }                                                                                                              \
    }
OWN(slab, hw_heap_allocate_fused(&c->own.heap, HW_SLAB, sizes[i], 16, handle),
    hw_heap_free_fused(&c->own.heap, HW_SLAB, *handle))
OWN(slab_core, hw_strategy_allocate_fused(c->control, HW_SLAB, sizes[i], 16, handle),
    hw_strategy_free_fused(c->control, HW_SLAB, *handle))
OWN(best_fit, hw_heap_allocate_fused(&c->own.heap, HW_BEST_FIT, sizes[i], 16, handle),
    hw_heap_free_fused(&c->own.heap, HW_BEST_FIT, *handle))

#define OTHER(function, allocate, release)                                                                             \
    static void function(contender *c, const uint32_t *which, const uint16_t *sizes, uint32_t times) {                 \
        for (uint32_t i = 0; i < times; i++) {                                                                         \
            void **pointer = &c->pointers[which[i]];                                                                   \
            release(*pointer);                                                                                         \
            if ((*pointer = allocate(sizes[i])) == NULL) abort();                                                      \
            *(char *)*pointer = 1;                                                                                     \
        }                                                                                                              \
    }
OTHER(mimalloc, mimalloc_malloc, mimalloc_free)
OTHER(tcmalloc, tcmalloc_malloc, tcmalloc_free)
OTHER(glibc, malloc, free)

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint32_t random_below(uint32_t n) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 32) * n >> 32);
}

static int ascending(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* The value that a share of all is below: 0 the least, 0.5 the median. */
static double quantile(const double *values, int count, double share) {
    static double sorted[ROUNDS_MAX];
    memcpy(sorted, values, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, ascending);
    return sorted[(int)((count - 1) * share)];
}

static void print_row(const char *order, uint32_t live, const char *name, const double *ns, const double *mimalloc_ns,
                      int rounds) {
    static double ratios[ROUNDS_MAX];
    for (int round = 0; round < rounds; round++) ratios[round] = mimalloc_malloc ? ns[round] / mimalloc_ns[round] : 0;
    printf("%s\t%u\t%-18s\t%.1f\t%.1f\t%.3f\n", order, live, name, quantile(ns, rounds, 0), quantile(ns, rounds, 0.5),
           quantile(ratios, rounds, 0.5));
}

/* Memory at a line of its page that differs from process to process: which arrays share lines of the cache, or look alike
 * to the processor in their low bits, is worth a third of some figures, and is no contender's merit. */
static void *somewhere(size_t bytes) {
    static uint32_t state;
    if (state == 0) state = (uint32_t)getpid();
    state = state * 1664525 + 1013904223;
    char *memory = aligned_alloc(4096, (bytes + 8191) / 4096 * 4096);
    return memory + 64 * (state >> 26);
}

static void open_own(own *o, enum hw_strategy strategy, size_t size_bytes) {
    if (hw_space_open(&o->space, size_bytes, 2 << 20, false, 3) != 0) abort();
    if (hw_heap_open(&o->heap, &o->space, strategy) != 0) abort();
}

static void close_own(own *o) {
    hw_heap_close(&o->heap);
    hw_space_close(&o->space);
}

static void open_rival(const char *variable, const char *file, const char *prefix, void *(**allocate)(size_t),
                       void (**release)(void *)) {
    char name[32];
    void *library = dlopen(getenv(variable) ? getenv(variable) : file, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return;
    snprintf(name, sizeof name, "%smalloc", prefix);
    *(void **)allocate = dlsym(library, name);
    snprintf(name, sizeof name, "%sfree", prefix);
    *(void **)release = dlsym(library, name);
}

static void working_set(bool fifo, uint32_t live, int rounds) {
    enum { SLAB, SLAB_CORE, BEST_FIT, MIMALLOC, TCMALLOC, GLIBC, CONTENDERS };
    uint32_t *which = somewhere(BATCH * sizeof *which);
    uint16_t *sizes = somewhere(BATCH * sizeof *sizes);
    static double samples[CONTENDERS][ROUNDS_MAX];
    contender all[CONTENDERS] = {
        [SLAB] = {.name = "Heap[Slab]", .replace = slab},
        [SLAB_CORE] = {.name = "slab, offsets only", .replace = slab_core},
        [BEST_FIT] = {.name = "Heap[BestFit]", .replace = best_fit},
        [MIMALLOC] = {.name = "mimalloc", .replace = mimalloc_malloc ? mimalloc : NULL},
        [TCMALLOC] = {.name = "tcmalloc", .replace = tcmalloc_malloc ? tcmalloc : NULL},
        [GLIBC] = {.name = "glibc malloc", .replace = glibc},
    };
    for (int i = 0; i < CONTENDERS; i++) {
        contender *c = &all[i];
        c->live = live;
        c->pointers = somewhere(live * sizeof *c->pointers);
        c->handles = somewhere(live * sizeof *c->handles);
        memset(c->pointers, 0, live * sizeof *c->pointers);
        memset(c->handles, 0xFF, live * sizeof *c->handles); /* no live block: to free one is refused */
        if (i <= BEST_FIT) open_own(&c->own, i == BEST_FIT ? HW_BEST_FIT : HW_SLAB, (size_t)live * 2048 + (8 << 20));
        if (i == SLAB_CORE) {
            if (hw_space_commit(&c->own.space, 0, c->own.space.size_bytes) != 0) abort();
            c->control = aligned_alloc(64, (hw_strategy_control_bytes(HW_SLAB, live + 1024) + 63) / 64 * 64);
            hw_strategy_init(c->control, live + 1024, HW_SLAB, c->own.space.size_bytes, 16);
        }
    }
    uint32_t oldest = 0;
    int warm_up = (int)(8 * live / BATCH) + 4;
    for (int round = -warm_up; round < rounds; round++) {
        for (uint32_t i = 0; i < BATCH; i++) {
            which[i] = fifo ? oldest : random_below(live);
            oldest = oldest + 1 == live ? 0 : oldest + 1;
            sizes[i] = (uint16_t)(16 + random_below(1008));
        }
        for (int turn = 0; turn < CONTENDERS; turn++) {
            int i = round % 2 ? CONTENDERS - 1 - turn : turn;
            if (all[i].replace == NULL) continue;
            double start = cpu_ns();
            all[i].replace(&all[i], which, sizes, BATCH);
            if (round >= 0) samples[i][round] = (cpu_ns() - start) / BATCH;
        }
    }
    for (int i = 0; i < CONTENDERS; i++) {
        if (all[i].replace == NULL) continue;
        print_row(fifo ? "FIFO" : "random", live, all[i].name, samples[i], samples[MIMALLOC], rounds);
        if (i <= BEST_FIT) close_own(&all[i].own);
    } /* arrays and the rivals' blocks stay: the program ends soon */
}

/* All of it as bump does it, and once with malloc: an array of pointers freed one by one. */
static void together(uint32_t blocks, int rounds) {
    static double fresh[ROUNDS_MAX], reset[ROUNDS_MAX], other_fresh[ROUNDS_MAX], other_reset[ROUNDS_MAX];
    uint16_t *sizes = malloc(blocks * sizeof *sizes);
    void **pointers = malloc(blocks * sizeof *pointers);
    own o;
    hw_strategy_handle handle;
    open_own(&o, HW_BUMP, (size_t)blocks * 256 + (8 << 20));
    for (uint32_t i = 0; i < blocks; i++) sizes[i] = (uint16_t)(16 + random_below(112));
    for (int round = -2; round < rounds; round++) {
        int at = round < 0 ? 0 : round;
        double start = cpu_ns();
        for (uint32_t i = 0; i < blocks; i++) {
            if (hw_heap_allocate_fused(&o.heap, HW_BUMP, sizes[i], 16, &handle) != 0) abort();
            o.space.base[handle.offset_bytes] = 1;
        }
        double middle = cpu_ns();
        hw_bump_reset(o.heap.control);
        double end = cpu_ns();
        fresh[at] = (middle - start) / blocks, reset[at] = end - middle;
        if (mimalloc_malloc == NULL) continue;
        start = cpu_ns();
        for (uint32_t i = 0; i < blocks; i++) *(char *)(pointers[i] = mimalloc_malloc(sizes[i])) = 1;
        middle = cpu_ns();
        for (uint32_t i = 0; i < blocks; i++) mimalloc_free(pointers[i]);
        end = cpu_ns();
        other_fresh[at] = (middle - start) / blocks, other_reset[at] = end - middle;
    }
    print_row("make", blocks, "Heap[Bump]", fresh, other_fresh, rounds);
    if (mimalloc_malloc != NULL) print_row("make", blocks, "mimalloc", other_fresh, other_fresh, rounds);
    print_row("end", blocks, "Heap[Bump]", reset, other_reset, rounds);
    if (mimalloc_malloc != NULL) print_row("end", blocks, "mimalloc", other_reset, other_reset, rounds);
    close_own(&o);
    free(sizes);
    free(pointers);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 31, counts = argc > 2 ? argc - 2 : 3;
    uint32_t live[COUNTS_MAX] = {1000, 10000, 100000};
    if (rounds < 1 || rounds > ROUNDS_MAX || counts > COUNTS_MAX) return fputs("small_blocks [rounds] [live ...]\n", stderr), 2;
    for (int i = 0; i < argc - 2; i++) live[i] = (uint32_t)strtoul(argv[i + 2], NULL, 10);
    open_rival("MIMALLOC", "libmimalloc.so.2", "mi_", &mimalloc_malloc, &mimalloc_free);
    open_rival("TCMALLOC", "libtcmalloc_minimal.so.4", "tc_", &tcmalloc_malloc, &tcmalloc_free);
    puts("order\tlive\tname              \tleast\tmedian\tto mimalloc");
    for (int n = 0; n < counts; n++)
        for (int fifo = 0; fifo <= 1; fifo++) working_set(fifo, live[n], rounds);
    for (int n = 0; n < counts; n++) together(live[n], rounds);
    return 0;
}
