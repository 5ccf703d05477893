"""ConcurrentPool: blocks of one size for many threads, each with a cache of its own."""

from __future__ import annotations

from typing import Any, Self

from heapwright import _native
from heapwright.model.protocols import Resource, as_resource
from heapwright.model.sizes import Size, parse_layout
from heapwright.model.statistics import PoolStatistics
from heapwright.pools.lease import Lease

_UNBOUNDED = 1 << 20  # blocks; what is reserved for book-keeping is 4.2 B each, and touched as blocks are
_CACHED_BYTES = 256 << 10  # by a thread, about


class ConcurrentPool(_native.ConcurrentPool):
    """Blocks of one size from one resource, for many threads.

    Each thread acquires from and releases to a cache of its own; caches exchange whole magazines of free blocks with a
    depot, lock-free, once in many operations. A block that another thread acquired is released like any other. What a
    cache holds back is bounded by `cache_count` blocks, and goes back when its thread ends, or when the pool has
    nothing else left: so `acquire` fails only when all `capacity` blocks are live.

    The depot (``native/core/depot.h``) needs no lock of anybody's, and is tested so, in C: all interleavings of small
    programs, and threads under a race detector. Under CPython's GIL, which this class has around it, threads take
    turns anyway; there it costs what `FixedPool` costs, and helps threads that run without the GIL only.

    Parameters
    ----------
    upstream
        Where the chunks come from; owned.
    block_bytes
        Bytes of every buffer, or text such as ``"64KiB"``.
    capacity
        Buffers that may be live at a time; None: 1,048,576, or what the upstream has memory for.
    cache_count
        Free blocks that a thread's cache may hold back, rounded down to a multiple of 2, from 2 to 124; None: about
        256 KiB of them, and no more than an eighth of a capacity that was given.
    alignment
        Power of two in bytes. 64, a cache line, keeps blocks of two threads from slowing each other down.
    name
        Appears in errors and reports.

    Examples
    --------
    >>> import heapwright as hw
    >>> pool = hw.ConcurrentPool(upstream=hw.Heap(hw.AnonymousSpace("64MiB")), block_bytes=1024)
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as threads:
    ...     buffers = list(threads.map(lambda _: pool.acquire(), range(100)))
    >>> len({buffer.address for buffer in buffers})
    100
    >>> for buffer in buffers:                     # on another thread than acquired them
    ...     pool.release(buffer)
    >>> pool.statistics().block_count
    0
    """

    __slots__ = ("name",)

    name: str

    def __new__(  # noqa: D102  # the class says it
        cls,
        upstream: Resource[Any],
        block_bytes: Size = 4096,
        capacity: int | None = None,
        *,
        cache_count: int | None = None,
        alignment: Size = 64,
        name: str = "",
    ) -> Self:
        size_bytes, alignment_bytes = parse_layout(block_bytes, alignment)
        if capacity is not None and not 1 <= capacity < 1 << 31:
            raise ValueError(f"capacity {capacity} is not a number of buffers. Give 1 to 2147483647, or None")
        if cache_count is None:
            cache_count = _CACHED_BYTES // max(size_bytes, 1)
            if capacity is not None:
                cache_count = min(cache_count, capacity // 8)
            cache_count = min(max(cache_count, 2), 124)
        elif not 2 <= cache_count <= 124:
            raise ValueError(f"a cache cannot hold {cache_count} blocks. Give 2 to 124, or None")
        self = super().__new__(
            cls,
            as_resource(upstream),
            size_bytes,
            alignment_bytes,
            capacity or _UNBOUNDED,
            capacity is not None,
            cache_count // 2,
        )
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
