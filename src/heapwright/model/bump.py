"""Bump as a definition: a list of blocks in the order of their allocation. The native core answers the same.

Offsets and sizes are in bytes; sizes are rounded up to whole granules.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Stacked:
    """A block of the list; a freed one stays in it until nothing is behind it."""

    offset: int
    size: int
    requested: int
    live: bool = True

    @property
    def end(self) -> int:
        """Where the next one may begin."""
        return self.offset + self.size


@dataclass
class BumpModel:
    """A space of `capacity` bytes in which blocks are put one behind the other.

    Parameters
    ----------
    capacity
        Bytes; what is not a whole granule is left out.
    granule
        Bytes; every offset and size is a multiple of it.

    Examples
    --------
    >>> heap = BumpModel(256)
    >>> heap.allocate(96), heap.allocate(10, alignment=64), heap.allocate(200)
    (0, 128, None)
    >>> heap.deallocate(0), heap.draw()
    (True, '96 32 [16] 112')
    >>> heap.deallocate(128), heap.draw()
    (True, '256')
    """

    capacity: int
    granule: int = 16
    blocks: list[Stacked] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)  #: how many blocks were in the list at each

    def __post_init__(self) -> None:
        self.capacity -= self.capacity % self.granule

    @property
    def top(self) -> int:
        """Where the last block ends."""
        return self.blocks[-1].end if self.blocks else 0

    def rounded(self, requested: int) -> int:
        """Return the bytes that a request takes: whole granules, and at least one."""
        return max(1, -(-requested // self.granule)) * self.granule

    def allocate(self, requested: int, alignment: int = 1) -> int | None:
        """Return the lowest aligned offset behind the last block, or None: bottom."""
        alignment = max(alignment, self.granule)
        block = Stacked(-(-self.top // alignment) * alignment, self.rounded(requested), requested)
        if block.end > self.capacity:
            return None
        self.blocks.append(block)
        return block.offset

    def deallocate(self, offset: int) -> bool:
        """Free the block at an offset; False if no live block starts there."""
        block = self._find(offset)
        if block is None:
            return False
        block.live = False
        self._roll_back()
        return True

    def resize(self, offset: int, requested: int) -> bool:
        """Give a live block another size in place: the last one any that fits, another one what its room allows."""
        block, size = self._find(offset), self.rounded(requested)
        if block is None:
            return False
        if block is self.blocks[-1]:
            if offset + size > self.capacity:
                return False
            block.size = size
        elif size > block.size:
            return False
        block.requested = requested
        return True

    def mark(self) -> int:
        """Return a mark: how many there were before it."""
        self.marks.append(len(self.blocks))
        return len(self.marks) - 1

    def release(self, mark: int) -> None:
        """Free every block since the mark; it and all later ones are gone."""
        del self.blocks[self.marks[mark] :]
        del self.marks[mark:]
        self._roll_back()

    def draw(self) -> str:
        """Return the whole space on one line: live blocks in brackets, holes without."""
        parts, end = [], 0
        for block in self.blocks:
            if block.offset > end:
                parts.append(str(block.offset - end))
            parts.append(f"[{block.size}]" if block.live else str(block.size))
            end = block.end
        if end < self.capacity:
            parts.append(str(self.capacity - end))
        return " ".join(parts)

    def _find(self, offset: int) -> Stacked | None:
        return next((block for block in self.blocks if block.live and block.offset == offset), None)

    def _roll_back(self) -> None:
        """Take freed blocks off the end, but none that is older than the latest mark."""
        oldest = self.marks[-1] if self.marks else 0
        while len(self.blocks) > oldest and not self.blocks[-1].live:
            self.blocks.pop()
