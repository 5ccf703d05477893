"""Slabs of size classes over a best fit, as a definition. The native core answers the same.

Offsets and sizes are in bytes; the fit under it is `heapwright.model.fits.FitModel`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from heapwright.model.fits import FitModel, best_fit

SLOTS = 64
GRANULES_MAX = 64  #: of a request that has a class
SLACK_MAX = 255  #: bytes of a slot that nobody asked for


def size_class(granules: int) -> int:
    """Return what a request is rounded up to: every size to 16 granules, then eight for each doubling.

    Examples
    --------
    >>> [size_class(granules) for granules in (1, 15, 16, 17, 18, 19, 33, 64)]
    [1, 15, 16, 18, 18, 20, 36, 64]
    """
    step = max(1, 1 << (granules - 1).bit_length() >> 4)
    return -(-granules // step) * step


@dataclass(eq=False)
class SlabModelled:
    """64 slots of `slot` bytes from `offset` on; `live` says for which number of bytes each is held."""

    offset: int
    slot: int
    live: dict[int, int] = field(default_factory=dict)

    def slot_at(self, offset: int) -> int | None:
        """Return the number of the live slot that starts at an offset."""
        number, inside = divmod(offset - self.offset, self.slot)
        return number if inside == 0 and number in self.live else None


@dataclass
class SlabModel:
    """A space of `capacity` bytes, in which small requests share slabs.

    Examples
    --------
    >>> heap = SlabModel(8192)
    >>> heap.allocate(20), heap.allocate(30), heap.allocate(1), heap.allocate(5000)
    (0, 32, 2048, 3072)
    >>> heap.deallocate(0), heap.deallocate(0), heap.allocate(17)
    (True, False, 0)
    """

    capacity: int
    granule: int = 16
    slabs: dict[int, list[SlabModelled]] = field(default_factory=dict)  #: with a free slot, by slot size, first first
    spares: dict[int, SlabModelled] = field(default_factory=dict)  #: empty, and not in that list
    full: list[SlabModelled] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fit = FitModel(self.capacity, choice=best_fit, granule=self.granule)
        self.capacity = self.fit.capacity

    def slot_for(self, requested: int, alignment: int) -> int | None:
        """Return the slot size for a request, or None if it has no class."""
        unit = max(alignment, self.granule)
        granules = max(1, -(-requested // unit)) * unit // self.granule
        slot = size_class(granules) * self.granule
        return slot if granules <= GRANULES_MAX and slot - requested <= SLACK_MAX else None

    def allocate(self, requested: int, alignment: int = 1) -> int | None:
        """Return the offset of a slot, or of a block of the fit; None: bottom."""
        slot = self.slot_for(requested, alignment)
        if slot is not None and self._provide(slot):
            return self._take(slot, requested)
        offset = self.fit.allocate(requested, alignment)
        if offset is None and requested <= self.capacity and self._give_back_all():
            offset = self.fit.allocate(requested, alignment)
        return offset

    def deallocate(self, offset: int) -> bool:
        """Free the slot or block at an offset; False if no live one starts there."""
        slab = self._slab_with(offset)
        if slab is None:
            return offset not in self._slab_offsets() and self.fit.deallocate(offset)
        listed = self.slabs.setdefault(slab.slot, [])
        if slab in self.full:
            self.full.remove(slab)
            if listed and not listed[0].live:
                self.spares[slab.slot] = listed.pop()
            listed.append(slab)
        del slab.live[(offset - slab.offset) // slab.slot]
        if not slab.live:
            spare = self.spares.pop(slab.slot, None)
            if listed != [slab]:
                listed.remove(slab)
                self.spares[slab.slot] = slab
            if spare is not None:
                self.fit.deallocate(spare.offset)
        return True

    def resize(self, offset: int, requested: int) -> bool:
        """Give a live slot any size that nearly fills it, or a block of the fit another size in place."""
        slab = self._slab_with(offset)
        if slab is None:
            return self.fit.resize(offset, requested)
        if not 0 <= slab.slot - requested <= SLACK_MAX:
            return False
        slab.live[(offset - slab.offset) // slab.slot] = requested
        return True

    def walk(self) -> Iterator[tuple[int, int, int, bool]]:
        """Yield (offset, size, requested, live) of every slot, block and hole, by address."""
        slabs = {slab.offset: slab for slab in self._all()}
        parts = [(hole.start, hole.size, 0, False) for hole in self.fit.holes()]
        for offset, block in self.fit.live.items():
            if offset not in slabs:
                parts.append((offset, block.size, block.requested, True))
                continue
            slab = slabs[offset]
            for number in range(SLOTS):
                at = slab.offset + number * slab.slot
                parts.append((at, slab.slot, slab.live.get(number, 0), number in slab.live))
        yield from sorted(parts)

    def draw(self) -> str:
        """Return the whole space on one line: live slots and blocks in brackets, holes without."""
        return " ".join(f"[{size}]" if live else str(size) for _, size, _, live in self.walk())

    def _provide(self, slot: int) -> bool:
        """See to it that a slab with a free slot is first on its list; False if there is no room for one."""
        listed = self.slabs.setdefault(slot, [])
        if listed:
            return True
        slab = self.spares.pop(slot, None)
        if slab is None:
            offset = self.fit.allocate(SLOTS * slot, alignment=slot & -slot)
            if offset is None:
                return False
            slab = SlabModelled(offset, slot)
        listed.append(slab)
        return True

    def _take(self, slot: int, requested: int) -> int:
        slab = self.slabs[slot][0]
        number = min(set(range(SLOTS)) - slab.live.keys())
        slab.live[number] = requested
        if len(slab.live) == SLOTS:
            self.full.append(self.slabs[slot].pop(0))
        return slab.offset + number * slot

    def _give_back_all(self) -> bool:
        """Free every empty slab; False if there is none."""
        empty = list(self.spares.values())
        self.spares.clear()
        for listed in self.slabs.values():
            empty += [slab for slab in listed if not slab.live]
            listed[:] = [slab for slab in listed if slab.live]
        for slab in empty:
            self.fit.deallocate(slab.offset)
        return bool(empty)

    def _all(self) -> Iterator[SlabModelled]:
        yield from self.full
        yield from self.spares.values()
        for listed in self.slabs.values():
            yield from listed

    def _slab_offsets(self) -> set[int]:
        return {slab.offset for slab in self._all()}

    def _slab_with(self, offset: int) -> SlabModelled | None:
        return next((slab for slab in self._all() if slab.slot_at(offset) is not None), None)
