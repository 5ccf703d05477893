#include "process/pooled.h"

#include "core/page_heap.h"
#include "core/slab.h"
#include "os/huge_probe.h"
#include "os/lock.h"
#include "os/pages.h"
#include "os/process_figures.h"
#include "process/record.h"
#include "process/retention.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HUGE_PAGES ((uint32_t)(HW_HUGE_PAGE_BYTES / HW_PAGE_BYTES))
#define GROWTH_PAGES ((uint32_t)((32u << 20) / HW_PAGE_BYTES))
#define MIN_LIMIT_BYTES ((uint64_t)64 << 30)
#define MAX_LIMIT_BYTES ((uint64_t)8 << 40)
#define PURGE_PAGES ((uint32_t)((64u << 20) / HW_PAGE_BYTES)) /* given back in one system call at most */
#define PURGE_BATCH_PAGES ((uint32_t)((256u << 10) / HW_PAGE_BYTES)) /* and at least, where the cap asks for it */
#define DENSE_PAGES ((uint32_t)((8u << 20) / HW_PAGE_BYTES)) /* live: from here on a chunk is a small part of the heap */
#define HUGE_LOSS_SHARE 100
#define ZERO_BY_KERNEL_BYTES ((size_t)32 << 20)
#define RUNS 16

hw_extent hw_pooled_extent;

/* Everything below is guarded by `lock`, except what hw_pooled_start sets once. */
static hw_lock lock;
static hw_extent control;
static hw_page_heap *heap;
static hw_slabs slabs;
static _Atomic uint64_t events; /* read without the lock */
static bool retired;
static uint64_t most_retained_pages;
static unsigned giving_back;       /* threads that hold a run outside the lock */
static uint32_t giving_back_pages; /* the pages of these runs, which count as live in the page heap */

/* One bit per 2 MiB chunk: huge pages were asked for there.
 *
 * A huge page is one fault instead of 512, but all of it is resident as soon as one byte is touched. Best fit packs the
 * heap from its start, so what it grows into gets used in full: once the heap is large against a chunk (DENSE_PAGES), and
 * where huge pages pay on this machine, every chunk that it takes fresh pages from is advised. Otherwise only those are
 * that one large block covers, as NumPy does. A chunk
 * of which a part is given back loses the advice, or the kernel's khugepaged would fill it up again. */
static uint64_t huge_advised[MAX_LIMIT_BYTES / HW_HUGE_PAGE_BYTES / 64];

static inline char *address_of(uint32_t page) { return hw_pooled_extent.base + (size_t)page * HW_PAGE_BYTES; }
static inline uint64_t offset_of(const void *address) { return (uint64_t)((const char *)address - hw_pooled_extent.base); }
static inline uint32_t pages_for(size_t size_bytes) { return (uint32_t)((size_bytes + HW_PAGE_BYTES - 1) >> HW_PAGE_SHIFT); }

int hw_pooled_start(void) {
    if (heap != NULL) {
        hw_lock_acquire(&lock);
        retired = false;
        hw_lock_release(&lock);
        return 0;
    }
    if (hw_pages_size() != HW_PAGE_BYTES) return ENOTSUP;
    uint64_t memory_bytes = (uint64_t)hw_memory_limit_bytes(), limit = memory_bytes * 4;
    most_retained_pages = memory_bytes / HW_RETAINED_SHARE / HW_PAGE_BYTES;
    if (limit < MIN_LIMIT_BYTES) limit = MIN_LIMIT_BYTES;
    if (limit > MAX_LIMIT_BYTES) limit = MAX_LIMIT_BYTES;
    limit &= ~((uint64_t)HW_TERRITORY_PAGES * HW_PAGE_BYTES - 1);
    size_t control_limit = hw_page_heap_control_bytes(limit / HW_PAGE_BYTES);
    int error = hw_extent_open(&control, hw_page_heap_control_bytes(HW_TERRITORY_PAGES), control_limit);
    if (error != 0) return error;
    hw_page_heap *fresh = (hw_page_heap *)control.base;
    hw_page_heap_init(fresh);
    hw_slabs_init(&slabs);
    hw_extent memory;
    error = hw_extent_open(&memory, GROWTH_PAGES * HW_PAGE_BYTES, (size_t)limit);
    if (error != 0) {
        hw_extent_close(&control);
        return error;
    }
    hw_pages_advise_huge(memory.base, memory.committed_bytes, false);
    hw_page_heap_extend(fresh, GROWTH_PAGES);
    heap = fresh;
    retired = false; /* who uninstalls before the first start retires it, too */
    hw_pooled_extent = memory;
    hw_process_record->heap_base = (int64_t)(uintptr_t)memory.base;
    hw_process_record->heap_committed_bytes = (int64_t)memory.committed_bytes;
    return 0;
}

bool hw_pooled_retire(void) {
    hw_lock_acquire(&lock);
    if (hw_process_record->heap_blocks == 0) retired = true;
    bool is_retired = retired;
    hw_lock_release(&lock);
    return is_retired;
}

void hw_pooled_lock(void) { hw_lock_acquire(&lock); }
void hw_pooled_unlock(void) { hw_lock_release(&lock); }

void hw_pooled_lock_at_rest(void) {
    for (;;) {
        hw_lock_acquire(&lock);
        if (giving_back == 0) return;
        hw_lock_release(&lock);
        sched_yield();
    }
}

/* ---- figures, kept in the record under the lock ---- */

/* Not called for every slot, so the record may be off by the slots taken and freed since; hw_pooled_read never is. */
static inline void note_retained(void) {
    int64_t slab_free = (int64_t)slabs.slab_pages * (int64_t)HW_PAGE_BYTES - (int64_t)slabs.live_bytes;
    int64_t retained = (int64_t)heap->dirty_pages * (int64_t)HW_PAGE_BYTES + slab_free;
    hw_process_record->retained_bytes = retained;
    if (retained > hw_process_record->peak_retained_bytes) hw_process_record->peak_retained_bytes = retained;
}

static inline void note_allocated(size_t requested, size_t allocated) {
    hw_record *record = hw_process_record;
    record->heap_requested_bytes += (int64_t)requested;
    record->heap_allocated_bytes += (int64_t)allocated;
    record->heap_blocks++;
    hw_record_note_peak(record);
    if (record->heap_requested_bytes > record->peak_requested_bytes)
        record->peak_requested_bytes = record->heap_requested_bytes;
    hw_record_note_size(record, requested);
    atomic_store_explicit(&events, atomic_load_explicit(&events, memory_order_relaxed) + 1, memory_order_relaxed);
}

static inline void note_freed(size_t requested, size_t allocated) {
    hw_record *record = hw_process_record;
    record->heap_requested_bytes -= (int64_t)requested;
    record->heap_allocated_bytes -= (int64_t)allocated;
    record->heap_blocks--;
    atomic_store_explicit(&events, atomic_load_explicit(&events, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* ---- memory from and to the kernel ---- */

static inline bool is_advised(uint32_t chunk) { return huge_advised[chunk / 64] >> (chunk % 64) & 1; }

/* Sets or takes back the advice for the chunks [first, end) for which it differs. Lock held. */
static void advise(uint32_t first, uint32_t end, bool huge) {
    for (uint32_t chunk = first; chunk < end;) {
        uint32_t run = chunk;
        while (run < end && is_advised(run) != huge) run++;
        if (run > chunk && hw_pages_advise_huge(address_of(chunk * HUGE_PAGES), (run - chunk) * HW_HUGE_PAGE_BYTES, huge) == 0)
            for (uint32_t i = chunk; i < run; i++) huge_advised[i / 64] ^= UINT64_C(1) << (i % 64);
        chunk = run + 1;
    }
}

/* Maps more, enough for a span of `pages` at any alignment up to 2 MiB. Lock held. */
static bool grow(uint32_t pages) {
    uint64_t want = (uint64_t)pages + HUGE_PAGES;
    want = (want + HUGE_PAGES - 1) / HUGE_PAGES * HUGE_PAGES;
    uint64_t step = want > GROWTH_PAGES ? want : GROWTH_PAGES;
    if (heap->mapped + step >= HW_NO_PAGE) return false;
    size_t control_bytes = hw_page_heap_control_bytes(heap->mapped + step);
    if (control_bytes > control.committed_bytes && hw_extent_grow(&control, control_bytes - control.committed_bytes) != 0)
        return false;
    if (hw_extent_grow(&hw_pooled_extent, step * HW_PAGE_BYTES) != 0) {
        step = want; /* close to a limit a smaller step may still do */
        if (hw_extent_grow(&hw_pooled_extent, step * HW_PAGE_BYTES) != 0) return false;
    }
    /* Where the kernel gives huge pages unasked, memory without advice would be huge: bit 0 means that it is not. */
    hw_pages_advise_huge(address_of(heap->mapped), step * HW_PAGE_BYTES, false);
    hw_page_heap_extend(heap, (uint32_t)step);
    hw_process_record->heap_committed_bytes = (int64_t)hw_pooled_extent.committed_bytes;
    return true;
}

/* ---- whether huge pages pay ---- */

static int huge_when = HW_HUGE_AUTO;
/* What 2 MiB cost as one huge page, and as small pages; huge_page_costs_ns < 0: not yet known. One dear page counts at once,
 * cheap ones little by little: on a machine where huge pages come cold they come so by the dozen. */
static int64_t huge_page_costs_ns = -1, small_pages_cost_ns;
static int64_t lost_ns;   /* spent on huge pages beyond what small ones would have cost: the price of finding out */
static uint32_t frontier; /* pages from here on were never handed out */

void hw_pooled_use_huge_pages(int when) { huge_when = when; }

/* Takes in what one huge page cost. */
static void learn(int64_t cost_ns) {
    huge_page_costs_ns = (3 * huge_page_costs_ns + cost_ns) / 4;
    if (cost_ns > huge_page_costs_ns) huge_page_costs_ns = cost_ns;
    if (cost_ns > small_pages_cost_ns) lost_ns += cost_ns - small_pages_cost_ns;
}

/* Finding out may cost at most 1/HUGE_LOSS_SHARE of the process's time. */
static bool may_find_out(void) { return lost_ns * HUGE_LOSS_SHARE < hw_process_cpu_ns(); }

static bool huge_pages_pay(void) {
    if (huge_when != HW_HUGE_AUTO) return huge_when == HW_HUGE_ALWAYS;
    if (huge_page_costs_ns < 0) {
        if (hw_huge_probe(&huge_page_costs_ns, &small_pages_cost_ns))
            learn(huge_page_costs_ns);
        else
            huge_page_costs_ns = lost_ns = INT64_MAX / HUGE_LOSS_SHARE / 4; /* there are none: do not ask again */
    }
    return huge_page_costs_ns < small_pages_cost_ns;
}

/* Advises the chunks [first, end), if the heap is dense and as long as it pays: each that was never used before is touched here, as
 * its user would do a moment later, to see what it costs. Where huge pages do not pay, one is tried now and then, since
 * the machine may have changed its mind. */
static void advise_dense(uint32_t first, uint32_t end) {
    if (heap->live_pages < DENSE_PAGES) {
        advise(first, end, false);
        return;
    }
    bool pays = huge_pages_pay();
    for (uint32_t chunk = first; chunk < end; chunk++) {
        bool unused = (uint64_t)chunk * HUGE_PAGES >= frontier && huge_when == HW_HUGE_AUTO;
        bool ask = pays || (unused && may_find_out());
        advise(chunk, chunk + 1, ask);
        if (!unused || !ask) continue;
        learn(hw_touch_ns(address_of(chunk * HUGE_PAGES)));
        pays = huge_pages_pay();
    }
}

static uint32_t find_span(uint32_t pages, uint32_t state, bool roomy) {
    uint32_t alignment = state == HW_SPAN_SLAB ? pages : 1;
    if (state == HW_SPAN_LIVE && pages >= HW_POOLED_HUGE_BYTES / HW_PAGE_BYTES && !roomy) {
        /* Whole chunks for it alone in a small heap, unless it is resident as it lies. In a large one the holes between
         * aligned blocks would be the greater loss: a denoising loop gave back and faulted 500 MB for them. */
        uint32_t span = hw_page_heap_find(heap, pages, 1, false);
        bool good = span != HW_NO_PAGE && (hw_page_at(heap, span)->dirty >= pages / 2 || heap->live_pages >= DENSE_PAGES);
        if (!good) alignment = HUGE_PAGES;
    }
    uint32_t page = hw_page_heap_allocate(heap, pages, alignment, state, roomy);
    if (page == HW_NO_PAGE && grow(pages)) page = hw_page_heap_allocate(heap, pages, alignment, state, roomy);
    return page;
}

static size_t give_back_locked(uint64_t target_pages, uint64_t at_least, int why) {
    int saved_errno = errno; /* a free that gives back must not change it */
    hw_record *record = hw_process_record;
    size_t given = 0;
    if (heap->dirty_pages > target_pages && heap->dirty_pages - target_pages < at_least)
        target_pages = heap->dirty_pages > at_least ? heap->dirty_pages - at_least : 0;
    while (heap->dirty_pages > target_pages) {
        uint64_t excess = heap->dirty_pages - target_pages;
        uint32_t limit = excess < PURGE_PAGES ? (uint32_t)excess : PURGE_PAGES, start;
        uint32_t pages = hw_page_heap_take_dirty(heap, limit, HUGE_PAGES, &start);
        if (pages == 0) break;
        if (start % HUGE_PAGES != 0 || pages % HUGE_PAGES != 0)
            advise(start / HUGE_PAGES, (start + pages - 1) / HUGE_PAGES + 1, false);
        /* the run counts as live meanwhile, so nobody else sees it, and other threads can allocate */
        giving_back++;
        giving_back_pages += pages;
        hw_lock_release(&lock);
        bool clean = hw_pages_decommit(address_of(start), (size_t)pages * HW_PAGE_BYTES) == 0;
        hw_lock_acquire(&lock);
        giving_back--;
        giving_back_pages -= pages;
        hw_page_heap_free(heap, start, clean);
        if (!clean) break; /* the kernel refuses (locked pages): they stay retained */
        given += (size_t)pages * HW_PAGE_BYTES;
    }
    if (why == HW_RETURN_CAP) record->returned_cap_bytes += (int64_t)given;
    if (why == HW_RETURN_IDLE) record->returned_idle_bytes += (int64_t)given;
    if (why == HW_RETURN_ASKED) record->returned_asked_bytes += (int64_t)given;
    note_retained();
    errno = saved_errno;
    return given;
}

/* Books a block's pages, sets their advice and, where the block takes fresh ones, holds the law of retention.
 * Returns how many were resident. Lock held. */
static uint32_t settle(uint32_t page, uint32_t pages, bool huge) {
    uint32_t resident = hw_page_heap_count_dirty(heap, page, pages), fresh = pages - resident;
    hw_process_record->reused_bytes += (int64_t)resident * (int64_t)HW_PAGE_BYTES;
    hw_process_record->fresh_bytes += (int64_t)fresh * (int64_t)HW_PAGE_BYTES;
    if (fresh != 0) {
        uint32_t first = page / HUGE_PAGES, end = (page + pages - 1) / HUGE_PAGES + 1;
        if (huge) { /* the chunks that are its own, whatever they cost: NumPy asks for the same */
            uint32_t own_first = (page + HUGE_PAGES - 1) / HUGE_PAGES, own_end = (page + pages) / HUGE_PAGES;
            advise(own_first, own_end, true);
            if (first < own_first) advise_dense(first, own_first);
            if (own_end < end) advise_dense(own_end, end);
        } else {
            advise_dense(first, end);
        }
        if (page + pages > frontier) frontier = page + pages;
    }
    uint64_t live = hw_pooled_live_pages(), limit = hw_retention_limit_pages(live);
    if (fresh != 0 && live + heap->dirty_pages > limit) give_back_locked(limit - live, PURGE_BATCH_PAGES, HW_RETURN_CAP);
    else
        note_retained();
    return resident;
}

/* ---- blocks ---- */

static void *allocate_slot(size_t size_bytes, bool zeroed) {
    hw_lock_acquire(&lock);
    uint32_t slab_pages = slabs.slab_pages;
    uint64_t offset = UINT64_MAX;
    if (!retired) offset = hw_slab_allocate(&slabs, heap, size_bytes);
    if (!retired && offset == UINT64_MAX && grow(64)) offset = hw_slab_allocate(&slabs, heap, size_bytes);
    if (offset == UINT64_MAX) {
        hw_lock_release(&lock);
        return NULL;
    }
    note_allocated(size_bytes, hw_slab_class_bytes(hw_slab_class(size_bytes)));
    if (slabs.slab_pages != slab_pages) /* a new slab was cut, and this is its first slot */
        settle((uint32_t)(offset >> HW_PAGE_SHIFT), slabs.slab_pages - slab_pages, false);
    hw_lock_release(&lock);
    char *block = hw_pooled_extent.base + offset;
    if (zeroed) memset(block, 0, size_bytes);
    return block;
}

/* Zeroes the pages of a fresh block that were resident; the others read as zero. */
static void zero(char *block, size_t size_bytes, const uint32_t runs[][2], int n_runs, bool all) {
    if (all) {
        if (size_bytes < ZERO_BY_KERNEL_BYTES || hw_pages_decommit(block, (size_t)pages_for(size_bytes) * HW_PAGE_BYTES) != 0)
            memset(block, 0, size_bytes);
        return;
    }
    for (int i = 0; i < n_runs; i++) {
        size_t start = (size_t)runs[i][0] * HW_PAGE_BYTES, length = (size_t)runs[i][1] * HW_PAGE_BYTES;
        memset(block + start, 0, start + length <= size_bytes ? length : size_bytes - start);
    }
}

static void *allocate_span(size_t size_bytes, bool zeroed, bool roomy) {
    if (size_bytes > hw_pooled_extent.limit_bytes) return NULL;
    uint32_t pages = pages_for(size_bytes), runs[RUNS][2];
    int n_runs = 0;
    bool zero_all = false;
    hw_lock_acquire(&lock);
    uint32_t page = retired ? HW_NO_PAGE : find_span(pages, HW_SPAN_LIVE, roomy);
    if (page == HW_NO_PAGE) {
        hw_lock_release(&lock);
        return NULL;
    }
    size_t allocated = (size_t)pages * HW_PAGE_BYTES;
    hw_page_at(heap, page)->slack = (uint32_t)(allocated - size_bytes);
    note_allocated(size_bytes, allocated);
    uint32_t resident = settle(page, pages, size_bytes >= HW_POOLED_HUGE_BYTES);
    if (zeroed && resident == pages) {
        zero_all = true;
    } else if (zeroed && resident != 0) {
        for (uint32_t at = page, length; (length = hw_page_heap_dirty_run(heap, &at, page + pages)) != 0; at += length) {
            if (n_runs == RUNS) {
                zero_all = true;
                break;
            }
            runs[n_runs][0] = at - page;
            runs[n_runs++][1] = length;
        }
    }
    hw_lock_release(&lock);
    char *block = address_of(page);
    if (zeroed && (zero_all || n_runs != 0)) zero(block, size_bytes, (const uint32_t(*)[2])runs, n_runs, zero_all);
    return block;
}

void *hw_pooled_allocate(size_t size_bytes, bool zeroed) {
    void *block = size_bytes <= HW_SLAB_MAX_BYTES ? allocate_slot(size_bytes, zeroed) : allocate_span(size_bytes, zeroed, false);
    if (block != NULL) hw_keeper_ensure();
    return block;
}

static _Noreturn void die(const char *what, const void *address) {
    char text[256];
    int length = snprintf(text, sizeof text,
                          "heapwright: %s: %p is not the start of a live block. It was freed twice, or never came from "
                          "this allocator; the heap is unharmed, but the program is wrong. Ending the process.\n",
                          what, address);
    if (write(2, text, (size_t)length) < 0) abort();
    abort();
}

/* The span of a block of ours and, where that is a slab, its slot (-1 otherwise). Lock held. */
static uint32_t locate(const void *address, int *slot, const char *doing) {
    uint64_t offset = offset_of(address);
    uint32_t page = (uint32_t)(offset >> HW_PAGE_SHIFT);
    *slot = -1;
    if (offset < (uint64_t)heap->mapped * HW_PAGE_BYTES) {
        if (offset % HW_PAGE_BYTES == 0 && hw_page_is_head(heap, page) && hw_page_at(heap, page)->state == HW_SPAN_LIVE)
            return page;
        page = hw_page_heap_span(heap, page);
        if (hw_page_at(heap, page)->state == HW_SPAN_SLAB && (*slot = hw_slab_slot(heap, page, offset)) >= 0) return page;
    }
    hw_lock_release(&lock);
    die(doing, address);
}

static size_t requested_size(uint32_t page, int slot) {
    if (slot < 0) return (size_t)hw_page_at(heap, page)->length * HW_PAGE_BYTES - hw_page_at(heap, page)->slack;
    const hw_slab *slab = hw_slab_at(heap, page);
    return hw_slab_class_bytes(slab->class) - slab->slack[slot];
}

void hw_pooled_free(void *address) {
    int slot;
    hw_lock_acquire(&lock);
    uint32_t page = locate(address, &slot, "free");
    size_t requested = requested_size(page, slot);
    if (slot >= 0) {
        uint32_t slab_pages = slabs.slab_pages;
        note_freed(requested, hw_slab_class_bytes(hw_slab_at(heap, page)->class));
        hw_slab_free(&slabs, heap, page, slot);
        if (slabs.slab_pages != slab_pages) note_retained();
    } else {
        note_freed(requested, (size_t)hw_page_at(heap, page)->length * HW_PAGE_BYTES);
        hw_page_heap_free(heap, page, false);
        if (heap->dirty_pages > most_retained_pages)
            give_back_locked(most_retained_pages, 0, HW_RETURN_CAP);
        else
            note_retained();
    }
    hw_lock_release(&lock);
}

size_t hw_pooled_size(const void *address) {
    int slot;
    hw_lock_acquire(&lock);
    uint32_t page = locate(address, &slot, "size");
    size_t requested = requested_size(page, slot);
    hw_lock_release(&lock);
    return requested;
}

/* Tries to give the block its new size where it lies. Lock held. */
static bool resize(uint32_t page, int slot, size_t size_bytes) {
    size_t requested = requested_size(page, slot), held, needed;
    if (slot >= 0) {
        hw_slab *slab = hw_slab_at(heap, page);
        held = needed = hw_slab_class_bytes(slab->class);
        /* also when a smaller class would do, unless half of the slot would be empty */
        if (size_bytes > held || size_bytes < held / 2) return false;
        slab->slack[slot] = (uint16_t)(held - size_bytes);
    } else {
        if (size_bytes <= HW_SLAB_MAX_BYTES / 2) return false; /* a small block should not hold a span */
        held = (size_t)hw_page_at(heap, page)->length * HW_PAGE_BYTES;
        needed = (size_t)pages_for(size_bytes) * HW_PAGE_BYTES;
        if (!hw_page_heap_resize(heap, page, pages_for(size_bytes))) return false;
        hw_page_at(heap, page)->slack = (uint32_t)(needed - size_bytes);
    }
    note_freed(requested, held);
    note_allocated(size_bytes, needed);
    if (needed > held)
        settle(page + (uint32_t)(held >> HW_PAGE_SHIFT), (uint32_t)((needed - held) >> HW_PAGE_SHIFT),
               size_bytes >= HW_POOLED_HUGE_BYTES);
    else
        note_retained();
    return true;
}

void *hw_pooled_reallocate(void *address, size_t size_bytes) {
    int slot;
    if (size_bytes > hw_pooled_extent.limit_bytes) return NULL;
    hw_lock_acquire(&lock);
    uint32_t page = locate(address, &slot, "realloc");
    size_t requested = requested_size(page, slot);
    bool done = resize(page, slot, size_bytes);
    hw_lock_release(&lock);
    if (done) return address;
    /* It moves. A block that grows once grows again: put it where there is room behind it. */
    void *moved = size_bytes <= HW_SLAB_MAX_BYTES ? allocate_slot(size_bytes, false)
                                                  : allocate_span(size_bytes, false, size_bytes > requested);
    if (moved == NULL) return NULL;
    memcpy(moved, address, requested < size_bytes ? requested : size_bytes);
    hw_pooled_free(address);
    return moved;
}

/* ---- giving back, looking ---- */

/* Gives back what is resident in free spans though nobody wrote there: the rest of a huge page of which a block used a
 * part. Lock held; where nothing is resident it is quick. */
static void sweep_free_spans(void) {
    for (uint32_t span = 0, length; span < heap->mapped; span += length) {
        length = hw_page_at(heap, span)->length;
        if (hw_page_at(heap, span)->state == HW_SPAN_FREE && hw_page_at(heap, span)->dirty == 0)
            hw_pages_decommit(address_of(span), (size_t)length * HW_PAGE_BYTES);
    }
}

size_t hw_pooled_give_back(size_t retained_target_bytes, bool slabs_too, int why) {
    if (heap == NULL) return 0;
    hw_lock_acquire(&lock);
    if (slabs_too) hw_slabs_trim(&slabs, heap);
    size_t given = give_back_locked(retained_target_bytes / HW_PAGE_BYTES, 0, why);
    if (retained_target_bytes == 0 && (given != 0 || why == HW_RETURN_ASKED)) sweep_free_spans();
    hw_lock_release(&lock);
    return given;
}

size_t hw_pooled_trim(size_t keep_bytes) { return hw_pooled_give_back(keep_bytes, true, HW_RETURN_ASKED); }

uint64_t hw_pooled_live_pages(void) { return heap == NULL ? 0 : heap->live_pages - giving_back_pages; }
uint64_t hw_pooled_events(void) { return atomic_load_explicit(&events, memory_order_relaxed); }

const char *hw_pooled_check(uint64_t *offset_bytes) {
    uint32_t page = 0;
    if (heap == NULL) return NULL;
    hw_lock_acquire(&lock);
    const char *broken = hw_page_heap_check(heap, &page);
    if (broken == NULL) broken = hw_slabs_check(&slabs, heap, &page);
    hw_lock_release(&lock);
    *offset_bytes = (uint64_t)page * HW_PAGE_BYTES;
    return broken;
}

void hw_pooled_read(hw_pooled_figures *figures) {
    *figures = (hw_pooled_figures){0};
    if (heap == NULL) return;
    hw_lock_acquire(&lock);
    note_retained();
    const hw_record *record = hw_process_record;
    figures->requested_bytes = (uint64_t)record->heap_requested_bytes;
    figures->allocated_bytes = (uint64_t)record->heap_allocated_bytes;
    figures->blocks = (uint64_t)record->heap_blocks;
    figures->committed_bytes = hw_pooled_extent.committed_bytes;
    figures->retained_bytes = (uint64_t)record->retained_bytes;
    figures->free_bytes = (uint64_t)heap->free_pages * HW_PAGE_BYTES;
    figures->longest_free_bytes = (uint64_t)hw_page_heap_longest(heap) * HW_PAGE_BYTES;
    hw_lock_release(&lock);
}
