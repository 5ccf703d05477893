"""Holes: what is not live. A space whose live blocks are known, and whose holes are whatever they leave over.

There is no free list here, so that "coalesced" is not something to get right but something that cannot be
otherwise. The definitions of the strategies stand on this; offsets and sizes are in bytes, whole granules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Hole(NamedTuple):
    """A free range."""

    start: int
    size: int

    def aligned(self, alignment: int) -> int:
        """Return the lowest multiple of an alignment in the hole, or beyond it."""
        return -(-self.start // alignment) * alignment

    def fits(self, size: int, alignment: int) -> bool:
        """Say whether a block of this size has room at an aligned offset."""
        return self.aligned(alignment) + size <= self.start + self.size


class Live(NamedTuple):
    """A live block."""

    size: int
    requested: int


@dataclass
class Coalescing(ABC):
    """A space of `capacity` bytes in which all free neighbours are one hole; who chooses the hole is a subclass.

    Parameters
    ----------
    capacity
        Bytes; what is not a whole granule is left out.
    granule
        Bytes; every offset and size is a multiple of it.
    """

    capacity: int
    granule: int = field(default=16, kw_only=True)
    live: dict[int, Live] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        self.capacity -= self.capacity % self.granule
        self.settle()

    @abstractmethod
    def choose(self, size: int, alignment: int) -> Hole | None:
        """Return the hole that a request goes into, at its lowest aligned offset; or None: bottom."""

    def settle(self) -> None:  # noqa: B027  # nothing, unless a strategy remembers something
        """Take note of holes that have changed."""

    def rounded(self, requested: int) -> int:
        """Return the bytes that a request takes: whole granules, and at least one."""
        return max(1, -(-requested // self.granule)) * self.granule

    def holes(self) -> Iterator[Hole]:
        """Yield the maximal free ranges, by address."""
        end = 0
        for offset, block in sorted(self.live.items()):
            if offset > end:
                yield Hole(end, offset - end)
            end = offset + block.size
        if end < self.capacity:
            yield Hole(end, self.capacity - end)

    def allocate(self, requested: int, alignment: int = 1) -> int | None:
        """Return the offset that the strategy gives, or None: bottom."""
        size, alignment = self.rounded(requested), max(alignment, self.granule)
        hole = self.choose(size, alignment)
        if hole is None:
            return None
        offset = hole.aligned(alignment)
        self.live[offset] = Live(size, requested)
        self.settle()
        return offset

    def deallocate(self, offset: int) -> bool:
        """Free the block at an offset; False if no live block starts there."""
        if offset not in self.live:
            return False
        del self.live[offset]
        self.settle()
        return True

    def resize(self, offset: int, requested: int) -> bool:
        """Grow or shrink a live block in place; False if what follows it is in the way."""
        size = self.rounded(requested)
        end = min([other for other in self.live if other > offset], default=self.capacity)
        if offset + size > end:
            return False
        self.live[offset] = Live(size, requested)
        self.settle()
        return True

    def draw(self) -> str:
        """Return the whole space on one line: live blocks in brackets, holes without."""
        return drawn(self.live, self.holes())


def drawn(live: dict[int, Live], holes: Iterable[Hole]) -> str:
    """Return blocks and holes on one line, by address: blocks in brackets, holes without."""
    parts = [(offset, f"[{block.size}]") for offset, block in live.items()]
    parts += [(hole.start, str(hole.size)) for hole in holes]
    return " ".join(text for _, text in sorted(parts))
