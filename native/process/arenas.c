#include "process/arenas.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/mappings.h"
#include "os/shared_file.h"

/* pymalloc's geometry, the same in CPython 3.10 to 3.13 (Include/internal/pycore_obmalloc.h) */
enum { ARENA_BYTES = 1 << 20, POOL_BYTES = 1 << 14, PAGE_BYTES = 1 << 12 };

typedef struct {
    uint64_t count, freeblock, nextpool, prevpool;
    uint32_t arenaindex, szidx, nextoffset, maxnextoffset;
} pool_header;

typedef struct {
    uintptr_t address; /* as mapped; 0: this entry is unused */
    uintptr_t pool_address;
    uint32_t free_pools, total_pools;
    uintptr_t freepools, next, previous;
} arena_object;

typedef struct {
    int64_t magic, version, arena_bytes;
    _Atomic int64_t slots, lost;
    int64_t reserved[3];
    _Atomic int64_t address[HW_ARENAS_CAPACITY];
} table;

_Static_assert(sizeof(pool_header) == 48 && sizeof(arena_object) == 48, "as in CPython on 64-bit machines");
_Static_assert(offsetof(table, address) == HW_ARENAS_HEADER_WORDS * 8, "the header that readers skip");

static _Atomic(table *) current;
static char directory[4096];
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static char path[sizeof directory + 32]; /* of the current table's file */

/* Room in the file for the slots up to `slots`, from `from` on. A store without it would be a SIGBUS on a full disk. */
static int commit_slots(int64_t from, int64_t slots) {
    size_t start = from == 0 ? 0 : offsetof(table, address) + (size_t)from * sizeof(int64_t);
    size_t end = offsetof(table, address) + (size_t)slots * sizeof(int64_t);
    return hw_shared_file_commit(path, start, end - start);
}

static int open_table(table **opened, int64_t slots) {
    snprintf(path, sizeof path, "%s/%ld.arenas", directory, (long)getpid());
    int error = hw_shared_file_create(path, sizeof(table), (void **)opened);
    if (error == 0 && (error = commit_slots(0, slots)) != 0) {
        hw_shared_file_unmap(*opened, sizeof(table));
        unlink(path);
    }
    return error;
}

static void child_after_fork(void) {
    table *mine = NULL, *inherited = atomic_load(&current);
    if (inherited == NULL) return;
    int64_t slots = atomic_load(&inherited->slots);
    if (open_table(&mine, slots) == 0) {
        memcpy(mine, inherited, offsetof(table, address) + (size_t)slots * sizeof(int64_t));
        mine->slots = slots; /* the parent may have added one meanwhile */
    } else {
        mine = NULL;
    }
    atomic_store(&current, mine); /* NULL if the session is over, or out of room: nobody reads it any more */
    hw_shared_file_unmap(inherited, sizeof(table));
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, child_after_fork); }

int hw_arenas_open(const char *session) {
    if (atomic_load(&current) != NULL) return EALREADY;
    if (strlen(session) >= sizeof directory) return ENAMETOOLONG;
    strcpy(directory, session);
    table *opened;
    int error = open_table(&opened, 0);
    if (error != 0) return error;
    opened->version = HW_ARENAS_VERSION;
    opened->arena_bytes = ARENA_BYTES;
    opened->magic = HW_ARENAS_MAGIC;
    atomic_store(&current, opened);
    pthread_once(&fork_once, watch_forks);
    return 0;
}

void hw_arenas_added(uintptr_t address, size_t size_bytes) {
    table *into = atomic_load(&current);
    if (into == NULL || size_bytes != ARENA_BYTES) return;
    int64_t slots = atomic_load(&into->slots);
    for (int64_t i = 0; i < slots; i++) {
        int64_t empty = 0;
        if (atomic_compare_exchange_strong(&into->address[i], &empty, (int64_t)address)) return;
    }
    int64_t slot = atomic_fetch_add(&into->slots, 1);
    if (slot < HW_ARENAS_CAPACITY && commit_slots(slot, slot + 1) == 0) {
        atomic_store(&into->address[slot], (int64_t)address);
    } else {
        atomic_fetch_sub(&into->slots, 1);
        atomic_fetch_add(&into->lost, 1);
    }
}

void hw_arenas_removed(uintptr_t address) {
    table *from = atomic_load(&current);
    if (from == NULL) return;
    /* Newest first: CPython gives back the emptiest arenas, which tend to be the youngest. */
    for (int64_t i = atomic_load(&from->slots) - 1; i >= 0; i--) {
        int64_t expected = (int64_t)address;
        if (atomic_compare_exchange_strong(&from->address[i], &expected, 0)) return;
    }
}

static bool plausible(const arena_object *arena) {
    uintptr_t first_pool = (arena->address + POOL_BYTES - 1) & ~(uintptr_t)(POOL_BYTES - 1);
    uint32_t pools = first_pool == arena->address ? ARENA_BYTES / POOL_BYTES : ARENA_BYTES / POOL_BYTES - 1;
    return arena->address != 0 && arena->address % PAGE_BYTES == 0 && arena->pool_address % POOL_BYTES == 0 &&
           arena->pool_address > first_pool && arena->pool_address <= first_pool + (uintptr_t)pools * POOL_BYTES &&
           arena->total_pools == pools && arena->free_pools < pools;
}

size_t hw_arenas_find_earlier(uintptr_t block, uintptr_t heap_start, uintptr_t heap_end) {
    /* Not a small object (PYTHONMALLOC=malloc): then there are no arenas, and what is read here is just other bytes of
     * the page that the block is in, or of the C library's heap below it. */
    uintptr_t pool_address = block & ~(uintptr_t)(POOL_BYTES - 1);
    if (block >= heap_start && block < heap_end) return 0;
    uint32_t index = ((const pool_header *)pool_address)->arenaindex;
    for (uintptr_t at = heap_start; at + sizeof(arena_object) <= heap_end; at += 8) {
        const arena_object *found = (const arena_object *)at;
        if (!plausible(found) || block < found->address || block >= found->address + ARENA_BYTES) continue;
        if (at < heap_start + (uintptr_t)index * sizeof(arena_object)) continue;
        const arena_object *list = found - index;
        size_t added = 0;
        for (uint32_t i = 0; (uintptr_t)(list + i + 1) <= heap_end && i <= 4096; i++) {
            if (!plausible(list + i)) {
                if (i > index && list[i].address != 0) break;
                continue;
            }
            uintptr_t first_pool = (list[i].address + POOL_BYTES - 1) & ~(uintptr_t)(POOL_BYTES - 1);
            /* Everything that looks like an entry is one only if the memory it speaks of agrees. */
            if (!hw_is_mapped(first_pool, PAGE_BYTES)) break;
            if (((const pool_header *)first_pool)->arenaindex != i) break;
            hw_arenas_added(list[i].address, ARENA_BYTES);
            added++;
        }
        if (added > 0) return added;
    }
    return 0;
}
