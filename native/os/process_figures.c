#include "os/process_figures.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t hw_monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
int64_t hw_process_cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

void hw_process_figures_read(hw_process_figures *figures) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    figures->cpu_ns = hw_process_cpu_ns();
    figures->minor_faults = usage.ru_minflt;
    figures->major_faults = usage.ru_majflt;
    figures->peak_resident_bytes = (int64_t)usage.ru_maxrss * 1024;
    figures->resident_bytes = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    char text[128];
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return;
    text[length] = 0;
    char *end;
    strtoll(text, &end, 10); /* size, then resident, both in pages */
    figures->resident_bytes = (int64_t)strtoll(end, NULL, 10) * sysconf(_SC_PAGESIZE);
}

#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)

int hw_libc_figures_read(hw_libc_figures *figures) {
    struct mallinfo2 info = mallinfo2();
    figures->arena_bytes = (int64_t)info.arena;
    figures->mapped_bytes = (int64_t)info.hblkhd;
    figures->live_bytes = (int64_t)info.uordblks;
    figures->free_bytes = (int64_t)info.fordblks;
    return 1;
}

int hw_libc_trim(void) { return malloc_trim(0); }

void hw_libc_retain(int mmap_threshold_bytes, int trim_threshold_bytes) {
    mallopt(M_MMAP_THRESHOLD, mmap_threshold_bytes);
    mallopt(M_TRIM_THRESHOLD, trim_threshold_bytes);
}

#else

int hw_libc_figures_read(hw_libc_figures *figures) {
    *figures = (hw_libc_figures){0};
    return 0;
}

int hw_libc_trim(void) { return 0; }
void hw_libc_retain(int mmap_threshold_bytes, int trim_threshold_bytes) {
    (void)mmap_threshold_bytes;
    (void)trim_threshold_bytes;
}

#endif
