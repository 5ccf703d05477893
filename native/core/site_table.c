#include "core/site_table.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#define HEADER_BYTES 4096
#define CACHE_ENTRIES 4096 /* x 16 bytes; a program's allocating lines are few, a recursion's frames repeat */
#define FIRST_SLOTS 1024   /* of an index; doubled when it is half full */

/* What the table can hold. A stack takes its number of bits in every live sample, hence 2^18 of them. */
static const struct {
    uint32_t unit_bytes;
    uint64_t capacity_bytes;
    uint64_t first_commit_bytes;
} SECTION[HW_SITES_SECTIONS] = {
    [HW_SITES_STRINGS] = {1, 16 << 20, 32 << 10},
    [HW_SITES_FRAMES] = {sizeof(hw_sites_frame), 16 << 18, 8 << 10},
    [HW_SITES_LINKS] = {4, 32 << 20, 16 << 10},
    [HW_SITES_STACKS] = {sizeof(hw_sites_stack), 64 << 18, 16 << 10},
};

enum { STRING_INDEX, FRAME_INDEX, STACK_INDEX, INDICES };
/* Twice the entries of frames and stacks; as many strings will do, and the one too many is refused. */
#define INDEX_SLOTS (2u << HW_SITES_STACK_BITS)

_Static_assert(sizeof(hw_sites_stack) == 64 && sizeof(hw_sites_frame) == 16, "the format has no padding");
_Static_assert(sizeof(hw_sites_header) <= HEADER_BYTES, "the header has its page to itself");

static hw_sites_header *header_of(const hw_site_table *table) { return (hw_sites_header *)table->region; }

static uint64_t offset_of(int section) {
    uint64_t offset = HEADER_BYTES;
    for (int before = 0; before < section; before++) offset += SECTION[before].capacity_bytes;
    return offset;
}

static void *section_of(const hw_site_table *table, int section) { return table->region + offset_of(section); }
static char *strings_of(const hw_site_table *table) { return section_of(table, HW_SITES_STRINGS); }
static hw_sites_frame *frames_of(const hw_site_table *table) { return section_of(table, HW_SITES_FRAMES); }
static uint32_t *links_of(const hw_site_table *table) { return section_of(table, HW_SITES_LINKS); }
static hw_sites_stack *stacks_of(const hw_site_table *table) { return section_of(table, HW_SITES_STACKS); }

uint64_t hw_site_table_region_bytes(void) { return offset_of(HW_SITES_SECTIONS); }

uint64_t hw_site_table_private_bytes(void) {
    return sizeof(*((hw_site_table *)0)->cache) * CACHE_ENTRIES + INDICES * sizeof(uint32_t) * (uint64_t)INDEX_SLOTS;
}

/* ---------------------------------------------------------------- sections */

/* Makes room for `bytes` more at the section's end; the room grows by doubling, so that commits are few. */
static bool reserve(hw_site_table *table, int section, uint64_t bytes) {
    uint64_t need = table->used[section] * SECTION[section].unit_bytes + bytes;
    uint64_t have = table->committed_bytes[section];
    if (need <= have) return true;
    if (need > SECTION[section].capacity_bytes) return false;
    uint64_t want = have;
    while (want < need) want *= 2;
    if (want > SECTION[section].capacity_bytes) want = SECTION[section].capacity_bytes;
    if (table->commit(table->commit_context, offset_of(section) + have, want - have) != 0) return false;
    table->committed_bytes[section] = want;
    return true;
}

/* Makes visible what was written at the section's end. The release keeps the compiler from moving those writes past
 * it, which is all that a process killed in between needs: its stores are in the file's pages in program order. */
static void publish(hw_site_table *table, int section, uint64_t units) {
    hw_sites_header *header = header_of(table);
    uint64_t *const visible[HW_SITES_SECTIONS] = {&header->strings_used, &header->frames_used, &header->links_used,
                                                  &header->stacks_used};
    table->used[section] += units;
    atomic_signal_fence(memory_order_release);
    *(volatile uint64_t *)visible[section] = table->used[section];
}

/* ----------------------------------------------------------------- indices */

static uint32_t mix(uint32_t hash, uint32_t word) {
    uint64_t product = (hash ^ (uint64_t)word) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(product >> 32) ^ (uint32_t)product;
}

static uint32_t hash_words(const uint32_t *words, uint32_t count, uint32_t hash) {
    for (uint32_t i = 0; i < count; i++) hash = mix(hash, words[i]);
    return hash;
}

static uint32_t hash_text(const char *text, size_t bytes) {
    uint32_t hash = (uint32_t)bytes, word = 0;
    for (; bytes >= 4; text += 4, bytes -= 4) {
        memcpy(&word, text, 4);
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, text, bytes);
    return mix(hash, word);
}

static uint32_t hash_entry(const hw_site_table *table, int index, uint32_t entry) {
    if (index == STRING_INDEX) {
        const char *string = strings_of(table) + entry * UINT64_C(4); /* strings are indexed by offset / 4 */
        uint32_t length;
        memcpy(&length, string, 4);
        return hash_text(string + 4, length);
    }
    if (index == FRAME_INDEX) return hash_words((const uint32_t *)&frames_of(table)[entry], 3, 3);
    const hw_sites_stack *stack = &stacks_of(table)[entry];
    return hash_words(links_of(table) + stack->links, stack->depth & ~HW_SITES_TRUNCATED, stack->depth);
}

static void index_put(hw_site_table *table, int index, uint32_t entry, uint32_t hash) {
    uint32_t slot = hash & table->index_mask[index];
    while (table->index[index][slot] != 0) slot = (slot + 1) & table->index_mask[index];
    table->index[index][slot] = entry + 1;
}

/* Keeps the index at most half full: doubles it in place, and puts its entries in again. The old slots are read from
 * the section's entries, not from the index, so they may be cleared first. `entries`: before the one to come. */
static bool index_reserve(hw_site_table *table, int index, uint64_t entries) {
    uint64_t slots = table->index_mask[index] + UINT64_C(1);
    if (2 * (entries + 1) <= slots) return true;
    if (slots == INDEX_SLOTS) return false;
    memset(table->index[index], 0, slots * sizeof(uint32_t)); /* the further ones were never written */
    table->index_mask[index] = (uint32_t)(2 * slots - 1);
    if (index != STRING_INDEX) {
        for (uint32_t entry = 0; entry < entries; entry++)
            if (index != STACK_INDEX || entry > HW_SITES_OVERFLOW)
                index_put(table, index, entry, hash_entry(table, index, entry));
        return true;
    }
    for (uint64_t offset = 0; offset < table->used[HW_SITES_STRINGS];) {
        uint32_t length;
        memcpy(&length, strings_of(table) + offset, 4);
        index_put(table, index, (uint32_t)(offset / 4), hash_entry(table, index, (uint32_t)(offset / 4)));
        offset += 4 + ((length + UINT64_C(3)) & ~UINT64_C(3));
    }
    return true;
}

/* ----------------------------------------------------------------- entries */

/* The offset of the string, or HW_SITES_NONE. */
static uint32_t add_string(hw_site_table *table, const char *text, size_t bytes) {
    uint32_t hash = hash_text(text, bytes), mask = table->index_mask[STRING_INDEX];
    const char *strings = strings_of(table);
    uint32_t slot = hash & mask;
    for (uint32_t entry; (entry = table->index[STRING_INDEX][slot]) != 0; slot = (slot + 1) & mask) {
        const char *string = strings + (entry - 1) * UINT64_C(4);
        uint32_t length;
        memcpy(&length, string, 4);
        if (length == bytes && memcmp(string + 4, text, bytes) == 0) return (entry - 1) * 4;
    }
    uint64_t padded = 4 + ((bytes + 3) & ~(uint64_t)3);
    if (!index_reserve(table, STRING_INDEX, table->strings) || !reserve(table, HW_SITES_STRINGS, padded))
        return HW_SITES_NONE;
    uint64_t offset = table->used[HW_SITES_STRINGS];
    uint32_t length = (uint32_t)bytes;
    memcpy(strings_of(table) + offset, &length, 4);
    memcpy(strings_of(table) + offset + 4, text, bytes);
    publish(table, HW_SITES_STRINGS, padded);
    index_put(table, STRING_INDEX, (uint32_t)(offset / 4), hash);
    table->strings++;
    return (uint32_t)offset;
}

uint32_t hw_site_table_find_frame(const hw_site_table *table, uint64_t key) {
    uint64_t slot = (key * UINT64_C(0x9E3779B97F4A7C15)) >> 32 & (CACHE_ENTRIES - 1);
    return key != 0 && table->cache[slot].key == key ? table->cache[slot].frame : HW_SITES_NONE;
}

static uint32_t add_frame(hw_site_table *table, const hw_sites_frame *frame) {
    uint64_t count = table->used[HW_SITES_FRAMES];
    hw_sites_frame *frames = frames_of(table);
    uint32_t hash = hash_words((const uint32_t *)frame, 3, 3), mask = table->index_mask[FRAME_INDEX];
    uint32_t slot = hash & mask;
    for (uint32_t entry; (entry = table->index[FRAME_INDEX][slot]) != 0; slot = (slot + 1) & mask)
        if (memcmp(&frames[entry - 1], frame, sizeof *frame) == 0) return entry - 1;
    if (!index_reserve(table, FRAME_INDEX, count) || !reserve(table, HW_SITES_FRAMES, sizeof *frame))
        return HW_SITES_NONE;
    frames[count] = *frame;
    publish(table, HW_SITES_FRAMES, 1);
    index_put(table, FRAME_INDEX, (uint32_t)count, hash);
    return (uint32_t)count;
}

uint32_t hw_site_table_add_frame(hw_site_table *table, uint64_t key, const hw_frame_text *text) {
    assert(text->file_bytes <= HW_SITES_FILE_BYTES && text->function_bytes <= HW_SITES_FUNCTION_BYTES);
    hw_sites_frame frame = {.line = text->line};
    frame.file = add_string(table, text->file, text->file_bytes);
    frame.function = add_string(table, text->function, text->function_bytes);
    if (frame.file == HW_SITES_NONE || frame.function == HW_SITES_NONE) return HW_SITES_NONE;
    uint32_t number = add_frame(table, &frame);
    if (number == HW_SITES_NONE || key == 0) return number;
    uint64_t slot = (key * UINT64_C(0x9E3779B97F4A7C15)) >> 32 & (CACHE_ENTRIES - 1);
    table->cache[slot].key = key;
    table->cache[slot].frame = number;
    return number;
}

uint32_t hw_site_table_stack(hw_site_table *table, const uint32_t *frames, uint32_t depth, bool truncated) {
    assert(depth <= HW_SITES_FRAMES_MAX);
    if (depth == 0) return HW_SITES_NATIVE;
    hw_sites_stack *stacks = stacks_of(table);
    uint32_t *links = links_of(table);
    uint32_t marked = depth | (truncated ? HW_SITES_TRUNCATED : 0);
    uint32_t hash = hash_words(frames, depth, marked), mask = table->index_mask[STACK_INDEX];
    uint32_t slot = hash & mask;
    for (uint32_t entry; (entry = table->index[STACK_INDEX][slot]) != 0; slot = (slot + 1) & mask) {
        const hw_sites_stack *stack = &stacks[entry - 1];
        if (stack->depth == marked && memcmp(links + stack->links, frames, depth * sizeof *frames) == 0)
            return entry - 1;
    }
    uint64_t count = table->used[HW_SITES_STACKS], first = table->used[HW_SITES_LINKS];
    if (!index_reserve(table, STACK_INDEX, count) || !reserve(table, HW_SITES_STACKS, sizeof *stacks) ||
        !reserve(table, HW_SITES_LINKS, depth * sizeof *links))
        return HW_SITES_OVERFLOW;
    memcpy(links + first, frames, depth * sizeof *links);
    publish(table, HW_SITES_LINKS, depth);
    stacks[count] = (hw_sites_stack){.links = (uint32_t)first, .depth = marked};
    publish(table, HW_SITES_STACKS, 1);
    index_put(table, STACK_INDEX, (uint32_t)count, hash);
    return (uint32_t)count;
}

/* ---------------------------------------------------------------- counters */

/* T4, before the stack's live figures change. Killed between the stores, the two readings of T4 agree. */
static void settle(const hw_sites_header *header, hw_sites_stack *stack) {
    if (stack->peak_epoch == header->peak_epoch) return;
    stack->bytes_at_peak = stack->live_bytes;
    stack->blocks_at_peak = stack->live_blocks;
    atomic_signal_fence(memory_order_release);
    stack->peak_epoch = header->peak_epoch;
    atomic_signal_fence(memory_order_release);
}

void hw_site_table_allocated(hw_site_table *table, uint32_t number, uint64_t weight_bytes, bool tracked) {
    hw_sites_header *header = header_of(table);
    hw_sites_stack *stack = &stacks_of(table)[number];
    assert(number < table->used[HW_SITES_STACKS]);
    stack->total_bytes += weight_bytes;
    stack->samples++;
    header->samples++;
    if (number == HW_SITES_OVERFLOW) header->unplaced_blocks++;
    if (!tracked) {
        header->untracked_blocks++;
        header->untracked_bytes += weight_bytes;
        return;
    }
    settle(header, stack);
    stack->live_bytes += weight_bytes;
    stack->live_blocks++;
    header->live_blocks++;
    header->live_bytes += weight_bytes;
    if (header->live_bytes > header->peak_bytes) {
        header->peak_bytes = header->live_bytes;
        header->peak_epoch++;
    }
}

void hw_site_table_freed(hw_site_table *table, uint32_t number, uint64_t weight_bytes) {
    hw_sites_header *header = header_of(table);
    hw_sites_stack *stack = &stacks_of(table)[number];
    assert(stack->live_blocks > 0 && stack->live_bytes >= weight_bytes);
    settle(header, stack);
    stack->live_bytes -= weight_bytes;
    stack->live_blocks--;
    header->live_blocks--;
    header->live_bytes -= weight_bytes;
}

/* ------------------------------------------------------------- life of one */

/* Memory under the header and under what the sections hold, and the header itself. */
static int start(hw_site_table *table, uint64_t pid, uint64_t parent_pid) {
    int error = table->commit(table->commit_context, 0, HEADER_BYTES);
    for (int section = 0; error == 0 && section < HW_SITES_SECTIONS; section++) {
        uint64_t want = SECTION[section].first_commit_bytes;
        while (want < table->used[section] * SECTION[section].unit_bytes) want *= 2;
        error = table->commit(table->commit_context, offset_of(section), want);
        table->committed_bytes[section] = want;
    }
    if (error != 0) return error;
    hw_sites_header *header = header_of(table);
    header->version = HW_SITES_VERSION;
    header->pid = pid;
    header->parent_pid = parent_pid;
    header->mean_bytes = table->mean_bytes;
    header->strings_offset = offset_of(HW_SITES_STRINGS);
    header->frames_offset = offset_of(HW_SITES_FRAMES);
    header->links_offset = offset_of(HW_SITES_LINKS);
    header->stacks_offset = offset_of(HW_SITES_STACKS);
    header->peak_epoch = 1; /* stacks have 0: none has settled, so its live bytes are those at the peak (T4) */
    return 0;
}

/* The last step: what the sections hold, and that this is a site table. */
static void make_readable(hw_site_table *table) {
    for (int section = 0; section < HW_SITES_SECTIONS; section++) publish(table, section, 0);
    atomic_signal_fence(memory_order_release);
    *(volatile uint64_t *)&header_of(table)->magic = HW_SITES_MAGIC;
}

int hw_site_table_create(hw_site_table *table, void *region, void *private_memory, hw_sites_commit commit,
                         void *commit_context, uint64_t mean_bytes, uint64_t pid) {
    *table = (hw_site_table){.region = region,
                             .commit = commit,
                             .commit_context = commit_context,
                             .mean_bytes = mean_bytes,
                             .used[HW_SITES_STACKS] = HW_SITES_OVERFLOW + 1};
    uint32_t *slots = private_memory;
    for (int index = 0; index < INDICES; index++, slots += INDEX_SLOTS) {
        table->index[index] = slots;
        table->index_mask[index] = FIRST_SLOTS - 1;
    }
    table->cache = (void *)slots;
    int error = start(table, pid, 0);
    if (error == 0) make_readable(table);
    return error;
}

int hw_site_table_carry_over(hw_site_table *table, void *region, hw_sites_commit commit, void *commit_context,
                             uint64_t pid, uint64_t parent_pid) {
    hw_site_table child = *table;
    child.region = region;
    child.commit = commit;
    child.commit_context = commit_context;
    int error = start(&child, pid, parent_pid);
    if (error != 0) return error;
    for (int section = 0; section < HW_SITES_STACKS; section++)
        memcpy(section_of(&child, section), section_of(table, section),
               child.used[section] * SECTION[section].unit_bytes);
    for (uint64_t i = 0; i < child.used[HW_SITES_STACKS]; i++) {
        const hw_sites_stack *stack = &stacks_of(table)[i];
        stacks_of(&child)[i] = (hw_sites_stack){.links = stack->links, .depth = stack->depth};
    }
    make_readable(&child);
    *table = child;
    return 0;
}

void hw_site_table_inherited(hw_site_table *table, uint32_t number, uint64_t weight_bytes) {
    hw_sites_header *header = header_of(table);
    hw_sites_stack *stack = &stacks_of(table)[number];
    assert(number < table->used[HW_SITES_STACKS]);
    stack->live_bytes += weight_bytes;
    stack->live_blocks++;
    header->live_blocks++;
    header->live_bytes += weight_bytes;
    header->peak_bytes = header->live_bytes;
}

static bool string_is_whole(const hw_site_table *table, uint64_t offset) {
    uint64_t used = header_of(table)->strings_used;
    if (offset % 4 != 0 || offset + 4 > used) return false;
    uint32_t length;
    memcpy(&length, strings_of(table) + offset, 4);
    return offset + 4 + length <= used;
}

bool hw_site_table_check(const hw_site_table *table) {
    const hw_sites_header *header = header_of(table);
    for (int section = 0; section < HW_SITES_SECTIONS; section++) {
        uint64_t used = table->used[section] * SECTION[section].unit_bytes;
        uint64_t committed = table->committed_bytes[section];
        if (used > committed || committed > SECTION[section].capacity_bytes) return false; /* T1 */
    }
    const hw_sites_frame *frames = frames_of(table);
    for (uint64_t i = 0; i < header->frames_used; i++)
        if (!string_is_whole(table, frames[i].file) || !string_is_whole(table, frames[i].function)) return false;
    for (uint64_t i = 0; i < header->links_used; i++)
        if (links_of(table)[i] >= header->frames_used) return false; /* T2 */
    uint64_t live_bytes = 0, live_blocks = 0, samples = 0, peak_bytes = 0;
    for (uint64_t i = 0; i < header->stacks_used; i++) {
        const hw_sites_stack *stack = &stacks_of(table)[i];
        if (stack->links + (uint64_t)(stack->depth & ~HW_SITES_TRUNCATED) > header->links_used) return false;
        live_bytes += stack->live_bytes;
        live_blocks += stack->live_blocks;
        samples += stack->samples;
        peak_bytes += stack->peak_epoch == header->peak_epoch ? stack->bytes_at_peak : stack->live_bytes;
    }
    return live_bytes == header->live_bytes && live_blocks == header->live_blocks && samples == header->samples &&
           peak_bytes == header->peak_bytes; /* T3, T4 */
}
