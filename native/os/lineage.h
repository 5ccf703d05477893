/* What ties a program to the supervisor that started it. */
#ifndef HW_OS_LINEAGE_H
#define HW_OS_LINEAGE_H

/* The kernel sends `signal_number` to this process when the thread that forked it ends; survives exec. 0 or errno. */
int hw_die_with_parent(int signal_number);

/* No core dump of this process, whatever the core pattern and the limits say. 0 or errno. */
int hw_leave_no_core(void);

#endif
