/* The program of benchmarks/arena.py, for one contender: `arena arena BLOCKS ROUNDS` places blocks in regions, as an Arena does,
 * `arena malloc BLOCKS ROUNDS` asks whoever stands behind malloc in this process. Prints one line of JSON. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/epochs.h"
#include "core/region.h"

enum { CHUNK_BYTES = 1 << 20, CHUNKS_MAX = 4096, ROUNDS_MAX = 1000 };

static uint64_t state = 88172645463325252u;
static uint64_t random_bits(void) { return state ^= state << 13, state ^= state >> 7, state ^= state << 17; }

static char *chunks[CHUNKS_MAX];
static hw_region filling;
static hw_epochs epochs;
static int used;

static __attribute__((noinline)) void next_chunk(void) {
    if (chunks[used] == NULL) chunks[used] = malloc(CHUNK_BYTES + 4096);
    uint64_t base = ((uint64_t)(uintptr_t)chunks[used] + 4095) & ~(uint64_t)4095;
    used++;
    filling = hw_region_open(base, CHUNK_BYTES);
}

static inline void *place(size_t size_bytes) {
    uint64_t offset;
    while (__builtin_expect(!hw_region_place(&filling, size_bytes, 16, &offset), 0)) next_chunk();
    hw_epochs_born(&epochs, size_bytes);
    return (void *)(uintptr_t)(filling.base + offset);
}

static double now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, ascending);
    return values[n / 2];
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    bool is_arena = strcmp(argv[1], "arena") == 0;
    size_t blocks = strtoul(argv[2], NULL, 10);
    int rounds = atoi(argv[3]);
    if (rounds < 2 || rounds > ROUNDS_MAX) return 2;
    static double made[ROUNDS_MAX], ended[ROUNDS_MAX];
    uint32_t *sizes = malloc(blocks * sizeof *sizes);
    void **held = malloc(blocks * sizeof *held);
    for (size_t i = 0; i < blocks; i++) sizes[i] = 16 + (uint32_t)(random_bits() % 241);
    hw_epochs_begin(&epochs);
    for (int round = -1; round < rounds; round++) { /* the first one touches fresh memory, and does not count */
        double start = now_ns();
        if (is_arena)
            for (size_t i = 0; i < blocks; i++) held[i] = place(sizes[i]);
        else
            for (size_t i = 0; i < blocks; i++) held[i] = malloc(sizes[i]);
        double middle = now_ns();
        for (size_t i = 0; i < blocks; i++) *(volatile uint64_t *)held[i] = i; /* somebody uses them */
        double late = now_ns();
        if (is_arena) {
            hw_epochs_begin(&epochs);
            filling = (hw_region){0};
            used = 0;
        } else
            for (size_t i = 0; i < blocks; i++) free(held[i]);
        if (round >= 0) made[round] = middle - start, ended[round] = now_ns() - late;
    }
    printf("{\"make_ns\": %.3f, \"end_ns\": %.3f, \"end_all_ns\": %.0f}\n", median(made, rounds) / (double)blocks,
           median(ended, rounds) / (double)blocks, median(ended, rounds));
    return 0;
}
