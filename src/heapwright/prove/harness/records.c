/* Every program of N operations on at most four records with two edges and a weak one, two of which are made, each in a variable;
 * under one collector. Each state that any of them leads to is looked at once.
 *
 *     records LAW COLLECTOR N      LAW: safe, complete, compact
 *                                  COLLECTOR: slices, no-room, young-1 ... young-4
 *
 * Prints "holds: N states" and ends with 0, or "fails: ..." with the shortest program, and ends with 3. States are told apart by 64
 * bits of a hash. */
#include "records_heap.h"

static const char *law;

/* The rest of this cycle, and whole ones, until none of them sets anything aside to be finalized; who does that holds on to
 * nothing. Then what is not reached is not there. */
static const char *complete(void) {
    uint64_t where, id;
    while (now.records.phase != HW_RECORDS_IDLE) slice();
    for (bool more = true; more;) {
        hw_records_collect(&now.records, false, no_more, NULL);
        for (more = false; (id = hw_records_next_finalizable(&now.records)) != HW_RECORD_NO_ID; more = true) {
            if (now.finalized[number_of(id)]) return "finalized twice";
            now.finalized[number_of(id)] = true;
        }
    }
    if (hw_records_unreachable(&now.records, scratch, &where) != 0 || now.pool.live != (uint32_t)__builtin_popcount(reached(false)))
        return "after two cycles there is a record that nobody can reach";
    return safe();
}

/* After a compaction the records are those before it, in order, without a hole. */
static const char *compact(void) {
    uint32_t numbers[RECORDS], live = 0, before[1];
    if (now.records.phase != HW_RECORDS_IDLE) return NULL;
    for (uint32_t index = 0; index < RECORDS; index++)
        if (is_there(index)) numbers[live++] = now.memory[index].number;
    hw_records_compact(&now.records, NULL, before);
    if (now.pool.used != live || now.pool.live != live) return "a compacted pool has a hole";
    for (uint32_t index = 0; index < live; index++)
        if (now.memory[index].number != numbers[index]) return "records are in another order";
    const char *said = safe();
    return said != NULL || promote_after != 0 ? said : complete();
}

static const char *amiss(void) {
    if (broken != NULL) return broken;
    const char *said = safe();
    if (said != NULL || strcmp(law, "safe") == 0) return said;
    return strcmp(law, "complete") == 0 ? complete() : compact();
}

/* ---- all states -------------------------------------------------------------------------------------------------------- */

/* What decides what comes next, and no more: counters, and what lies behind the ends of lists, are left out. */
static uint64_t hash(void) {
    const hw_records *r = &now.records;
    const hw_record_handles *h = &r->handles;
    uint64_t word[128] = {0}, result = 0;
    unsigned n = 0;
    word[n++] = now.pool.used | (uint64_t)now.pool.live << 8 | (uint64_t)now.pool.hole_word << 16 | (uint64_t)r->phase << 24 |
                (uint64_t)r->stack_count << 32 | (uint64_t)(r->log.count - r->log_taken) << 40 | (uint64_t)r->overflowed << 48 |
                (uint64_t)r->looking << 49 | (uint64_t)r->remembered_overflowed << 50 | (uint64_t)r->barrier << 52 |
                (uint64_t)h->used << 56;
    word[n++] = r->cursor_pool | (uint64_t)r->cursor << 8 | (uint64_t)r->cursor_in_run << 16 | (uint64_t)r->remembered.count << 24 |
                (uint64_t)(r->finalizable.count - r->finalizable_taken) << 32 | (uint64_t)(unsigned char)h->free << 40;
    for (int i = 0; i < 7; i++) word[n] |= now.planes[i] << 8 * i;
    n++;
    memcpy(&word[n], now.to, sizeof now.to), memcpy((char *)&word[n + 1], now.weak, sizeof now.weak);
    memcpy((char *)&word[n + 1] + 4, now.variable, sizeof now.variable), n += 2;
    for (int i = 0; i < RECORDS; i++) word[n] |= (uint64_t)now.finalized[i] << i;
    n++;
    for (uint32_t i = 0; i < RECORDS; i++)
        if (is_there(i)) memcpy(&word[n], &now.memory[i], sizeof(node)), n += sizeof(node) / 8;
    for (uint32_t i = 0; i < h->used; i++) word[n++] = (h->entries[i].id << 2) ^ h->entries[i].kind ^ (h->entries[i].kind == HW_HANDLE_FREE ? h->entries[i].owner << 8 : 0);
    for (uint32_t i = 0; i < r->stack_count; i++) word[n++] = r->stack[i];
    for (uint32_t i = r->log_taken; i < r->log.count; i++) word[n++] = r->log.entries[i];
    for (uint32_t i = 0; i < r->remembered.count; i++) word[n++] = r->remembered.entries[i];
    for (uint32_t i = r->finalizable_taken; i < r->finalizable.count; i++) word[n++] = r->finalizable.entries[i];
    for (unsigned i = 0; i < n; i++) { /* Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014 */
        result = (result ^ word[i]) + UINT64_C(0x9E3779B97F4A7C15) * (i + 1);
        result = (result ^ result >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
        result = (result ^ result >> 27) * UINT64_C(0x94D049BB133111EB);
        result ^= result >> 31;
    }
    return result | (result == 0);
}

static uint64_t *table;
static size_t table_size = 1 << 16, states;

/* Whether it was not in the table; it is now. */
static bool is_new(uint64_t key) {
    if (2 * states >= table_size) {
        uint64_t *old = table;
        table = calloc(table_size *= 2, sizeof *table);
        states = 0;
        for (size_t i = 0; i < table_size / 2; i++)
            if (old[i] != 0) is_new(old[i]);
        free(old);
    }
    size_t at = key & (table_size - 1);
    for (; table[at] != 0; at = (at + 1) & (table_size - 1))
        if (table[at] == key) return false;
    table[at] = key;
    states++;
    return true;
}

typedef struct {
    unsigned char kind[LENGTH_MAX], variant[LENGTH_MAX];
} program;

static void fail(const char *what, const program *p, int length) {
    printf("fails: %s, after", what);
    for (int i = 0; i < length; i++) print_operation(p->kind[i], p->variant[i]);
    printf("\n");
    exit(3);
}

/* By length, so the first that fails is a shortest one. A program is run again from the start to come to its state. */
static void explore(int length_max) {
    world empty = now, reached_world;
    size_t count = 1, capacity;
    program *ones = calloc(1, sizeof *ones), *next;
    for (int length = 0; length < length_max; length++, ones = next) {
        size_t next_count = 0;
        next = malloc((capacity = 1024) * sizeof *next);
        for (size_t i = 0; i < count; i++) {
            memcpy(&now, &empty, sizeof now);
            for (int step = 0; step < length; step++) operate(ones[i].kind[step], ones[i].variant[step]), safe();
            memcpy(&reached_world, &now, sizeof now);
            for (int kind = 0; kind < KINDS; kind++)
                for (int variant = 0; variant < VARIANTS[kind]; variant++) {
                    program longer = ones[i];
                    longer.kind[length] = (unsigned char)kind, longer.variant[length] = (unsigned char)variant;
                    bool done = operate(kind, variant);
                    if (broken != NULL) fail(broken, &longer, length + 1);
                    if (done && is_new(hash())) {
                        const char *said = amiss();
                        if (said != NULL) fail(said, &longer, length + 1);
                        if (next_count == capacity) next = realloc(next, (capacity *= 2) * sizeof *next);
                        next[next_count++] = longer;
                    }
                    if (done || kind == MAKE || kind == WEAK_LOAD || kind == WEAK_MOVE || kind == FINALIZE) memcpy(&now, &reached_world, sizeof now);
                }
        }
        count = next_count;
        free(ones);
    }
    free(ones);
}

int main(int argc, char **argv) {
    law = argv[1];
    no_room = strcmp(argv[2], "no-room") == 0;
    promote_after = strncmp(argv[2], "young-", 6) == 0 ? atoi(argv[2] + 6) : 0;
    table = calloc(table_size, sizeof *table);
    init();
    for (int v = 0; v < VARIABLES; v++) make(v);
    explore(atoi(argv[3]));
    printf("holds: %zu states\n", states);
    return 0;
}
