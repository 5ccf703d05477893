"""Adaptor: a memory resource that is another one with something added. It adds nothing; what is added is a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from heapwright.model.block import Block
from heapwright.model.errors import HeapwrightError
from heapwright.model.protocols import Resource, as_resource
from heapwright.model.sizes import Size, parse_alignment, parse_size

B = TypeVar("B", bound=Block)
Served = TypeVar("Served", bound=Block | None)


class Adaptor(Generic[B]):
    """Forwards everything to its upstream, which it owns. An adaptor of one's own changes `_serve`, or more.

    `allocate` and `try_allocate` are one method here: both come down to `_serve`, which is given the method of
    the upstream to ask, and passes on what that answers or raises. Where a `_serve` raises for want of memory
    (any `HeapwrightError` that is a `MemoryError`), `try_allocate` answers None.

    A block goes through an adaptor as it is, unwrapped: its handle dies, and frees it, wherever that happens. Who
    has to know of that derives from `Observing`.

    Parameters
    ----------
    upstream
        Where the blocks come from.

    Raises
    ------
    UnsuitableUpstream
        It is no memory resource: a space, for example, has none of its methods.

    Examples
    --------
    >>> import heapwright as hw
    >>> class Doubling(hw.Adaptor):
    ...     def _serve(self, ask, size_bytes, *alignment):
    ...         return ask(2 * size_bytes, *alignment)
    >>> Doubling(hw.Heap(hw.AnonymousSpace(4096))).allocate(100).size_bytes
    200
    """

    def __init__(self, upstream: Resource[B]) -> None:
        self._upstream = as_resource(upstream)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._upstream!r})"

    @property
    def upstream(self) -> Resource[B]:
        """The resource that the blocks come from."""
        return self._upstream

    @property
    def upstreams(self) -> tuple[Resource[B], ...]:
        """All resources that blocks come from, for adaptors with several."""
        return (self._upstream,)

    @property
    def alignment(self) -> int:
        """Power of two in bytes, for requests that name none: the upstream's, or 1 where that does not say."""
        return int(getattr(self._upstream, "alignment", 1))

    def allocate(self, size_bytes: Size, alignment: Size | None = None) -> B:
        """Return a block of the upstream.

        Raises
        ------
        OutOfMemory
            The upstream has no memory; or another error of the upstream or of this adaptor.
        """
        return self._serve(self._upstream.allocate, parse_size(size_bytes), *_given(alignment))

    def try_allocate(self, size_bytes: Size, alignment: Size | None = None) -> B | None:
        """Return a block of the upstream, or None where `allocate` raises for want of memory."""
        try:
            return self._serve(self._upstream.try_allocate, parse_size(size_bytes), *_given(alignment))
        except MemoryError as error:
            if isinstance(error, HeapwrightError):
                return None
            raise

    def deallocate(self, block: B) -> None:
        """Free a block that was allocated here.

        Raises
        ------
        InvalidFree
            It was freed before, or not allocated here. Nothing was freed.
        ViewExported
            A view of it is exported. Nothing was freed.
        """
        self._upstream.deallocate(block)

    def reallocate(self, block: B, size_bytes: Size) -> B:
        """Replace a block by one of another size with the same first bytes.

        Raises
        ------
        OutOfMemory, InvalidFree, ViewExported
            As by `allocate` and `deallocate`; the block is as it was.
        """
        return self._upstream.reallocate(block, parse_size(size_bytes))

    def owns(self, address: int) -> bool:
        """Say whether an address belongs to the upstream."""
        return self._upstream.owns(address)

    def trim(self, keep_bytes: Size = 0) -> int:
        """Give free memory of the upstream back; return the bytes given back."""
        return self._upstream.trim(keep_bytes)

    def statistics(self) -> Any:
        """Return the figures of the upstream, where the adaptor has none of its own."""
        return self._upstream.statistics()

    def _serve(self, ask: Callable[..., Served], size_bytes: int, *alignment: int) -> Served:
        """Answer a request: a block, or what `ask` says. `alignment` is empty where the request names none."""
        return ask(size_bytes, *alignment)


def _given(alignment: Size | None) -> tuple[int, ...]:
    return () if alignment is None else (parse_alignment(alignment),)
