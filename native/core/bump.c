#include "core/bump.h"

#include <assert.h>
#include <string.h>

/* Numbers of the walk that are no block's. */
#define GAP_BEFORE UINT32_C(0x80000000) /* + the block's */
#define TAIL (HW_STRATEGY_NONE - 1)
#define BLOCKS_MAX (UINT32_MAX / 2 - 1) /* so that no gap's number is the tail's */

static size_t round_up_64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

static uint32_t epochs_for(uint32_t blocks) { return blocks / 4; }

size_t hw_bump_control_bytes(uint32_t blocks) {
    return round_up_64(sizeof(hw_bump)) + round_up_64((size_t)blocks * sizeof(hw_bump_block)) +
           epochs_for(blocks) * sizeof(hw_bump_epoch);
}

/* The epochs before the latest, oldest first. */
static hw_bump_epoch *epochs(const hw_bump *bump) {
    return (hw_bump_epoch *)((char *)hw_bump_blocks(bump) +
                             round_up_64((size_t)bump->blocks_capacity * sizeof(hw_bump_block)));
}

enum hw_strategy_result hw_bump_init(void *control, uint32_t blocks, uint64_t capacity_bytes, uint32_t granule_bytes) {
    bool granule_ok = granule_bytes != 0 && granule_bytes <= 1u << 30 && (granule_bytes & (granule_bytes - 1)) == 0;
    if (!granule_ok || blocks < 4 || blocks > BLOCKS_MAX) return HW_STRATEGY_BAD_ARGUMENT;
    uint64_t capacity = capacity_bytes / granule_bytes;
    if (capacity == 0 || capacity >= UINT32_MAX) return HW_STRATEGY_BAD_ARGUMENT;
    *(hw_bump *)control = (hw_bump){
        .head = {capacity * granule_bytes, (uint32_t)__builtin_ctz(granule_bytes), HW_BUMP, HW_STRATEGY_NONE},
        .capacity = (uint32_t)capacity,
        .blocks_capacity = blocks,
        .epochs_capacity = epochs_for(blocks),
    };
    return HW_STRATEGY_OK;
}

hw_bump *hw_bump_grow(const hw_bump *bump, void *larger, uint32_t blocks) {
    assert(blocks >= bump->blocks_capacity && blocks <= BLOCKS_MAX);
    hw_bump *grown = larger;
    *grown = *bump;
    grown->blocks_capacity = blocks;
    grown->epochs_capacity = epochs_for(blocks);
    memcpy(hw_bump_blocks(grown), hw_bump_blocks(bump), bump->count * sizeof(hw_bump_block));
    memcpy(epochs(grown), epochs(bump), bump->depth * sizeof(hw_bump_epoch));
    return grown;
}

/* ---- what there is ---- */

static uint64_t requested_now(const hw_bump *bump) { return bump->outer.requested + bump->now.sums.requested; }
static uint64_t allocated_now(const hw_bump *bump) { return bump->outer.allocated + bump->now.sums.allocated; }
static uint64_t blocks_now(const hw_bump *bump) { return bump->count - bump->outer.dead - bump->now.sums.dead; }

static uint64_t greater(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Before anything becomes less. */
static void note_peaks(hw_bump *bump) {
    bump->peak_requested = greater(bump->peak_requested, requested_now(bump));
    bump->peak_allocated = greater(bump->peak_allocated, allocated_now(bump));
    bump->peak_blocks = greater(bump->peak_blocks, blocks_now(bump));
}

static uint32_t end_of(const hw_bump *bump, uint32_t number) {
    const hw_bump_block *block = &hw_bump_blocks(bump)[number];
    return block->offset + block->size;
}

/* Where the block before ends. */
static uint32_t end_before(const hw_bump *bump, uint32_t number) { return number == 0 ? 0 : end_of(bump, number - 1); }

static bool has_gap(const hw_bump *bump, uint32_t number) {
    return hw_bump_blocks(bump)[number].offset != end_before(bump, number);
}

static void add(hw_bump_sums *to, const hw_bump_sums *sums) {
    to->requested += sums->requested;
    to->allocated += sums->allocated;
    to->dead += sums->dead;
    to->gaps += sums->gaps;
}

static void subtract(hw_bump_sums *from, const hw_bump_sums *sums) {
    from->requested -= sums->requested;
    from->allocated -= sums->allocated;
    from->dead -= sums->dead;
    from->gaps -= sums->gaps;
}

/* The epoch before the latest that a block is of: the last one that begins at or before it. */
static hw_bump_epoch *epoch_of(const hw_bump *bump, uint32_t number) {
    hw_bump_epoch *all = epochs(bump);
    uint32_t low = 0, high = bump->depth;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (all[middle].first <= number) low = middle;
        else high = middle;
    }
    return &all[low];
}

/* ---- free, resize ---- */

/* B6, after blocks have gone from the end of the table. */
static void settle_cursor(hw_bump *bump) {
    uint32_t *cursor = &bump->head.cursor;
    if (*cursor != HW_STRATEGY_NONE && (*cursor & ~GAP_BEFORE) >= bump->count) *cursor = TAIL;
}

/* B5: takes freed blocks since the latest mark off the end of the table. */
static void roll_back(hw_bump *bump) {
    const hw_bump_block *blocks = hw_bump_blocks(bump);
    while (bump->count > bump->now.first && !(blocks[bump->count - 1].requested_and_live & 1)) {
        bump->count--;
        bump->now.sums.dead--;
        bump->now.sums.gaps -= has_gap(bump, bump->count);
    }
    bump->top = end_before(bump, bump->count);
    settle_cursor(bump);
}

/* The sums that a live block is in change by this much, modulo 2^64. */
static void change(hw_bump *bump, uint32_t number, uint64_t requested, uint64_t allocated, uint32_t dead) {
    hw_bump_sums by = {requested, allocated, dead, 0};
    if (number >= bump->now.first) {
        add(&bump->now.sums, &by);
    } else {
        add(&epoch_of(bump, number)->sums, &by);
        add(&bump->outer, &by);
    }
}

enum hw_strategy_result hw_bump_free(hw_bump *bump, hw_strategy_handle handle) {
    if (!hw_bump_is_live(bump, handle)) return HW_STRATEGY_NOT_LIVE;
    note_peaks(bump);
    hw_bump_block *block = &hw_bump_blocks(bump)[handle.number];
    uint64_t requested = block->requested_and_live >> 1, allocated = block->size;
    block->requested_and_live &= ~UINT64_C(1);
    change(bump, handle.number, 0 - requested, 0 - allocated, 1);
    bump->freed_requested += requested;
    bump->freed_allocated += allocated;
    bump->freed_blocks++;
    if (handle.number == bump->count - 1) roll_back(bump);
    return HW_STRATEGY_OK;
}

enum hw_strategy_result hw_bump_resize(hw_bump *bump, hw_strategy_handle handle, uint64_t size_bytes) {
    if (!hw_bump_is_live(bump, handle)) return HW_STRATEGY_NOT_LIVE;
    if (size_bytes > bump->head.capacity_bytes) return HW_STRATEGY_NO_MEMORY;
    hw_bump_block *block = &hw_bump_blocks(bump)[handle.number];
    bool last = handle.number == bump->count - 1;
    uint32_t size = hw_bump_granules(bump, size_bytes);
    uint32_t room = last ? bump->capacity - block->offset : block->size;
    if (size > room) return HW_STRATEGY_NO_MEMORY;
    note_peaks(bump);
    if (!last) size = block->size; /* what it does not need any more nobody else can have */
    uint64_t requested = block->requested_and_live >> 1;
    change(bump, handle.number, size_bytes - requested, (uint64_t)size - block->size, 0);
    if (size_bytes < requested) bump->freed_requested += requested - size_bytes;
    if (size < block->size) bump->freed_allocated += block->size - size;
    block->size = size;
    block->requested_and_live = size_bytes << 1 | 1;
    if (last) bump->top = block->offset + size;
    return HW_STRATEGY_OK;
}

/* ---- marks ---- */

enum hw_strategy_result hw_bump_set_mark(hw_bump *bump, hw_bump_mark *mark) {
    if (bump->depth == bump->epochs_capacity) return HW_STRATEGY_CONTROL_FULL;
    epochs(bump)[bump->depth++] = bump->now;
    add(&bump->outer, &bump->now.sums);
    bump->now = (hw_bump_epoch){.serial = ++bump->last_serial, .first = bump->count};
    *mark = (hw_bump_mark){bump->now.serial, bump->depth};
    return HW_STRATEGY_OK;
}

static const hw_bump_epoch *epoch_at(const hw_bump *bump, uint32_t depth) {
    return depth == bump->depth ? &bump->now : &epochs(bump)[depth];
}

bool hw_bump_is_open(const hw_bump *bump, hw_bump_mark mark) {
    return mark.depth != 0 && mark.depth <= bump->depth && epoch_at(bump, mark.depth)->serial == mark.serial;
}

uint32_t hw_bump_first_since(const hw_bump *bump, hw_bump_mark mark) { return epoch_at(bump, mark.depth)->first; }

/* Whatever is not summed up in `outer` and `now` any more was freed. */
static void book_as_freed(hw_bump *bump, uint64_t requested, uint64_t allocated, uint64_t blocks) {
    bump->freed_requested += requested - requested_now(bump);
    bump->freed_allocated += allocated - allocated_now(bump);
    bump->freed_blocks += blocks - blocks_now(bump);
}

enum hw_strategy_result hw_bump_release(hw_bump *bump, hw_bump_mark mark) {
    if (!hw_bump_is_open(bump, mark)) return HW_STRATEGY_NOT_LIVE;
    note_peaks(bump);
    uint64_t requested = requested_now(bump), allocated = allocated_now(bump), blocks = blocks_now(bump);
    bump->count = hw_bump_first_since(bump, mark);
    while (bump->depth >= mark.depth) {
        bump->now = epochs(bump)[--bump->depth];
        subtract(&bump->outer, &bump->now.sums);
    }
    book_as_freed(bump, requested, allocated, blocks);
    roll_back(bump);
    return HW_STRATEGY_OK;
}

void hw_bump_reset(hw_bump *bump) {
    note_peaks(bump);
    uint64_t requested = requested_now(bump), allocated = allocated_now(bump), blocks = blocks_now(bump);
    bump->count = bump->top = bump->depth = 0;
    bump->now = (hw_bump_epoch){0};
    bump->outer = (hw_bump_sums){0};
    book_as_freed(bump, requested, allocated, blocks);
    settle_cursor(bump);
}

/* ---- looking ---- */

uint64_t hw_bump_room(const hw_bump *bump) {
    return (uint64_t)(bump->capacity - bump->top) << bump->head.granule_shift;
}

hw_strategy_totals hw_bump_totals(const hw_bump *bump) {
    uint32_t shift = bump->head.granule_shift;
    uint64_t requested = requested_now(bump), allocated = allocated_now(bump), blocks = blocks_now(bump);
    uint64_t inside = bump->outer.dead + bump->now.sums.dead + bump->outer.gaps + bump->now.sums.gaps;
    return (hw_strategy_totals){
        .requested = requested,
        .allocated = allocated << shift,
        .free = bump->head.capacity_bytes - (allocated << shift),
        .peak_requested = greater(bump->peak_requested, requested),
        .peak_allocated = greater(bump->peak_allocated, allocated) << shift,
        .total_requested = bump->freed_requested + requested,
        .total_allocated = (bump->freed_allocated + allocated) << shift,
        .blocks = blocks,
        .peak_blocks = greater(bump->peak_blocks, blocks),
        .total_blocks = bump->freed_blocks + blocks,
        .freed_blocks = bump->freed_blocks,
        .holes = inside + (bump->top < bump->capacity),
    };
}

void hw_bump_uncount(hw_bump *bump, uint64_t requested_bytes, uint64_t allocated_bytes, uint64_t blocks) {
    bump->freed_requested -= requested_bytes;
    bump->freed_allocated -= allocated_bytes >> bump->head.granule_shift;
    bump->freed_blocks -= blocks;
}

uint64_t hw_bump_restart_peak(hw_bump *bump) {
    uint64_t peak = greater(bump->peak_allocated, allocated_now(bump));
    bump->peak_allocated = 0; /* note_peaks sees what is live now before it becomes less */
    return peak << bump->head.granule_shift;
}

/* What comes in the walk at a block: itself, or the gap before it; behind the last one, what is left. */
static uint32_t at_or_before(const hw_bump *bump, uint32_t number) {
    if (number == bump->count) return bump->top < bump->capacity ? TAIL : HW_STRATEGY_NONE;
    return has_gap(bump, number) ? GAP_BEFORE | number : number;
}

uint32_t hw_bump_first(const hw_bump *bump) { return at_or_before(bump, 0); }

hw_strategy_seen hw_bump_see(const hw_bump *bump, uint32_t number) {
    uint32_t shift = bump->head.granule_shift, offset, end, next;
    uint64_t requested_and_live = 0;
    if (number == TAIL) {
        offset = bump->top, end = bump->capacity, next = HW_STRATEGY_NONE;
    } else if (number & GAP_BEFORE) {
        next = number & ~GAP_BEFORE;
        offset = end_before(bump, next), end = hw_bump_blocks(bump)[next].offset;
    } else {
        const hw_bump_block *block = &hw_bump_blocks(bump)[number];
        offset = block->offset, end = offset + block->size, next = at_or_before(bump, number + 1);
        requested_and_live = block->requested_and_live;
    }
    bool live = requested_and_live & 1;
    return (hw_strategy_seen){
        .offset_bytes = (uint64_t)offset << shift,
        .size_bytes = (uint64_t)(end - offset) << shift,
        .requested_bytes = live ? requested_and_live >> 1 : 0,
        .live = live,
        .next = next,
    };
}

static bool same(const hw_bump_sums *a, const hw_bump_sums *b) {
    return a->requested == b->requested && a->allocated == b->allocated && a->dead == b->dead && a->gaps == b->gaps;
}

const char *hw_bump_check(const hw_bump *bump, uint64_t *where_offset_bytes) {
    const hw_bump_block *blocks = hw_bump_blocks(bump);
    hw_bump_sums outer = {0};
    uint64_t end = 0, serial = 0;
    uint32_t number = 0;
    *where_offset_bytes = 0;
    if (bump->count > bump->blocks_capacity) return "B1";
    if (bump->depth > bump->epochs_capacity) return "B3";
    for (uint32_t depth = 0; depth <= bump->depth; depth++) {
        const hw_bump_epoch *epoch = epoch_at(bump, depth);
        uint32_t beyond = depth == bump->depth ? bump->count : epoch_at(bump, depth + 1)->first;
        if (epoch->first != number || beyond < number || beyond > bump->count) return "B3";
        if (depth > 0 && (epoch->serial <= serial || epoch->serial > bump->last_serial)) return "B3";
        serial = epoch->serial;
        hw_bump_sums sums = {0};
        for (; number < beyond; number++) {
            const hw_bump_block *block = &blocks[number];
            uint64_t requested = block->requested_and_live >> 1, room = (uint64_t)block->size << bump->head.granule_shift;
            *where_offset_bytes = (uint64_t)block->offset << bump->head.granule_shift;
            if (block->offset < end || (uint64_t)block->offset + block->size > bump->capacity) return "B1";
            if (block->size == 0 || requested > room) return "B2";
            sums.gaps += block->offset != end;
            end = (uint64_t)block->offset + block->size;
            if (block->requested_and_live & 1) sums.requested += requested, sums.allocated += block->size;
            else sums.dead++;
        }
        if (!same(&sums, &epoch->sums)) return "B4";
        if (depth < bump->depth) add(&outer, &sums);
    }
    if (!same(&outer, &bump->outer)) return "B4";
    if (end != bump->top) return "B1";
    if (bump->count > bump->now.first && !(blocks[bump->count - 1].requested_and_live & 1)) return "B5";
    uint32_t cursor = bump->head.cursor;
    return cursor >= TAIL || (cursor & ~GAP_BEFORE) < bump->count ? NULL : "B6";
}
