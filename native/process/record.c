#include "process/record.h"

#include "os/process_figures.h"
#include "os/shared_file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static hw_record private_record, at_fork;
static char session_directory[512];

hw_record *hw_process_record = &private_record;

int hw_record_open(const char *directory) {
    char path[sizeof session_directory + 32];
    void *mapping;
    snprintf(path, sizeof path, "%s/%ld.record", directory, (long)getpid());
    int error = hw_shared_file_create(path, sizeof(hw_record), &mapping);
    if (error != 0) return error;
    if ((error = hw_shared_file_commit(path, 0, sizeof(hw_record))) != 0) { /* no room: a store would be a SIGBUS */
        hw_shared_file_unmap(mapping, sizeof(hw_record));
        unlink(path);
        return error;
    }
    if (directory != session_directory) snprintf(session_directory, sizeof session_directory, "%s", directory);
    hw_record *record = mapping;
    *record = *hw_process_record; /* counted before there was a file */
    record->version = HW_RECORD_VERSION;
    record->pid = getpid();
    record->parent_pid = getppid();
    record->start_ns = hw_monotonic_ns();
    record->magic = HW_RECORD_MAGIC; /* last: a reader that sees it sees the rest */
    hw_process_record = record;
    return 0;
}

int hw_record_place_heap(const void *base, size_t size_bytes) {
    for (int place = 0; place < HW_RECORD_HEAPS; place++) {
        hw_record_heap *heap = &hw_process_record->heaps[place];
        if (heap->size_bytes != 0) continue;
        *heap = (hw_record_heap){.base = (int64_t)(uintptr_t)base, .size_bytes = (int64_t)size_bytes};
        return place;
    }
    return -1;
}

void hw_record_clear_heap(int place) {
    if (place >= 0) hw_process_record->heaps[place] = (hw_record_heap){0};
}

void hw_record_before_fork(void) { at_fork = *hw_process_record; }

void hw_record_forked(void) {
    hw_record *parents = hw_process_record;
    private_record = at_fork; /* not what the parent's file says by now: it goes on counting */
    hw_process_record = &private_record;
    memset(private_record.size_class_count, 0, sizeof private_record.size_class_count);
    memset(private_record.size_class_bytes, 0, sizeof private_record.size_class_bytes);
    private_record.failed_blocks = private_record.spilled_bytes = 0;
    private_record.reused_bytes = private_record.fresh_bytes = 0;
    private_record.returned_cap_bytes = private_record.returned_idle_bytes = private_record.returned_asked_bytes = 0;
    private_record.libc_trims = private_record.libc_trimmed_bytes = 0;
    private_record.finished = 0;
    private_record.peak_bytes = 0;
    hw_record_note_peak(&private_record);
    private_record.peak_requested_bytes = private_record.heap_requested_bytes;
    private_record.peak_retained_bytes = private_record.retained_bytes;
    if (session_directory[0] == 0) return;
    if (hw_record_open(session_directory) == 0) hw_shared_file_unmap(parents, sizeof(hw_record)); /* its file lives on */
    /* The parent's figures are not the child's, and a child that leaves by os._exit before the keeper's first look, as
     * workers do, would have none of its own. */
    hw_record_tick();
}

void hw_record_tick(void) {
    hw_process_figures figures;
    hw_process_figures_read(&figures);
    hw_record *record = hw_process_record;
    record->resident_bytes = figures.resident_bytes;
    record->peak_resident_bytes = figures.peak_resident_bytes;
    record->cpu_ns = figures.cpu_ns;
    record->minor_faults = figures.minor_faults;
    record->major_faults = figures.major_faults;
    record->tick_ns = hw_monotonic_ns();
}
