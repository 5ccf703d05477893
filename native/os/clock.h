/* The clock by which work is given its share of time. */
#ifndef HW_OS_CLOCK_H
#define HW_OS_CLOCK_H

#include <stdint.h>

/* Nanoseconds since some moment before the process began; never goes back. Some tens of nanoseconds, and no system call
 * where the kernel maps its clock into the process. */
int64_t hw_clock_ns(void);

#endif
