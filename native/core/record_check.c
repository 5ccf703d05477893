#include "core/record_check.h"

#include "core/record_mark.h"

size_t hw_records_check_bytes(const hw_records *records) {
    size_t words = 0;
    for (uint32_t p = 0; p < records->pools_count; p++)
        words += 2 * (size_t)hw_record_words(records->pools[p]) + records->pools[p]->live;
    return words * sizeof(uint64_t);
}

/* ---- a trace --------------------------------------------------------------------------------------------------------- */

/* A set of records, as planes of its own, in scratch memory. */
typedef struct {
    uint64_t *plane[HW_RECORD_POOLS_MAX];
} record_set;

static uint64_t *set_init(record_set *set, const hw_records *records, uint64_t *scratch) {
    for (uint32_t p = 0; p < records->pools_count; p++) {
        size_t words = hw_record_words(records->pools[p]);
        set->plane[p] = memset(scratch, 0, words * sizeof *scratch);
        scratch += words;
    }
    return scratch;
}

static bool set_has(const record_set *set, uint64_t id) {
    return hw_plane_has(set->plane[hw_record_pool_of(id)], hw_record_index_of(id));
}

static void set_add(record_set *set, uint64_t id) {
    set->plane[hw_record_pool_of(id)][hw_record_index_of(id) / 64] |= UINT64_C(1) << hw_record_index_of(id) % 64;
}

/* Breadth first: every record that was reached is in the queue once, so there is room for all that are live. */
typedef struct {
    const hw_records *records;
    record_set reached;
    uint64_t *queue;
    size_t from, to;
    bool white_only; /* marked records are not entered */
} trace;

static void reach(void *context, uint16_t edge, uint32_t entry, uint64_t target) {
    trace *t = context;
    if (set_has(&t->reached, target) || (t->white_only && hw_record_is_marked(t->records, target))) return;
    set_add(&t->reached, target);
    t->queue[t->to++] = target;
}

static void trace_on(trace *t) {
    while (t->from < t->to) hw_record_each_edge(t->records, t->queue[t->from++], reach, t);
}

static void trace_from_roots(trace *t) {
    const hw_records *records = t->records;
    for (uint32_t slot = 0; slot < records->handles.used; slot++)
        for (uint64_t i = 0; i < hw_record_handle_roots(&records->handles.entries[slot]); i++)
            reach(t, 0, 0, records->handles.entries[slot].id + i);
    for (uint32_t i = records->finalizable_taken; i < records->finalizable.count; i++)
        reach(t, 0, 0, records->finalizable.entries[i]);
    trace_on(t);
}

/* ---- what each plane says -------------------------------------------------------------------------------------------- */

/* The edges of a record that is doomed mean nothing any more. */
static bool is_kept(const hw_records *records, uint64_t id) {
    return hw_record_is_live(records, id) && !hw_record_is_doomed(records, id);
}

/* The words of planes that are wrong, and where: of two planes, the first has to be a subset of the second. */
static bool is_within(const uint64_t *inner, const uint64_t *outer, const uint64_t *but, uint32_t p, const hw_record_pool *pool,
                      uint64_t *where) {
    for (uint32_t word = 0; inner != NULL && word < hw_record_words(pool); word++) {
        uint64_t wrong = inner[word] & ~(outer[word] & ~(but == NULL ? 0 : but[word]));
        if (wrong == 0) continue;
        *where = hw_record_id(p, word * 64 + (uint32_t)__builtin_ctzll(wrong));
        return false;
    }
    return true;
}

static const char *check_counts(const hw_record_pool *pool, uint32_t p, uint64_t *where) {
    *where = hw_record_id(p, pool->used);
    if (pool->used > pool->capacity || pool->live > pool->used) return "G1: live <= used <= capacity";
    uint64_t live = 0;
    for (uint32_t word = 0; word < hw_record_words(pool); word++) {
        uint64_t below = word * 64 + 64 <= pool->used ? UINT64_MAX : (UINT64_C(1) << pool->used % 64) - 1;
        if (pool->allocated[word] & ~below) return "G1: nothing is allocated at or after used";
        if (word < pool->hole_word && ~pool->allocated[word] & below)
            return *where = hw_record_id(p, word * 64), "G1: there is no hole before hole_word";
        live += (uint64_t)__builtin_popcountll(pool->allocated[word]);
    }
    return live == pool->live ? NULL : "G1: live is the number of allocated records";
}

static const char *check_planes(const hw_records *records, uint32_t p, uint64_t *where) {
    const hw_record_pool *pool = records->pools[p];
    const char *broken = check_counts(pool, p, where);
    if (broken != NULL) return broken;
    if (!is_within(pool->marked, pool->allocated, NULL, p, pool, where)) return "G5: what is marked is allocated";
    if (!is_within(pool->old, pool->allocated, NULL, p, pool, where)) return "G5: what is old is allocated";
    if (!is_within(pool->logged, pool->old, NULL, p, pool, where)) return "G6: what is logged is old";
    for (int i = 0; i < 2; i++)
        if (!is_within(pool->age[i], pool->allocated, pool->old, p, pool, where)) return "G5: what has an age is allocated, and young";
    if (!is_within(pool->finalized, pool->allocated, NULL, p, pool, where)) return "G5: what is finalized is allocated";
    for (uint32_t word = 0; records->phase == HW_RECORDS_IDLE && word < hw_record_words(pool); word++)
        if (pool->marked[word] != 0) return *where = hw_record_id(p, word * 64), "G3: between cycles nothing is marked";
    return NULL;
}

/* ---- what records refer to ------------------------------------------------------------------------------------------- */

typedef struct {
    const hw_records *records;
    const char *broken;
} edge_check;

static void check_edge(void *context, uint16_t edge, uint32_t entry, uint64_t target) {
    edge_check *check = context;
    if (!is_kept(check->records, target)) check->broken = "G2: an edge refers to a record that is allocated";
}

static bool span_fits(const hw_records *records, const void *where, uint32_t entry_bytes) {
    hw_record_span span = hw_span_load(where);
    if (span.count == 0) return true;
    return span.block != 0 && (uint64_t)span.count * entry_bytes <= hw_span_payload(records, span)->capacity_bytes;
}

static const char *check_record(const hw_records *records, uint64_t id) {
    const hw_record_pool *pool = records->pools[hw_record_pool_of(id)];
    const unsigned char *record = hw_record_at(pool, hw_record_index_of(id));
    for (uint16_t i = pool->edges_count - pool->spans_count; i < pool->edges_count; i++)
        if (!span_fits(records, record + pool->edges[i].offset_bytes, sizeof(uint32_t))) return "G2: a span is within its block";
    for (uint16_t i = 0; i < pool->payloads_count; i++)
        if (!span_fits(records, record + pool->payloads[i], 1)) return "G2: a span is within its block";
    for (uint16_t i = 0; i < pool->weak_count; i++) {
        uint64_t target = hw_edge_load(&pool->weak[i], record + pool->weak[i].offset_bytes);
        if (target != HW_RECORD_NO_ID && !is_kept(records, target)) return "G2: a weak edge refers to a record that is allocated";
    }
    edge_check check = {records, NULL};
    hw_record_each_edge(records, id, check_edge, &check);
    return check.broken;
}

static const char *check_edges(const hw_records *records, uint64_t *where) {
    for (uint32_t p = 0; p < records->pools_count; p++) {
        const hw_record_pool *pool = records->pools[p];
        for (uint32_t word = 0; word < hw_record_words(pool); word++)
            for (uint64_t bits = pool->allocated[word]; bits != 0; bits &= bits - 1) {
                *where = hw_record_id(p, word * 64 + (uint32_t)__builtin_ctzll(bits));
                const char *broken = hw_record_is_doomed(records, *where) ? NULL : check_record(records, *where);
                if (broken != NULL) return broken;
            }
    }
    return NULL;
}

static const char *check_roots(const hw_records *records, uint64_t *where) {
    uint32_t slot;
    const char *broken = hw_record_handles_check(&records->handles, &slot);
    *where = slot;
    if (broken != NULL) return broken;
    for (slot = 0; slot < records->handles.used; slot++) {
        const hw_record_handle_entry *entry = &records->handles.entries[slot];
        uint64_t count = entry->kind == HW_HANDLE_WEAK && entry->id != HW_RECORD_NO_ID ? 1 : hw_record_handle_roots(entry);
        *where = slot;
        for (uint64_t i = 0; i < count; i++)
            if (!is_kept(records, entry->id + i)) return "G2: a handle is of records that are allocated";
    }
    for (uint32_t i = records->finalizable_taken; i < records->finalizable.count; i++)
        if (*where = records->finalizable.entries[i], !is_kept(records, *where)) return "G2: what waits to be finalized is allocated";
    return NULL;
}

/* ---- what a cycle knows ---------------------------------------------------------------------------------------------- */

static void reach_from(trace *t, uint64_t id) {
    hw_record_each_edge(t->records, id, reach, t);
    trace_on(t);
    t->from = t->to = 0; /* each in its turn, so that the queue holds white ones only */
}

/* Everything white that the cycle will still come to. */
static void trace_from_grey(trace *t) {
    const hw_records *records = t->records;
    for (uint32_t i = 0; i < records->stack_count; i++) reach_from(t, records->stack[i]); /* a part of a span is its record's */
    for (uint32_t i = records->log_taken; i < records->log.count; i++) reach_from(t, records->log.entries[i]);
    bool anybody = records->overflowed || records->looking;
    for (uint32_t p = 0; anybody && p < records->pools_count; p++)
        for (uint32_t word = 0; word < hw_record_words(records->pools[p]); word++)
            for (uint64_t bits = records->pools[p]->marked[word]; bits != 0; bits &= bits - 1)
                reach_from(t, hw_record_id(p, word * 64 + (uint32_t)__builtin_ctzll(bits)));
    if (records->phase != HW_RECORDS_ROOTS) return;
    t->from = t->to = 0; /* handles that have not had their turn are grey, too */
    trace_from_roots(t);
}

/* Two traces: what the cycle will keep, as it sees things; and what it has to. */
static const char *check_cycle(const hw_records *records, uint64_t *scratch, uint64_t *where) {
    trace promised = {.records = records, .white_only = true}, reachable = {.records = records};
    scratch = set_init(&promised.reached, records, scratch);
    scratch = set_init(&reachable.reached, records, scratch);
    promised.queue = reachable.queue = scratch;
    trace_from_grey(&promised);
    trace_from_roots(&reachable);
    for (uint32_t p = 0; p < records->pools_count; p++)
        for (uint32_t word = 0; word < hw_record_words(records->pools[p]); word++) {
            uint64_t lost = reachable.reached.plane[p][word] & ~records->pools[p]->marked[word] & ~promised.reached.plane[p][word];
            if (lost == 0) continue;
            *where = hw_record_id(p, word * 64 + (uint32_t)__builtin_ctzll(lost));
            return "G4: what can be reached is marked, or found from a grey record through white ones";
        }
    return NULL;
}

/* ---- what the old remember ------------------------------------------------------------------------------------------- */

static void find_young(void *context, uint16_t edge, uint32_t entry, uint64_t target) {
    edge_check *check = context;
    if (!hw_plane_has(check->records->pools[hw_record_pool_of(target)]->old, hw_record_index_of(target)))
        check->broken = "G6: an old record with an edge to a young one is remembered";
}

static const char *check_remembered(const hw_records *records, uint64_t *scratch, uint64_t *where) {
    record_set listed;
    set_init(&listed, records, scratch);
    for (uint32_t i = 0; i < records->remembered.count; i++) {
        *where = records->remembered.entries[i];
        if (!hw_record_is_live(records, *where) || set_has(&listed, *where)) return "G6: what is remembered is allocated, and there once";
        set_add(&listed, *where);
    }
    for (uint32_t p = 0; p < records->pools_count; p++) {
        const hw_record_pool *pool = records->pools[p];
        for (uint32_t word = 0; word < hw_record_words(pool); word++) {
            *where = hw_record_id(p, word * 64);
            if (pool->logged[word] != listed.plane[p][word]) return "G6: what is remembered is logged, and nothing else is";
            uint64_t unlisted = records->remembered_overflowed ? 0 : pool->old[word] & ~pool->logged[word];
            for (; unlisted != 0; unlisted &= unlisted - 1) {
                *where = hw_record_id(p, word * 64 + (uint32_t)__builtin_ctzll(unlisted));
                edge_check check = {records, NULL};
                hw_record_each_edge(records, *where, find_young, &check);
                if (check.broken != NULL) return check.broken;
            }
        }
    }
    return NULL;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------- */

const char *hw_records_check(const hw_records *records, void *scratch, uint64_t *where) {
    const char *broken = NULL;
    for (uint32_t p = 0; p < records->pools_count && broken == NULL; p++) broken = check_planes(records, p, where);
    if (broken == NULL) broken = check_roots(records, where);
    if (broken == NULL) broken = check_edges(records, where);
    if (broken != NULL) return broken;
    if (records->phase == HW_RECORDS_IDLE) {
        *where = HW_RECORD_NO_ID;
        if (records->stack_count != 0 || records->log.count != 0) return "G3: between cycles nothing is grey";
        if (records->barrier & HW_BARRIER_MARKING) return "G3: between cycles nothing is shaded";
    }
    if (records->phase == HW_RECORDS_SWEEP) return NULL; /* G4 is G2 now; and what is remembered is made anew at its end */
    if (records->phase != HW_RECORDS_IDLE) broken = check_cycle(records, scratch, where);
    if (broken == NULL && records->promote_after != 0) broken = check_remembered(records, scratch, where);
    return broken;
}

uint64_t hw_records_unreachable(const hw_records *records, void *scratch, uint64_t *where) {
    trace reachable = {.records = records};
    reachable.queue = set_init(&reachable.reached, records, scratch);
    trace_from_roots(&reachable);
    uint64_t count = 0;
    for (uint32_t p = records->pools_count; p-- != 0;)
        for (uint32_t word = hw_record_words(records->pools[p]); word-- != 0;) {
            uint64_t dead = records->pools[p]->allocated[word] & ~reachable.reached.plane[p][word];
            if (dead == 0) continue;
            count += (uint64_t)__builtin_popcountll(dead);
            *where = hw_record_id(p, word * 64 + (uint32_t)__builtin_ctzll(dead));
        }
    return count;
}
