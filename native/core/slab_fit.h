/* Slab fit: small requests share slabs, each of 64 equal slots; all others, and the slabs themselves, are blocks of a best
 * fit over the same offsets (core/fit.h). heapwright.model.slab is the definition.
 *
 * A request of up to 64 granules, rounded up to its alignment, has a size class (core/size_class.h): 32 of them, the
 * granules up to 16, then eight for each doubling. So a slot exceeds its request by less than a granule or an eighth of
 * what was asked for, whichever is more; a request that would have more than 255 bytes of its slot left, for its alignment,
 * has no class. A slab is aligned to the greatest power of two that divides its class, and so is every slot.
 *
 *   allocate   the lowest free slot of the first slab on the list of the class; else of its spare one; else of a new slab, if
 *              the fit has room for one; else a block of its own from the fit; else the same once more, when every empty
 *              slab has been given back
 *   free       a slab that was full goes to the end of the list: by the time that it is the first it has more than one free
 *              slot, or else nearly every call would list one or unlist one. A slab that becomes empty stays there for as
 *              long as it is the only one on the list, else it is the spare; if the class has a spare, that is given back
 *   resize     a slot: any size that fits into it and leaves at most 255 bytes, where it is; a block of the fit: as there
 *
 * So bottom means: no free slot in the class, and no hole in the fit, empty slabs counted as holes. Spaces whose granule is
 * more than 64 bytes (256 GiB and above) have fewer classes, so that what is left of a slot fits into 8 bits; those with
 * more than 256 (1 TiB) have none.
 *
 * Everything is in one control region: this header, the slabs, the slab of each of the fit's blocks, the fit. The free slots
 * of a slab are the bits of a word out of line, with what was asked for beside it; the slots' own bytes are never touched.
 * It holds numbers only, so it may be copied anywhere. Not thread-safe.
 *
 * core/slab.h has the slabs of the process's own allocator: cut from spans of whole pages, with their book-keeping in the
 * page entries of the span. The classes are the same arithmetic.
 *
 * Cost: a slot O(1); a new slab or a block of its own O(log n), n = holes of the fit; the last resort O(classes).
 *
 * Source: Bonwick, The Slab Allocator, USENIX Summer 1994; the free bits out of line are those of jemalloc (Evans, BSDCan
 * 2006); eight classes per doubling, of its later versions and of tcmalloc.
 *
 * Invariants, walked by hw_slab_fit_check, beside those of the fit:
 *   K1  a slab in use is a live block of the fit of 64 slots of its class, and the fit's block knows it; no other does
 *   K2  a slab with a free slot is on the list of its class, exactly once, or its spare; a full one is on none
 *   K3  an empty slab is alone on its list, or the spare; so each class has at most one
 *   K4  what was asked for is at most the slot
 *   K5  the totals are the sums over live slots and the fit's other blocks
 *   K6  every slab record is in use, or retired and all free, or not yet used
 *   K7  the cursor is NONE, a slot of a slab in use, or a block in the fit's list */
#ifndef HW_CORE_SLAB_FIT_H
#define HW_CORE_SLAB_FIT_H

#include "core/fit.h"
#include "core/size_class.h"

enum { HW_SLAB_FIT_CLASSES = 32, HW_SLAB_FIT_GRANULES_MAX = 64, HW_SLAB_FIT_SLOTS = 64 };
#define HW_SLAB_FIT_BLOCK UINT32_C(0x80000000) /* in a number: the rest is the fit's; else it is slab * 64 + slot */
#define HW_SLAB_FIT_SLABS_MAX (UINT32_C(1) << 25)

typedef struct {
    uint64_t free; /* bit i: slot i is free; a retired slab: all */
    uint64_t offset_bytes;
    uint32_t slot_bytes;
    uint32_t next, previous;           /* of the class's slabs with a free slot; next: also of the retired */
    uint32_t block;                    /* of the fit; HW_STRATEGY_NONE: retired */
    uint8_t slack[HW_SLAB_FIT_SLOTS];  /* bytes of a live slot that were not asked for */
    uint32_t class, unused[7];         /* 128 bytes: two lines, which the processor fetches together */
} hw_slab_fit_slab;

typedef struct {
    uint32_t partial;   /* the first slab with a free slot, and the last one */
    uint32_t last;
    uint32_t spare;     /* an empty slab that is not on the list, or HW_STRATEGY_NONE */
    uint64_t allocated; /* slots, since the beginning */
} hw_slab_fit_class;

typedef struct { /* a quantity that rises and falls: the most that it ever was, and what it is below that now */
    uint64_t peak, below;
} hw_high_water;

typedef struct {
    hw_strategy_head head;
    uint32_t granules_max;   /* of a request that has a class: HW_SLAB_FIT_GRANULES_MAX, or less where granules are large */
    uint64_t granule_mask;   /* granule - 1 */
    uint64_t slot_bytes_max; /* of the greatest class */
    hw_high_water requested, allocated, blocks; /* live: bytes, bytes, count */
    uint64_t total_requested;                   /* since the beginning; so are these, of blocks of the fit */
    uint64_t total_allocated_unclassed, total_blocks_unclassed;
    uint8_t class_of[HW_SLAB_FIT_GRANULES_MAX]; /* by granules, less one: looked up it is a twentieth faster than computed */
    hw_slab_fit_class classes[HW_SLAB_FIT_CLASSES];
    uint32_t slabs; /* in use */
    uint32_t slabs_used, slabs_capacity, blocks_capacity;
    uint32_t retired; /* slabs, through `next` */
} hw_slab_fit;

/* Bytes of a control region for `blocks` blocks of the fit and `slabs` slabs; aligned to 64. */
size_t hw_slab_fit_control_bytes(uint32_t blocks, uint32_t slabs);

/* Everything is one hole of the fit. `control` is 64-byte aligned and has hw_slab_fit_control_bytes(blocks, slabs) bytes;
 * blocks >= 4, slabs >= 1; `granule_bytes` is a power of two. BAD_ARGUMENT if that is not so. */
enum hw_strategy_result hw_slab_fit_init(void *control, uint32_t blocks, uint32_t slabs, uint64_t capacity_bytes,
                                         uint32_t granule_bytes);

/* After CONTROL_FULL: what the larger region is to have room for. */
void hw_slab_fit_wants(const hw_slab_fit *slabs, uint32_t *blocks, uint32_t *slab_records);

/* Copies the region to a larger one. The old one is not used any more, nor changed. */
hw_slab_fit *hw_slab_fit_grow(const hw_slab_fit *slabs, void *larger, uint32_t blocks, uint32_t slab_records);

/* OK, NO_MEMORY, CONTROL_FULL or BAD_ARGUMENT; but for OK nothing has changed, except that empty slabs may have been given
 * back. */
HW_FUSED enum hw_strategy_result hw_slab_fit_allocate(hw_slab_fit *slabs, uint64_t size_bytes, uint64_t alignment,
                                                      hw_strategy_handle *handle);

/* OK or NOT_LIVE (double, foreign or interior), and then nothing has changed. O(1) to say so. */
HW_FUSED enum hw_strategy_result hw_slab_fit_free(hw_slab_fit *slabs, hw_strategy_handle handle);

bool hw_slab_fit_is_live(const hw_slab_fit *slabs, hw_strategy_handle handle);

enum hw_strategy_result hw_slab_fit_resize(hw_slab_fit *slabs, hw_strategy_handle handle, uint64_t size_bytes);

/* The greatest request, in bytes, that would succeed: the greatest free slot, or hole with the empty slabs beside it. */
uint64_t hw_slab_fit_largest_hole(const hw_slab_fit *slabs);

hw_strategy_totals hw_slab_fit_totals(const hw_slab_fit *slabs);
uint64_t hw_slab_fit_restart_peak(hw_slab_fit *slabs);
void hw_slab_fit_uncount(hw_slab_fit *slabs, uint64_t requested_bytes, uint64_t allocated_bytes, uint64_t blocks);

/* The walk, in address order: number = hw_slab_fit_first, then seen.next until HW_STRATEGY_NONE. Every free slot is a hole. */
uint32_t hw_slab_fit_first(const hw_slab_fit *slabs);
hw_strategy_seen hw_slab_fit_see(const hw_slab_fit *slabs, uint32_t number);

/* The block of the fit that a block is, or the slab that it is a slot of. */
hw_strategy_seen hw_slab_fit_see_whole(const hw_slab_fit *slabs, uint32_t number);

/* NULL, or the name of the first invariant that does not hold, and where. O(n log n). */
const char *hw_slab_fit_check(const hw_slab_fit *slabs, uint64_t *where_offset_bytes);

/* ---- the paths that are taken nearly always, to be inlined; what they lack is in slab_fit.c ---- */

/* Every request, and those that the inlined path knows nothing of: aligned ones, of no bytes, with no slab on the list. */
enum hw_strategy_result hw_slab_fit_allocate_slowly(hw_slab_fit *slabs, uint64_t size_bytes, uint64_t alignment,
                                                    hw_strategy_handle *handle);
/* A block of the fit. */
enum hw_strategy_result hw_slab_fit_free_block(hw_slab_fit *slabs, hw_strategy_handle handle);
/* A slab that has a free slot now, that has none any more, that is empty. */
void hw_slab_fit_list(hw_slab_fit *slabs, uint32_t number);
void hw_slab_fit_unlist(hw_slab_fit *slabs, uint32_t number);
void hw_slab_fit_retire(hw_slab_fit *slabs, uint32_t number);

HW_FUSED hw_slab_fit_slab *hw_slab_fit_slabs(const hw_slab_fit *slabs) {
    return (hw_slab_fit_slab *)((char *)slabs + ((sizeof *slabs + 63) & ~(size_t)63));
}

HW_FUSED uint64_t hw_high_water_now(const hw_high_water *water) { return water->peak - water->below; }

/* One write and one test, and the peak is right at any moment. */
HW_FUSED void hw_high_water_rise(hw_high_water *water, uint64_t by) {
    if (__builtin_expect(__builtin_sub_overflow(water->below, by, &water->below), 0)) {
        water->peak -= water->below; /* which is less than 0, modulo 2^64 */
        water->below = 0;
    }
}

HW_FUSED void hw_high_water_fall(hw_high_water *water, uint64_t by) { water->below += by; }

/* The lowest free slot of a slab that has one. */
HW_FUSED void hw_slab_fit_take(hw_slab_fit *slabs, uint32_t number, uint64_t size_bytes, hw_strategy_handle *handle) {
    hw_slab_fit_slab *slab = &hw_slab_fit_slabs(slabs)[number];
    uint64_t free = slab->free;
    uint32_t slot = (uint32_t)__builtin_ctzll(free), slot_bytes = slab->slot_bytes;
    slab->free = free & (free - 1);
    slab->slack[slot] = (uint8_t)(slot_bytes - size_bytes);
    *handle = (hw_strategy_handle){slab->offset_bytes + slot * slot_bytes, number << 6 | slot};
    slabs->total_requested += size_bytes;
    hw_high_water_rise(&slabs->requested, size_bytes);
    hw_high_water_rise(&slabs->allocated, slot_bytes);
    hw_high_water_rise(&slabs->blocks, 1);
    if (__builtin_expect((free & (free - 1)) == 0, 0)) hw_slab_fit_unlist(slabs, number);
}

HW_FUSED enum hw_strategy_result hw_slab_fit_allocate(hw_slab_fit *slabs, uint64_t size_bytes, uint64_t alignment,
                                                      hw_strategy_handle *handle) {
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) return HW_STRATEGY_BAD_ARGUMENT;
    if (alignment <= HW_STRATEGY_GRANULE_MIN) { /* as often as not a constant */
        /* One less than its granules; of no bytes far too many, so that the others need not be looked at twice. */
        uint64_t less_one = ((size_bytes - 1) | slabs->granule_mask) >> slabs->head.granule_shift;
        if (__builtin_expect(less_one < slabs->granules_max, 1)) {
            hw_slab_fit_class *class = &slabs->classes[slabs->class_of[less_one]];
            if (__builtin_expect(class->partial != HW_STRATEGY_NONE, 1)) {
                class->allocated++;
                hw_slab_fit_take(slabs, class->partial, size_bytes, handle);
                return HW_STRATEGY_OK;
            }
        }
    }
    return hw_slab_fit_allocate_slowly(slabs, size_bytes, alignment, handle);
}

/* The slab that a slot's number names, if that slot is live and at that offset; NULL: it is not. */
HW_FUSED hw_slab_fit_slab *hw_slab_fit_live_slab(const hw_slab_fit *slabs, hw_strategy_handle handle) {
    uint32_t number = handle.number >> 6, slot = handle.number & 63;
    if (number >= slabs->slabs_used) return NULL;
    hw_slab_fit_slab *slab = &hw_slab_fit_slabs(slabs)[number];
    if (slab->free >> slot & 1 || slab->offset_bytes + slot * slab->slot_bytes != handle.offset_bytes) return NULL;
    return slab;
}

HW_FUSED enum hw_strategy_result hw_slab_fit_free(hw_slab_fit *slabs, hw_strategy_handle handle) {
    if (__builtin_expect(handle.number & HW_SLAB_FIT_BLOCK, 0)) return hw_slab_fit_free_block(slabs, handle);
    hw_slab_fit_slab *slab = hw_slab_fit_live_slab(slabs, handle);
    if (slab == NULL) return HW_STRATEGY_NOT_LIVE;
    uint32_t slot = handle.number & 63;
    uint64_t was_free = slab->free, now_free = was_free | UINT64_C(1) << slot;
    slab->free = now_free;
    hw_high_water_fall(&slabs->requested, slab->slot_bytes - slab->slack[slot]);
    hw_high_water_fall(&slabs->allocated, slab->slot_bytes);
    hw_high_water_fall(&slabs->blocks, 1);
    if (__builtin_expect(was_free == 0, 0)) hw_slab_fit_list(slabs, handle.number >> 6);
    if (__builtin_expect(now_free == UINT64_MAX, 0)) hw_slab_fit_retire(slabs, handle.number >> 6);
    return HW_STRATEGY_OK;
}

#endif
