/* After start-up a heap of fixed capacity on a populated space makes no system call: each program below runs in a child that the
 * kernel ends at the first one (seccomp). That this would be noticed is tried, too: the same program on a heap that
 * grows does not survive. */
#undef NDEBUG
#include "heap/heap.h"
#include "os/pages.h"

#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 2000, STEPS = 100000, SPACE_BYTES = 32 << 20 };

static uint64_t state = 88172645463325252u;

static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 16) % n);
}

/* From here on every system call but the last one of a process ends it with SIGSYS. */
static void allow_no_system_call(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(77);
}

/* Blocks of all sizes come, grow, shrink, and go; at most BLOCKS at a time. */
static void use(hw_heap *heap, enum hw_strategy strategy) {
    static hw_strategy_handle live[BLOCKS];
    uint32_t count = 0, most = 0;
    for (int step = 0; step < STEPS; step++) {
        uint64_t size = random_below(20) ? random_below(3000) : random_below(60000);
        uint32_t act = random_below(10);
        if (act < 5 && count < BLOCKS) {
            int result = hw_heap_allocate_fused(heap, strategy, size, (uint64_t)1 << random_below(13), &live[count]);
            assert(result == 0 || result == HW_HEAP_FULL || (result == HW_HEAP_BLOCKS_FULL && strategy == HW_BUMP));
            if (result != 0) continue;
            memset(heap->space->base + live[count].offset_bytes, (int)count, size);
            if (++count > most) most = count;
        } else if (act < 6 && count > 0) {
            int result = hw_heap_resize(heap, live[random_below(count)], size);
            assert(result == 0 || result == HW_HEAP_FULL);
        } else if (act < 9 && count > 0) {
            uint32_t i = random_below(count);
            assert(hw_heap_free_fused(heap, strategy, live[i]) == 0);
            live[i] = live[--count];
        }
    }
    assert(most > 100);
}

/* How the child ended: 0, or the signal; -1: this machine does not let one try. */
static int run(enum hw_strategy strategy, bool populated, bool locked, bool fixed) {
    fflush(stdout);
    pid_t child = fork();
    assert(child >= 0);
    if (child == 0) {
        hw_space space;
        hw_heap heap;
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        assert(hw_space_open(&space, SPACE_BYTES, 1 << 13, false, HW_PAGES_READ | HW_PAGES_WRITE) == 0);
        if (populated && hw_space_populate(&space, locked) != 0) _exit(77);
        int error = fixed ? hw_heap_open_fixed(&heap, &space, strategy, BLOCKS) : hw_heap_open(&heap, &space, strategy);
        if (error != 0) _exit(locked ? 77 : 1);
        allow_no_system_call();
        use(&heap, strategy);
        syscall(SYS_exit_group, 0); /* not _exit, before which AddressSanitizer asks for the signal stack */
    }
    int status;
    assert(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) return WTERMSIG(status);
    assert(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
    return WEXITSTATUS(status) == 77 ? -1 : 0;
}

/* The room is for that many live blocks whatever lies between them, and then bottom is bottom: nothing grows. */
static void blocks_are_as_many_as_promised(enum hw_strategy strategy) {
    static hw_strategy_handle handles[4 * BLOCKS];
    hw_space space;
    hw_heap heap;
    uint64_t where;
    int result = 0;
    assert(hw_space_open(&space, SPACE_BYTES, 1, false, HW_PAGES_READ | HW_PAGES_WRITE) == 0);
    assert(hw_heap_open_fixed(&heap, &space, strategy, BLOCKS) == 0);
    size_t control_bytes = heap.control_bytes;
    for (int i = 0; i < BLOCKS; i++) /* each in a hole of its own, where alignment can do that */
        assert(hw_heap_allocate_fused(&heap, strategy, 48, strategy == HW_BUMP ? 16 : 64, &handles[i]) == 0);
    if (strategy != HW_BUMP) {
        for (int i = 0; i < BLOCKS; i += 2) assert(hw_heap_free_fused(&heap, strategy, handles[i]) == 0);
        for (int i = 0; i < BLOCKS; i += 2) assert(hw_heap_allocate_fused(&heap, strategy, 16, 1 << 12, &handles[i]) == 0);
    }
    for (int i = BLOCKS; i < 4 * BLOCKS && result == 0; i++)
        result = hw_heap_allocate_fused(&heap, strategy, 16, 1 << 12, &handles[i]);
    assert(result == HW_HEAP_BLOCKS_FULL || result == HW_HEAP_FULL || strategy == HW_BUDDY);
    assert(heap.control_bytes == control_bytes && hw_heap_check(&heap, &where) == NULL);
    assert(hw_heap_open_fixed(&heap, &space, strategy, UINT32_MAX) == ENOMEM);
    hw_space_close(&space);
}

/* What cannot be populated or locked is said, for every call that can fail; what was opened can be closed. */
static void every_call_can_fail(bool lock) {
    bool reached = true;
    for (long n = 1; reached; n++) {
        hw_space space;
        hw_heap heap;
        hw_pages_fail_nth(n);
        if (hw_space_open(&space, 1 << 20, 1, false, HW_PAGES_READ) == 0) {
            if (hw_space_populate(&space, lock) == 0) {
                assert(space.locked == lock && space.permissions == HW_PAGES_READ && space.committed_bytes == 1 << 20);
                if (hw_heap_open_fixed(&heap, &space, HW_TLSF, 10) == 0) hw_heap_close(&heap);
            }
            hw_space_close(&space);
        }
        reached = hw_pages_fail_nth(0) == 0;
        assert(n < 100);
    }
}

static void what_is_locked_stays(void) {
    hw_space space;
    hw_heap heap;
    hw_strategy_handle handle;
    size_t returned = 1, resident;
    assert(hw_space_open(&space, 1 << 20, 1, false, HW_PAGES_READ | HW_PAGES_WRITE) == 0);
    if (hw_space_populate(&space, true) != 0) {
        puts("real time: this process may not lock a MiB; not tried");
        return hw_space_close(&space);
    }
    assert(hw_space_resident(&space, &resident) == 0 && resident == 1 << 20);
    assert(hw_heap_open_fixed(&heap, &space, HW_TLSF, 10) == 0);
    assert(hw_heap_allocate_fused(&heap, HW_TLSF, 1000, 16, &handle) == 0);
    assert(hw_heap_trim(&heap, 0, &returned) == 0 && returned == 0 && !heap.purge.under_way);
    hw_decay_set(&heap, 0, 0);
    assert(hw_decay_tick(&heap, 1000000, INT64_MAX, &returned) == 0 && returned == 0);
    assert(hw_space_resident(&space, &resident) == 0 && resident == 1 << 20);
    hw_heap_close(&heap);
    hw_space_close(&space);
}

int main(void) {
    for (int strategy = HW_FIRST_FIT; strategy < HW_STRATEGIES; strategy++) {
        int with_room = run(strategy, true, false, true), locked = run(strategy, true, true, true);
        assert(with_room <= 0 && locked <= 0); /* no system call */
        if (with_room == 0) assert(run(strategy, true, false, false) == SIGSYS); /* the control region grows */
        if (with_room == 0) assert(run(strategy, false, false, true) == SIGSYS); /* memory is committed */
        blocks_are_as_many_as_promised(strategy);
    }
    every_call_can_fail(false);
    every_call_can_fail(true);
    what_is_locked_stays();
    puts("real time: ok");
    return 0;
}
