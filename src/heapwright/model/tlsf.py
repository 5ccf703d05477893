"""TLSF as a definition: a good fit, among classes of size that are two-level. The native core answers the same.

    class       sizes in granules. Below S = 32 each is a class of its own; from there on, each power of two is divided
                evenly into S. Classes are numbered through, so they grow with the size
    search      the first class in which every hole is large enough for a request
    choice      the newest hole of the first class, from there on, that has any

So bottom is said only where no hole has size (1 + 1/S) bytes; for an aligned request, (size + alignment - granule)
(1 + 1/S). Source: Masmano, Ripoll, Crespo, Real, ECRTS 2004.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from heapwright.model.holes import Coalescing, Hole

#: Classes for each power of two, as a power of two.
SECOND_LEVEL = 5


def size_class(granules: int) -> int:
    """Return the class of a hole.

    Examples
    --------
    >>> size_class(31), size_class(63), size_class(64), size_class(65), size_class(66)
    (31, 63, 64, 64, 65)
    """
    shift = max(granules.bit_length() - 1 - SECOND_LEVEL, 0)
    return (shift << SECOND_LEVEL) + (granules >> shift)


def search_class(granules: int) -> int:
    """Return the first class whose smallest member is large enough.

    Examples
    --------
    >>> search_class(63), search_class(64), search_class(65), search_class(66)
    (63, 64, 65, 65)
    """
    own = size_class(granules)
    return own if granules == 1 or size_class(granules - 1) < own else own + 1


@dataclass
class TlsfModel(Coalescing):
    """A space of `capacity` bytes under TLSF, as a mathematical object.

    Examples
    --------
    >>> heap = TlsfModel(1024)
    >>> [heap.allocate(size) for size in (64, 32, 64, 32, 64)]
    [0, 64, 96, 160, 192]
    >>> heap.deallocate(64), heap.deallocate(160), heap.draw()
    (True, True, '[64] 32 [64] 32 [64] 768')
    >>> heap.allocate(20)  # the newest of two that fit equally
    160
    """

    #: When each hole came to be as it is; of several that one step makes, those at higher addresses are newer.
    born: dict[Hole, int] = field(default_factory=dict, kw_only=True)
    steps: int = field(default=0, kw_only=True)

    def choose(self, size: int, alignment: int) -> Hole | None:
        """Look at three holes: a good fit, one with room to align as well, the newest of the request's class."""
        for hole in self._tried(size // self.granule, alignment // self.granule):
            if hole.fits(size, alignment):
                return hole
        return None

    def settle(self) -> None:
        """Note when holes came to be."""
        born = {}
        for hole in self.holes():
            self.steps += 1
            born[hole] = self.born.get(hole, self.steps)
        self.born = born

    def _tried(self, size: int, alignment: int) -> Iterator[Hole]:
        holes = sorted(self.born, key=lambda hole: -self.born[hole])  # the newest first
        classes = {hole: size_class(hole.size // self.granule) for hole in holes}
        for room in (size, size + alignment - 1):
            good = [hole for hole in holes if classes[hole] >= search_class(room)]
            yield from sorted(good, key=classes.__getitem__)[:1]
        yield from [hole for hole in holes if classes[hole] == size_class(size)][:1]
