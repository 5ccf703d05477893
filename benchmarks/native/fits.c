/* What an allocation costs in C: each strategy through its fused call, beside glibc's malloc and mimalloc, in turns.
 *
 *   build/bench/fits [rounds] [live ...]         default: 21 rounds; 1000 10000 100000 1000000 live blocks
 *
 * Blocks of 16 to 1023 bytes. After four turns over all blocks, ns per replacement: one block chosen at random is freed, and
 * one of another size allocated in its place. Two tables:
 *
 *   any      the choice is among all live blocks: the harshest program there is for a cache
 *   young    the choice is among the 1000 youngest; all others stay: most blocks die young
 *
 * Median over rounds of short batches; all contenders take turns within a round. Choosing is in the figure, and the same for
 * all. Nobody touches the blocks' bytes. The last row reads 64 bytes at a random place in a control region's worth of memory,
 * once: what a single miss costs on this machine, now.
 *
 * mimalloc is opened at run time; without it its row is missing. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "heap/heap.h"

enum { ROUNDS_MAX = 1001, COUNTS_MAX = 8 };

typedef struct contender contender;
struct contender {
    void (*replace)(contender *, uint32_t times);
    uint32_t live, first; /* chosen from [first, live) */
    uint64_t state; /* of the random choice: the same sequence for all */
    void **pointers;
    hw_strategy_handle *handles;
    hw_space space;
    hw_heap heap;
};

static void *(*other_malloc)(size_t);
static void (*other_free)(void *);

static inline uint64_t next_random(uint64_t *state) {
    uint64_t x = *state; /* Marsaglia, xorshift64 */
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return *state = x;
}

static inline uint32_t chosen(const contender *c, uint64_t random) {
    return c->first + (uint32_t)((random >> 32) * (c->live - c->first) >> 32);
}
static inline uint64_t size_of(uint64_t random) { return 16 + (random & 0xFFFF) * 1008 / 65536; }

#define FIT(function, strategy)                                                                                        \
    static void function(contender *c, uint32_t times) {                                                               \
        for (uint32_t i = 0; i < times; i++) {                                                                         \
            uint64_t random = next_random(&c->state);                                                                  \
            hw_strategy_handle *handle = &c->handles[chosen(c, random)];                                         \
            if (handle->number != HW_STRATEGY_NONE) hw_heap_free_fused(&c->heap, strategy, *handle);                   \
            if (hw_heap_allocate_fused(&c->heap, strategy, size_of(random), 16, handle) != 0) abort();                 \
        }                                                                                                              \
    }
FIT(first, HW_FIRST_FIT)
FIT(best, HW_BEST_FIT)
FIT(worst, HW_WORST_FIT)
FIT(next, HW_NEXT_FIT)
FIT(tlsf, HW_TLSF)
FIT(buddy, HW_BUDDY)

#define MALLOC(function, allocate, release)                                                                            \
    static void function(contender *c, uint32_t times) {                                                               \
        for (uint32_t i = 0; i < times; i++) {                                                                         \
            uint64_t random = next_random(&c->state);                                                                  \
            void **pointer = &c->pointers[chosen(c, random)];                                                    \
            release(*pointer);                                                                                         \
            if ((*pointer = allocate(size_of(random))) == NULL) abort();                                               \
        }                                                                                                              \
    }
MALLOC(glibc, malloc, free)
MALLOC(mimalloc, other_malloc, other_free)

enum { REGION_BYTES = 48 << 20 };
static char *region;
static void one_miss(contender *c, uint32_t times) {
    for (uint32_t i = 0; i < times; i++) { /* each place depends on what was read before */
        uint64_t random = next_random(&c->state);
        c->state += (uint64_t)region[(random >> 32) * ((uint64_t)c->live * (REGION_BYTES / 1000000)) >> 32];
    }
}

static const struct {
    const char *name;
    void (*replace)(contender *, uint32_t);
    int strategy;
} CONTENDERS[] = {
    {"first fit", first, HW_FIRST_FIT}, {"best fit", best, HW_BEST_FIT}, {"worst fit", worst, HW_WORST_FIT},
    {"next fit", next, HW_NEXT_FIT},    {"TLSF", tlsf, HW_TLSF},         {"buddy", buddy, HW_BUDDY},
    {"glibc malloc", glibc, -1},        {"mimalloc", mimalloc, -2},   {"one read", one_miss, -3},
};
enum { CONTENDERS_COUNT = sizeof CONTENDERS / sizeof *CONTENDERS };

static bool open_contender(contender *c, int which, uint32_t live) {
    int strategy = CONTENDERS[which].strategy;
    *c = (contender){.replace = CONTENDERS[which].replace, .live = live, .state = 88172645463325252u};
    if (strategy == -3) return true;
    if (strategy == -2 && other_malloc == NULL) return false;
    if (strategy < 0) {
        c->pointers = calloc(live, sizeof *c->pointers);
    } else {
        c->handles = malloc(live * sizeof *c->handles);
        memset(c->handles, 0xFF, live * sizeof *c->handles);
        if (hw_space_open(&c->space, (size_t)live * 4096 + (1 << 20), 2 << 20, false, 3) != 0) abort();
        if (hw_heap_open(&c->heap, &c->space, (enum hw_strategy)strategy) != 0) abort();
    }
    c->replace(c, 4 * live);
    for (c->first = 0; c->first < live; c->first++) { /* whom chance has left out, so that all are live */
        uint32_t i = c->first;
        if (c->pointers != NULL ? c->pointers[i] == NULL : c->handles[i].number == HW_STRATEGY_NONE) {
            c->live = i + 1;
            c->replace(c, 1);
        }
    }
    c->live = live;
    return true;
}

static void close_contender(contender *c, int which) {
    if (c->handles != NULL) hw_heap_close(&c->heap), hw_space_close(&c->space);
    for (uint32_t i = 0; c->pointers != NULL && i < c->live; i++)
        (CONTENDERS[which].strategy == -2 ? other_free : free)(c->pointers[i]);
    free(c->pointers);
    free(c->handles);
}

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

enum { ANY, YOUNG, MODES };
static double figures[MODES][CONTENDERS_COUNT][COUNTS_MAX];
static bool there[CONTENDERS_COUNT];

static void measure(int rounds, int n, uint32_t live) {
    static contender all[CONTENDERS_COUNT];
    static double per[MODES][CONTENDERS_COUNT][ROUNDS_MAX];
    uint32_t batch = live < 20000 ? 4000 : 20000;
    for (int c = 0; c < CONTENDERS_COUNT; c++) there[c] = open_contender(&all[c], c, live);
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < CONTENDERS_COUNT; i++) {
            int c = round % 2 ? CONTENDERS_COUNT - 1 - i : i;
            for (int mode = ANY; mode < MODES && there[c]; mode++) {
                all[c].first = mode == YOUNG && live > 1000 ? live - 1000 : 0;
                all[c].replace(&all[c], 2000); /* the caches are this contender's again, and the young are young */
                double start = cpu_ns();
                all[c].replace(&all[c], batch);
                per[mode][c][round] = (cpu_ns() - start) / batch;
            }
        }
    for (int c = 0; c < CONTENDERS_COUNT; c++) {
        for (int mode = ANY; mode < MODES; mode++) {
            qsort(per[mode][c], (size_t)rounds, sizeof per[mode][c][0], ascending);
            figures[mode][c][n] = per[mode][c][rounds / 2];
        }
        if (there[c]) close_contender(&all[c], c);
    }
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 21, counts = argc > 2 ? argc - 2 : 4;
    uint32_t live[COUNTS_MAX] = {1000, 10000, 100000, 1000000};
    if (rounds < 1 || rounds > ROUNDS_MAX || counts > COUNTS_MAX) return 2;
    for (int i = 0; i < argc - 2; i++) live[i] = (uint32_t)strtoul(argv[i + 2], NULL, 10);
    void *library = dlopen("libmimalloc.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library != NULL) {
        *(void **)&other_malloc = dlsym(library, "mi_malloc");
        *(void **)&other_free = dlsym(library, "mi_free");
    }
    uint32_t most = 0;
    for (int n = 0; n < counts; n++) most = live[n] > most ? live[n] : most;
    region = malloc(((size_t)most + 1) * (REGION_BYTES / 1000000));
    memset(region, 1, (size_t)most * (REGION_BYTES / 1000000));
    for (int n = 0; n < counts; n++) measure(rounds, n, live[n]);
    for (int mode = ANY; mode < MODES; mode++) {
        printf("%-14s", mode == ANY ? "any, ns" : "young, ns");
        for (int n = 0; n < counts; n++) printf(" %9u", live[n]);
        printf("   last : first\n");
        for (int c = 0; c < CONTENDERS_COUNT; c++) {
            if (!there[c] || (mode == YOUNG && CONTENDERS[c].strategy == -3)) continue;
            printf("%-14s", CONTENDERS[c].name);
            for (int n = 0; n < counts; n++) printf(" %9.1f", figures[mode][c][n]);
            printf("   %.2f\n", figures[mode][c][counts - 1] / figures[mode][c][0]);
        }
    }
    free(region);
    return 0;
}
