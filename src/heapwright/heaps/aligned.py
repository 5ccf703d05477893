"""Aligned: an adaptor that never asks for less than one alignment."""

from __future__ import annotations

from collections.abc import Callable

from heapwright.heaps.adaptor import Adaptor, B, Served
from heapwright.model.protocols import Resource
from heapwright.model.sizes import Size, parse_alignment


class Aligned(Adaptor[B]):
    """A memory resource whose blocks are all aligned to a minimum; requests for more get more.

    Parameters
    ----------
    upstream
        Where the blocks come from; owned.
    minimum_alignment
        Power of two in bytes, such as 64 for a cache line or ``"2MiB"`` for a huge page.

    Raises
    ------
    InvalidAlignment
        It is not a power of two. More than the space below can promise is refused when a block is asked for.

    Examples
    --------
    >>> import heapwright as hw
    >>> aligned = hw.Aligned(hw.Heap(hw.AnonymousSpace("1MiB")), 64)
    >>> [aligned.allocate(1, alignment).address % 64 for alignment in (None, 1, 128)]
    [0, 0, 0]
    """

    def __init__(self, upstream: Resource[B], minimum_alignment: Size) -> None:
        super().__init__(upstream)
        self._minimum = parse_alignment(minimum_alignment)

    def __repr__(self) -> str:
        return f"Aligned({self._upstream!r}, {self._minimum})"

    @property
    def alignment(self) -> int:
        """Power of two in bytes, for requests that name none: the minimum, or the upstream's if that is more."""
        return max(self._minimum, super().alignment)

    def _serve(self, ask: Callable[..., Served], size_bytes: int, *alignment: int) -> Served:
        return ask(size_bytes, max(self._minimum, *alignment) if alignment else self.alignment)
