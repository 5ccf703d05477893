"""TieredPool: blocks of any size, kept by size class; large ones fall through."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from heapwright import _native
from heapwright.model.protocols import Resource, as_resource
from heapwright.model.sizes import Size, parse_size
from heapwright.model.statistics import PoolStatistics
from heapwright.pools.lease import Lease


class TieredPool(_native.TieredPool):
    """Blocks of any size from one resource, kept for the next request of about that size.

    A request goes to the smallest class that holds it: multiples of 16 bytes up to 128, then eight to the doubling,
    144, 160, and so on. So of a request of r bytes, rounded up to its alignment, less than r / 8 is wasted (12.5 %),
    and up to 128 bytes less than 16 bytes: a test goes through every size. Requests beyond `largest_bytes`, and
    such that are aligned to more than 4 KiB, are blocks of the upstream for as long as they live.

    Each class is a pool as `FixedPool` is: O(1), growing by doubling from 16 KiB. The pool is a memory resource, too:
    `allocate` and `deallocate` are other names of `acquire` and `release`, so adaptors and other pools may stand on it.

    What it does not do: a class's free blocks serve no other class; `trim` gives chunks without a live block back.

    Parameters
    ----------
    upstream
        Where chunks and large blocks come from; owned.
    largest_bytes
        The largest class has at least this; at most 2 MiB.
    name
        Appears in errors and reports.

    Raises
    ------
    ValueError
        No class can be that large.

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap(hw.AnonymousSpace("64MiB"))
    >>> pool = hw.TieredPool(upstream=heap)
    >>> small, large = pool.acquire(1000), pool.acquire("1MiB")
    >>> pool.block_bytes(1000), pool.block_bytes("1MiB")
    (1024, 1048576)
    >>> pool.release(large)
    >>> pool.statistics().internal_fragmentation
    0.0234375
    >>> with pool.lease(100, alignment=64) as buffer:
    ...     buffer.address % 64
    0
    """

    __slots__ = ("name",)

    name: str

    def __new__(  # noqa: D102  # the class says it
        cls, upstream: Resource[Any], *, largest_bytes: Size = "32KiB", name: str = ""
    ) -> Self:
        largest = parse_size(largest_bytes)
        if not 1 <= largest <= 2 << 20:
            raise ValueError(f"a largest class of {largest} B cannot be. Give 1 B to 2 MiB, such as '32KiB'")
        self = super().__new__(cls, as_resource(upstream), largest)
        self.name = name
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({repr(self.name) if self.name else f'to {self.largest_bytes} B'})"

    def lease(self, size_bytes: Size, alignment: Size = 16) -> Lease[_native.Buffer]:
        """Return a context manager: a buffer for the length of a ``with`` block."""
        return Lease(partial(self.acquire, size_bytes, alignment), self.release)

    def statistics(self) -> PoolStatistics:
        """Return exact figures. Asks the kernel which pages are resident; large blocks are taken to be."""
        return PoolStatistics(**self.counters())
