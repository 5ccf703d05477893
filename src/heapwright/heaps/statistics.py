"""Statistics: an adaptor that counts what goes through it, in all and for each named context that it happens in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from heapwright import _native
from heapwright.heaps.adaptor import Adaptor, B
from heapwright.heaps.observing import Observing
from heapwright.model.protocols import Resource
from heapwright.model.statistics import CountedStatistics, LayeredStatistics, ResourceStatistics

#: What a block weighs, and in whose accounts: enough to take it out of them again.
_Note = tuple[int, tuple[_native.Account, ...]]

#: The counters that are open in this thread or task, of whichever resource, the innermost last. One for the module: a
#: ContextVar is never collected.
_open: ContextVar[tuple[Counters, ...]] = ContextVar("heapwright.counters", default=())


class Counters:
    """What was allocated inside one ``with statistics.counters(name)``, and what of it is still out.

    A block belongs to the counters that were open where it was allocated, also when it is reallocated, and leaves them
    when it is freed, wherever and whenever that is; so the figures go on being true after the ``with``.
    """

    __slots__ = ("__weakref__", "_accounts", "_owner", "path")

    def __init__(self, owner: Statistics[Any], path: str, accounts: tuple[_native.Account, ...]) -> None:
        self.path = path
        self._owner = owner
        self._accounts = accounts  # its own first; then that of its path; then those around it

    def __repr__(self) -> str:
        return f"Counters({self.path!r})"

    def statistics(self) -> CountedStatistics:
        """Return exact figures."""
        self._owner._settle()
        return CountedStatistics(**self._accounts[0].figures())


class Statistics(Observing[B, _Note]):
    """A memory resource that knows what goes through it: bytes and blocks, now, at most and in all.

    Exact under threads: each call counts at one moment between its start and its end. Two of them over one heap count
    what each has served, so put it where the question is: ``Statistics(Limiting(heap, ...))`` counts what the limit
    let pass.

    Parameters
    ----------
    upstream
        Where the blocks come from; owned.

    Examples
    --------
    >>> import heapwright as hw
    >>> counted = hw.Statistics(hw.Heap(hw.AnonymousSpace("1MiB")))
    >>> with counted.counters("request") as request:
    ...     head = counted.allocate(100)
    ...     with counted.counters("body"):
    ...         body = counted.allocate(1000)
    >>> figures = counted.statistics()
    >>> figures.requested_bytes, figures.allocated_bytes, figures.committed_bytes, figures.reserved_bytes
    (1100, 1120, 262144, 1048576)
    >>> del body
    >>> request.statistics().requested_bytes, request.statistics().peak_requested_bytes
    (100, 1100)
    >>> for path, figures in counted.by_path().items():
    ...     print(path, figures.total_block_count, figures.requested_bytes)
    request 2 100
    request/body 1 0
    """

    def __init__(self, upstream: Resource[B]) -> None:
        super().__init__(upstream)
        self._account = _native.Account()
        self._paths: dict[str, _native.Account] = {}

    @contextmanager
    def counters(self, name: str) -> Iterator[Counters]:
        """Count what is allocated inside the ``with`` under a name as well; inside others, under theirs too.

        It is the context that counts (`contextvars`): a thread has its own, and an asyncio task begins with those of
        whoever created it.

        Parameters
        ----------
        name
            What happens inside; the same name at the same place of the nesting adds up in `by_path`.
        """
        around = _open.get()
        outer = next((counters for counters in reversed(around) if counters._owner is self), None)
        path = name if outer is None else f"{outer.path}/{name}"
        of_path = self._paths.setdefault(path, _native.Account())
        counters = Counters(self, path, (_native.Account(), of_path, *(outer._accounts if outer else ())))
        token = _open.set((*around, counters))
        try:
            yield counters
        finally:
            _open.reset(token)

    def by_path(self) -> dict[str, CountedStatistics]:
        """Return the figures of all counters so far, those of one path together, such as ``"request/body"``.

        The peak of a path is that of all tasks and threads in it together.
        """
        self._settle()
        return {path: CountedStatistics(**account.figures()) for path, account in self._paths.copy().items()}

    def statistics(self) -> LayeredStatistics:
        """Return exact figures. Asks the kernel which pages of the memory below are resident: O(committed pages)."""
        self._settle()
        memories = [resource.statistics() for resource in _memories(self, {}).values()]
        below = [figures for figures in memories if isinstance(figures, ResourceStatistics)]
        return LayeredStatistics(
            **self._account.figures(),
            committed_bytes=sum(figures.committed_bytes for figures in below),
            peak_committed_bytes=getattr(below[0], "peak_committed_bytes", None) if len(below) == 1 else None,
            total_committed_bytes=sum(getattr(figures, "total_committed_bytes", 0) for figures in below),
            reserved_bytes=sum(figures.reserved_bytes for figures in below),
            resident_bytes=sum(figures.resident_bytes for figures in below),
            free_bytes=sum(figures.free_bytes for figures in below),
            largest_free_bytes=max((figures.largest_free_bytes for figures in below), default=0),
        )

    def _withdraw(self, size_bytes: int, error: BaseException | None) -> None:
        if error is None or isinstance(error, MemoryError):
            for account in self._accounts():
                account.refuse()

    def _born(self, block: B, size_bytes: int, alignment: int | None) -> _Note:
        note = _allocated(block), self._accounts()
        for account in note[1]:
            account.take(size_bytes, note[0], 1)
        return note

    def _resized(self, old_size_bytes: int, note: _Note, new: B, size_bytes: int, *, moved: bool) -> _Note:
        (old_allocated, accounts), allocated = note, _allocated(new)  # it stays where it was born, moved or not
        if moved:  # for a moment both were out
            taken, more = size_bytes, allocated
            given, less, blocks = old_size_bytes, old_allocated, 1
        else:
            taken, more = max(size_bytes - old_size_bytes, 0), max(allocated - old_allocated, 0)
            given, less, blocks = max(old_size_bytes - size_bytes, 0), max(old_allocated - allocated, 0), 0
        for account in accounts:  # nothing in here wants memory, so all of it is done
            account.take(taken, more, blocks)
            account.give(given, less, blocks)
        return allocated, accounts

    def _died(self, size_bytes: int, note: _Note) -> None:
        allocated, accounts = note
        for account in accounts:
            account.give(size_bytes, allocated, 1)

    def _accounts(self) -> tuple[_native.Account, ...]:
        """Return where to count now: the innermost open counters name all those around them."""
        for counters in reversed(_open.get()):
            if counters._owner is self:
                return self._account, *counters._accounts
        return (self._account,)


def _allocated(block: Any) -> int:
    allocated: int = getattr(block, "allocated_bytes", block.size_bytes)
    return allocated


def _memories(resource: Any, found: dict[int, Any]) -> dict[int, Any]:
    """Collect the resources at the ends of the chains below, each once."""
    if isinstance(resource, Adaptor):
        for upstream in resource.upstreams:
            _memories(upstream, found)
    else:
        found[id(resource)] = resource
    return found
