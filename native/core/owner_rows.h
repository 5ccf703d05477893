/* Owner rows: who owns a piece of memory that several processes share. The table is the first page of that memory itself:
 * a row per process, with the number of owners (handles, views) that the process has, and a row per message that
 * carries an owner from one to the next.
 *
 * A process may die at any instruction and takes nothing off the table. So a row counts only while it is *live*: a lock on
 * it is held, by means that the kernel undoes at that death (heap/shared_segment.h). Nothing here knows how.
 *
 * Invariants, while the table's own lock is held:
 *   W1  a row is written by who holds its lock; when nobody does, by who holds the table's
 *   W2  the owners of the memory are the sum of `owners` over the live rows: once the dead ones are revoked, over all
 *   W3  `ended` is set when W2's sum is 0, and never cleared: what is dead stays dead
 *   W4  a sum that is not 0 becomes 0 by death alone: an owner that moves is in the new row before it leaves the old
 */
#ifndef HW_CORE_OWNER_ROWS_H
#define HW_CORE_OWNER_ROWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/atomics.h"

#define HW_OWNER_ROWS 504u
#define HW_OWNER_NONE UINT32_MAX

typedef struct {
    _Atomic uint32_t owners; /* 0: the row is free */
    _Atomic uint32_t pid;    /* for people; nothing is decided by it. 0: a message under way */
} hw_owner_row;

typedef struct {
    uint64_t magic;       /* HW_OWNER_MAGIC: also says how this structure is laid out */
    uint64_t about_bytes; /* text behind the table that says what the data are */
    uint64_t data_bytes;
    _Atomic uint32_t ended;
    uint32_t unused[9];
    hw_owner_row row[HW_OWNER_ROWS];
} hw_owner_table;

#define HW_OWNER_TABLE_BYTES 4096u
#define HW_OWNER_MAGIC UINT64_C(0x3130574f5248574f) /* other layouts get other numbers */

_Static_assert(sizeof(hw_owner_table) == HW_OWNER_TABLE_BYTES, "one page, wherever it is mapped");

/* No overflow below 2^62. */
static inline uint64_t hw_owner_whole_pages(uint64_t size_bytes) {
    return (size_bytes + HW_OWNER_TABLE_BYTES - 1) / HW_OWNER_TABLE_BYTES * HW_OWNER_TABLE_BYTES;
}

/* Table, text, data: the data begin on a page and end on one, so that all of their memory can be given back. */
static inline uint64_t hw_owner_data_offset(uint64_t about_bytes) {
    return HW_OWNER_TABLE_BYTES + hw_owner_whole_pages(about_bytes);
}

static inline uint64_t hw_owner_size(uint64_t about_bytes, uint64_t data_bytes) {
    return hw_owner_data_offset(about_bytes) + hw_owner_whole_pages(data_bytes);
}

/* In memory that is all zeros. */
static inline void hw_owner_init(hw_owner_table *table, uint64_t about_bytes, uint64_t data_bytes) {
    table->magic = HW_OWNER_MAGIC;
    table->about_bytes = about_bytes;
    table->data_bytes = data_bytes;
}

/* Whether text and data of these sizes, which others may have written, lie in memory of that size. */
static inline bool hw_owner_fits(uint64_t about_bytes, uint64_t data_bytes, uint64_t size_bytes) {
    return about_bytes < size_bytes && data_bytes < size_bytes && hw_owner_size(about_bytes, data_bytes) == size_bytes;
}

/* Release and acquire: who sees the last owner gone goes on to end the data that this owner used. */
static inline uint32_t hw_owner_count(const hw_owner_table *table, uint32_t row) {
    return HW_LOAD(&table->row[row].owners, memory_order_acquire);
}

static inline void hw_owner_set(hw_owner_table *table, uint32_t row, uint32_t owners) {
    HW_STORE(&table->row[row].owners, owners, memory_order_release);
}

static inline void hw_owner_sign(hw_owner_table *table, uint32_t row, uint32_t pid) {
    HW_STORE(&table->row[row].pid, pid, memory_order_relaxed);
}

/* The first row from `row` on that is free, or that is not; HW_OWNER_NONE behind the last. */
static inline uint32_t hw_owner_next(const hw_owner_table *table, uint32_t row, bool free) {
    while (row < HW_OWNER_ROWS && (hw_owner_count(table, row) == 0) != free) row++;
    return row < HW_OWNER_ROWS ? row : HW_OWNER_NONE;
}

/* W2, once the dead rows are revoked: set to 0. */
static inline uint64_t hw_owner_sum(const hw_owner_table *table) {
    uint64_t sum = 0;
    for (uint32_t row = 0; row < HW_OWNER_ROWS; row++) sum += hw_owner_count(table, row);
    return sum;
}

#endif
