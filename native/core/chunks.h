/* Chunks: how a pool that grows by doubling numbers its slots. Chunk 0 has `first` slots, a power of two; every further
 * chunk has as many as all before it together:
 *
 *      chunk      0         1          2                    3
 *      slots   [0, first) [first, 2 first) [2 first, 4 first) [4 first, 8 first) ...     cut off at the capacity
 *
 * So n slots are in at most log2(n / first) + 2 chunks, whichever of them are present and in whatever order they came
 * and went; and slot -> chunk is one count of leading zeros. A chunk is memory in one piece; that it lies where no other
 * does is all that is asked of it. */
#ifndef HW_CORE_CHUNKS_H
#define HW_CORE_CHUNKS_H

#include <stdint.h>

#define HW_CHUNKS_MAX 33u          /* 2^32 slots in chunks that start with one slot */
#define HW_SLOTS_MAX (UINT32_C(1) << 31)
#define HW_SLOT_NONE UINT32_MAX

typedef struct {
    uint32_t first_shift; /* log2 of the slots of chunk 0, at most 31 */
    uint32_t capacity;    /* slots at most, 1 .. HW_SLOTS_MAX */
} hw_chunks;

static inline uint32_t hw_chunks_of(hw_chunks chunks, uint32_t slot) {
    uint32_t firsts = slot >> chunks.first_shift;
    return firsts == 0 ? 0 : 32 - (uint32_t)__builtin_clz(firsts);
}

/* The first slot of a chunk. */
static inline uint32_t hw_chunks_first(hw_chunks chunks, uint32_t chunk) {
    return chunk == 0 ? 0 : UINT32_C(1) << (chunks.first_shift + chunk - 1);
}

/* The slot after a chunk's last. */
static inline uint32_t hw_chunks_end(hw_chunks chunks, uint32_t chunk) {
    uint64_t end = UINT64_C(1) << (chunks.first_shift + chunk);
    return end < chunks.capacity ? (uint32_t)end : chunks.capacity;
}

static inline uint32_t hw_chunks_slots(hw_chunks chunks, uint32_t chunk) {
    return hw_chunks_end(chunks, chunk) - hw_chunks_first(chunks, chunk);
}

/* Chunks that the capacity makes. */
static inline uint32_t hw_chunks_count(hw_chunks chunks) { return hw_chunks_of(chunks, chunks.capacity - 1) + 1; }

#endif
