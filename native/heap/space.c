#include "heap/space.h"

#include <assert.h>
#include <string.h>

#include "os/pages.h"

enum { COMMIT_STEP_BYTES = 256 << 10 };

typedef struct {
    size_t first, end; /* units */
} run;

static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

static bool is_set(const hw_space *space, size_t unit) { return space->committed[unit / 64] >> (unit % 64) & 1; }

/* The first run of committed (or, if !set, not committed) units in [from, end); empty if there is none. */
static run next_run(const hw_space *space, size_t from, size_t end, bool set) {
    uint64_t skip = set ? 0 : UINT64_MAX; /* a word in which nothing of the kind begins */
    while (from < end && is_set(space, from) != set)
        from = from % 64 == 0 && space->committed[from / 64] == skip ? from + 64 : from + 1;
    run found = {from < end ? from : end, from < end ? from : end};
    while (found.end < end && is_set(space, found.end) == set)
        found.end = found.end % 64 == 0 && space->committed[found.end / 64] == ~skip ? found.end + 64 : found.end + 1;
    if (found.end > end) found.end = end;
    return found;
}

static void mark(hw_space *space, run units, bool set) {
    for (size_t unit = units.first; unit < units.end;) {
        size_t n = units.end - unit < 64 - unit % 64 ? units.end - unit : 64 - unit % 64;
        uint64_t mask = (n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1) << unit % 64;
        uint64_t *word = &space->committed[unit / 64];
        *word = set ? *word | mask : *word & ~mask;
        unit += n;
    }
}

/* The units wholly inside a range of bytes. */
static run inside(const hw_space *space, size_t offset, size_t size_bytes) {
    run units = {(offset + space->unit_bytes - 1) / space->unit_bytes, (offset + size_bytes) / space->unit_bytes};
    if (units.end < units.first) units.end = units.first;
    return units;
}

static char *address(const hw_space *space, size_t unit) { return space->base + unit * space->unit_bytes; }

static size_t bytes(const hw_space *space, run units) { return (units.end - units.first) * space->unit_bytes; }

static size_t bitmap_bytes(const hw_space *space) {
    return round_up(round_up(space->size_bytes / space->unit_bytes, 64) / 8, hw_pages_size());
}

int hw_space_open(hw_space *space, size_t size_bytes, size_t alignment, bool huge, int permissions) {
    size_t unit = huge ? HW_HUGE_PAGE_BYTES : hw_pages_size();
    void *base, *committed;
    if (size_bytes > SIZE_MAX / 2) size_bytes = SIZE_MAX / 2; /* more than any address space: reserve says ENOMEM */
    *space = (hw_space){.size_bytes = round_up(size_bytes, unit), .unit_bytes = unit, .permissions = permissions};
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
    size_t last = (offset + size_bytes + space->unit_bytes - 1) / space->unit_bytes;
    run missing = next_run(space, offset / space->unit_bytes, last, false);
    if (missing.first == missing.end) return 0;
    size_t stepped = round_up(last * space->unit_bytes, COMMIT_STEP_BYTES);
    missing.end = (stepped < space->size_bytes ? stepped : space->size_bytes) / space->unit_bytes;
    int error = hw_pages_protect(address(space, missing.first), bytes(space, missing), space->permissions);
    if (error != 0) return error;
    size_t fresh = bytes(space, missing) - hw_space_committed_in(space, missing.first * space->unit_bytes, bytes(space, missing));
    mark(space, missing, true);
    space->committed_bytes += fresh;
    space->total_committed_bytes += fresh;
    if (space->committed_bytes > space->peak_committed_bytes) space->peak_committed_bytes = space->committed_bytes;
    size_t units = space->size_bytes / space->unit_bytes, prefix = space->prefix_bytes / space->unit_bytes;
    if (missing.first <= prefix) space->prefix_bytes = next_run(space, prefix, units, false).first * space->unit_bytes;
    return 0;
}

size_t hw_space_committed_in(const hw_space *space, size_t offset, size_t size_bytes) {
    size_t total = 0;
    run range = inside(space, offset, size_bytes);
    for (run r = next_run(space, range.first, range.end, true); r.first < r.end; r = next_run(space, r.end, range.end, true))
        total += bytes(space, r);
    return total;
}

void hw_space_zero_committed(hw_space *space, size_t offset, size_t size_bytes) {
    size_t unit = space->unit_bytes, limit = offset + size_bytes, end = (limit + unit - 1) / unit;
    for (run r = next_run(space, offset / unit, end, true); r.first < r.end; r = next_run(space, r.end, end, true)) {
        size_t from = r.first * unit < offset ? offset : r.first * unit;
        size_t to = r.end * unit > limit ? limit : r.end * unit;
        memset(space->base + from, 0, to - from);
    }
}

int hw_space_decommit(hw_space *space, size_t offset, size_t size_bytes, size_t keep_bytes, size_t *returned_bytes) {
    run range = inside(space, offset, size_bytes);
    for (run r = next_run(space, range.first, range.end, true); r.first < r.end; r = next_run(space, r.end, range.end, true)) {
        size_t kept = keep_bytes < bytes(space, r) ? round_up(keep_bytes, space->unit_bytes) : bytes(space, r);
        keep_bytes -= keep_bytes < kept ? keep_bytes : kept;
        run gone = {r.first + kept / space->unit_bytes, r.end};
        if (gone.first == gone.end) continue;
        int error = hw_pages_decommit(address(space, gone.first), bytes(space, gone));
        if (error != 0) return error;
        mark(space, gone, false);
        space->committed_bytes -= bytes(space, gone);
        *returned_bytes += bytes(space, gone);
        if (gone.first * space->unit_bytes < space->prefix_bytes) space->prefix_bytes = gone.first * space->unit_bytes;
    }
    return 0;
}

static int protect_runs(hw_space *space, int permissions, size_t *reached) {
    size_t units = space->size_bytes / space->unit_bytes, end = *reached;
    for (run r = next_run(space, 0, end, true); r.first < r.end; r = next_run(space, r.end, end, true)) {
        int error = hw_pages_protect(address(space, r.first), bytes(space, r), permissions);
        *reached = r.first;
        if (error != 0) return error;
    }
    *reached = units;
    return 0;
}

int hw_space_protect(hw_space *space, int permissions) {
    size_t reached = space->size_bytes / space->unit_bytes;
    int error = protect_runs(space, permissions, &reached);
    if (error == 0) space->permissions = permissions;
    else protect_runs(space, space->permissions, &reached);
    return error;
}

int hw_space_resident(const hw_space *space, size_t *resident_bytes) {
    size_t units = space->size_bytes / space->unit_bytes;
    *resident_bytes = 0;
    for (run r = next_run(space, 0, units, true); r.first < r.end; r = next_run(space, r.end, units, true)) {
        size_t here;
        int error = hw_pages_resident(address(space, r.first), bytes(space, r), &here);
        if (error != 0) return error;
        *resident_bytes += here;
    }
    return 0;
}
