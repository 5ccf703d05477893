/* Segregated lists: an index over holes by class of size. In each class the newest hole comes first; which classes have
 * holes is one bit each, in rows of 32 with one bit for each row. So putting in, taking out and finding the first class
 * from some class on that has a hole take a constant number of instructions, however many holes there are.
 *
 * What a class is, the caller says: core/two_level.h for TLSF, the power of two for buddies. The lists are rings, through
 * an array of links of the caller's: first the heads, one for each class, then one for each number that a hole can have.
 * A ring has no end to be told from its middle, so neither insert nor erase has a branch to mispredict. No pointer: the
 * bytes may be copied.
 *
 * Source: Masmano, Ripoll, Crespo, Real, TLSF: a New Dynamic Memory Allocator for Real-Time Systems, ECRTS 2004.
 *
 * Invariants, walked by hw_segregated_check:
 *   L1  following `next` from the head of a class visits each hole of that class once and comes back, and `previous` leads
 *       the same way back
 *   L2  a class has its bit exactly if its ring has a hole, and a row exactly if one of its classes has
 *   L3  `count` is the number of holes in all rings */
#ifndef HW_CORE_SEGREGATED_H
#define HW_CORE_SEGREGATED_H

#include "core/strategy.h"

enum { HW_SEGREGATED_ROW = 32, HW_SEGREGATED_ROWS_MAX = 32 };

typedef struct {
    uint32_t next, previous; /* positions in the array of links */
} hw_segregated_link;

typedef struct {
    uint32_t heads; /* links before those of the holes: whole rows */
    uint32_t count;
    uint32_t nonempty_rows;
    uint32_t nonempty[HW_SEGREGATED_ROWS_MAX]; /* by row: one bit for each of its classes */
} hw_segregated;

/* Heads for so many classes. */
HW_FUSED uint32_t hw_segregated_heads(uint32_t classes) {
    return (classes + HW_SEGREGATED_ROW - 1) / HW_SEGREGATED_ROW * HW_SEGREGATED_ROW;
}

/* Empty rings for the classes below `classes`, at most 32 rows of them. */
void hw_segregated_init(hw_segregated *lists, hw_segregated_link *links, uint32_t classes);

/* NULL, or the name of the first invariant that does not hold; all numbers are to be below `limit`. Stays inside the
 * arrays, and ends, whatever they contain. O(classes + holes). */
const char *hw_segregated_check(const hw_segregated *lists, const hw_segregated_link *links, uint32_t limit);

/* The position of a hole's link. */
HW_FUSED uint32_t hw_segregated_at(const hw_segregated *lists, uint32_t number) {
    return lists->heads + number;
}

/* The newest hole of a class that has one. */
HW_FUSED uint32_t hw_segregated_newest(const hw_segregated *lists, const hw_segregated_link *links, uint32_t class) {
    return links[class].next - lists->heads;
}

/* The first class, `class` or above, that has a hole; or HW_STRATEGY_NONE. */
HW_FUSED uint32_t hw_segregated_from(const hw_segregated *lists, uint32_t class) {
    if (class >= lists->heads) return HW_STRATEGY_NONE;
    uint32_t row = class / HW_SEGREGATED_ROW;
    uint32_t in_row = lists->nonempty[row] & ~(uint32_t)0 << class % HW_SEGREGATED_ROW;
    if (in_row == 0) {
        uint32_t later = lists->nonempty_rows & ~(uint32_t)1 << row;
        if (later == 0) return HW_STRATEGY_NONE;
        row = (uint32_t)__builtin_ctz(later);
        in_row = lists->nonempty[row];
    }
    return row * HW_SEGREGATED_ROW + (uint32_t)__builtin_ctz(in_row);
}

HW_FUSED void hw_segregated_insert(hw_segregated *lists, hw_segregated_link *links, uint32_t class, uint32_t number) {
    uint32_t at = hw_segregated_at(lists, number), second = links[class].next;
    links[at] = (hw_segregated_link){second, class};
    links[second].previous = at;
    links[class].next = at;
    lists->nonempty[class / HW_SEGREGATED_ROW] |= (uint32_t)1 << class % HW_SEGREGATED_ROW;
    lists->nonempty_rows |= (uint32_t)1 << class / HW_SEGREGATED_ROW;
    lists->count++;
}

HW_FUSED void hw_segregated_erase(hw_segregated *lists, hw_segregated_link *links, uint32_t class, uint32_t number) {
    hw_segregated_link gone = links[hw_segregated_at(lists, number)];
    links[gone.next].previous = gone.previous;
    links[gone.previous].next = gone.next;
    uint32_t row = class / HW_SEGREGATED_ROW, last = gone.next == gone.previous; /* both are the head */
    lists->nonempty[row] &= ~(last << class % HW_SEGREGATED_ROW);
    lists->nonempty_rows &= ~((uint32_t)(lists->nonempty[row] == 0) << row);
    lists->count--;
}

#endif
