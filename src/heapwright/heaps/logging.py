"""Logging: an adaptor that writes down every allocation and deallocation, in an order that can be replayed."""

from __future__ import annotations

import csv
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from weakref import finalize, getweakrefs, ref

from heapwright.heaps.adaptor import B, Served
from heapwright.heaps.fork_lock import ForkLock
from heapwright.heaps.observing import Observing
from heapwright.model.protocols import Resource
from heapwright.model.sizes import Size, parse_size

R = TypeVar("R")


class LogEvent(NamedTuple):
    """One line of a log. Numbers that do not apply are 0."""

    sequence: int  #: counts up from 0 without a gap, within a process
    time_s: float  #: of the monotonic clock
    process: int
    thread: int
    action: str  #: "allocate", "reallocate", "deallocate", or "failure" of one of the first two
    size_bytes: int  #: requested; of a deallocation, what it had requested
    alignment: int  #: as asked for; 0 where the request names none
    address: int  #: of the block that there is afterwards, or was
    previous_address: int  #: of the block that a reallocation replaces


_Note = tuple[int, "_Alarm"]  # its address, and what keeps the alarm alive


class Logging(Observing[B, _Note]):
    """A memory resource that keeps a log.

    The order is that of the upstream: one thread at a time is let through, a block is logged as free before its
    address is logged as allocated again, and a line is there before the call that it is about returns. A dropped
    handle is logged where it is dropped, unless another thread is just being served: then when that one is done. What
    is written survives `os._exit` and a kill: each line is one write to a file opened for appending. A forked child
    goes on in the same file, under its own process number.

    Parameters
    ----------
    upstream
        Where the blocks come from; owned.
    sink
        The path of a CSV file, which begins with the names of `LogEvent`'s fields and is appended to; or a callable,
        which is called with each `LogEvent`. What it raises comes out of the call that is logged.

    Notes
    -----
    Handles that die while Python tears the interpreter down may be missing, as may those that outlive this object. One
    on which the program has a weak reference with a callback is logged after that callback. What a finalizer or signal
    handler does here, in the middle of a call of the same thread, may be logged on either side of it.

    Examples
    --------
    >>> import heapwright as hw
    >>> events = []
    >>> logged = hw.Logging(hw.Heap(hw.AnonymousSpace("1MiB")), events.append)
    >>> block = logged.allocate(100)
    >>> block = logged.reallocate(block, 200)
    >>> logged.try_allocate("1GiB")
    >>> del block
    >>> [(event.sequence, event.action, event.size_bytes) for event in events]
    [(0, 'allocate', 100), (1, 'reallocate', 200), (2, 'failure', 1073741824), (3, 'deallocate', 200)]
    """

    def __init__(self, upstream: Resource[B], sink: str | os.PathLike[str] | Callable[[LogEvent], object]) -> None:
        super().__init__(upstream)
        self._lock = ForkLock()
        self._write: Callable[[LogEvent], object] = sink if callable(sink) else _CsvFile(sink).write
        self._unwritten: deque[tuple[Any, ...]] = deque()
        self._writing = False
        self._sequence = 0

    def deallocate(self, block: B) -> None:  # noqa: D102  # as Adaptor's
        self._in_turn(super().deallocate, block)

    def reallocate(self, block: B, size_bytes: Size) -> B:  # noqa: D102
        return self._in_turn(self._reallocate, block, parse_size(size_bytes))

    def _reallocate(self, block: B, size: int) -> B:
        previous = block.address
        try:
            return super().reallocate(block, size)
        except MemoryError:
            self._log("failure", size, 0, 0, previous)
            raise

    def _serve(self, ask: Callable[..., Served], size_bytes: int, *alignment: int) -> Served:
        return self._in_turn(self._serve_in_turn, ask, size_bytes, *alignment)  # type: ignore[no-any-return]

    def _serve_in_turn(self, ask: Callable[..., Served], size_bytes: int, *alignment: int) -> Served:
        try:
            block: Served = super()._serve(ask, size_bytes, *alignment)
        except MemoryError:
            self._log("failure", size_bytes, *(alignment or (0,)))
            raise
        if block is None:
            self._log("failure", size_bytes, *(alignment or (0,)))
        return block

    def _born(self, block: B, size_bytes: int, alignment: int | None) -> _Note:
        self._settle()  # whose address this may have been: dead before it was given out again, and in the queue by now
        self._log("allocate", size_bytes, alignment or 0, block.address)
        return block.address, _alarm_on(block, self)

    def _resized(self, old_size_bytes: int, note: _Note, new: B, size_bytes: int, *, moved: bool) -> _Note:
        self._settle()
        self._log("reallocate", size_bytes, 0, new.address, note[0])
        return new.address, _alarm_on(new, self)

    def _died(self, size_bytes: int, note: _Note) -> None:
        self._log("deallocate", size_bytes, 0, note[0])

    def _in_turn(self, operation: Callable[..., R], *arguments: Any) -> R:
        try:
            with self._lock:
                try:
                    return operation(*arguments)
                finally:
                    self._write_out()
        finally:
            self._settle_dropped()

    def _settle_dropped(self) -> None:
        """Log the handles that died, unless somebody is being served, who then does this when the lock is free."""
        while self._dropped and not self._lock.is_mine() and self._lock.acquire(blocking=False):
            try:
                self._settle()
                self._write_out()
            finally:
                self._lock.release()

    def _log(self, action: str, size_bytes: int, alignment: int, address: int = 0, previous_address: int = 0) -> None:
        where = os.getpid(), threading.get_ident()
        self._unwritten.append((time.monotonic(), *where, action, size_bytes, alignment, address, previous_address))

    def _write_out(self) -> None:
        if self._writing:
            return  # in a finalizer, say: further up in this thread somebody is at it, and goes on in order
        self._writing = True
        try:
            while self._unwritten:
                event = LogEvent(self._sequence, *self._unwritten.popleft())
                self._sequence += 1
                self._write(event)
        finally:
            self._writing = False


class _Alarm(ref[Any]):
    """Calls every `Logging` that a block came through when its handle dies: after all of their queues have it.

    Weak references are called from the youngest to the oldest, and this one is made by the innermost `Logging`,
    before any of them has a reference of its own.
    """

    __slots__ = ("listeners",)

    listeners: list[ref[Logging[Any]]]


def _alarm_on(block: Any, listener: Logging[Any]) -> _Alarm:
    alarm = next((found for found in getweakrefs(block) if type(found) is _Alarm), None)
    if alarm is None:
        alarm = _Alarm(block, _ring)
        alarm.listeners = []
    alarm.listeners.append(ref(listener))
    return alarm


def _ring(alarm: _Alarm) -> None:
    for listener in alarm.listeners:
        logging = listener()
        if logging is not None:
            logging._settle_dropped()


class _CsvFile:
    """A file that is appended to line by line, without a buffer of ours: what is written is the kernel's."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        finalize(self, os.close, self._descriptor)
        if os.fstat(self._descriptor).st_size == 0:
            self.write(LogEvent._fields)

    def write(self, row: tuple[object, ...]) -> None:
        line = (",".join(map(str, row)) + "\n").encode()
        while line:
            line = line[os.write(self._descriptor, line) :]


def read_log(path: str | os.PathLike[str]) -> list[LogEvent]:
    """Return the events of a CSV file that `Logging` wrote, by process, each in order.

    Examples
    --------
    >>> import heapwright as hw, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "log.csv")
    >>> logged = hw.Logging(hw.Heap(hw.AnonymousSpace("1MiB")), path)
    >>> del [logged.allocate(100)][0]
    >>> [event.action for event in hw.read_log(path)]
    ['allocate', 'deallocate']
    """
    with open(path, newline="") as file:  # noqa: PTH123  # a path or a string
        rows = list(csv.DictReader(file))
    events = [LogEvent(**{name: _PARSE.get(name, int)(text) for name, text in row.items()}) for row in rows]
    return sorted(events, key=lambda event: (event.process, event.sequence))


_PARSE: dict[str, Callable[[str], Any]] = {"time_s": float, "action": str}
