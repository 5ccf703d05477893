/* A shared segment: memory that several processes own together, with the table of its owners in front (core/owner_rows.h).
 *
 * A row is live while its byte of the file is locked, through an open file that nobody has but the row's owner. Three things
 * can have that open file, and each of them loses it with its own end, without a step of its own:
 *   - a process: one page is mapped through it, which forked children do not get
 *   - a message: the descriptor lies in a socket, or in the hands of who has received and not adopted it
 *   - a child about to be forked: a page that it does get, and its parent gives up
 * So to send, to receive and to fork are one thing: a row is made for somebody else (dispatch), who takes it (adopt). At no
 * instruction is there an owner less than there should be, or one that would outlive who it was counted for.
 *
 * The last owner to go, or whoever finds the rest dead, ends the segment: its memory is given back at once, though processes
 * that only know of it (weak handles) still map it. From then on there is no owner any more.
 *
 * Not thread-safe: the caller holds a lock, one for all segments of the process, and across fork. Steps that say so take the
 * table's lock meanwhile and wait for other processes, each for a few system calls. O(rows in use) system calls. */
#ifndef HW_HEAP_SHARED_SEGMENT_H
#define HW_HEAP_SHARED_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/owner_rows.h"

typedef struct {
    hw_owner_table *table; /* where all of it is mapped */
    size_t size_bytes;
    size_t about_bytes, data_bytes; /* as the table said when it was found to be one: others could write there later */
    uint64_t identity;
    int file;        /* an open file of this process, for the table's lock; no row is locked through it */
    uint32_t pid;    /* whose struct this is: elsewhere it is the copy of a fork that we did not hear of */
    uint32_t owners; /* of this process; what its row says */
    uint32_t row;    /* HW_OWNER_NONE if owners is 0 */
    void *hold;      /* keeps the row's lock */
    uint32_t child_row; /* made for the next child */
    void *child_hold;   /* NULL: none is */
} hw_segment;

/* Results are 0, an errno value (> 0), or one of these: it has no owner and will have none; all rows are taken; the message
 * is none, or its sender has withdrawn it. */
enum { HW_SEGMENT_ENDED = -1, HW_SEGMENT_FULL = -2, HW_SEGMENT_STRANGE = -3 };

/* New memory with one owner, this process. 0 or errno. */
int hw_segment_create(hw_segment *segment, uint64_t about_bytes, uint64_t data_bytes, uint32_t pid);

/* Takes a row that was dispatched here: the file may be closed after it. Into a fresh struct, or one of the same memory. */
int hw_segment_adopt(hw_segment *segment, int file, uint32_t row, uint32_t pid);
int hw_segment_adopt_again(hw_segment *segment, int file, uint32_t row);

/* One owner more. If it is the first of this process: takes the table's lock, and says ENDED if there is no other. */
int hw_segment_own(hw_segment *segment);
/* One owner less. If it is the last of this process: takes the table's lock. Cannot fail: what it cannot tell the others they
 * see from the lock that is gone. */
void hw_segment_disown(hw_segment *segment);

/* A row with one owner for who gets the file, through which it is locked. Takes the table's lock. */
int hw_segment_dispatch(hw_segment *segment, int *file, uint32_t *row);

/* Before a fork, and after it in the parent and in the child. A child for which no row could be made is no owner, and the
 * struct goes on saying that it is another process's. */
int hw_segment_prepare_child(hw_segment *segment);
void hw_segment_forget_child(hw_segment *segment);
void hw_segment_become_child(hw_segment *segment, uint32_t pid);

/* Revokes the rows of the dead and ends the segment if none is left. Takes the table's lock. */
int hw_segment_review(hw_segment *segment);

/* Without owners here. */
void hw_segment_close(hw_segment *segment);

static inline char *hw_segment_about(const hw_segment *segment) { return (char *)segment->table + HW_OWNER_TABLE_BYTES; }
static inline char *hw_segment_data(const hw_segment *segment) {
    return (char *)segment->table + hw_owner_data_offset(segment->about_bytes);
}

#endif
