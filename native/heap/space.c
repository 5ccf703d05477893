#include "heap/space.h"

#include <assert.h>
#include <string.h>

#include "os/pages.h"

enum { COMMIT_STEP_BYTES = 256 << 10 };

typedef struct {
    size_t first, end; /* pages */
} run;

static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static bool is_set(const hw_space *space, size_t page) { return space->committed[page / 64] >> (page % 64) & 1; }

/* The first committed (or, if !set, not committed) page in [from, end); `end` if there is none. */
static size_t next_page(const hw_space *space, size_t from, size_t end, bool set) {
    uint64_t skip = set ? 0 : UINT64_MAX; /* a word with no such page */
    while (from < end && is_set(space, from) != set)
        from = from % 64 == 0 && space->committed[from / 64] == skip ? from + 64 : from + 1;
    return least(from, end);
}

/* The first run of them; empty if there is none. */
static run next_run(const hw_space *space, size_t from, size_t end, bool set) {
    size_t first = next_page(space, from, end, set);
    return (run){first, next_page(space, first, end, !set)};
}

static void mark(hw_space *space, run pages, bool set) {
    for (size_t page = pages.first; page < pages.end;) {
        size_t n = least(pages.end - page, 64 - page % 64);
        uint64_t mask = (n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1) << page % 64;
        uint64_t *word = &space->committed[page / 64];
        *word = set ? *word | mask : *word & ~mask;
        page += n;
    }
}

static char *address(const hw_space *space, size_t page) { return space->base + page * space->page_bytes; }

static size_t bytes(const hw_space *space, run pages) { return (pages.end - pages.first) * space->page_bytes; }

/* The page after the last that can be committed in a range that ends here (S4). */
static size_t searched_to(const hw_space *space, size_t end_bytes) {
    return least(end_bytes, space->reach_bytes) / space->page_bytes;
}

static size_t bitmap_bytes(const hw_space *space) {
    return round_up(round_up(space->size_bytes / space->page_bytes, 64) / 8, space->page_bytes);
}

int hw_space_open(hw_space *space, size_t size_bytes, size_t alignment, bool huge, int permissions) {
    size_t page = hw_pages_size(), unit = huge ? HW_HUGE_PAGE_BYTES : page;
    void *base, *committed;
    if (size_bytes > SIZE_MAX / 2) size_bytes = SIZE_MAX / 2; /* more than any address space: reserve says ENOMEM */
    *space = (hw_space){
        .size_bytes = round_up(size_bytes, unit), .page_bytes = page, .unit_bytes = unit, .permissions = permissions};
    space->alignment = alignment < unit ? unit : alignment;
    int error = hw_pages_reserve(space->size_bytes, space->alignment, &base);
    if (error != 0) return error;
    if (huge) space->huge = hw_pages_advise_huge(base, space->size_bytes, true) == 0;
    error = hw_pages_reserve(bitmap_bytes(space), 0, &committed);
    if (error == 0) {
        error = hw_pages_commit(committed, bitmap_bytes(space));
        if (error != 0) hw_pages_release(committed, bitmap_bytes(space));
    }
    if (error != 0) {
        hw_pages_release(base, space->size_bytes);
        return error;
    }
    space->base = base;
    space->committed = committed;
    return 0;
}

void hw_space_close(hw_space *space) {
    if (space->base == NULL) return;
    hw_pages_release(space->base, space->size_bytes);
    hw_pages_release(space->committed, bitmap_bytes(space));
    space->base = NULL;
}

int hw_space_commit(hw_space *space, size_t offset, size_t size_bytes) {
    assert(offset + size_bytes <= space->size_bytes);
    size_t page = space->page_bytes, unit = space->unit_bytes, last = round_up(offset + size_bytes, unit);
    run missing = next_run(space, offset / page, (offset + size_bytes + page - 1) / page, false);
    if (missing.first == missing.end) return 0;
    missing.first = missing.first * page / unit * unit / page;
    missing.end = least(round_up(last, COMMIT_STEP_BYTES), space->size_bytes) / page;
    int error = hw_pages_protect(address(space, missing.first), bytes(space, missing), space->permissions);
    if (error != 0) return error;
    size_t fresh = bytes(space, missing) - hw_space_committed_in(space, missing.first * page, bytes(space, missing));
    mark(space, missing, true);
    space->committed_bytes += fresh;
    space->total_committed_bytes += fresh;
    if (space->committed_bytes > space->peak_committed_bytes) space->peak_committed_bytes = space->committed_bytes;
    if (missing.end * page > space->reach_bytes) space->reach_bytes = missing.end * page;
    size_t prefix = space->prefix_bytes / page;
    if (missing.first <= prefix) space->prefix_bytes = next_page(space, prefix, space->size_bytes / page, false) * page;
    return 0;
}

int hw_space_populate(hw_space *space, bool lock) {
    int permissions = space->permissions, read_write = HW_PAGES_READ | HW_PAGES_WRITE;
    space->permissions = read_write; /* for now: who is to be written to has to be writable */
    int error = hw_space_commit(space, 0, space->size_bytes);
    if (error == 0) error = (lock ? hw_pages_lock : hw_pages_populate)(space->base, space->size_bytes);
    if (error == 0 && permissions != read_write) error = hw_space_protect(space, permissions);
    space->populated = error == 0;
    space->locked = error == 0 && lock;
    return error;
}

hw_space_run hw_space_next_committed(const hw_space *space, size_t from, size_t end) {
    run found = next_run(space, from / space->page_bytes, searched_to(space, end), true);
    return (hw_space_run){found.first * space->page_bytes, found.first < found.end ? bytes(space, found) : 0};
}

size_t hw_space_committed_in(const hw_space *space, size_t offset, size_t size_bytes) {
    size_t total = 0, end = offset + size_bytes;
    hw_space_run r = hw_space_next_committed(space, round_up(offset, space->page_bytes), end);
    for (; r.size_bytes != 0; r = hw_space_next_committed(space, r.offset_bytes + r.size_bytes, end)) total += r.size_bytes;
    return total;
}

void hw_space_zero_committed(hw_space *space, size_t offset, size_t size_bytes) {
    size_t page = space->page_bytes, limit = offset + size_bytes, end = searched_to(space, round_up(limit, page));
    for (run r = next_run(space, offset / page, end, true); r.first < r.end; r = next_run(space, r.end, end, true)) {
        size_t from = r.first * page < offset ? offset : r.first * page;
        memset(space->base + from, 0, least(r.end * page, limit) - from);
    }
}

int hw_space_decommit(hw_space *space, const hw_space_run *runs, size_t count, size_t *returned_bytes) {
    hw_pages_range ranges[HW_PAGES_RANGES_MAX];
    *returned_bytes = 0;
    if (count == 0) return 0;
    assert(count <= HW_PAGES_RANGES_MAX);
    for (size_t i = 0; i < count; i++)
        ranges[i] = (hw_pages_range){space->base + runs[i].offset_bytes, runs[i].size_bytes};
    int error = hw_pages_decommit_many(ranges, count, returned_bytes);
    size_t left = *returned_bytes;
    for (size_t i = 0; i < count && left > 0; i++) {
        size_t first = runs[i].offset_bytes, gone = least(left, runs[i].size_bytes);
        mark(space, (run){first / space->page_bytes, (first + gone) / space->page_bytes}, false);
        if (first < space->prefix_bytes) space->prefix_bytes = first;
        left -= gone;
    }
    space->committed_bytes -= *returned_bytes;
    return error;
}

static int protect_runs(hw_space *space, int permissions, size_t *reached) {
    size_t end = *reached;
    for (run r = next_run(space, 0, end, true); r.first < r.end; r = next_run(space, r.end, end, true)) {
        int error = hw_pages_protect(address(space, r.first), bytes(space, r), permissions);
        *reached = r.first;
        if (error != 0) return error;
    }
    *reached = end;
    return 0;
}

int hw_space_protect(hw_space *space, int permissions) {
    size_t reached = searched_to(space, space->size_bytes);
    int error = protect_runs(space, permissions, &reached);
    if (error == 0) space->permissions = permissions;
    else protect_runs(space, space->permissions, &reached);
    return error;
}

int hw_space_resident(const hw_space *space, size_t *resident_bytes) {
    size_t end = searched_to(space, space->size_bytes);
    *resident_bytes = 0;
    for (run r = next_run(space, 0, end, true); r.first < r.end; r = next_run(space, r.end, end, true)) {
        size_t here;
        int error = hw_pages_resident(address(space, r.first), bytes(space, r), &here);
        if (error != 0) return error;
        *resident_bytes += here;
    }
    return 0;
}
