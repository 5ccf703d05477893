/* Every program of N operations on at most four records with two edges and a weak one, two of which are made, each in a variable;
 * under one collector. Each state that any of them leads to is looked at once.
 *
 *     records LAW COLLECTOR N      LAW: safe, complete, compact
 *                                  COLLECTOR: slices, no-room, young-1 ... young-4
 *
 * Prints "holds: N states" and ends with 0, or "fails: ..." with the shortest program, and ends with 3. States are told apart by 64
 * bits of a hash. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/record_check.h"
#include "core/record_compact.h"
#include "core/record_sweep.h"

enum { RECORDS = 4, VARIABLES = 2, EDGES = 2, NOBODY = -1, LENGTH_MAX = 16, ENTRIES = 8, MAP = 16, STACK = 64 };

typedef struct {
    uint32_t number, narrow;
    uint64_t wide, weak;
} node;

static const hw_record_edge EDGE[EDGES] = {{offsetof(node, narrow), HW_EDGE_NARROW, 0}, {offsetof(node, wide), HW_EDGE_WIDE, 0}};
static const hw_record_edge WEAK = {offsetof(node, weak), HW_EDGE_WIDE, 0};
static const node BLANK = {0, HW_RECORD_NONE, HW_RECORD_NO_ID, HW_RECORD_NO_ID};

/* The heap, and what it should be: what record each number refers to, and what the variables do. Copied as a whole. */
typedef struct {
    hw_records records;
    hw_record_pool pool;
    uint64_t planes[7], stack[STACK], log[RECORDS], remembered[RECORDS], finalizable[RECORDS];
    hw_record_handle_entry entries[ENTRIES];
    uint32_t map[MAP];
    node memory[RECORDS];
    signed char to[RECORDS][EDGES], weak[RECORDS], variable[VARIABLES];
    bool finalized[RECORDS];
} world;

static world now;
static const char *law, *broken; /* broken: by the operation itself */
static int promote_after;
static bool no_room;

static void init(void) {
    hw_records *records = &now.records;
    now.pool = (hw_record_pool){.records = (unsigned char *)now.memory, .stride_bytes = sizeof(node), .capacity = RECORDS,
                                .allocated = &now.planes[0], .marked = &now.planes[1], .finalized = &now.planes[2], .edges = EDGE,
                                .weak = &WEAK, .edges_count = EDGES, .narrow_count = 1, .weak_count = 1,
                                .narrow_offset_bytes = offsetof(node, narrow), .blank = (const unsigned char *)&BLANK};
    hw_records_init(records);
    hw_records_add(records, &now.pool);
    hw_record_handles_init(&records->handles, now.entries, ENTRIES, now.map, MAP);
    records->stack = now.stack, records->stack_capacity = no_room ? 1 : STACK, records->without_room = no_room;
    records->log.entries = now.log, records->log.capacity = no_room ? 0 : RECORDS;
    records->remembered.entries = now.remembered, records->remembered.capacity = RECORDS;
    records->finalizable.entries = now.finalizable, records->finalizable.capacity = RECORDS;
    records->poison = true;
    records->promote_after = (uint8_t)promote_after;
    if (promote_after != 0) {
        records->barrier = HW_BARRIER_GENERATIONS;
        now.pool.old = &now.planes[3], now.pool.logged = &now.planes[4], now.pool.age[0] = &now.planes[5], now.pool.age[1] = &now.planes[6];
    }
    memset(now.to, NOBODY, sizeof now.to), memset(now.weak, NOBODY, sizeof now.weak), memset(now.variable, NOBODY, sizeof now.variable);
}

/* ---- where things are ------------------------------------------------------------------------------------------------ */

static bool is_there(uint32_t index) { return index < now.pool.used && hw_plane_has(now.pool.allocated, index); }

static uint64_t id_of(int number) {
    for (uint32_t index = 0; number != NOBODY && index < RECORDS; index++)
        if (is_there(index) && now.memory[index].number == (uint32_t)number) return hw_record_id(0, index);
    return HW_RECORD_NO_ID;
}

static int number_of(uint64_t id) { return id == HW_RECORD_NO_ID ? NOBODY : (int)now.memory[hw_record_index_of(id)].number; }

static void *place(int number, const hw_record_edge *edge) {
    return (unsigned char *)&now.memory[hw_record_index_of(id_of(number))] + edge->offset_bytes;
}

/* Which numbers the variables reach, and what waits to be finalized, too, if asked. */
static unsigned reached(bool waiting) {
    unsigned seen = 0, todo = 0;
    for (int v = 0; v < VARIABLES; v++)
        if (now.variable[v] != NOBODY) todo |= 1u << now.variable[v];
    for (uint32_t i = now.records.finalizable_taken; waiting && i < now.records.finalizable.count; i++)
        todo |= 1u << number_of(now.records.finalizable.entries[i]);
    while (todo != 0) {
        int number = __builtin_ctz(todo);
        todo &= todo - 1, seen |= 1u << number;
        for (int e = 0; e < EDGES; e++)
            if (now.to[number][e] != NOBODY && !(seen >> now.to[number][e] & 1)) todo |= 1u << now.to[number][e];
    }
    return seen;
}

/* ---- operations ------------------------------------------------------------------------------------------------------ */

static void assign(int v, uint64_t id) {
    int before = now.variable[v];
    hw_record_handle handle;
    bool fresh;
    if (id != HW_RECORD_NO_ID) hw_records_handle(&now.records, id, 0, &handle, &fresh);
    now.variable[v] = (signed char)number_of(id);
    if (before == NOBODY || before == now.variable[0] || before == now.variable[1]) return;
    uint32_t slot = hw_record_handles_find(&now.records.handles, id_of(before));
    if (slot == HW_HANDLE_NONE) broken = "a handle is lost";
    else hw_records_drop(&now.records, slot);
}

static bool make(int v) {
    uint32_t index = hw_record_make(&now.records, 0);
    if (index == HW_RECORD_NONE) return false;
    unsigned taken = 0;
    for (uint32_t other = 0; other < RECORDS; other++)
        if (other != index && is_there(other)) taken |= 1u << now.memory[other].number;
    int number = __builtin_ctz(~taken);
    now.memory[index].number = (uint32_t)number;
    now.to[number][0] = now.to[number][1] = now.weak[number] = NOBODY, now.finalized[number] = false;
    assign(v, hw_record_id(0, index));
    return true;
}

static void store(int from, int e, uint64_t id) {
    now.to[from][e] = (signed char)number_of(id);
    hw_edge_store(&now.records, id_of(from), &EDGE[e], false, place(from, &EDGE[e]), id);
}

static void slice(void) {
    hw_records *records = &now.records;
    switch (records->phase) {
    case HW_RECORDS_IDLE: hw_records_begin(records, false); records->without_room = no_room; /* fall through */
    case HW_RECORDS_ROOTS: hw_records_mark_roots(records, 2); break; /* an entry of the table */
    case HW_RECORDS_TRACE:
    case HW_RECORDS_TRACE_AGAIN:
        if (hw_records_mark(records, 1, false) != HW_MARK_DONE) break;
        /* fall through */
    default: hw_records_sweep(records, 1);
    }
}

static bool no_more(void *unused) { return false; }

/* OPERATIONS: its words, and whether it is one now. `o` has the variables and edges it is about in its bits. */
enum { COLLECT, MAJOR, COMPACT, MAKE, DROP, FINALIZE, LOAD, CLEAR, STORE, MOVE, WEAK_LOAD, WEAK_MOVE, WEAK_STORE, KINDS };
static const int VARIANTS[KINDS] = {1, 1, 1, 2, 2, 2, 8, 4, 8, 16, 4, 8, 4};

static bool operate(int kind, int o) {
    int a = o & 1, b = o >> 1 & 1, e = o >> 2 & 1, f = o >> 3 & 1, from = now.variable[a], to = now.variable[b];
    if (kind == CLEAR) e = b; /* of one variable only */
    uint64_t id;
    switch (kind) {
    case COLLECT:
        if (promote_after == 0) return slice(), true;
        if (now.records.remembered_overflowed) return false;
        return hw_records_collect(&now.records, true, no_more, NULL), true;
    case MAJOR:
        if (promote_after == 0) return false;
        return hw_records_collect(&now.records, false, no_more, NULL), true;
    case COMPACT: {
        uint32_t scratch[1];
        if (now.records.phase != HW_RECORDS_IDLE) return false;
        return hw_records_compact(&now.records, NULL, scratch).moved != 0;
    }
    case MAKE: return make(a);
    case DROP: return from != NOBODY && (assign(a, HW_RECORD_NO_ID), true);
    case FINALIZE:
        id = hw_records_next_finalizable(&now.records);
        if (id == HW_RECORD_NO_ID) return false;
        if (now.finalized[number_of(id)]) broken = "finalized twice";
        now.finalized[number_of(id)] = true;
        return assign(a, id), true;
    case LOAD: /* a = b.e */
        if (to == NOBODY || now.to[to][e] == NOBODY) return false;
        return assign(a, hw_edge_load(&EDGE[e], place(to, &EDGE[e]))), true;
    case CLEAR: return from != NOBODY && now.to[from][e] != NOBODY && (store(from, e, HW_RECORD_NO_ID), true);
    case STORE: return from != NOBODY && to != NOBODY && (store(from, e, id_of(to)), true);
    case MOVE: /* a.e = b.f, without a handle of it */
        if (from == NOBODY || to == NOBODY || now.to[to][f] == NOBODY) return false;
        return store(from, e, hw_edge_load(&EDGE[f], place(to, &EDGE[f]))), true;
    case WEAK_LOAD: /* a = b.w */
    case WEAK_MOVE: /* a.e = b.w */
        if (kind == WEAK_MOVE && from == NOBODY) return false;
        if (to == NOBODY || now.weak[to] == NOBODY) return false;
        id = hw_weak_load(&now.records, &WEAK, place(to, &WEAK));
        if (number_of(id) != now.weak[to] && (id != HW_RECORD_NO_ID || reached(false) >> now.weak[to] & 1)) broken = "a weak load errs";
        if (id != HW_RECORD_NO_ID && kind == WEAK_LOAD) assign(a, id);
        if (id != HW_RECORD_NO_ID && kind == WEAK_MOVE) store(from, e, id);
        return id != HW_RECORD_NO_ID;
    default: /* WEAK_STORE */
        if (from == NOBODY || to == NOBODY) return false;
        now.weak[from] = (signed char)to;
        return hw_edge_store(&now.records, id_of(from), &WEAK, true, place(from, &WEAK), id_of(to)), true;
    }
}

/* ---- what has to be ---------------------------------------------------------------------------------------------------- */

static uint64_t scratch[2 + RECORDS];

/* The heap has everything that the model reaches, and it refers to what it should. */
static const char *safe(void) {
    uint64_t where;
    const char *said = hw_records_check(&now.records, scratch, &where);
    if (said != NULL) return said;
    unsigned live = reached(true), held = reached(false);
    for (int number = 0; number < RECORDS; number++) {
        uint64_t id = id_of(number);
        if (id == HW_RECORD_NO_ID && live >> number & 1) return "what can be reached was freed";
        if (id == HW_RECORD_NO_ID) continue;
        const node *record = &now.memory[hw_record_index_of(id)];
        if (now.weak[number] != NOBODY && record->weak == HW_RECORD_NO_ID) {
            if (held >> now.weak[number] & 1) return "a weak edge to what is held is gone";
            now.weak[number] = NOBODY;
        }
        if (!(live >> number & 1)) continue; /* nobody knows what it refers to */
        if (number_of(record->weak) != now.weak[number]) return "a weak edge is to another record";
        for (int e = 0; e < EDGES; e++)
            if (number_of(hw_edge_load(&EDGE[e], (const char *)record + EDGE[e].offset_bytes)) != now.to[number][e])
                return "an edge is to another record";
    }
    return NULL;
}

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
    static const char *const NAMES[KINDS] = {"collect", "collect-all", "compact", "make", "drop", "finalize",
                                             "load", "clear", "store", "move", "weak-load", "weak-move", "weak-store"};
    printf("fails: %s, after", what);
    for (int i = 0; i < length; i++) {
        printf(" %s", NAMES[p->kind[i]]);
        for (int bit = 1; bit < VARIANTS[p->kind[i]]; bit *= 2) printf("%c%d", bit == 1 ? ' ' : '.', (p->variant[i] & bit) != 0);
        printf(";");
    }
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
