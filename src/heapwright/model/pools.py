"""Pools as definitions: plain, slow, and right by reading. The native pools answer the same.

A pool numbers its blocks: slots 0, 1, 2, and so on, in chunks that double. What it is at any moment is two
sets: the chunks that are there, and the slots that are live.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def chunk_range(chunk: int, first: int, capacity: int) -> range:
    """Return the slots of a chunk: chunk 0 has `first`, every further one as many as all before it.

    Examples
    --------
    >>> [chunk_range(chunk, first=2, capacity=11) for chunk in range(4)]
    [range(0, 2), range(2, 4), range(4, 8), range(8, 11)]
    """
    start = first << chunk - 1 if chunk else 0
    return range(min(start, capacity), min(first << chunk, capacity))


@dataclass
class FixedPoolModel:
    """Blocks of one size.

    Parameters
    ----------
    first
        Slots of the first chunk, a power of two.
    capacity
        Slots at most.
    upstream
        Says whether it has memory for a number of slots in one piece, and takes it; its answer may differ
        each time.

    Examples
    --------
    >>> pool = FixedPoolModel(first=2, capacity=3)
    >>> pool.acquire(), pool.acquire(), pool.acquire(), pool.acquire()
    (0, 1, 2, None)
    >>> pool.release(1), pool.release(1), pool.acquire()
    (True, False, 1)
    """

    first: int
    capacity: int
    upstream: Callable[[int], bool] = lambda slots: True
    chunks: set[int] = field(default_factory=set)
    live: set[int] = field(default_factory=set)

    def acquire(self) -> int | None:
        """Return the lowest free slot, growing by the lowest absent chunk where there is none; or bottom."""
        if not self.free() and not self.grow():
            return None
        slot = min(self.free())
        self.live.add(slot)
        return slot

    def release(self, slot: int) -> bool:
        """Free a live slot; False, and nothing has changed, if it is not one."""
        was_live = slot in self.live
        self.live.discard(slot)
        return was_live

    def trim(self, keep: int = 0) -> int:
        """Give chunks without a live slot back, the last first, while `keep` free slots stay; return their slots."""
        returned = 0
        for chunk in sorted(self.chunks, reverse=True):
            slots = self.slots(chunk)
            if self.live.isdisjoint(slots) and len(self.free()) - len(slots) >= keep:
                self.chunks.discard(chunk)
                returned += len(slots)
        return returned

    def grow(self) -> bool:
        """Take the lowest absent chunk from the upstream."""
        chunk = min(set(range(len(self.chunks) + 1)) - self.chunks)
        slots = self.slots(chunk)
        if not slots or not self.upstream(len(slots)):
            return False
        self.chunks.add(chunk)
        return True

    def slots(self, chunk: int) -> range:
        """Return the slots of a chunk."""
        return chunk_range(chunk, self.first, self.capacity)

    def free(self) -> set[int]:
        """Return the slots that are there and not live."""
        return {slot for chunk in self.chunks for slot in self.slots(chunk)} - self.live

    def releasable(self) -> int:
        """Return how many slots `trim` would give back."""
        return sum(len(self.slots(chunk)) for chunk in self.chunks if self.live.isdisjoint(self.slots(chunk)))


@dataclass
class TypedPoolModel(FixedPoolModel):
    """Records of one type: blocks with a life. Each is constructed once, and destroyed once if it was constructed.

    Examples
    --------
    >>> pool = TypedPoolModel(first=2, capacity=2)
    >>> pool.acquire("a"), pool.acquire("b", fails=True), pool.release(0)
    (0, None, True)
    >>> pool.constructed, pool.destroyed
    (['a'], ['a'])
    """

    serials: dict[int, Any] = field(default_factory=dict)  #: slot -> which record lives in it
    constructed: list[Any] = field(default_factory=list)
    destroyed: list[Any] = field(default_factory=list)

    def acquire(self, serial: Any = None, fails: bool = False) -> int | None:
        """Return the lowest free slot with a record constructed in it; or bottom, also where construction fails."""
        slot = super().acquire()
        if slot is None:
            return None
        if fails:
            super().release(slot)
            return None
        self.constructed.append(serial)
        self.serials[slot] = serial
        return slot

    def release(self, slot: int) -> bool:
        """Destroy the record in a live slot, and free it."""
        if not super().release(slot):
            return False
        self.destroyed.append(self.serials.pop(slot))
        return True


def size_classes(largest: int) -> list[int]:
    """Return the size classes up to the first that is not less than `largest`, in bytes.

    Examples
    --------
    >>> size_classes(200)
    [16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208]
    """
    classes = list(range(16, 129, 16))
    while classes[-1] < largest:
        step = (1 << (classes[-1].bit_length() - 1)) // 8
        classes.append(classes[-1] + step)
    return [size for i, size in enumerate(classes) if i == 0 or classes[i - 1] < largest]


@dataclass
class TieredPoolModel:
    """Blocks of any size: one `FixedPoolModel` per size class.

    Parameters
    ----------
    largest
        Bytes; requests beyond the class that holds these have none.
    first_bytes
        About what the first chunk of a class has.

    Examples
    --------
    >>> pool = TieredPoolModel(largest=1000)
    >>> pool.acquire(100), pool.acquire(100), pool.acquire(100, alignment=64), pool.acquire(10_000)
    ((112, 0), (112, 1), (128, 0), None)
    """

    largest: int
    first_bytes: int = 16 << 10
    upstream: Callable[[int], bool] = lambda size_bytes: True
    pools: dict[int, FixedPoolModel] = field(default_factory=dict)

    def block_bytes(self, size: int, alignment: int = 16) -> int | None:
        """Return the smallest class that holds the request at every multiple of it; None if there is none."""
        if alignment > 4096:
            return None
        fitting = (c for c in size_classes(self.largest) if c >= size and c % alignment == 0)
        return next(fitting, None)

    def acquire(self, size: int, alignment: int = 16) -> tuple[int, int] | None:
        """Return the class and the lowest free slot in it; or bottom."""
        block = self.block_bytes(size, alignment)
        slot = None if block is None else self.pool(block).acquire()
        return None if block is None or slot is None else (block, slot)

    def release(self, block: int, slot: int) -> bool:
        """Free a live slot of a class; False if it is not one."""
        return self.pool(block).release(slot)

    def pool(self, block: int) -> FixedPoolModel:
        """Return the pool of a class."""
        if block not in self.pools:
            first = 1 << max(0, (self.first_bytes // block).bit_length() - 1)
            self.pools[block] = FixedPoolModel(first, 1 << 31, lambda slots: self.upstream(slots * block))
        return self.pools[block]


@dataclass
class ConcurrentPoolModel(FixedPoolModel):
    """Blocks of one size for many threads: which free slot a request gets is not said, only that it gets one.

    `acquire` is a relation, then: it takes the answers and says whether they may be.

    Examples
    --------
    >>> pool = ConcurrentPoolModel(first=2, capacity=3)
    >>> pool.acquire([1, 0], wanted=2), pool.acquire([2], wanted=5), pool.acquire([2], wanted=1)
    (True, True, False)
    """

    def acquire(self, slots: list[int], wanted: int) -> bool:  # type: ignore[override]  # a relation
        """Say whether `wanted` requests may be answered with these slots, and bottom for the others; take them."""
        for slot in slots:
            if not self.free() and not self.grow():
                return False
            if slot not in self.free():
                return False
            self.live.add(slot)
        return len(slots) == wanted or not (self.free() or self.grow())
