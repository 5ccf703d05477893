"""Buddies as a definition: powers of two, halved and merged with the other half. The native core answers the same.

The block of `size` bytes at `offset` has its buddy at ``offset ^ size``: with it, it was one block of twice the size. A
capacity that is no power of two is a row of descending ones. Source: Knowlton, CACM 8, 1965; Knuth, TAOCP 1, 2.5.

Less than half of a block is unasked for, and every block lies at a multiple of its own size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from heapwright.model.holes import Hole, Live, drawn


@dataclass
class BuddyModel:
    """A space of `capacity` bytes in buddies, as a mathematical object.

    Parameters
    ----------
    capacity
        Bytes; what is not a whole granule is left out.
    granule
        Bytes, a power of two: the smallest block.

    Examples
    --------
    >>> heap = BuddyModel(1024)
    >>> heap.allocate(100), heap.allocate(20), heap.draw()
    (0, 128, '[128] [32] 32 64 256 512')
    >>> heap.deallocate(128), heap.draw()
    (True, '[128] 128 256 512')
    """

    capacity: int
    granule: int = 16
    live: dict[int, Live] = field(default_factory=dict)
    #: By size: the offsets of the holes, the newest last.
    free: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.capacity -= self.capacity % self.granule
        sizes = [1 << bit for bit in reversed(range(self.capacity.bit_length()))]
        self.free = {size: [] for size in reversed(sizes)}
        start = 0
        for size in sizes:
            if self.capacity & size:
                self.free[size].append(start)
                start += size

    def rounded(self, requested: int) -> int:
        """Return the bytes that a request takes: a power of two granules."""
        return 1 << (max(requested, self.granule) - 1).bit_length()

    def holes(self) -> Iterator[Hole]:
        """Yield the holes, by address; neighbours may both be holes, buddies never."""
        yield from sorted(Hole(start, size) for size, starts in self.free.items() for start in starts)

    def allocate(self, requested: int, alignment: int = 1) -> int | None:
        """Halve the smallest hole of at least the size and the alignment; None, bottom, where there is none."""
        size = self.rounded(requested)
        for half, starts in self.free.items():
            if half >= max(size, alignment) and starts:
                offset = starts.pop()
                self._halve(offset, half, size)
                self.live[offset] = Live(size, requested)
                return offset
        return None

    def deallocate(self, offset: int) -> bool:
        """Free the block at an offset, merging buddies; False if no live block starts there."""
        if offset not in self.live:
            return False
        size = self.live.pop(offset).size
        while offset ^ size in self.free.get(size, ()):
            self.free[size].remove(offset ^ size)
            offset, size = min(offset, offset ^ size), 2 * size
        self.free[size].append(offset)
        return True

    def resize(self, offset: int, requested: int) -> bool:
        """Halve, or take in buddies on the right; False if one of them is no hole, or is on the left."""
        old, size = self.live[offset].size, self.rounded(requested)
        taken_in = [old << i for i in range((size // old).bit_length() - 1)]
        if offset % size or any(offset + half not in self.free.get(half, ()) for half in taken_in):
            return False
        for half in taken_in:
            self.free[half].remove(offset + half)
        self._halve(offset, old, size)
        self.live[offset] = Live(size, requested)
        return True

    def draw(self) -> str:
        """Return the whole space on one line: live blocks in brackets, holes without."""
        return drawn(self.live, self.holes())

    def _halve(self, offset: int, size: int, wanted: int) -> None:
        while size > wanted:
            size //= 2
            self.free[size].append(offset + size)
