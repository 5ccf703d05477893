"""Continues a supervisor that has stopped along with its program, once the program goes on or is gone.

The supervisor stops when the program does, so that the shell sees a stopped job. Whoever continues the job continues
both. But ``kill -CONT`` or ``kill -KILL`` of the program alone would leave the supervisor stopped, and a stopped
process hears of nothing.
"""

from __future__ import annotations

import os
import signal
import time

from heapwright.cli.bystander import Bystander

LOOK_EVERY_S = 0.05
STOPPED = b"Tt"
"""By a signal, by a tracer."""


def stop_until_woken(program: int) -> int:
    """Stop the calling process until somebody continues it, or the program is not stopped any more.

    Returns
    -------
    int
        The process that a SIGCONT comes from if only the program was continued: it has had its own.
    """
    supervisor = os.getpid()

    def watch() -> None:
        time.sleep(LOOK_EVERY_S)
        # Again and again: a SIGCONT that comes before the SIGSTOP below is lost.
        if _state(program) not in STOPPED and _state(supervisor) in STOPPED:
            os.kill(supervisor, signal.SIGCONT)

    waker = Bystander("heapwright-waker", watch)
    os.kill(supervisor, signal.SIGSTOP)
    waker.close()
    return waker.pid


def _state(pid: int) -> bytes:
    """One letter of proc(5); of a process that is gone, what is left of it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0]
    except OSError:
        return b"X"
