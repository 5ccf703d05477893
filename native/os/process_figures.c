#include "os/process_figures.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t hw_monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
int64_t hw_process_cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }
int64_t hw_thread_cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

/* The file's text in `text`, ended by a zero; its length, 0 if it cannot be read. */
static size_t read_file(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, size - 1);
    close(fd);
    if (length <= 0) return 0;
    text[length] = 0;
    return (size_t)length;
}

int64_t hw_memory_limit_bytes(void) {
    struct sysinfo info;
    int64_t limit = sysinfo(&info) == 0 ? (int64_t)info.totalram * info.mem_unit : INT64_MAX;
    char group[512], path[640], text[64];
    /* version 2 has one line, "0::/the/group"; inside a container the group is the root */
    if (read_file("/proc/self/cgroup", group, sizeof group) == 0) return limit;
    char *name = strstr(group, "0::/");
    if (name == NULL) return limit;
    name += 3;
    name[strcspn(name, "\n")] = 0;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", name);
    if (read_file(path, text, sizeof text) == 0 && read_file("/sys/fs/cgroup/memory.max", text, sizeof text) == 0)
        return limit;
    char *end;
    int64_t group_limit = strtoll(text, &end, 10); /* or "max" */
    return end != text && group_limit < limit ? group_limit : limit;
}

void hw_process_figures_read(hw_process_figures *figures) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    figures->cpu_ns = hw_process_cpu_ns();
    figures->minor_faults = usage.ru_minflt;
    figures->major_faults = usage.ru_majflt;
    figures->peak_resident_bytes = (int64_t)usage.ru_maxrss * 1024;
    figures->resident_bytes = 0;
    char text[128];
    if (read_file("/proc/self/statm", text, sizeof text) == 0) return;
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
