#include "heap/shared_segment.h"

#include <assert.h>
#include <errno.h>

#include "os/memory_file.h"

/* Which byte of the file is locked for what. */
enum { TABLE_BYTE = 0, ROW_BYTES = 1 };

static int lock_table(hw_segment *self) { return hw_memory_file_lock(self->file, TABLE_BYTE); }
static void unlock_table(hw_segment *self) { hw_memory_file_unlock(self->file, TABLE_BYTE); }

/* ------------------------------------------------------------------------------------- with the table's lock held */

/* Whose lock is gone is gone. To lock such a row is to know that, and that nobody else takes it meanwhile. */
static int revoke_dead(hw_segment *self) {
    uint32_t row = hw_owner_next(self->table, 0, false);
    for (; row != HW_OWNER_NONE; row = hw_owner_next(self->table, row + 1, false)) {
        if (row == self->row) continue;
        int error = hw_memory_file_try_lock(self->file, ROW_BYTES + row);
        if (error == EAGAIN) continue;
        if (error != 0) return error;
        hw_owner_set(self->table, row, 0);
        hw_memory_file_unlock(self->file, ROW_BYTES + row);
    }
    return 0;
}

/* First the memory, then the mark: who is killed between the two leaves both to the next. */
static void end_if_unowned(hw_segment *self) {
    size_t offset_bytes = hw_owner_data_offset(self->about_bytes);
    if (hw_owner_sum(self->table) != 0) return;
    if (self->data_bytes != 0) hw_memory_file_punch(self->file, offset_bytes, self->size_bytes - offset_bytes);
    HW_STORE(&self->table->ended, 1, memory_order_relaxed);
}

static int review(hw_segment *self) {
    if (HW_LOAD(&self->table->ended, memory_order_relaxed)) return HW_SEGMENT_ENDED;
    int error = revoke_dead(self);
    if (error != 0) return error;
    end_if_unowned(self);
    return HW_LOAD(&self->table->ended, memory_order_relaxed) ? HW_SEGMENT_ENDED : 0;
}

/* A free row whose byte can be locked: of one that was given up a moment ago it cannot be yet. */
static uint32_t lock_free_row(hw_segment *self, int file, int *error) {
    uint32_t row = hw_owner_next(self->table, 0, true);
    for (; row != HW_OWNER_NONE; row = hw_owner_next(self->table, row + 1, true)) {
        *error = hw_memory_file_try_lock(file, ROW_BYTES + row);
        if (*error == 0) return row;
        if (*error != EAGAIN) return HW_OWNER_NONE;
    }
    *error = HW_SEGMENT_FULL;
    return HW_OWNER_NONE;
}

/* A row of its own open file. The number of owners is stored last: from then on the row counts, and it is locked by then. */
static int make_row(hw_segment *self, uint32_t owners, uint32_t pid, int *file, uint32_t *row) {
    int error = hw_memory_file_reopen(self->file, file);
    if (error != 0) return error;
    *row = lock_free_row(self, *file, &error);
    if (error == HW_SEGMENT_FULL && (error = revoke_dead(self)) == 0) *row = lock_free_row(self, *file, &error);
    if (error != 0) {
        hw_memory_file_close(*file);
        return error;
    }
    hw_owner_sign(self->table, *row, pid);
    hw_owner_set(self->table, *row, owners);
    return 0;
}

/* One that is held by a mapping instead of a descriptor. */
static int make_held_row(hw_segment *self, uint32_t owners, uint32_t pid, bool inherited, uint32_t *row, void **hold) {
    int file;
    int error = make_row(self, owners, pid, &file, row);
    if (error != 0) return error;
    error = hw_memory_file_hold(file, inherited, hold);
    if (error != 0) hw_owner_set(self->table, *row, 0);
    hw_memory_file_close(file);
    return error;
}

/* ------------------------------------------------------------------------------------------------ coming and going */

/* Maps it through an open file of the mapping's own: children inherit it, and nothing may ever be locked through it. */
static int attach(hw_segment *self, int file, uint32_t pid) {
    int mapped;
    void *base;
    *self = (hw_segment){.file = -1, .row = HW_OWNER_NONE, .pid = pid};
    int error = hw_memory_file_size(file, &self->size_bytes);
    if (error == EINVAL || (error == 0 && self->size_bytes < HW_OWNER_TABLE_BYTES)) error = HW_SEGMENT_STRANGE;
    if (error == 0) error = hw_memory_file_identity(file, &self->identity);
    if (error == 0) error = hw_memory_file_reopen(file, &mapped);
    if (error != 0) return error;
    error = hw_memory_file_map(mapped, self->size_bytes, &base);
    hw_memory_file_close(mapped);
    if (error != 0) return error;
    self->table = base;
    self->about_bytes = self->table->about_bytes;
    self->data_bytes = self->table->data_bytes;
    error = hw_memory_file_reopen(file, &self->file);
    if (error != 0) hw_segment_close(self);
    return error;
}

int hw_segment_create(hw_segment *self, uint64_t about_bytes, uint64_t data_bytes, uint32_t pid) {
    int file;
    int error = hw_memory_file_create(hw_owner_size(about_bytes, data_bytes), &file);
    if (error != 0) return error;
    error = attach(self, file, pid);
    hw_memory_file_close(file);
    if (error != 0) return error;
    hw_owner_init(self->table, about_bytes, data_bytes);
    self->about_bytes = about_bytes;
    self->data_bytes = data_bytes;
    error = make_held_row(self, 1, pid, false, &self->row, &self->hold); /* no lock: nobody else knows of it */
    if (error == 0) self->owners = 1;
    else hw_segment_close(self);
    return error;
}

int hw_segment_adopt(hw_segment *self, int file, uint32_t row, uint32_t pid) {
    int error = attach(self, file, pid);
    if (error != 0) return error;
    bool fits = hw_owner_fits(self->about_bytes, self->data_bytes, self->size_bytes);
    error = fits && self->table->magic == HW_OWNER_MAGIC ? hw_segment_adopt_again(self, file, row) : HW_SEGMENT_STRANGE;
    if (error != 0) hw_segment_close(self);
    return error;
}

int hw_segment_adopt_again(hw_segment *self, int file, uint32_t row) {
    if (row >= HW_OWNER_ROWS || hw_owner_count(self->table, row) == 0) return HW_SEGMENT_STRANGE;
    int error = hw_memory_file_try_lock(file, ROW_BYTES + row); /* succeeds for the open file that has it already */
    if (error == EAGAIN) return HW_SEGMENT_STRANGE;             /* it is another's */
    if (error != 0) return error;
    uint32_t owners = hw_owner_count(self->table, row);
    if (self->owners == 0) {
        error = hw_memory_file_hold(file, false, &self->hold);
        if (error != 0) return error;
        self->row = row;
        self->owners = owners;
        hw_owner_sign(self->table, row, self->pid);
    } else { /* W4: first there, then not here */
        self->owners += owners;
        hw_owner_set(self->table, self->row, self->owners);
        hw_owner_set(self->table, row, 0);
    }
    return 0;
}

int hw_segment_own(hw_segment *self) {
    if (self->owners != 0) {
        hw_owner_set(self->table, self->row, ++self->owners);
        return 0;
    }
    int error = lock_table(self);
    if (error != 0) return error;
    error = review(self);
    if (error == 0) error = make_held_row(self, 1, self->pid, false, &self->row, &self->hold);
    unlock_table(self);
    if (error == 0) self->owners = 1;
    else self->row = HW_OWNER_NONE;
    return error;
}

void hw_segment_disown(hw_segment *self) {
    assert(self->owners != 0);
    if (--self->owners != 0) {
        hw_owner_set(self->table, self->row, self->owners);
        return;
    }
    if (lock_table(self) == 0) {
        hw_owner_set(self->table, self->row, 0);
        review(self);
        unlock_table(self);
    }
    hw_memory_file_let_go(self->hold);
    self->hold = NULL;
    self->row = HW_OWNER_NONE;
}

int hw_segment_dispatch(hw_segment *self, int *file, uint32_t *row) {
    assert(self->owners != 0); /* so it has not ended, and does not while this runs */
    int error = lock_table(self);
    if (error != 0) return error;
    error = make_row(self, 1, 0, file, row);
    unlock_table(self);
    return error;
}

int hw_segment_review(hw_segment *self) {
    int error = lock_table(self);
    if (error != 0) return error;
    error = review(self);
    unlock_table(self);
    return error;
}

void hw_segment_close(hw_segment *self) {
    assert(self->owners == 0);
    hw_segment_forget_child(self);
    hw_memory_file_unmap(self->table, self->size_bytes);
    if (self->file >= 0) hw_memory_file_close(self->file);
}

/* ------------------------------------------------------------------------------------------------------------ forks */

int hw_segment_prepare_child(hw_segment *self) {
    self->child_hold = NULL;
    if (self->owners == 0) return 0;
    int error = lock_table(self);
    if (error != 0) return error;
    error = make_held_row(self, self->owners, 0, true, &self->child_row, &self->child_hold);
    unlock_table(self);
    return error;
}

/* If there is no child, the row is dead now, and somebody will revoke it. */
void hw_segment_forget_child(hw_segment *self) {
    if (self->child_hold != NULL) hw_memory_file_let_go(self->child_hold);
    self->child_hold = NULL;
}

void hw_segment_become_child(hw_segment *self, uint32_t pid) {
    int inherited = self->file; /* the parent's open file: a lock through it would be the parent's, too */
    if (hw_memory_file_reopen(inherited, &self->file) != 0) self->file = -1;
    hw_memory_file_close(inherited);
    self->hold = self->child_hold; /* the parent's own is not mapped here */
    self->child_hold = NULL;
    self->row = self->hold != NULL ? self->child_row : HW_OWNER_NONE;
    if (self->hold == NULL && self->owners != 0) return; /* no row could be made */
    self->pid = pid;
    if (self->hold == NULL) return;
    hw_memory_file_keep_from_children(self->hold); /* who cannot keep it lives longer in the books than in truth: the safe side */
    hw_owner_sign(self->table, self->row, pid);
    hw_owner_set(self->table, self->row, self->owners); /* as many as there were at the fork, which was after the row was made */
    if (self->owners != 0) return;
    hw_memory_file_let_go(self->hold);
    self->hold = NULL;
    self->row = HW_OWNER_NONE;
}
