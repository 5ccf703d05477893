#include "os/thread.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

long hw_thread_id(void) { return syscall(SYS_gettid); }

void hw_thread_wait_gone(long thread_id) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%ld", thread_id);
    for (int i = 0; i < 200 && access(path, F_OK) == 0; i++) nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}
