"""First, best, worst and next fit as definitions: plain, slow, right by reading. The native core answers the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from heapwright.model.holes import Coalescing, Hole

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


@dataclass
class FitModel(Coalescing):
    """A space of `capacity` bytes and one of `FITS`, as a mathematical object. Bottom only where no hole fits.

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

    choice: Choice
    rover: int = field(default=0, kw_only=True)

    def choose(self, size: int, alignment: int) -> Hole | None:
        """Let the strategy choose among all holes that fit."""
        fitting = [hole for hole in self.holes() if hole.fits(size, alignment)]
        return self.choice(fitting, self.rover) if fitting else None

    def allocate(self, requested: int, alignment: int = 1) -> int | None:
        """Return the offset that the strategy gives, or None; next fit goes on from the end of the block."""
        offset = super().allocate(requested, alignment)
        if offset is not None and self.choice is next_fit:
            self.rover = offset + self.live[offset].size
        return offset

    def settle(self) -> None:
        """When a hole grows around the rover, the rover moves to its start."""
        for hole in self.holes():
            if hole.start < self.rover < hole.start + hole.size:
                self.rover = hole.start
