#include "heap/fork_gate.h"

#include <pthread.h>

#include "heap/record_marker.h"

static pthread_rwlock_t gate; /* work reads, a fork writes */

/* The gate first: work may be waiting for a marker. */
static void before_fork(void) {
    pthread_rwlock_wrlock(&gate);
    hw_markers_before_fork();
}

static void after_fork_in_parent(void) {
    hw_markers_after_fork(false);
    pthread_rwlock_unlock(&gate);
}

static void open_gate(void) {
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    /* a fork is not put off for ever by work that goes on and on */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&gate, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

static void after_fork_in_child(void) {
    hw_markers_after_fork(true);
    open_gate(); /* not unlocked: glibc knows a writer by its thread's number, which is another one here */
}

static void watch(void) {
    open_gate();
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void hw_fork_gate_watch(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch);
}

void hw_fork_gate_enter(void) {
    hw_fork_gate_watch();
    pthread_rwlock_rdlock(&gate);
}

void hw_fork_gate_leave(void) { pthread_rwlock_unlock(&gate); }
