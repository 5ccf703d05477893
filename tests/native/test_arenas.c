/* The table of arenas against a plain list, across a fork; and CPython's own list, found by its shape among decoys. */
#undef NDEBUG
#include "process/arenas.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20, POOL = 1 << 14, MOST = 300 };

static char session[] = "/tmp/heapwright-arenas-XXXXXX";

typedef struct {
    int64_t header[HW_ARENAS_HEADER_WORDS];
    int64_t address[4096];
} contents;

static contents *read_table(pid_t pid) {
    static contents table;
    char path[256];
    snprintf(path, sizeof path, "%s/%ld.arenas", session, (long)pid);
    FILE *file = fopen(path, "rb");
    assert(file != NULL);
    memset(&table, 0, sizeof table);
    assert(fread(&table, 1, sizeof table, file) == sizeof table); /* the file is sparse, and longer */
    fclose(file);
    assert(table.header[0] == HW_ARENAS_MAGIC && table.header[1] == HW_ARENAS_VERSION && table.header[2] == MIB);
    return &table;
}

static void assert_table_is(pid_t pid, const uintptr_t *expected, size_t count) {
    contents *table = read_table(pid);
    size_t found = 0;
    for (int64_t i = 0; i < table->header[3]; i++) found += table->address[i] != 0;
    assert(found == count);
    for (size_t e = 0; e < count; e++) {
        bool there = false;
        for (int64_t i = 0; i < table->header[3]; i++) there |= table->address[i] == (int64_t)expected[e];
        assert(there);
    }
}

static void against_a_list(void) {
    uintptr_t live[MOST];
    size_t count = 0, most = 0;
    srand(7);
    for (int step = 0; step < 20000; step++) {
        if (count < MOST && (count == 0 || rand() % 2)) {
            live[count] = ((uintptr_t)rand() << 20 | 0x7f0000000000) + MIB;
            hw_arenas_added(live[count++], MIB);
            if (count > most) most = count;
        } else {
            size_t victim = (size_t)rand() % count;
            hw_arenas_removed(live[victim]);
            live[victim] = live[--count];
        }
        if (step % 1000 == 0) assert_table_is(getpid(), live, count);
    }
    assert((size_t)read_table(getpid())->header[3] == most); /* slots are used again: as many as were ever live */
    hw_arenas_added(0x1000, MIB / 4); /* not an arena of this geometry */
    hw_arenas_removed(0x2000);        /* never added */
    assert_table_is(getpid(), live, count);
    pid_t child = fork();
    if (child == 0) {
        hw_arenas_added(0x7e0000000000, MIB);
        live[count++] = 0x7e0000000000;
        assert_table_is(getpid(), live, count);
        _exit(0);
    }
    int status;
    assert(waitpid(child, &status, 0) == child && status == 0);
    assert_table_is(getpid(), live, count); /* the parent's is untouched */
    while (count > 0) hw_arenas_removed(live[--count]);
}

/* CPython's structures, written down a second time on purpose. */
typedef struct {
    uintptr_t address, pool_address;
    uint32_t free_pools, total_pools;
    uintptr_t freepools, next, previous;
} entry;

static void set_up_arena(entry *into, uint32_t index, uintptr_t address) {
    uintptr_t first = (address + POOL - 1) & ~(uintptr_t)(POOL - 1);
    uint32_t header[12] = {[0] = 1, [8] = index, [9] = 0, [10] = 64, [11] = 16368};
    memcpy((void *)first, header, sizeof header);
    memcpy((void *)(first + POOL), header, sizeof header);
    *into = (entry){address, first + 2 * POOL, 60, first == address ? 64 : 63, 0, 0, 0};
}

static void by_its_shape(uintptr_t skew) {
    char *memory = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(memory != MAP_FAILED);
    uintptr_t base = (((uintptr_t)memory + POOL - 1) & ~(uintptr_t)(POOL - 1)) + skew;
    size_t heap_bytes = 1 << 16;
    char *heap = calloc(1, heap_bytes);
    for (size_t i = 0; i < heap_bytes; i += 8) *(uintptr_t *)(heap + i) = base + i * 977; /* pointers into the arenas */
    entry *list = (entry *)(heap + 4096 + 8);
    memset(list, 0, 16 * sizeof *list);
    set_up_arena(&list[0], 0, base);
    set_up_arena(&list[2], 2, base + 2 * MIB); /* entry 1 is unused */
    entry decoy;
    set_up_arena(&decoy, 0, base);
    decoy.total_pools = 5; /* an entry that cannot be */
    memcpy(heap + 256, &decoy, sizeof decoy);
    uintptr_t block = list[2].pool_address - POOL + 48; /* a live object in arena 2 */
    assert(hw_arenas_find_earlier(block, (uintptr_t)heap, (uintptr_t)heap + heap_bytes) == 2);
    uintptr_t expected[] = {base, base + 2 * MIB};
    assert_table_is(getpid(), expected, 2);
    hw_arenas_removed(expected[0]);
    hw_arenas_removed(expected[1]);
    /* Not found: an object of the C library's heap; a list that is not in the heap; one whose arena is gone. */
    assert(hw_arenas_find_earlier((uintptr_t)heap + POOL, (uintptr_t)heap, (uintptr_t)heap + heap_bytes) == 0);
    assert(hw_arenas_find_earlier(block, (uintptr_t)heap, (uintptr_t)heap + 4096) == 0);
    memset(&list[2], 0, sizeof *list);
    assert(hw_arenas_find_earlier(block, (uintptr_t)heap, (uintptr_t)heap + heap_bytes) == 0);
    assert_table_is(getpid(), NULL, 0);
    free(heap);
    munmap(memory, 4 * MIB);
}

int main(void) {
    hw_arenas_added(0x1000, MIB); /* before there is a table: nothing happens */
    hw_arenas_removed(0x1000);
    assert(mkdtemp(session) != NULL);
    assert(hw_arenas_open("/nonexistent/directory") != 0);
    assert(hw_arenas_open(session) == 0);
    assert(hw_arenas_open(session) != 0); /* once */
    against_a_list();
    by_its_shape(0);
    by_its_shape(4096); /* an arena that does not begin at a pool */
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", session);
    assert(system(command) == 0);
    return 0;
}
