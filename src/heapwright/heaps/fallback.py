"""Fallback: an adaptor that asks one resource, and another where that has no memory."""

from __future__ import annotations

from heapwright.heaps.adaptor import B
from heapwright.heaps.branching import Branching
from heapwright.model.errors import HeapwrightError, InvalidAlignment
from heapwright.model.sizes import Size, parse_size


class Fallback(Branching[B]):
    """A memory resource that has the second where the first gives out, or cannot align as asked.

    Parameters
    ----------
    first
        Asked first; owned. It is `upstream`.
    second
        Asked where the first has no memory; owned.

    Examples
    --------
    >>> import heapwright as hw
    >>> fast, large = hw.Heap(hw.AnonymousSpace(4096)), hw.Heap(hw.AnonymousSpace("1MiB"))
    >>> either = hw.Fallback(fast, large)
    >>> a, b = either.allocate(4000), either.allocate(4000)
    >>> fast.owns(a.address), large.owns(b.address)
    (True, True)
    >>> either.deallocate(b)
    """

    def allocate(self, size_bytes: Size, alignment: Size | None = None) -> B:
        """Return a block of the first, or of the second.

        Raises
        ------
        OutOfMemory
            Neither has memory: the error of the second.
        """
        block = self._ask_first(size_bytes, alignment)
        return block if block is not None else self._second.allocate(size_bytes, alignment)

    def try_allocate(self, size_bytes: Size, alignment: Size | None = None) -> B | None:  # noqa: D102
        block = self._ask_first(size_bytes, alignment)
        return block if block is not None else self._second.try_allocate(size_bytes, alignment)

    def reallocate(self, block: B, size_bytes: Size) -> B:
        """Replace a block by one of another size: where it is, or else in the other one.

        Raises
        ------
        OutOfMemory, InvalidFree, ViewExported
            As by `allocate` and `deallocate`; the block is as it was.
        """
        branch = self._branch_of(block)
        try:
            return branch.reallocate(block, size_bytes)
        except MemoryError as error:
            if not isinstance(error, HeapwrightError):
                raise
        return self._move(block, branch, self._second if branch is self._first else self._first, parse_size(size_bytes))

    def _ask_first(self, size_bytes: Size, alignment: Size | None) -> B | None:
        try:
            return self._first.try_allocate(size_bytes, alignment)
        except InvalidAlignment:
            return None  # more than its space can promise; where it is no alignment at all, the second says so
