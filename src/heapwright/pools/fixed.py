"""FixedPool: blocks of one size, kept for the next request."""

from __future__ import annotations

from typing import Any, Self

from heapwright import _native
from heapwright.model.protocols import Resource, as_resource
from heapwright.model.sizes import Size, parse_layout
from heapwright.model.statistics import PoolStatistics
from heapwright.pools.lease import Lease


class FixedPool(_native.FixedPool):
    """Blocks of one size from one resource: acquired and released in O(1), never given back until `trim`.

    The pool grows by doubling: n blocks cost O(log n) requests to the upstream. The free block with the lowest
    number is taken first, so what is taken last empties first and can be trimmed. The book-keeping, one bit a block,
    lies outside the blocks. The GIL is the pool's lock: any thread may call anything.

    It is a memory resource, too, for requests up to `block_bytes`: behind a `Segregator`, it serves the small ones.

    What it does not do: blocks are not cleared between two owners, and a chunk goes back only when all its blocks
    are free.

    Parameters
    ----------
    upstream
        Where the chunks come from: a `Heap`, an adaptor over one, any resource with writable blocks. Owned.
    block_bytes
        Bytes of every buffer, or text such as ``"64KiB"``.
    capacity
        Buffers that may be live at a time; None: as many as the upstream has memory for.
    alignment
        Power of two in bytes; every buffer starts at a multiple of it.
    name
        Appears in errors and reports.
    buffer_type
        What `acquire` makes: `Buffer`, or a subclass of it with methods of one's own.

    Raises
    ------
    InvalidSize, InvalidAlignment
        An argument is not what it should be.

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap(hw.AnonymousSpace("64MiB"))
    >>> pool = hw.FixedPool(heap, block_bytes=4096, capacity=2)
    >>> a, b = pool.acquire(), pool.acquire()
    >>> pool.try_acquire() is None
    True
    >>> pool.release(a)
    >>> with pool.lease() as buffer, buffer.view() as view:
    ...     view[:5] = b"hello"
    >>> pool.release(a)
    Traceback (most recent call last):
    heapwright.model.errors.InvalidFree: cannot free the block at ...: it was freed before...
    >>> figures = pool.statistics()
    >>> figures.block_count, figures.peak_block_count, figures.grow_count
    (1, 2, 1)
    """

    __slots__ = ("name",)

    name: str

    def __new__(  # noqa: D102  # the class says it
        cls,
        upstream: Resource[Any],
        block_bytes: Size,
        capacity: int | None = None,
        *,
        alignment: Size = 16,
        name: str = "",
        buffer_type: type[_native.Buffer] = _native.Buffer,
    ) -> Self:
        if capacity is not None and not 1 <= capacity < 1 << 31:
            raise ValueError(f"capacity {capacity} is not a number of buffers. Give 1 to 2147483647, or None")
        size_bytes, alignment_bytes = parse_layout(block_bytes, alignment)
        self = super().__new__(cls, as_resource(upstream), size_bytes, alignment_bytes, capacity or 0, buffer_type)
        self.name = name
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({repr(self.name) if self.name else f'{self.block_bytes} B'})"

    def lease(self) -> Lease[_native.Buffer]:
        """Return a context manager: a buffer for the length of a ``with`` block."""
        return Lease(self.acquire, self.release)

    def statistics(self) -> PoolStatistics:
        """Return exact figures. Asks the kernel which pages are resident: O(committed pages)."""
        return PoolStatistics(**self.counters())
