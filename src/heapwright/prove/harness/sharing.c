/* Every short history of processes that own one memory together, and every place in it at which one of them is killed.
 *
 *     sharing LAW STEPS      LAW: owners; there is one
 *
 * The C that ships (heap/shared_segment.c) runs over a kernel of a few lines: open files with locks, which descriptors, mappings
 * and messages refer to. A process can be killed at each call into it, and after each store to the table. After every step
 * the owners must be those of the living and of the messages under way, and the data must be there exactly as long as there
 * are any.
 *
 * Prints "holds: ..." and ends with 0, or "fails: ..." with the history, and ends with 3. */
#include <errno.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void killed_here(void);

#define HW_ATOMICS_REPLACED
#define HW_LOAD(object, order) atomic_load_explicit(object, order)
#define HW_STORE(object, value, order) (atomic_store_explicit(object, value, order), killed_here())
#include "heap/shared_segment.c"

enum { PROCESSES = 3, FILES = 24, OPEN = 8, MESSAGES = 2, OWNERS = 2, STEPS_MAX = 8, NONE = -1 };

typedef struct {
    int8_t references;
    uint32_t locks;
} open_file;

typedef struct {
    bool alive, attached;
    int8_t descriptors[OPEN], holds[OPEN], mapping; /* numbers of open files, or NONE */
    bool inherited[OPEN];
    hw_segment segment;
    uint32_t owners; /* as it should be */
} process;

static struct {
    open_file files[FILES];
    process processes[PROCESSES];
    struct {
        int8_t file;
        uint32_t row;
    } messages[MESSAGES];
    bool punched;
    hw_owner_table table;
} world;

/* -------------------------------------------------------------------------------------------------------- the kernel */

static process *running;
static long until_killed; /* calls and stores; 0: never */
static long passed;
static jmp_buf death;
static char history[STEPS_MAX][48];
static int steps;
static unsigned long long histories;

static void fail(const char *what) {
    printf("fails: ");
    for (int i = 0; i < steps; i++) printf("%s; ", history[i]);
    printf("%s\n", what);
    exit(3);
}

static void killed_here(void) {
    passed++;
    if (until_killed != 0 && --until_killed == 0) longjmp(death, 1);
}

static void refer(int8_t file) { world.files[file].references++; }

static void drop(int8_t *file) {
    if (*file != NONE && --world.files[*file].references == 0) world.files[*file].locks = 0;
    *file = NONE;
}

static int slot(const int8_t *list) {
    for (int i = 0; i < OPEN; i++)
        if (list[i] == NONE) return i;
    fail("out of descriptors or mappings");
    return NONE;
}

static int opened(int8_t file) {
    int descriptor = slot(running->descriptors);
    running->descriptors[descriptor] = file;
    refer(file);
    return descriptor;
}

static int open_anew(int *file) {
    for (int8_t i = 0; i < FILES; i++) {
        if (world.files[i].references != 0) continue;
        *file = opened(i);
        return 0;
    }
    fail("out of open files");
    return ENFILE;
}

int hw_memory_file_create(size_t size_bytes, int *file) { return open_anew(file); }
int hw_memory_file_size(int file, size_t *size_bytes) { return *size_bytes = hw_owner_size(0, 1), 0; }
int hw_memory_file_identity(int file, uint64_t *identity) { return *identity = 1, 0; }
int hw_memory_file_reopen(int file, int *other) { return killed_here(), open_anew(other); }
void hw_memory_file_close(int file) { killed_here(), drop(&running->descriptors[file]); }

int hw_memory_file_map(int file, size_t size_bytes, void **base) {
    killed_here();
    refer(running->mapping = running->descriptors[file]);
    *base = &world.table;
    return 0;
}
void hw_memory_file_unmap(void *base, size_t size_bytes) { drop(&running->mapping); }

/* A hold is its number and one, as an address: a child has it under the same. */
int hw_memory_file_hold(int file, bool inherited, void **hold) {
    killed_here();
    int i = slot(running->holds);
    refer(running->holds[i] = running->descriptors[file]);
    running->inherited[i] = inherited;
    *hold = (void *)(uintptr_t)(i + 1);
    return 0;
}
int hw_memory_file_keep_from_children(void *hold) {
    killed_here();
    running->inherited[(uintptr_t)hold - 1] = false;
    return 0;
}
void hw_memory_file_let_go(void *hold) { killed_here(), drop(&running->holds[(uintptr_t)hold - 1]); }

int hw_memory_file_try_lock(int file, size_t byte) {
    killed_here();
    int8_t mine = running->descriptors[file];
    if (mine == NONE || byte >= 32) return mine == NONE ? EBADF : EAGAIN;
    for (int8_t i = 0; i < FILES; i++)
        if (i != mine && world.files[i].locks >> byte & 1) return EAGAIN;
    world.files[mine].locks |= UINT32_C(1) << byte;
    return 0;
}
int hw_memory_file_lock(int file, size_t byte) {
    int error = hw_memory_file_try_lock(file, byte);
    if (error == EAGAIN) fail("a process waits for ever for one that is dead");
    return error;
}
void hw_memory_file_unlock(int file, size_t byte) {
    killed_here();
    world.files[running->descriptors[file]].locks &= ~(UINT32_C(1) << byte);
}
int hw_memory_file_punch(int file, size_t offset_bytes, size_t size_bytes) {
    killed_here();
    world.punched = true;
    return 0;
}

static void end_process(process *self) {
    for (int i = 0; i < OPEN; i++) drop(&self->descriptors[i]), drop(&self->holds[i]);
    drop(&self->mapping);
    self->alive = self->attached = false;
    self->owners = 0;
}

static process *fork_process(const process *parent) {
    process *child = world.processes;
    while (child->alive) child++;
    *child = *parent;
    for (int i = 0; i < OPEN; i++) {
        if (child->descriptors[i] != NONE) refer(child->descriptors[i]);
        if (!child->inherited[i]) child->holds[i] = NONE;
        if (child->holds[i] != NONE) refer(child->holds[i]);
    }
    if (child->mapping != NONE) refer(child->mapping);
    return child;
}

/* ---------------------------------------------------------------------------------------------------------- the steps */

static uint64_t expected(void) {
    uint64_t sum = 0;
    for (int i = 0; i < PROCESSES; i++) sum += world.processes[i].owners;
    for (int i = 0; i < MESSAGES; i++) sum += world.messages[i].file != NONE;
    return sum;
}

static uint32_t pid_of(const process *self) { return (uint32_t)(self - world.processes) + 1; }

static void own(process *self) {
    bool owned = expected() != 0;
    int result = hw_segment_own(&self->segment);
    if (result == 0 && !owned) fail("what had no owner has one again");
    if (result != 0 && owned) fail("what had owners did not get another");
    self->owners += result == 0;
}

static void disown(process *self) {
    hw_segment_disown(&self->segment);
    self->owners--;
}

static void send(process *self) {
    int file, i = world.messages[0].file != NONE;
    uint32_t row;
    if (hw_segment_dispatch(&self->segment, &file, &row) != 0) fail("it cannot be sent");
    refer(world.messages[i].file = self->descriptors[file]); /* the socket has it, in one step */
    world.messages[i].row = row;
    hw_memory_file_close(file);
}

static void receive(process *self) {
    int i = world.messages[0].file == NONE;
    int file = opened(world.messages[i].file);
    drop(&world.messages[i].file);
    int result = self->attached ? hw_segment_adopt_again(&self->segment, file, world.messages[i].row)
                                : hw_segment_adopt(&self->segment, file, world.messages[i].row, pid_of(self));
    if (result != 0) fail("it cannot be received");
    self->attached = true;
    self->owners++;
    hw_memory_file_close(file);
}

/* The parent may be killed before there is a child and after, the child before it has done anything and after. */
static void forks(process *self) {
    if (hw_segment_prepare_child(&self->segment) != 0) fail("no row for a child");
    process *volatile child = fork_process(self); /* longjmp must not lose it */
    if (setjmp(death) != 0) {
        bool of_child = running == child;
        end_process(running);
        if (of_child) return;
    } else {
        hw_segment_forget_child(&self->segment);
    }
    running = child;
    hw_segment_become_child(&child->segment, pid_of(child));
}

static void look(process *self) {
    int result = hw_segment_review(&self->segment);
    if (result != (expected() == 0 ? HW_SEGMENT_ENDED : 0)) fail("it is not seen whether there are owners");
}

static void die(process *self) { end_process(self); }

static bool owns(const process *self) { return self->alive && self->owners > 0; }
static bool knows(const process *self) { return self->alive && self->attached; }
static bool may_own(const process *self) { return knows(self) && self->owners < OWNERS; }
static bool may_send(const process *self) {
    return owns(self) && (world.messages[0].file == NONE || world.messages[1].file == NONE);
}
static bool may_receive(const process *self) {
    return self->alive && self->owners < OWNERS && (world.messages[0].file != NONE || world.messages[1].file != NONE);
}
static bool may_fork(const process *self) {
    bool room = false;
    for (int i = 0; i < PROCESSES; i++) room |= !world.processes[i].alive;
    return knows(self) && room;
}
static bool may_die(const process *self) { return self->alive; }

static const struct {
    const char *name;
    bool (*possible)(const process *);
    void (*run)(process *);
} ACTS[] = {
    {"owns", may_own, own},          {"disowns", owns, disown}, {"sends", may_send, send},
    {"receives", may_receive, receive}, {"forks", may_fork, forks}, {"looks", knows, look},
    {"is killed", may_die, die},
};

static void act(process *self, int what, long until) {
    running = self;
    until_killed = until;
    passed = 0;
    if (setjmp(death) == 0) ACTS[what].run(self);
    else end_process(running);
    until_killed = 0;
}

/* What each process that looks must see; the world is as before. */
static void check(void) {
    static __typeof__(world) before;
    if (world.punched && expected() != 0) fail("the data went while they were owned");
    for (process *self = world.processes; self < world.processes + PROCESSES; self++) {
        if (!knows(self)) continue;
        memcpy(&before, &world, sizeof world);
        running = self;
        hw_segment_review(&self->segment);
        if (hw_owner_sum(&world.table) != expected()) {
            char what[80];
            snprintf(what, sizeof what, "%llu owners are counted, and there are %llu",
                     (unsigned long long)hw_owner_sum(&world.table), (unsigned long long)expected());
            fail(what);
        }
        if (world.punched != (expected() == 0)) fail("the data are there, and nobody owns them");
        for (process *each = world.processes; each < world.processes + PROCESSES; each++)
            if (owns(each) && hw_owner_count(&world.table, each->segment.row) != each->owners) fail("a row is another's");
        memcpy(&world, &before, sizeof world);
    }
}

/* ------------------------------------------------------------------------------------------------- all the histories */

enum { SEEN = 1 << 22 };
static uint64_t seen[SEEN];

/* Whether this world has been gone on from, for as many steps; of two that have the same hash one is left out. */
static bool known(int left) {
    uint64_t hash = 14695981039346656037u + (uint64_t)left;
    const unsigned char *bytes = (const unsigned char *)&world;
    size_t used = offsetof(__typeof__(world), table) + offsetof(hw_owner_table, row) + 16 * sizeof(hw_owner_row);
    for (size_t i = 0; i < used; i++) hash = (hash ^ bytes[i]) * 1099511628211u;
    hash |= 1;
    uint64_t i = hash % SEEN;
    for (; seen[i] != 0; i = (i + 1) % SEEN)
        if (seen[i] == hash) return true;
    if (histories < SEEN / 2) seen[i] = hash;
    return false;
}

static void explore(int left) {
    histories++;
    check();
    if (left == 0 || known(left)) return;
    __typeof__(world) *before = malloc(sizeof world);
    memcpy(before, &world, sizeof world);
    for (int p = 0; p < PROCESSES; p++)
        for (int what = 0; what < (int)(sizeof ACTS / sizeof *ACTS); what++) {
            if (!ACTS[what].possible(&world.processes[p])) continue;
            long places = 0;
            for (long until = 0; until <= places; until++) {
                snprintf(history[steps], sizeof history[steps],
                         until == 0 ? "process %d %s" : "process %d %s, killed at place %ld", p, ACTS[what].name, until);
                steps++;
                act(&world.processes[p], what, until);
                if (until == 0) places = passed;
                explore(left - 1);
                steps--;
                memcpy(&world, before, sizeof world);
            }
        }
    free(before);
}

int main(int count, char **arguments) {
    int depth = count == 3 ? atoi(arguments[2]) : 0;
    if (depth < 1 || depth > STEPS_MAX) return 2;
    for (int p = 0; p < PROCESSES; p++) {
        process *each = &world.processes[p];
        memset(each->descriptors, NONE, sizeof each->descriptors);
        memset(each->holds, NONE, sizeof each->holds);
        each->mapping = NONE;
        each->alive = p < 2; /* one that makes it, one that knows nothing, and room for a child */
    }
    for (int i = 0; i < MESSAGES; i++) world.messages[i].file = NONE;
    running = &world.processes[0];
    if (hw_segment_create(&running->segment, 0, 1, pid_of(running)) != 0) return 2;
    running->attached = true;
    running->owners = 1;
    explore(depth);
    printf("holds: %llu worlds\n", histories);
    return 0;
}
