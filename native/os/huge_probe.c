#include "os/huge_probe.h"

#include "os/pages.h"
#include "os/process_figures.h"

#include <stddef.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define HUGE_SAMPLES 2
#define SMALL_SAMPLES 128 /* pages */

/* CPU time and not wall time: another process's turn is not a cost of the page. */
int64_t hw_touch_ns(volatile char *address) {
    int64_t before = hw_thread_cpu_ns();
    *address = 0;
    return hw_thread_cpu_ns() - before;
}

static bool on_virtual_machine(void) {
#if defined(__x86_64__)
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c >> 31 & 1); /* the hypervisor bit */
#else
    return false;
#endif
}

bool hw_huge_probe(int64_t *huge_ns, int64_t *small_ns) {
    size_t page_bytes = hw_pages_size(), size_bytes = (HUGE_SAMPLES + 1) * HW_HUGE_PAGE_BYTES, resident = 0;
    void *memory;
    if (on_virtual_machine()) return false;
    if (hw_pages_reserve(size_bytes, HW_HUGE_PAGE_BYTES, &memory) != 0) return false;
    char *small = memory, *huge = small + HW_HUGE_PAGE_BYTES;
    bool known = hw_pages_commit(memory, size_bytes) == 0 &&
                 hw_pages_advise_huge(small, HW_HUGE_PAGE_BYTES, false) == 0 &&
                 hw_pages_advise_huge(huge, HUGE_SAMPLES * HW_HUGE_PAGE_BYTES, true) == 0;
    if (known) {
        int64_t before = hw_thread_cpu_ns(), total = 0;
        for (size_t i = 0; i < SMALL_SAMPLES; i++) *(volatile char *)(small + i * page_bytes) = 0;
        *small_ns = (hw_thread_cpu_ns() - before) * (int64_t)(HW_HUGE_PAGE_BYTES / page_bytes) / SMALL_SAMPLES;
        for (int64_t n = 1; n <= HUGE_SAMPLES; n++) {
            total += hw_touch_ns(huge + (size_t)(n - 1) * HW_HUGE_PAGE_BYTES);
            *huge_ns = total / n;
            if (*huge_ns > *small_ns) break;
        }
        /* one touch made all of it resident, or it was not a huge page */
        known = hw_pages_resident(huge, HW_HUGE_PAGE_BYTES, &resident) == 0 && resident == HW_HUGE_PAGE_BYTES;
    }
    hw_pages_release(memory, size_bytes);
    return known;
}
