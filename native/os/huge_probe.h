/* What a huge page costs on this machine, now, against the small pages it stands for.
 *
 * On bare metal one fault for 2 MiB is several times cheaper than 512 faults. On a virtual machine whose host takes free
 * memory back (free page reporting hands over free blocks of 2 MiB and more, but no smaller ones), a huge page may have to
 * be fetched from the host: measured 0.25 ms warm, 3 to 5 ms cold, against 0.8 ms for 512 small pages. There a measurement
 * says nothing of the next page, and going by it cost twenty programs 5 to 10 % of their CPU time. */
#ifndef HW_OS_HUGE_PROBE_H
#define HW_OS_HUGE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* Touches up to 4 MiB of fresh memory and gives it back: 0.7 to 6 ms, since it stops when huge pages turn out to be the
 * dearer ones. Sets the mean cost of 2 MiB in one huge page and in small pages. False, with nothing set, on a virtual
 * machine (x86-64: by the processor's word), and where the kernel gives no memory or no huge pages. */
bool hw_huge_probe(int64_t *huge_ns, int64_t *small_ns);

/* CPU time that it takes to write one byte there. */
int64_t hw_touch_ns(volatile char *address);

#endif
