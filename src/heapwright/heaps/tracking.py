"""Tracking: an adaptor that knows every block that is out: how large, how old, and which line asked for it."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import ref

from heapwright.heaps.adaptor import B
from heapwright.heaps.observing import Observing
from heapwright.model.call_stack import Frame, RawStack, call_stack, named
from heapwright.model.protocols import Resource
from heapwright.model.sizes import format_size
from heapwright.model.witnesses import come_forward


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A block that is out."""

    address: int
    size_bytes: int  #: requested
    age_s: float  #: since it was allocated, or moved or changed by `reallocate`
    thread: str  #: the name of the one that allocated it
    stack: tuple[Frame, ...]  #: innermost first; heapwright's own frames are left out


class _Note(NamedTuple):
    address: int
    since: float
    thread: str
    stack: RawStack


class Tracking(Observing[B, _Note]):
    """A memory resource that can name every block that is out.

    Parameters
    ----------
    upstream
        Where the blocks come from; owned.
    stack_depth
        Frames to keep of each allocation, the innermost ones; 0 for none, 1 for the line that allocates.

    Examples
    --------
    >>> import heapwright as hw
    >>> tracked = hw.Tracking(hw.Heap(hw.AnonymousSpace("1MiB")))
    >>> def load():
    ...     return tracked.allocate("64KiB")
    >>> kept = [load(), load()]
    >>> print(tracked.report())
    128 KiB in 2 blocks are out
    128 KiB in 2 blocks, the oldest for 0.0 s
        <doctest ...>:2 in load
    >>> kept.clear()
    >>> tracked.outstanding()
    []
    """

    def __init__(self, upstream: Resource[B], *, stack_depth: int = 1) -> None:
        if stack_depth < 0:
            raise ValueError(f"stack_depth {stack_depth} is negative. Give the number of frames to keep; 0 for none")
        super().__init__(upstream)
        self._stack_depth = stack_depth
        come_forward(self)

    def outstanding(self) -> list[Outstanding]:
        """Return every block that is out, the oldest first. O(n log n)."""
        self._settle()
        now = time.monotonic()
        return [
            Outstanding(note.address, size, now - note.since, note.thread, named(note.stack))
            for size, note in sorted(self._notes.copy().values(), key=lambda noted: noted[1].since)
        ]

    def site_of(self, thing: Any) -> str | None:
        """Return the line that asked for a block that is out; None for anything else, or without a stack. O(1)."""
        try:
            noted = self._notes.get(ref(thing))
        except TypeError:  # not even a reference to it
            return None
        return str(named(noted[1].stack)[0]) if noted is not None and noted[1].stack else None

    def report(self) -> str:
        """Return what is out in words: by stack, the most bytes first."""
        blocks = self.outstanding()
        by_stack: defaultdict[tuple[Frame, ...], list[Outstanding]] = defaultdict(list)
        for block in blocks:
            by_stack[block.stack].append(block)
        lines = [f"{_amount(blocks)} are out"]
        for stack, group in sorted(by_stack.items(), key=lambda item: -sum(block.size_bytes for block in item[1])):
            lines.append(f"{_amount(group)}, the oldest for {group[0].age_s:.1f} s")
            lines.extend(f"    {frame}" for frame in stack)
        return "\n".join(lines)

    def _born(self, block: B, size_bytes: int, alignment: int | None) -> _Note:
        stack = call_stack(self._stack_depth)
        return _Note(block.address, time.monotonic(), threading.current_thread().name, stack)


def _amount(blocks: list[Outstanding]) -> str:
    size = format_size(sum(block.size_bytes for block in blocks))
    return f"{size} in {len(blocks)} block{'s' if len(blocks) != 1 else ''}"
