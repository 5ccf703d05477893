#include "os/lineage.h"

#include <errno.h>
#include <sys/prctl.h>

int hw_die_with_parent(int signal_number) {
    return prctl(PR_SET_PDEATHSIG, (unsigned long)signal_number, 0, 0, 0) == 0 ? 0 : errno;
}

int hw_leave_no_core(void) {
    /* RLIMIT_CORE does not bind a core pattern that is a pipe; not being dumpable does. */
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : errno;
}
