"""Tells a signal to the process group from a signal to the supervisor alone.

A signal does not say whom else it was sent to. So one more process sits in the group, with the same signals
blocked, and writes down what it receives: what it got, the program got. Without it, ``kill -INT -- -GROUP``
(what many test harnesses and service managers do) would reach the program twice, and the second
KeyboardInterrupt would hit its cleanup.
"""

from __future__ import annotations

import os
import select
import signal

from heapwright import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PATIENCE_MS = 25
"""The kernel signals a group's members within microseconds of each other; the rest is for a busy machine."""


class Witness:
    """The process, and the pipe that it writes signal numbers into.

    Parameters
    ----------
    signals
        What it watches; the caller has blocked them all already.
    """

    def __init__(self, signals: Iterable[int]) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._seen: dict[int, int] = {}
        supervisor = os.getpid()
        try:
            self._pid = os.fork()
        except OSError:
            self._pid = -1  # no process to spare: `saw` finds the pipe closed and says no
        if self._pid == 0:
            try:
                _watch(set(signals), writer, supervisor)
            finally:
                os._exit(0)
        os.close(writer)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)

    def saw(self, number: int) -> bool:
        """Say whether the witness received signal `number` as well; each sighting counts once."""
        while not self._seen.get(number):
            if not self._poll.poll(PATIENCE_MS):
                return False
            received = os.read(self._reader, 512)
            if not received:
                return False  # it was killed: better a signal too many than one too few
            for seen in received:
                self._seen[seen] = self._seen.get(seen, 0) + 1
        self._seen[number] = 0  # like pending signals, sightings do not queue
        return True

    def close(self) -> None:
        """End the process and reap it."""
        os.close(self._reader)
        if self._pid < 0:
            return
        try:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def _watch(signals: set[int], writer: int, supervisor: int) -> None:
    _native.die_with_parent(signal.SIGKILL)
    try:
        _take_another_name(b"heapwright-witness")
    except OSError:
        pass  # /proc is restricted: it keeps the supervisor's name
    # Holding the program's pipes open would keep their readers waiting.
    for descriptor in os.listdir("/proc/self/fd"):
        if int(descriptor) != writer:
            try:
                os.close(int(descriptor))
            except OSError:
                pass
    while os.getppid() == supervisor:
        os.write(writer, bytes([signal.sigwaitinfo(signals).si_signo]))


def _take_another_name(name: bytes) -> None:
    """Overwrite this process's command line, lest ``pkill -f 'heapwright run'`` signal the witness too."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end: fields 48 and 49 of proc(5)
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(start)
        memory.write(name[: end - start].ljust(end - start, b"\0"))
