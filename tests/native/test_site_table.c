/* The sampler's core against plain bookkeeping: random allocations, frees, forks and failing commits; every invariant
 * is walked after each batch, and every counter compared. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/address_filter.h"
#include "core/poisson.h"
#include "core/sample_table.h"
#include "core/site_table.h"

#define CHECK(condition)                                                                                             \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition);                                      \
            exit(1);                                                                                                 \
        }                                                                                                            \
    } while (0)

static uint64_t random_state = 1;
static uint64_t below(uint64_t bound) {
    random_state = hw_poisson_seed(random_state);
    return random_state % bound;
}

/* --------------------------------------------------------------------- commit */

/* What was never committed must never be touched: under ASan a region is poisoned until it is. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#endif

static struct {
    uint8_t *region;
    long left; /* commits until they fail; < 0: none fails */
    bool refused;
} store;

static int commit(void *context, uint64_t offset, uint64_t size_bytes) {
    CHECK(context == &store && offset + size_bytes <= hw_site_table_region_bytes());
    if (store.left == 0) {
        store.refused = true;
        return ENOSPC;
    }
    store.left--;
    ASAN_UNPOISON_MEMORY_REGION(store.region + offset, size_bytes);
    return 0;
}

static void *get_region(void) {
    store.region = calloc(1, hw_site_table_region_bytes());
    store.refused = false;
    ASAN_POISON_MEMORY_REGION(store.region, hw_site_table_region_bytes());
    return store.region;
}

static void put_region(uint8_t *region) {
    ASAN_UNPOISON_MEMORY_REGION(region, hw_site_table_region_bytes());
    free(region);
}

static void *get_private(void) { return calloc(1, hw_site_table_private_bytes()); }

/* -------------------------------------------------------------- live samples */

enum { LIVE_MAX = 3000 };

static void test_sample_table(void) {
    static struct {
        uint64_t address;
        hw_sample sample;
    } live[LIVE_MAX];
    size_t count = 0, capacity = 16;
    hw_sample_table table;
    hw_sample_table_init(&table, calloc(capacity, sizeof(hw_sample_slot)), capacity);
    for (int step = 0; step < 200000; step++) {
        bool grow = below(3000) > count;
        if (grow && count < LIVE_MAX) {
            /* Few distinct low bits, and many neighbours: long probe sequences, and runs that wrap around. */
            uint64_t address = (below(4) ? 1 + below(5000) : (1 + below(5000)) << 21);
            bool known = false;
            for (size_t i = 0; i < count && !known; i++) known = live[i].address == address;
            if (known) continue;
            if (hw_sample_table_is_full(&table)) {
                hw_sample_slot *old = table.slots;
                hw_sample_table_rehash(&table, calloc(2 * capacity, sizeof(hw_sample_slot)), 2 * capacity);
                capacity *= 2;
                free(old);
            }
            hw_sample sample = {(uint32_t)below(1 << HW_SAMPLE_STACK_BITS), below(HW_SAMPLE_WEIGHT_MAX) + 1};
            hw_sample_table_insert(&table, address, sample);
            live[count].address = address;
            live[count++].sample = sample;
        } else if (count > 0) {
            size_t i = below(count);
            hw_sample found;
            CHECK(hw_sample_table_remove(&table, live[i].address, &found));
            CHECK(found.stack == live[i].sample.stack && found.weight_bytes == live[i].sample.weight_bytes);
            CHECK(!hw_sample_table_remove(&table, live[i].address, &found));
            live[i] = live[--count];
        }
        if (step % 5000 == 0) CHECK(hw_sample_table_check(&table));
    }
    CHECK(table.count == count && hw_sample_table_check(&table));
    uint64_t sum = 0, expected = 0;
    for (size_t slot = 0; slot < table.capacity; slot++) {
        hw_sample sample;
        if (hw_sample_table_at(&table, slot, &sample)) sum += sample.weight_bytes;
    }
    for (size_t i = 0; i < count; i++) expected += live[i].sample.weight_bytes;
    CHECK(sum == expected);
    free(table.slots);
}

/* ---------------------------------------------------------------- site table */

enum { STACKS = 64, BLOCKS = 500 };

typedef struct {
    uint64_t live_bytes[STACKS], at_peak[STACKS], total_bytes[STACKS];
    uint64_t live, peak;
    uint32_t block_stack[BLOCKS];
    uint64_t block_bytes[BLOCKS]; /* 0: not live */
} bookkeeping;

static uint32_t frame(hw_site_table *table, unsigned number) {
    uint32_t found = hw_site_table_find_frame(table, number + 1);
    if (found != HW_SITES_NONE) return found;
    char file[40], function[40];
    hw_frame_text text = {.file = file, .function = function, .line = number};
    text.file_bytes = (size_t)snprintf(file, sizeof file, "/file/%u.py", number % 7);
    text.function_bytes = (size_t)snprintf(function, sizeof function, "%.*s", (int)(number % 33), "a_name_that_is_cut_somewhere_else");
    return hw_site_table_add_frame(table, number + 1, &text);
}

/* Stack number `i` of the bookkeeping: a few frames that depend on it. */
static uint32_t stack(hw_site_table *table, unsigned i) {
    uint32_t frames[HW_SITES_FRAMES_MAX], depth = 1 + i % HW_SITES_FRAMES_MAX;
    for (uint32_t k = 0; k < depth; k++) {
        frames[k] = frame(table, i * 31 + k * k);
        if (frames[k] == HW_SITES_NONE) return HW_SITES_OVERFLOW;
    }
    return hw_site_table_stack(table, frames, depth, i % 5 == 0);
}

static const hw_sites_header *header_of(const hw_site_table *table) { return (const void *)table->region; }

static const hw_sites_stack *entry(const hw_site_table *table, uint32_t number) {
    return (const hw_sites_stack *)(table->region + header_of(table)->stacks_offset) + number;
}

static void compare(hw_site_table *table, const bookkeeping *books) {
    CHECK(hw_site_table_check(table));
    const hw_sites_header *header = header_of(table);
    CHECK(header->live_bytes == books->live && header->peak_bytes == books->peak);
    for (unsigned i = 0; i < STACKS; i++) {
        if (books->total_bytes[i] == 0 && books->live_bytes[i] == 0) continue;
        const hw_sites_stack *found = entry(table, stack(table, i));
        CHECK(found->live_bytes == books->live_bytes[i] && found->total_bytes == books->total_bytes[i]);
        uint64_t at_peak = found->peak_epoch == header->peak_epoch ? found->bytes_at_peak : found->live_bytes;
        CHECK(at_peak == books->at_peak[i]);
    }
}

static void step(hw_site_table *table, bookkeeping *books) {
    unsigned block = (unsigned)below(BLOCKS);
    if (books->block_bytes[block] != 0) {
        uint32_t i = books->block_stack[block];
        hw_site_table_freed(table, stack(table, i), books->block_bytes[block]);
        books->live_bytes[i] -= books->block_bytes[block];
        books->live -= books->block_bytes[block];
        books->block_bytes[block] = 0;
        return;
    }
    unsigned i = (unsigned)below(STACKS);
    uint64_t bytes = 1 + below(1 + (UINT64_C(1) << below(40)));
    hw_site_table_allocated(table, stack(table, i), bytes, true);
    books->block_stack[block] = i;
    books->block_bytes[block] = bytes;
    books->live_bytes[i] += bytes;
    books->total_bytes[i] += bytes;
    books->live += bytes;
    if (books->live > books->peak) {
        books->peak = books->live;
        memcpy(books->at_peak, books->live_bytes, sizeof books->at_peak);
    }
}

static void test_site_table_and_forks(void) {
    void *private_memory = get_private();
    static bookkeeping books;
    hw_site_table table;
    store.left = -1;
    CHECK(hw_site_table_create(&table, get_region(), private_memory, commit, &store, 0, 42) == 0);
    for (int generation = 0; generation < 4; generation++) {
        for (int i = 0; i < 20000; i++) {
            step(&table, &books);
            if (i % 500 == 0) compare(&table, &books);
        }
        /* A fork: the child's live blocks are the parent's, its totals are none, its peak is what it starts with. */
        uint8_t *parents = table.region;
        uint64_t stacks_before = header_of(&table)->stacks_used;
        store.left = 2;
        hw_site_table before = table;
        uint8_t *refused = get_region();
        CHECK(hw_site_table_carry_over(&table, refused, commit, &store, 43, 42) == ENOSPC);
        CHECK(table.region == before.region);
        put_region(refused);
        store.left = -1;
        CHECK(hw_site_table_carry_over(&table, get_region(), commit, &store, 43, 42) == 0);
        put_region(parents); /* nothing of the child's refers to it any more */
        for (unsigned block = 0; block < BLOCKS; block++)
            if (books.block_bytes[block] != 0)
                hw_site_table_inherited(&table, stack(&table, books.block_stack[block]), books.block_bytes[block]);
        CHECK(header_of(&table)->stacks_used == stacks_before); /* found again, by the indices of before the fork */
        memset(books.total_bytes, 0, sizeof books.total_bytes);
        memcpy(books.at_peak, books.live_bytes, sizeof books.at_peak);
        books.peak = books.live;
        compare(&table, &books);
    }
    put_region(table.region);
    free(private_memory);
}

/* Stacks that begin alike, or differ only in being cut off, are different stacks; found again, each is itself. */
static void test_prefixes(void) {
    void *private_memory = get_private();
    hw_site_table table;
    store.left = -1;
    CHECK(hw_site_table_create(&table, get_region(), private_memory, commit, &store, 0, 42) == 0);
    uint32_t frames[HW_SITES_FRAMES_MAX], number[8][HW_SITES_FRAMES_MAX][2], expected = HW_SITES_OVERFLOW;
    for (int again = 0; again < 2; again++)
        for (uint32_t family = 0; family < 8; family++)
            for (uint32_t depth = 1; depth <= HW_SITES_FRAMES_MAX; depth++)
                for (int truncated = 0; truncated < 2; truncated++) {
                    for (uint32_t k = 0; k < depth; k++) frames[k] = frame(&table, family * 1000 + k);
                    uint32_t found = hw_site_table_stack(&table, frames, depth, truncated);
                    if (again == 0) CHECK((number[family][depth - 1][truncated] = found) == ++expected);
                    else CHECK(number[family][depth - 1][truncated] == found);
                }
    put_region(store.region);
    free(private_memory);
}

/* The peak is the first moment of its height: reached again, it is not moved. */
static void test_equal_peaks(void) {
    void *private_memory = get_private();
    hw_site_table table;
    static bookkeeping books;
    store.left = -1;
    CHECK(hw_site_table_create(&table, get_region(), private_memory, commit, &store, 0, 42) == 0);
    hw_site_table_allocated(&table, stack(&table, 1), 10, true);
    hw_site_table_freed(&table, stack(&table, 1), 10);
    hw_site_table_allocated(&table, stack(&table, 2), 10, true);
    books.total_bytes[1] = books.total_bytes[2] = books.live_bytes[2] = books.live = 10;
    books.at_peak[1] = books.peak = 10;
    compare(&table, &books);
    put_region(store.region);
    free(private_memory);
}

/* The n-th commit fails, for every n: what does not fit is booked as overflow, nothing is lost, all invariants hold. */
static void test_failing_commits(void) {
    for (long failing = 0;; failing++) {
        void *private_memory = get_private();
        hw_site_table table;
        store.left = failing;
        int error = hw_site_table_create(&table, get_region(), private_memory, commit, &store, 0, 42);
        uint64_t booked = 0;
        for (unsigned i = 0; error == 0 && i < 4000; i++) {
            hw_site_table_allocated(&table, stack(&table, i), i + 1, true);
            booked += i + 1;
        }
        bool failed = store.refused;
        if (error == 0) {
            CHECK(hw_site_table_check(&table));
            CHECK(header_of(&table)->live_bytes == booked);
            CHECK((header_of(&table)->unplaced_blocks != 0) == failed);
        }
        put_region(store.region);
        free(private_memory);
        if (!failed) break;
    }
}

/* More stacks, frames and strings than there is room for. */
static void test_full_table(void) {
    void *private_memory = get_private();
    hw_site_table table;
    store.left = -1;
    CHECK(hw_site_table_create(&table, get_region(), private_memory, commit, &store, 0, 42) == 0);
    enum { MANY = (1 << HW_SITES_STACK_BITS) + 5000 };
    for (uint32_t i = 0; i < MANY; i++) {
        char name[16];
        hw_frame_text text = {.file = name, .function = "f", .function_bytes = 1, .line = i};
        text.file_bytes = (size_t)snprintf(name, sizeof name, "%x.py", i);
        uint32_t number = hw_site_table_add_frame(&table, i + 1, &text);
        /* The strings end first, one each and the function's. */
        CHECK(number == (i < (1 << HW_SITES_STACK_BITS) - 1 ? i : HW_SITES_NONE));
        uint32_t found = number == HW_SITES_NONE ? HW_SITES_OVERFLOW : hw_site_table_stack(&table, &number, 1, false);
        hw_site_table_allocated(&table, found, 1, true);
    }
    const hw_sites_header *header = header_of(&table);
    CHECK(header->stacks_used <= 1 << HW_SITES_STACK_BITS && header->stacks_used >= (1 << HW_SITES_STACK_BITS) - 1);
    CHECK(header->unplaced_blocks == MANY - (header->stacks_used - HW_SITES_OVERFLOW - 1));
    CHECK(hw_site_table_check(&table));
    put_region(store.region);
    free(private_memory);
}

/* -------------------------------------------------------------------- the rest */

static void test_poisson(void) {
    uint64_t state = hw_poisson_seed(99);
    double sum = 0, squares = 0;
    enum { DRAWS = 400000 };
    const double mean = 512 << 10;
    for (int i = 0; i < DRAWS; i++) {
        double gap = (double)hw_poisson_gap_bytes(&state, 512 << 10);
        CHECK(gap >= 0);
        sum += gap;
        squares += gap * gap;
    }
    /* Mean m and second moment 2 m^2, within five standard errors. */
    CHECK(fabs(sum / DRAWS / mean - 1) < 5 / sqrt(DRAWS));
    CHECK(fabs(squares / DRAWS / (2 * mean * mean) - 1) < 5 * sqrt(5) / sqrt(DRAWS));
    for (uint64_t size = 1; size <= UINT64_C(1) << 40; size = size * 5 / 4 + 1) {
        uint64_t weight = hw_poisson_weight_bytes(size, 512 << 10);
        double exact = (double)size / -expm1(-(double)size / mean);
        CHECK(weight >= size && fabs((double)weight - exact) <= 0.5 + exact * 1e-15);
    }
    CHECK(hw_poisson_weight_bytes(1, UINT64_C(1) << 50) == UINT64_C(1) << 50);
}

static void test_address_filter(void) {
    static hw_address_filter filter;
    enum { ADDRESSES = 2000 };
    for (uint64_t i = 1; i <= ADDRESSES; i++) hw_filter_add(&filter, i << 21);
    for (uint64_t i = 1; i <= ADDRESSES; i++) CHECK(hw_filter_may_hold(&filter, i << 21));
    int wrong = 0;
    for (uint64_t i = 1; i <= 100000; i++) wrong += hw_filter_may_hold(&filter, (i << 6) + 3);
    CHECK(wrong < 100000 * ADDRESSES / (1 << HW_FILTER_BITS) * 2 + 100);
    for (uint64_t i = 1; i <= ADDRESSES; i++) hw_filter_remove(&filter, i << 21);
    for (uint64_t i = 1; i <= ADDRESSES; i++) CHECK(!hw_filter_may_hold(&filter, i << 21));
    for (int i = 0; i < 300; i++) hw_filter_add(&filter, 64);
    for (int i = 0; i < 300; i++) hw_filter_remove(&filter, 64);
    CHECK(hw_filter_may_hold(&filter, 64)); /* stuck: "perhaps", never a wrong "no" */
}

int main(void) {
    test_sample_table();
    test_site_table_and_forks();
    test_prefixes();
    test_equal_peaks();
    test_failing_commits();
    test_full_table();
    test_poisson();
    test_address_filter();
    return 0;
}
