/* How many instructions each single allocate and free takes: `real_time STRATEGY LIVE PAIRS` replaces PAIRS random ones of
 * LIVE blocks, and prints the instructions of each allocate and each free, one line each. benchmarks/real_time.py reads it.
 *
 * Counted by single-stepping: the child sets a flag in shared memory around each call, the parent counts the steps taken while
 * it is set. Exact, and the same on every run; the two instructions that set the flag, and the call, are in it. */
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap/heap.h"
#include "os/pages.h"

enum { REQUEST_MIN = 16, REQUEST_MAX = 1024, ROOM_PER_BLOCK = 1024 };
enum { NOTHING, ALLOCATE, FREE };

static volatile int *doing; /* shared */
static uint64_t state = 88172645463325252u;

static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 16) % n);
}

/* The strategy is a constant, as in Heap[TLSF]. */
#define EACH_STRATEGY(X) X(HW_FIRST_FIT) X(HW_BEST_FIT) X(HW_WORST_FIT) X(HW_NEXT_FIT) X(HW_TLSF) X(HW_BUDDY)

static __attribute__((noinline)) int allocate(hw_heap *heap, enum hw_strategy strategy, uint64_t size,
                                              hw_strategy_handle *handle) {
#define ALLOCATE_CASE(one)                                                                                             \
    if (strategy == one) return hw_heap_allocate_fused(heap, one, size, 16, handle);
    EACH_STRATEGY(ALLOCATE_CASE)
    return -1;
}

static __attribute__((noinline)) int release(hw_heap *heap, enum hw_strategy strategy, hw_strategy_handle handle) {
#define FREE_CASE(one)                                                                                                 \
    if (strategy == one) return hw_heap_free_fused(heap, one, handle);
    EACH_STRATEGY(FREE_CASE)
    return -1;
}

static void child(enum hw_strategy strategy, uint32_t live, uint32_t pairs) {
    hw_space space;
    hw_heap heap;
    size_t bytes = ((size_t)live * ROOM_PER_BLOCK + (1 << 20)) & ~(size_t)4095;
    hw_strategy_handle *handles = calloc(live, sizeof *handles);
    if (hw_space_open(&space, bytes, 1, false, HW_PAGES_READ | HW_PAGES_WRITE) != 0) exit(1);
    if (hw_space_commit(&space, 0, bytes) != 0) exit(1); /* no block is written to: a million need no memory */
    if (handles == NULL || hw_heap_open_fixed(&heap, &space, strategy, live) != 0) exit(1);
    for (uint32_t i = 0; i < live; i++)
        if (allocate(&heap, strategy, REQUEST_MIN + random_below(REQUEST_MAX - REQUEST_MIN), &handles[i]) != 0) exit(1);
    for (uint32_t i = 0; i < 4 * live; i++) { /* until it looks as after a long time */
        hw_strategy_handle *handle = &handles[random_below(live)];
        if (release(&heap, strategy, *handle) != 0) exit(1);
        if (allocate(&heap, strategy, REQUEST_MIN + random_below(REQUEST_MAX - REQUEST_MIN), handle) != 0) exit(1);
    }
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) exit(77);
    raise(SIGSTOP);
    for (uint32_t i = 0; i < pairs; i++) {
        hw_strategy_handle *handle = &handles[random_below(live)];
        uint64_t size = REQUEST_MIN + random_below(REQUEST_MAX - REQUEST_MIN);
        *doing = FREE;
        int freed = release(&heap, strategy, *handle);
        *doing = NOTHING;
        *doing = ALLOCATE;
        int allocated = allocate(&heap, strategy, size, handle);
        *doing = NOTHING;
        if (freed != 0 || allocated != 0) _exit(1);
    }
    _exit(0);
}

int main(int count, char **arguments) {
    if (count != 4) arguments = (char *[]){arguments[0], "4", "1000", "100"}; /* TLSF */
    doing = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (doing == MAP_FAILED) return 1;
    cpu_set_t here; /* on one processor: to wake another one for each step takes ten times as long */
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    sched_setaffinity(0, sizeof here, &here);
    pid_t pid = fork();
    if (pid == 0) child((enum hw_strategy)atoi(arguments[1]), (uint32_t)atol(arguments[2]), (uint32_t)atol(arguments[3]));
    int status, before = NOTHING;
    long steps = 0;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        int now = *doing;
        if (now == before) steps += now != NOTHING;
        else if (before != NOTHING) printf("%s %ld\n", before == ALLOCATE ? "allocate" : "free", steps), steps = 0;
        before = now;
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0) return 1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
