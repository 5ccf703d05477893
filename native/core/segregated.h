/* Segregated lists: an index over holes by class of size. In each class the newest hole comes first; which classes have
 * holes is one bit each, in rows of 32 with one bit for each row. So putting in, taking out and finding the first class
 * from some class on that has a hole take a constant number of instructions, however many holes there are.
 *
 * What a class is, the caller says: core/two_level.h for TLSF, the power of two for buddies. A hole is a number below
 * the caller's limit; its links lie in an array of the caller's, at that number. No pointer: the bytes may be copied.
 *
 * Source: Masmano, Ripoll, Crespo, Real, TLSF: a New Dynamic Memory Allocator for Real-Time Systems, ECRTS 2004.
 *
 * Invariants, walked by hw_segregated_check:
 *   L1  following `next` from the head of a class visits each hole of that class once, and `previous` leads back
 *   L2  a class has its bit exactly if its head is a hole, and a row exactly if one of its classes has
 *   L3  `count` is the number of holes in all lists */
#ifndef HW_CORE_SEGREGATED_H
#define HW_CORE_SEGREGATED_H

#include "core/strategy.h"

enum { HW_SEGREGATED_ROW = 32, HW_SEGREGATED_ROWS_MAX = 32 };

typedef struct {
    uint32_t next, previous; /* numbers of holes of the same class, or HW_STRATEGY_NONE */
} hw_segregated_link;

typedef struct {
    uint32_t rows, count;
    uint32_t nonempty_rows;
    uint32_t nonempty[HW_SEGREGATED_ROWS_MAX]; /* by row: one bit for each of its classes */
} hw_segregated;

/* Empty lists for the classes below `classes`, at most 32 rows of them; `heads` has room for whole rows. */
void hw_segregated_init(hw_segregated *lists, uint32_t *heads, uint32_t classes);

/* NULL, or the name of the first invariant that does not hold; all numbers are to be below `limit`. Stays inside the
 * arrays, and ends, whatever they contain. O(classes + holes). */
const char *hw_segregated_check(const hw_segregated *lists, const uint32_t *heads, const hw_segregated_link *links,
                                uint32_t limit);

HW_FUSED uint32_t hw_segregated_rows(uint32_t classes) {
    return (classes + HW_SEGREGATED_ROW - 1) / HW_SEGREGATED_ROW;
}

/* The first class, `class` or above, that has a hole; or HW_STRATEGY_NONE. */
HW_FUSED uint32_t hw_segregated_from(const hw_segregated *lists, uint32_t class) {
    uint32_t row = class / HW_SEGREGATED_ROW;
    if (row >= lists->rows) return HW_STRATEGY_NONE;
    uint32_t in_row = lists->nonempty[row] & ~(uint32_t)0 << class % HW_SEGREGATED_ROW;
    if (in_row == 0) {
        uint32_t later = lists->nonempty_rows & ~(uint32_t)1 << row;
        if (later == 0) return HW_STRATEGY_NONE;
        row = (uint32_t)__builtin_ctz(later);
        in_row = lists->nonempty[row];
    }
    return row * HW_SEGREGATED_ROW + (uint32_t)__builtin_ctz(in_row);
}

HW_FUSED void hw_segregated_insert(hw_segregated *lists, uint32_t *heads, hw_segregated_link *links, uint32_t class,
                                   uint32_t number) {
    uint32_t second = heads[class];
    links[number] = (hw_segregated_link){second, HW_STRATEGY_NONE};
    if (second != HW_STRATEGY_NONE) {
        links[second].previous = number;
    } else {
        lists->nonempty[class / HW_SEGREGATED_ROW] |= (uint32_t)1 << class % HW_SEGREGATED_ROW;
        lists->nonempty_rows |= (uint32_t)1 << class / HW_SEGREGATED_ROW;
    }
    heads[class] = number;
    lists->count++;
}

HW_FUSED void hw_segregated_erase(hw_segregated *lists, uint32_t *heads, hw_segregated_link *links, uint32_t class,
                                  uint32_t number) {
    hw_segregated_link gone = links[number];
    if (gone.next != HW_STRATEGY_NONE) links[gone.next].previous = gone.previous;
    if (gone.previous != HW_STRATEGY_NONE) {
        links[gone.previous].next = gone.next;
    } else {
        heads[class] = gone.next;
        if (gone.next == HW_STRATEGY_NONE) {
            uint32_t row = class / HW_SEGREGATED_ROW;
            lists->nonempty[row] &= ~((uint32_t)1 << class % HW_SEGREGATED_ROW);
            if (lists->nonempty[row] == 0) lists->nonempty_rows &= ~((uint32_t)1 << row);
        }
    }
    lists->count--;
}

#endif
