"""Segregator: an adaptor that sends small requests to one resource, and large ones to another."""

from __future__ import annotations

from heapwright.heaps.adaptor import B
from heapwright.heaps.branching import Branch, Branching
from heapwright.model.protocols import Resource
from heapwright.model.sizes import Size, parse_size


class Segregator(Branching[B]):
    """A memory resource for which size decides where a block lies; also of one that is reallocated.

    Parameters
    ----------
    small
        Serves requests of at most `threshold_bytes`; owned. It is `upstream`.
    large
        Serves the others; owned.
    threshold_bytes
        Bytes, or text such as ``"4KiB"``.

    Examples
    --------
    >>> import heapwright as hw
    >>> small, large = hw.Heap(hw.AnonymousSpace("64KiB")), hw.Heap(hw.AnonymousSpace("1GiB"))
    >>> by_size = hw.Segregator(small, large, "1KiB")
    >>> block = by_size.allocate(1024)
    >>> small.owns(block.address)
    True
    >>> block = by_size.reallocate(block, 1025)
    >>> large.owns(block.address)
    True
    """

    def __init__(self, small: Resource[B], large: Resource[B], threshold_bytes: Size) -> None:
        super().__init__(small, large)
        self._threshold_bytes = parse_size(threshold_bytes)

    def __repr__(self) -> str:
        return f"Segregator({self._first.upstream!r}, {self._second.upstream!r}, {self._threshold_bytes})"

    @property
    def threshold_bytes(self) -> int:
        """The largest request that is small."""
        return self._threshold_bytes

    def allocate(self, size_bytes: Size, alignment: Size | None = None) -> B:
        """Return a block of the one that serves this size.

        Raises
        ------
        OutOfMemory
            That one has no memory; the other is not asked.
        """
        size = parse_size(size_bytes)
        return self._branch_for(size).allocate(size, alignment)

    def try_allocate(self, size_bytes: Size, alignment: Size | None = None) -> B | None:  # noqa: D102
        size = parse_size(size_bytes)
        return self._branch_for(size).try_allocate(size, alignment)

    def reallocate(self, block: B, size_bytes: Size) -> B:
        """Replace a block by one of another size; it moves to the other one where that size belongs there.

        Raises
        ------
        OutOfMemory, InvalidFree, ViewExported
            As by `allocate` and `deallocate`; the block is as it was.
        """
        size = parse_size(size_bytes)
        source, target = self._branch_of(block), self._branch_for(size)
        return source.reallocate(block, size) if source is target else self._move(block, source, target, size)

    def _branch_for(self, size: int) -> Branch[B]:
        return self._first if size <= self._threshold_bytes else self._second
