/* Fork gate: work on a heap that a fork must not cut in two. A forked child has one thread, and memory as it was at that moment: a heap
 * that another thread was in the middle of compacting would stay so for ever. So such work goes through the gate, many at a
 * time, and a fork waits until all of it is through.
 *
 * The work must not fork, nor wait for who may be forking: in the binding, for the GIL. */
#ifndef HW_HEAP_FORK_GATE_H
#define HW_HEAP_FORK_GATE_H

void hw_fork_gate_enter(void);
void hw_fork_gate_leave(void);

/* From the first call on, forks wait. hw_fork_gate_enter does it; whoever else has to know of forks (record_marker.h) too. */
void hw_fork_gate_watch(void);

#endif
