"""The fit strategies as definitions: plain, slow, and right by reading. The native core answers the same.

There is no free list here: a hole is whatever is not live, so that "coalesced" is not something to get right
but something that cannot be otherwise. Offsets and sizes are in bytes; sizes are rounded up to whole
granules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias


class Hole(NamedTuple):
    """A maximal free range."""

    start: int
    size: int


#: Chooses one of the holes that a request fits into (never empty, by address), knowing where the rover is.
Choice: TypeAlias = "Callable[[list[Hole], int], Hole]"


def first_fit(fitting: list[Hole], rover: int) -> Hole:
    """Choose the lowest address."""
    return min(fitting, key=lambda hole: hole.start)


def best_fit(fitting: list[Hole], rover: int) -> Hole:
    """Choose the smallest; of equals the lowest."""
    return min(fitting, key=lambda hole: (hole.size, hole.start))


def worst_fit(fitting: list[Hole], rover: int) -> Hole:
    """Choose the largest; of equals the lowest."""
    return min(fitting, key=lambda hole: (-hole.size, hole.start))


def next_fit(fitting: list[Hole], rover: int) -> Hole:
    """Choose the first at or after the rover, cyclically."""
    return min(fitting, key=lambda hole: (hole.start < rover, hole.start))


FITS: dict[str, Choice] = {
    "first-fit": first_fit,
    "best-fit": best_fit,
    "worst-fit": worst_fit,
    "next-fit": next_fit,
}


class Live(NamedTuple):
    """A live block."""

    size: int
    requested: int


@dataclass
class FitModel:
    """A space of `capacity` bytes and one strategy, as a mathematical object.

    Parameters
    ----------
    capacity
        Bytes; what is not a whole granule is left out.
    choice
        One of `FITS`.
    granule
        Bytes; every offset and size is a multiple of it.

    Examples
    --------
    >>> heap = FitModel(256, best_fit)
    >>> heap.allocate(96), heap.allocate(32), heap.allocate(64)
    (0, 96, 128)
    >>> heap.deallocate(96), heap.deallocate(96)
    (True, False)
    >>> heap.draw(), heap.allocate(20), heap.allocate(1000)
    ('[96] 32 [64] 64', 96, None)
    """

    capacity: int
    choice: Choice
    granule: int = 16
    live: dict[int, Live] = field(default_factory=dict)
    rover: int = 0

    def __post_init__(self) -> None:
        self.capacity -= self.capacity % self.granule

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

        def aligned(hole: Hole) -> int:
            return -(-hole.start // alignment) * alignment

        fitting = [hole for hole in self.holes() if aligned(hole) + size <= hole.start + hole.size]
        if not fitting:
            return None
        offset = aligned(self.choice(fitting, self.rover))
        self.live[offset] = Live(size, requested)
        if self.choice is next_fit:
            self.rover = offset + size
        return offset

    def deallocate(self, offset: int) -> bool:
        """Free the block at an offset; False if no live block starts there."""
        if offset not in self.live:
            return False
        del self.live[offset]
        self._settle_rover()
        return True

    def resize(self, offset: int, requested: int) -> bool:
        """Grow or shrink a live block in place; False if what follows it is in the way."""
        size = self.rounded(requested)
        end = min([other for other in self.live if other > offset], default=self.capacity)
        if offset + size > end:
            return False
        self.live[offset] = Live(size, requested)
        self._settle_rover()
        return True

    def draw(self) -> str:
        """Return the whole space on one line: live blocks in brackets, holes without."""
        parts = [(offset, f"[{block.size}]") for offset, block in self.live.items()]
        parts += [(hole.start, str(hole.size)) for hole in self.holes()]
        return " ".join(text for _, text in sorted(parts))

    def _settle_rover(self) -> None:
        """When a hole grows around the rover, the rover moves to its start."""
        for hole in self.holes():
            if hole.start < self.rover < hole.start + hole.size:
                self.rover = hole.start
