#include "os/extent.h"

#include "os/pages.h"

#include <errno.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Where nothing lies on Linux: programs are loaded at 0x55..., mappings grow down from 0x7f..., on arm64 from 0xffff...;
 * AddressSanitizer has its shadow below 0x1001... and its heap at 0x60.... The last one is for 39-bit address spaces. */
#if defined(__SANITIZE_THREAD__) /* ThreadSanitizer knows no memory of the program below its own */
static const uint64_t BASES[] = {UINT64_C(0x7e9000000000)};
#else
static const uint64_t BASES[] = {UINT64_C(0x200000000000), UINT64_C(0x300000000000), UINT64_C(0x400000000000),
                                 UINT64_C(0x2000000000)};
#endif

static int map_at(char *address, size_t size_bytes) {
    void *got = mmap(address, size_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED) return errno;
    if (got == address) return 0;
    munmap(got, size_bytes); /* a kernel before 4.17 takes the address as a hint only */
    return EEXIST;
}

/* 16 bits that the kernel chose for this process at random, so that the base is no more predictable than any other. */
static uint64_t slide(void) {
    const unsigned char *bytes = (const unsigned char *)(uintptr_t)getauxval(AT_RANDOM);
    return bytes == NULL ? 0 : ((uint64_t)bytes[0] << 8) | bytes[1];
}

int hw_extent_open(hw_extent *extent, size_t size_bytes, size_t limit_bytes) {
    int error = ENOMEM;
    if (hw_pages_injected()) return error;
    for (size_t i = 0; i < sizeof BASES / sizeof *BASES; i++) {
        char *base = (char *)(uintptr_t)(BASES[i] + slide() * HW_EXTENT_ALIGNMENT);
        for (int attempt = 0; attempt < 4; attempt++, base += limit_bytes + HW_EXTENT_ALIGNMENT) {
            error = map_at(base, size_bytes);
            if (error == 0) {
                *extent = (hw_extent){.base = base, .committed_bytes = size_bytes, .limit_bytes = limit_bytes};
                return 0;
            }
            if (error != EEXIST) break;
        }
    }
    return error;
}

int hw_extent_grow(hw_extent *extent, size_t size_bytes) {
    if (hw_pages_injected()) return ENOMEM;
    if (size_bytes > extent->limit_bytes - extent->committed_bytes) return ENOMEM;
    int error = map_at(extent->base + extent->committed_bytes, size_bytes);
    if (error == 0)
        __atomic_store_n(&extent->committed_bytes, extent->committed_bytes + size_bytes, __ATOMIC_RELAXED);
    return error;
}

void hw_extent_close(hw_extent *extent) {
    munmap(extent->base, extent->committed_bytes);
    *extent = (hw_extent){0};
}
