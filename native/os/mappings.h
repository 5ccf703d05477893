/* What is mapped where in this process. */
#ifndef HW_OS_MAPPINGS_H
#define HW_OS_MAPPINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether every page of the range is mapped; `address` is page-aligned. */
bool hw_is_mapped(uintptr_t address, size_t size_bytes);

/* The program break's heap, as /proc/self/maps has it. 0, or ENOENT if there is none. */
int hw_break_heap(uintptr_t *start, uintptr_t *end);

#endif
