"""Branching: what adaptors with two upstreams share: which one a block came from, and how it gets into the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from heapwright import _native
from heapwright.heaps.adaptor import Adaptor, B
from heapwright.heaps.observing import Observing
from heapwright.model.errors import InvalidFree
from heapwright.model.protocols import Resource, as_resource
from heapwright.model.sizes import Size, parse_size


@dataclass(frozen=True, slots=True)
class BranchStatistics:
    """The figures of the two upstreams, and how many blocks of each are out through here."""

    first: Any
    second: Any
    first_block_count: int
    second_block_count: int


class Branching(Adaptor[B]):
    """Two upstreams; every block goes back to the one that it came from.

    That is known by handle, not by asking `owns(address)`: two upstreams may draw from one heap, and then both own
    every address of it.
    """

    def __init__(self, first: Resource[B], second: Resource[B]) -> None:
        super().__init__(first)
        self._first = Branch(first)
        self._second = Branch(as_resource(second))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._first.upstream!r}, {self._second.upstream!r})"

    @property
    def upstreams(self) -> tuple[Resource[B], ...]:
        """Both."""
        return self._first.upstream, self._second.upstream

    @property
    def alignment(self) -> int:
        """Power of two in bytes that every block has, where its request names none: the lesser of the two."""
        return min(self._first.alignment, self._second.alignment)

    def deallocate(self, block: B) -> None:  # noqa: D102  # as Adaptor's
        self._branch_of(block).deallocate(block)

    def owns(self, address: int) -> bool:
        """Say whether an address belongs to either upstream."""
        return self._first.owns(address) or self._second.owns(address)

    def trim(self, keep_bytes: Size = 0) -> int:
        """Give free memory of both back; what is to be kept, is kept by the first. Return the bytes given back."""
        return self._first.trim(parse_size(keep_bytes)) + self._second.trim(0)

    def statistics(self) -> BranchStatistics:
        """Return the figures of both."""
        first, second = self._first, self._second
        return BranchStatistics(first.statistics(), second.statistics(), first.block_count, second.block_count)

    def _branch_of(self, block: B) -> Branch[B]:
        for branch in (self._first, self._second):
            if branch.holds(block):
                return branch
        reason = "double" if getattr(block.state, "value", "") == "freed" else "foreign"
        raise InvalidFree(address=block.address, size_bytes=block.size_bytes, reason=reason)

    def _move(self, block: Any, source: Branch[B], target: Branch[B], size_bytes: int) -> B:
        """Reallocate across the two. Whatever fails, the block is as it was."""
        new: Any = target.allocate(size_bytes, source.alignment_of(block))
        try:
            with new.view() as to, block.view() as origin:
                kept = min(len(to), len(origin))
                to[:kept] = origin[:kept]
            source.deallocate(block)  # or ViewExported
            _native.birth_moved(block, new)
        except BaseException:
            target.deallocate(new)
            raise
        return new  # type: ignore[no-any-return]


class Branch(Observing[B, int | None]):
    """One of the two: it remembers its blocks, and the alignment that was asked for them."""

    @property
    def block_count(self) -> int:
        """Blocks of it that are out."""
        self._settle()
        return len(self._notes)

    def alignment_of(self, block: B) -> int | None:
        """What was asked for, which is kept when a block moves."""
        return self._noted(block)[1]

    def _born(self, block: B, size_bytes: int, alignment: int | None) -> int | None:
        return alignment

    def _resized(self, old_size_bytes: int, note: int | None, new: B, size_bytes: int, *, moved: bool) -> int | None:
        return note
