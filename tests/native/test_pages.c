/* Pages: what each call promises, and that every call can be made to fail. */
#undef NDEBUG
#include "os/pages.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static size_t resident(const void *base, size_t size_bytes) {
    size_t bytes = 0;
    assert(hw_pages_resident(base, size_bytes, &bytes) == 0);
    return bytes;
}

static void life_of_a_range(size_t alignment) {
    size_t page = hw_pages_size(), size_bytes = 64 * page;
    void *base = NULL;
    assert(hw_pages_reserve(size_bytes, alignment, &base) == 0);
    assert((uintptr_t)base % alignment == 0);
    assert(hw_pages_commit(base, size_bytes) == 0);
    int advised = hw_pages_advise_huge(base, size_bytes, false);
    assert(advised == 0 || advised == EINVAL); /* EINVAL: a kernel without huge pages */
    assert(resident(base, size_bytes) == 0);
    memset(base, 1, 3 * page);
    assert(resident(base, size_bytes) == 3 * page);
    assert(hw_pages_commit(base, size_bytes) == 0 && *(char *)base == 1); /* commit twice: nothing lost */
    assert(hw_pages_decommit(base, page) == 0);
    assert(resident(base, size_bytes) == 2 * page && *(char *)base == 0); /* given back, and reads as zero again */
    assert(hw_pages_protect(base, size_bytes, HW_PAGES_READ) == 0);
    assert(((char *)base)[page] == 1);
    assert(hw_pages_release(base, size_bytes) == 0);
}

/* Many ranges at once, and one by one where the second of two calls is made to fail. */
static void many_ranges(void) {
    size_t page = hw_pages_size(), returned;
    void *base = NULL;
    hw_pages_range ranges[100];
    assert(hw_pages_reserve(400 * page, page, &base) == 0 && hw_pages_commit(base, 400 * page) == 0);
    for (size_t count = 0; count <= 100; count += 25) {
        size_t expected = 0;
        memset(base, 1, 400 * page);
        for (size_t i = 0; i < count; i++) { /* of one to three pages */
            ranges[i] = (hw_pages_range){(char *)base + (4 * i + 1) * page, (1 + i % 3) * page};
            expected += ranges[i].size_bytes;
        }
        hw_pages_fail_nth(1);
        assert(hw_pages_decommit_many(ranges, count, &returned) == ENOMEM && returned == 0);
        assert(resident(base, 400 * page) == 400 * page);
        assert(hw_pages_decommit_many(ranges, count, &returned) == 0 && returned == expected);
        assert(resident(base, 400 * page) == 400 * page - expected);
        for (size_t at = 0; at < 400; at++)
            assert(((char *)base)[at * page] == !(at / 4 < count && at % 4 != 0 && at % 4 <= 1 + at / 4 % 3));
    }
    ranges[3].size_bytes = 1;
    assert(hw_pages_decommit_many(ranges, 5, &returned) == EINVAL && returned == 0);
    assert(hw_pages_release(base, 400 * page) == 0);
}

static void bad_ranges(void) {
    void *base = NULL;
    size_t page = hw_pages_size();
    assert(hw_pages_reserve(0, page, &base) == EINVAL && hw_pages_reserve(page + 1, page, &base) == EINVAL);
    assert(hw_pages_reserve(page, 3 * page, &base) == EINVAL);
    assert(hw_pages_reserve(SIZE_MAX - page + 1, 2 * page, &base) == ENOMEM);
    assert(hw_pages_reserve(4 * page, page, &base) == 0);
    assert(hw_pages_commit((char *)base + 1, page) == EINVAL && hw_pages_decommit(base, 0) == EINVAL);
    assert(hw_pages_release(base, 4 * page) == 0);
}

static void every_call_can_fail(void) {
    size_t page = hw_pages_size(), bytes = 0;
    void *base = NULL;
    for (int n = 1; n <= 5; n++) {
        hw_pages_fail_nth(n);
        int failed = hw_pages_reserve(page, page, &base) != 0;
        if (failed) {
            hw_pages_fail_nth(0);
            assert(n == 1 && hw_pages_reserve(page, page, &base) == 0);
        }
        failed += hw_pages_commit(base, page) == ENOMEM;
        failed += hw_pages_resident(base, page, &bytes) == ENOMEM;
        failed += hw_pages_decommit(base, page) == ENOMEM;
        failed += hw_pages_protect(base, page, 0) == ENOMEM;
        assert(failed == 1);
        assert(hw_pages_fail_nth(0) == 0 && hw_pages_release(base, page) == 0);
    }
}

int main(void) {
    for (size_t alignment = hw_pages_size(); alignment <= 2 * HW_HUGE_PAGE_BYTES; alignment *= 2)
        life_of_a_range(alignment);
    many_ranges();
    bad_ranges();
    every_call_can_fail();
    puts("pages: ok");
    return 0;
}
