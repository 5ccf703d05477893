#include "process/array_heap.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/pages.h"
#include "process/record.h"

enum { SLOTS_FIRST = 256 }; /* one page */

hw_array_heap *hw_array_heap_serving;
hw_array_heap *hw_array_heap_known;


/* ---- the table: this address is that block ---- */

static size_t table_bytes(size_t capacity) {
    size_t page = hw_pages_size();
    return (capacity * sizeof(hw_address_slot) + page - 1) / page * page;
}

/* Zeroed memory for slots, not from malloc: we may be inside it. */
static int new_slots(size_t capacity, hw_address_slot **slots) {
    void *memory;
    int error = hw_pages_reserve(table_bytes(capacity), 0, &memory);
    if (error != 0) return error;
    error = hw_pages_commit(memory, table_bytes(capacity));
    if (error != 0) hw_pages_release(memory, table_bytes(capacity));
    *slots = memory;
    return error;
}

/* Room for one more entry: 0 or errno. */
static int make_room(hw_address_table *table) {
    if (!hw_address_table_is_full(table)) return 0;
    hw_address_slot *old = table->slots, *slots;
    size_t capacity = table->capacity;
    int error = new_slots(2 * capacity, &slots);
    if (error != 0) return error;
    hw_address_table_rehash(table, slots, 2 * capacity);
    hw_pages_release(old, table_bytes(capacity));
    return 0;
}

static _Noreturn void die(const char *what, const void *address) {
    char text[256];
    int length = snprintf(text, sizeof text,
                          "heapwright: %s: %p is not the start of a live block of the heap under NumPy's arrays. It was freed "
                          "twice, or never came from it; to go on would corrupt memory.\n", what, address);
    if (write(2, text, (size_t)length) < 0) abort();
    abort();
}

/* The block at an address, which must be there (A2). */
static hw_strategy_handle handle_at(const hw_array_heap *self, const void *address, const char *what) {
    uint64_t number;
    if (!hw_address_table_find(&self->table, (uint64_t)(uintptr_t)address, &number)) die(what, address);
    return (hw_strategy_handle){(uint64_t)((const char *)address - self->heap->space->base), (uint32_t)number};
}

/* ---- the known heaps ---- */

/* A1, after a block has gone or another heap serves. `self` may not exist any more afterwards. */
static void forget_if_idle(hw_array_heap *self) {
    if (self == NULL || self->blocks != 0 || self == hw_array_heap_serving) return;
    hw_array_heap **link = &hw_array_heap_known;
    while (*link != self) link = &(*link)->next;
    *link = self->next;
    hw_pages_release(self->table.slots, table_bytes(self->table.capacity));
    self->table = (hw_address_table){0};
    hw_record_clear_heap(self->place);
    self->left(self);
}

int hw_array_heap_serve(hw_array_heap *self, bool *newly) {
    hw_array_heap *before = hw_array_heap_serving;
    *newly = false;
    if (self == before) return 0;
    if (self != NULL && self->blocks == 0) {
        hw_address_slot *slots;
        int error = new_slots(SLOTS_FIRST, &slots);
        if (error != 0) return error;
        hw_address_table_init(&self->table, slots, SLOTS_FIRST);
        self->place = hw_record_place_heap(self->heap->space->base, self->heap->space->size_bytes);
        self->next = hw_array_heap_known;
        hw_array_heap_known = self;
        *newly = true;
    }
    hw_array_heap_serving = self;
    forget_if_idle(before);
    return 0;
}

hw_array_heap *hw_array_heap_of(const void *address) {
    for (hw_array_heap *at = hw_array_heap_known; at != NULL; at = at->next)
        if ((uintptr_t)address - (uintptr_t)at->heap->space->base < at->heap->space->size_bytes) return at;
    return NULL;
}

/* ---- blocks ---- */

static uint64_t requested(const hw_array_heap *self, hw_strategy_handle handle) {
    return hw_strategy_see(self->heap->control, handle.number).requested_bytes;
}

/* A3: so many blocks more, of so many bytes more in all. */
static void book(hw_array_heap *self, int blocks, int64_t bytes) {
    hw_record *record = hw_process_record;
    record->array_heaps_blocks += blocks;
    record->array_heaps_bytes += bytes;
    if (self->place >= 0) record->heaps[self->place].array_bytes += bytes;
    hw_record_note_peak(record);
}

static void *allocate(hw_array_heap *self, size_t size_bytes, bool zeroed) {
    hw_heap *heap = self->heap;
    hw_strategy_handle handle;
    int read_write = HW_PAGES_READ | HW_PAGES_WRITE;
    if ((heap->space->permissions & read_write) != read_write || make_room(&self->table) != 0) return NULL;
    if (hw_heap_place_fused(heap, hw_heap_strategy(heap), size_bytes, HW_ARRAY_ALIGNMENT, &handle) != 0) return NULL;
    /* Before there is memory under all of it: what comes now is zeros, and should not be touched before the program does. */
    if (zeroed) hw_space_zero_committed(heap->space, handle.offset_bytes, size_bytes);
    if (hw_heap_back_fused(heap, hw_heap_strategy(heap), &handle, size_bytes) != 0) return NULL;
    char *address = heap->space->base + handle.offset_bytes;
    hw_address_table_insert(&self->table, (uint64_t)(uintptr_t)address, handle.number);
    book(self, 1, (int64_t)size_bytes);
    hw_record_note_size(hw_process_record, size_bytes);
    return address;
}

void *hw_array_heap_allocate(hw_array_heap *self, size_t size_bytes, bool zeroed) {
    self->blocks++; /* first: while we wait another heap may be made the one that serves, and this one must not go */
    self->enter(self);
    void *block = allocate(self, size_bytes, zeroed);
    if (block == NULL) {
        self->blocks--;
        forget_if_idle(self);
    }
    return block;
}

void hw_array_heap_free(hw_array_heap *self, void *address) {
    uint64_t number;
    self->enter(self); /* the block being freed keeps the heap */
    hw_strategy_handle handle = handle_at(self, address, "free");
    uint64_t requested_bytes = requested(self, handle);
    if (hw_heap_free_fused(self->heap, hw_heap_strategy(self->heap), handle) != 0) die("free", address);
    hw_address_table_remove(&self->table, (uint64_t)(uintptr_t)address, &number);
    book(self, -1, -(int64_t)requested_bytes);
    self->blocks--;
    forget_if_idle(self);
}

bool hw_array_heap_resize(hw_array_heap *self, void *address, size_t size_bytes) {
    self->enter(self);
    hw_strategy_handle handle = handle_at(self, address, "realloc");
    uint64_t before_bytes = requested(self, handle);
    if (hw_heap_resize(self->heap, handle, size_bytes) != 0) return false;
    book(self, 0, (int64_t)size_bytes - (int64_t)before_bytes);
    hw_record_note_size(hw_process_record, size_bytes);
    return true;
}

size_t hw_array_heap_size(const hw_array_heap *self, const void *address) {
    return requested(self, handle_at(self, address, "realloc"));
}
