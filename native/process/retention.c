#include "process/retention.h"

#include "core/demand.h"
#include "os/process_figures.h"
#include "os/thread.h"
#include "process/pooled.h"
#include "process/record.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

/* Fixed thresholds, since glibc's own move with the largest block ever freed. 32 MiB is the most that its mmap threshold
 * would reach. The trim threshold is a compromise: 32 MiB made pandas fault its hash tables again and again, 256 MiB added
 * 7 % to the peak of a merge. */
#define LIBC_MMAP_THRESHOLD_BYTES (32 << 20)
#define LIBC_TRIM_THRESHOLD_BYTES (128 << 20)
#define LIBC_WORTH_TRIMMING_BYTES (INT64_C(1) << 20)
#define LIBC_LOOK_SHARE 200 /* looking at the C library's heap takes at most 1/200 of the time */

#define BUSY_SHARE 10      /* a process is busy in an epoch in which it used more than 1/10 of one CPU */
#define SLOW_EPOCHS 3      /* an idle process is looked at once in so many epochs */
#define KEEPER_STACK_BYTES ((size_t)256 << 10)

#define PAGE 4096

/* ---- recent demand ---- */

static hw_demand demand; /* guarded by the heap's lock */

uint64_t hw_retention_limit_pages(uint64_t live_pages) { return hw_demand_limit(&demand, live_pages); }

/* How many bytes may stay retained by both lines of the law, `epochs` ends of epochs after the last look; and how many
 * are. */
static uint64_t allowance(unsigned epochs, int64_t resident_bytes, uint64_t *retained_bytes) {
    hw_pooled_lock();
    *retained_bytes = (uint64_t)hw_process_record->retained_bytes;
    uint64_t pages = hw_demand_look(&demand, epochs, hw_pooled_live_pages(), *retained_bytes / PAGE,
                                    (uint64_t)resident_bytes / PAGE);
    hw_pooled_unlock();
    return pages * PAGE;
}

/* ---- the C library's heap ---- */

static bool libc_adopted;
static int64_t libc_next_look_ns, libc_resident_seen;

void hw_retention_adopt_libc(void) {
    if (libc_adopted) return;
    libc_adopted = true;
    hw_libc_retain(LIBC_MMAP_THRESHOLD_BYTES, LIBC_TRIM_THRESHOLD_BYTES);
}

void hw_retention_look_at_libc(void) {
    hw_libc_figures figures;
    int64_t before = hw_monotonic_ns();
    if (!hw_libc_figures_read(&figures)) return;
    hw_record *record = hw_process_record;
    record->libc_arena_bytes = figures.arena_bytes;
    record->libc_mapped_bytes = figures.mapped_bytes;
    record->libc_live_bytes = figures.live_bytes;
    record->libc_free_bytes = figures.free_bytes;
    record->libc_ns = hw_monotonic_ns();
    libc_next_look_ns = record->libc_ns + (record->libc_ns - before) * LIBC_LOOK_SHARE;
}

static void trim_libc(void) {
    hw_retention_look_at_libc();
    hw_record *record = hw_process_record;
    if (record->libc_free_bytes < LIBC_WORTH_TRIMMING_BYTES) return;
    hw_record_tick();
    int64_t before = record->resident_bytes;
    hw_libc_trim();
    hw_record_tick();
    record->libc_trims++;
    if (before > record->resident_bytes) record->libc_trimmed_bytes += before - record->resident_bytes;
    hw_retention_look_at_libc();
}

/* ---- the keeper ---- */

atomic_bool hw_keeper_runs;
/* Held by whoever starts or stops the keeper, and through every fork: two threads without the GIL may fork at once, and
 * between the end of the keeper and the fork nobody may start another. Taken before the heap's lock. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_t keeper_thread; /* these two are guarded by `turn` */
static bool keeper_exists;
static atomic_long keeper_thread_id;
static pthread_mutex_t keeper_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t keeper_wake;
static bool keeper_stop; /* guarded by keeper_mutex */

typedef struct {
    uint64_t events;
    int64_t cpu_ns, wall_ns; /* at the start of the epoch */
    unsigned quiet_epochs;  /* epochs in a row without an allocation */
    unsigned asleep_epochs; /* epochs in a row with hardly any CPU time */
    bool trimmed;           /* the C library's heap, since the process was last busy */
    bool much;              /* stayed retained at the last look: another part of the process may come to need it */
} keeper_memory;

/* Whether the process and its heap have been at rest, as far as the epochs that have passed tell. */
static void end_epochs(keeper_memory *last, unsigned epochs, int64_t now) {
    int64_t cpu = hw_process_cpu_ns();
    uint64_t events = hw_pooled_events();
    bool busy = (cpu - last->cpu_ns) * BUSY_SHARE > now - last->wall_ns;
    last->quiet_epochs = events == last->events ? last->quiet_epochs + epochs : 0;
    last->asleep_epochs = busy ? 0 : last->asleep_epochs + epochs;
    if (busy) last->trimmed = false;
    last->events = events, last->cpu_ns = cpu, last->wall_ns = now;
}

static void keep(keeper_memory *last) {
    int64_t now = hw_monotonic_ns();
    unsigned epochs = (unsigned)((now - last->wall_ns + HW_EPOCH_NS / (2 * HW_LOOKS)) / HW_EPOCH_NS);
    if (epochs != 0) end_epochs(last, epochs, now);
    hw_record_tick();
    int64_t resident = hw_process_record->resident_bytes;
    uint64_t retained_bytes, keep_bytes = allowance(epochs, resident, &retained_bytes);
    bool asleep = last->asleep_epochs >= HW_IDLE_EPOCHS;
    bool at_rest = asleep && last->quiet_epochs >= HW_IDLE_EPOCHS;
    if (at_rest) keep_bytes = 0;
    hw_pooled_give_back(keep_bytes, at_rest, at_rest ? HW_RETURN_IDLE : HW_RETURN_CAP);
    last->much = (retained_bytes < keep_bytes ? retained_bytes : keep_bytes) > (uint64_t)HW_SLACK_MIN_PAGES * PAGE;

    if (asleep && libc_adopted && !last->trimmed) {
        trim_libc();
        last->trimmed = true;
    } else if (now >= libc_next_look_ns && resident > libc_resident_seen + libc_resident_seen / 20) {
        hw_retention_look_at_libc(); /* a new high: what the report says about the peak */
        libc_resident_seen = resident;
    }
}

/* When to look again: often while much is retained, seldom at rest. */
static int64_t pause_ns(const keeper_memory *last) {
    if (last->quiet_epochs > HW_DEMAND_EPOCHS && last->asleep_epochs > HW_DEMAND_EPOCHS) return SLOW_EPOCHS * HW_EPOCH_NS;
    return last->much ? HW_EPOCH_NS / HW_LOOKS : HW_EPOCH_NS;
}

static void *keeper_main(void *unused) {
    (void)unused;
    atomic_store(&keeper_thread_id, hw_thread_id());
    keeper_memory memory = {.wall_ns = hw_monotonic_ns(), .cpu_ns = hw_process_cpu_ns()};
    pthread_mutex_lock(&keeper_mutex);
    while (!keeper_stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)pause_ns(&memory);
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&keeper_wake, &keeper_mutex, &until);
        if (keeper_stop) break;
        pthread_mutex_unlock(&keeper_mutex);
        keep(&memory);
        pthread_mutex_lock(&keeper_mutex);
    }
    pthread_mutex_unlock(&keeper_mutex);
    return NULL;
}

/* Ends the keeper and waits until the kernel no longer counts it among the threads of the process. `turn` held. */
static void stop_keeper(void) {
    if (keeper_exists) {
        pthread_mutex_lock(&keeper_mutex);
        keeper_stop = true;
        pthread_cond_signal(&keeper_wake);
        pthread_mutex_unlock(&keeper_mutex);
        pthread_join(keeper_thread, NULL);
        hw_thread_wait_gone(atomic_load(&keeper_thread_id));
        keeper_stop = keeper_exists = false;
    }
    atomic_store(&hw_keeper_runs, false);
}

static void before_fork(void) {
    pthread_mutex_lock(&turn);
    stop_keeper();
    hw_pooled_lock_at_rest();
    hw_record_before_fork();
}

static void after_fork_in_parent(void) {
    hw_pooled_unlock();
    pthread_mutex_unlock(&turn);
}

/* Both locks are the forking thread's, and of the keeper nothing is left: neither thread nor waiter. */
static void after_fork_in_child(void) {
    hw_record_forked();
    hw_pooled_unlock();
    pthread_mutex_unlock(&turn);
}

static void follow_once(void) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper_wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void hw_follow_forks(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, follow_once);
}

static bool make_keeper(void) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, KEEPER_STACK_BYTES);
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before); /* the keeper inherits it: signals are the program's affair */
    int error = pthread_create(&keeper_thread, &attributes, keeper_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

void hw_keeper_start(void) {
    hw_follow_forks();
    if (pthread_mutex_trylock(&turn) != 0) return; /* somebody starts it, or forks: the next block asks again */
    if (!atomic_load(&hw_keeper_runs)) {
        keeper_exists = make_keeper();
        atomic_store(&hw_keeper_runs, true); /* also where no thread can be had: then nobody asks again, and only the cap holds */
    }
    pthread_mutex_unlock(&turn);
}
