#include "heap/record_marker.h"

#include "heap/fork_gate.h"
#include "os/clock.h"

enum { PIECE = 1024 }; /* records between two looks at whether to stop */

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static hw_marker *registered; /* those with a thread */

static void set_state(hw_marker *marker, enum hw_marker_state state) {
    atomic_store_explicit(&marker->state, (uint8_t)state, memory_order_release);
    pthread_cond_broadcast(&marker->changed);
}

static void *run(void *argument) {
    hw_marker *marker = argument;
    pthread_mutex_lock(&marker->mutex);
    while (!marker->leaving) {
        if (hw_marker_state_of(marker) != HW_MARKER_RUNNING) {
            pthread_cond_wait(&marker->changed, &marker->mutex);
            continue;
        }
        pthread_mutex_unlock(&marker->mutex);
        int64_t before = hw_clock_ns();
        enum hw_mark_result result = HW_MARK_MORE;
        while (result == HW_MARK_MORE && !atomic_load_explicit(&marker->asked_to_stop, memory_order_relaxed))
            result = hw_records_mark(marker->records, PIECE, true);
        pthread_mutex_lock(&marker->mutex);
        marker->marking_ns += hw_clock_ns() - before;
        /* full is for the mutator to see to: it marks on, and finds the stack as it is */
        set_state(marker, result == HW_MARK_MORE ? HW_MARKER_IDLE : HW_MARKER_DONE);
    }
    pthread_mutex_unlock(&marker->mutex);
    return NULL;
}

/* ---- fork ----------------------------------------------------------------------------------------------------------- */

void hw_markers_before_fork(void) {
    pthread_mutex_lock(&registry);
    for (hw_marker *marker = registered; marker != NULL; marker = marker->next) {
        marker->interrupted = hw_marker_state_of(marker) == HW_MARKER_RUNNING;
        hw_marker_stop(marker);
        pthread_mutex_lock(&marker->mutex);
    }
}

static void in_parent(void) {
    for (hw_marker *marker = registered; marker != NULL; marker = marker->next) {
        if (marker->interrupted) {
            atomic_store_explicit(&marker->asked_to_stop, false, memory_order_relaxed);
            set_state(marker, HW_MARKER_RUNNING);
        }
        pthread_mutex_unlock(&marker->mutex);
    }
    pthread_mutex_unlock(&registry);
}

static void in_child(void) {
    while (registered != NULL) {
        hw_marker *marker = registered;
        registered = marker->next;
        hw_marker_init(marker, marker->records); /* its thread is the parent's: the mutex and the condition begin anew */
    }
    pthread_mutex_unlock(&registry);
}

void hw_markers_after_fork(bool child) {
    if (child) in_child();
    else in_parent();
}

/* ---- start and stop ------------------------------------------------------------------------------------------------- */

void hw_marker_init(hw_marker *marker, hw_records *records) {
    memset(marker, 0, sizeof *marker);
    marker->records = records;
    pthread_mutex_init(&marker->mutex, NULL);
    pthread_cond_init(&marker->changed, NULL);
}

static bool create(hw_marker *marker) {
    hw_fork_gate_watch();
    pthread_mutex_lock(&registry);
    marker->there = pthread_create(&marker->thread, NULL, run, marker) == 0;
    if (marker->there) {
        marker->next = registered;
        registered = marker;
    }
    pthread_mutex_unlock(&registry);
    return marker->there;
}

bool hw_marker_start(hw_marker *marker) {
    if (!marker->there && !create(marker)) return false;
    pthread_mutex_lock(&marker->mutex);
    atomic_store_explicit(&marker->asked_to_stop, false, memory_order_relaxed);
    set_state(marker, HW_MARKER_RUNNING);
    pthread_mutex_unlock(&marker->mutex);
    return true;
}

void hw_marker_stop(hw_marker *marker) {
    atomic_store_explicit(&marker->asked_to_stop, true, memory_order_relaxed);
    pthread_mutex_lock(&marker->mutex);
    while (hw_marker_state_of(marker) == HW_MARKER_RUNNING && marker->there)
        pthread_cond_wait(&marker->changed, &marker->mutex);
    set_state(marker, HW_MARKER_IDLE);
    pthread_mutex_unlock(&marker->mutex);
}

void hw_marker_end(hw_marker *marker) {
    if (marker->there) {
        hw_marker_stop(marker);
        pthread_mutex_lock(&registry);
        for (hw_marker **link = &registered; *link != NULL; link = &(*link)->next)
            if (*link == marker) {
                *link = marker->next;
                break;
            }
        pthread_mutex_unlock(&registry);
        pthread_mutex_lock(&marker->mutex);
        marker->leaving = true;
        pthread_cond_broadcast(&marker->changed);
        pthread_mutex_unlock(&marker->mutex);
        pthread_join(marker->thread, NULL);
    }
    pthread_cond_destroy(&marker->changed);
    pthread_mutex_destroy(&marker->mutex);
}
