"""Forks helpers that stand in the program's process group without taking part: `.witness` and `.waker`.

A helper holds none of the program's files open, is not found under the supervisor's name, and ends with it.  It keeps
the supervisor's signal mask, in which everything is blocked that the supervisor passes on.
"""

from __future__ import annotations

import os
import signal

from heapwright import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Bystander:
    """A helper process.

    Parameters
    ----------
    name
        What it is called in a list of processes.
    work
        What it does: called again and again, until the supervisor ends or `close` is called.
    keep
        The one descriptor that it keeps.

    Attributes
    ----------
    pid
        -1 if there was no process to spare.
    """

    def __init__(self, name: str, work: Callable[[], object], keep: int = -1) -> None:
        supervisor = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            self.pid = -1
        if self.pid == 0:
            try:
                _stand_by(name.encode(), keep)
                while os.getppid() == supervisor:
                    work()
            finally:
                os._exit(0)

    def close(self) -> None:
        """End it and reap it."""
        if self.pid < 0:
            return
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def _stand_by(name: bytes, keep: int) -> None:
    _native.die_with_parent(signal.SIGKILL)
    try:
        _take_another_name(name)
    except OSError:
        pass  # /proc is restricted: it keeps the supervisor's name
    # Holding the program's pipes open would keep their readers waiting.
    for descriptor in os.listdir("/proc/self/fd"):
        if int(descriptor) != keep:
            try:
                os.close(int(descriptor))
            except OSError:
                pass


def _take_another_name(name: bytes) -> None:
    """Overwrite this process's command line, lest ``pkill -f 'heapwright run'`` signal the helper too."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end: fields 48 and 49 of proc(5)
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(start)
        memory.write(name[: end - start].ljust(end - start, b"\0"))
