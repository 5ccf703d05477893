"""Mark: a place in a heap whose blocks lie one behind the other; to release it frees everything since."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from heapwright.model.errors import InvalidMark, ViewExported


class Markable(Protocol):
    """What marks are set on: a heap whose strategy stacks its blocks, or an arena."""

    def is_mark_open(self, serial: int, depth: int, /) -> bool:
        """Say whether the mark with these numbers can be released."""

    def release_mark(self, serial: int, depth: int, /) -> bool:
        """Release it; False if it is not open."""


class Mark:
    """A place in time and space of one heap or arena, whose ``mark()`` makes them.

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap[hw.Bump](hw.AnonymousSpace(4096))
    >>> with heap.mark() as mark:
    ...     block = heap.allocate(100)
    ...     mark.is_open
    True
    >>> mark.is_open, heap.statistics().block_count
    (False, 0)
    """

    __slots__ = ("_depth", "_heap", "_serial")

    def __init__(self, heap: Markable, serial: int, depth: int) -> None:
        self._heap, self._serial, self._depth = heap, serial, depth

    def __repr__(self) -> str:
        return f"<mark {self._serial} of {self._heap!r}, {'open' if self.is_open else 'released'}>"

    @property
    def heap(self) -> Markable:
        """Whose mark it is."""
        return self._heap

    @property
    def is_open(self) -> bool:
        """Whether it can be released: neither it nor an earlier one was. O(1)."""
        return self._heap.is_mark_open(self._serial, self._depth)

    def release_on(self, heap: Markable) -> None:
        """Release it, if it is that heap's: see `Heap.release`."""
        if heap is not self._heap:
            raise InvalidMark(mark=repr(self), resource=repr(heap), reason="foreign")
        if not heap.release_mark(self._serial, self._depth):
            raise InvalidMark(mark=repr(self), resource=repr(heap), reason="released")

    def __enter__(self) -> Mark:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.is_open:  # the program has released it, or an earlier one
            return
        try:
            self.release_on(self._heap)
        except ViewExported as exported:
            if exc is None:
                raise
            exc.add_note(f"heapwright: {self!r} is not released: {exported}")  # what the body raised counts
