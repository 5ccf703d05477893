"""Statistics: five numbers that are never called "used", and two fragmentations, each with its definition."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceStatistics:
    """What every memory resource with memory of its own can say: ``requested <= allocated <= committed <= reserved``.

    *requested*: asked for by live blocks. *allocated*: taken by them, rounded up. *committed*: asked of
    the operating system and not given back. *reserved*: address space. *resident*: in memory now, as the
    kernel says. All in bytes. ``peak_`` is the greatest value ever.
    """

    requested_bytes: int = 0
    allocated_bytes: int = 0
    committed_bytes: int = 0
    reserved_bytes: int = 0
    resident_bytes: int = 0
    peak_requested_bytes: int = 0
    free_bytes: int = 0  #: in holes
    largest_free_bytes: int = 0  #: the greatest request that could succeed now, at the least alignment
    block_count: int = 0  #: live blocks
    failed_count: int = 0  #: requests that could not be served

    @property
    def internal_fragmentation(self) -> float:
        """(allocated - requested) / allocated: what nobody asked for. 0 without blocks."""
        return (self.allocated_bytes - self.requested_bytes) / self.allocated_bytes if self.allocated_bytes else 0.0

    @property
    def external_fragmentation(self) -> float:
        """1 - largest_free / total_free: what is free but not in one run. 0 if full."""
        return 1 - self.largest_free_bytes / self.free_bytes if self.free_bytes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeapStatistics(ResourceStatistics):
    """What a heap holds, has held, and has done.

    ``total_`` is the sum over all allocations; growth in place counts by its increase. Allocated bytes are whole
    granules.

    Examples
    --------
    >>> zero = HeapStatistics(reserved_bytes=64, free_bytes=64, largest_free_bytes=64, free_count=1)
    >>> zero.internal_fragmentation, zero.external_fragmentation
    (0.0, 0.0)
    """

    peak_allocated_bytes: int = 0
    peak_committed_bytes: int = 0
    total_requested_bytes: int = 0
    total_allocated_bytes: int = 0
    total_committed_bytes: int = 0
    total_purged_bytes: int = 0  #: given back to the operating system
    control_bytes: int = 0  #: the heap's own book-keeping, outside the space
    free_count: int = 0  #: holes
    peak_block_count: int = 0
    total_block_count: int = 0  #: allocations that succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledStatistics(ResourceStatistics):
    """What the pooled allocator under NumPy holds. It reserves nothing in advance: reserved is committed.

    *retained* bytes are free and resident, kept for the next request. *spilled* bytes are all that ever went to
    another allocator because there was no room here, or in the heap under NumPy.

    Examples
    --------
    >>> PooledStatistics(requested_bytes=1000, allocated_bytes=1024).internal_fragmentation
    0.0234375
    """

    retained_bytes: int = 0
    peak_retained_bytes: int = 0
    spilled_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedStatistics:
    """What went through one place, as it was counted there: each figure now (of live blocks), at most, and in all.

    ``total_`` is the sum over all allocations; growth in place counts by its increase.

    Examples
    --------
    >>> CountedStatistics(requested_bytes=96, allocated_bytes=128).internal_fragmentation
    0.25
    """

    requested_bytes: int = 0
    peak_requested_bytes: int = 0
    total_requested_bytes: int = 0
    allocated_bytes: int = 0
    peak_allocated_bytes: int = 0
    total_allocated_bytes: int = 0
    block_count: int = 0
    peak_block_count: int = 0
    total_block_count: int = 0  #: allocations that succeeded
    failed_count: int = 0  #: requests that could not be served for want of memory

    @property
    def internal_fragmentation(self) -> float:
        """(allocated - requested) / allocated: what nobody asked for. 0 without blocks."""
        return (self.allocated_bytes - self.requested_bytes) / self.allocated_bytes if self.allocated_bytes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayeredStatistics(CountedStatistics):
    """What went through an adaptor, above the figures of all of the memory below it, whoever else uses that.

    ``requested <= allocated <= committed <= reserved``. A peak of several memories together is not known from their
    own peaks: then it is None.

    Examples
    --------
    >>> LayeredStatistics(free_bytes=100, largest_free_bytes=75).external_fragmentation
    0.25
    """

    committed_bytes: int = 0
    peak_committed_bytes: int | None = None
    total_committed_bytes: int = 0
    reserved_bytes: int = 0
    resident_bytes: int = 0
    free_bytes: int = 0  #: in holes
    largest_free_bytes: int = 0

    @property
    def external_fragmentation(self) -> float:
        """1 - largest_free / total_free: what is free but not in one run. 0 if full."""
        return 1 - self.largest_free_bytes / self.free_bytes if self.free_bytes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics(ResourceStatistics):
    """What a pool holds, has held, and has done.

    *requested*: what was asked for by live buffers. *allocated*: the blocks that they take. *committed*: the
    chunks that the pool has from its upstream; *reserved* is the same, since a pool reserves nothing in advance.
    *free*: blocks that wait for the next request. *releasable*: the part of them that `trim` would give back
    now, because their whole chunk is free. ``total_`` is the sum over all acquisitions.

    Examples
    --------
    >>> figures = PoolStatistics(requested_bytes=100, allocated_bytes=128, free_bytes=512, releasable_bytes=384)
    >>> figures.internal_fragmentation, figures.external_fragmentation
    (0.21875, 0.25)
    """

    peak_allocated_bytes: int = 0
    peak_committed_bytes: int = 0
    total_requested_bytes: int = 0
    total_allocated_bytes: int = 0
    total_committed_bytes: int = 0
    control_bytes: int = 0  #: the pool's own book-keeping, outside the chunks
    releasable_bytes: int = 0
    peak_block_count: int = 0
    total_block_count: int = 0  #: acquisitions that succeeded
    chunk_count: int = 0  #: blocks of the upstream that the pool holds
    grow_count: int = 0  #: how often it took one

    @property
    def external_fragmentation(self) -> float:
        """1 - releasable / free: what is free, but pinned by a live neighbour in its chunk. 0 if full.

        In a heap it is ``1 - largest_free / total_free``, what is free but of no use to a large request. Any
        free block of a pool serves any of its requests, so that formula would say nothing.
        """
        return 1 - self.releasable_bytes / self.free_bytes if self.free_bytes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaStatistics(ResourceStatistics):
    """What an arena holds, has held, and has done.

    *allocated*: up to the last block of each chunk, padding included. *committed*: the chunks that it has from its
    upstream; *reserved* is the same. *spare*: the part of them that waits for reuse since a reset. *Promoted* chunks
    outlived an end because views looked at them; they are no longer in the other figures. Resident memory is the
    upstream's affair. ``largest_free_bytes`` is not kept: the next chunk is as large as the request.

    Examples
    --------
    >>> ArenaStatistics(requested_bytes=96, allocated_bytes=128).internal_fragmentation
    0.25
    """

    total_requested_bytes: int = 0
    total_block_count: int = 0
    chunk_count: int = 0
    spare_bytes: int = 0
    reset_count: int = 0
    promoted_count: int = 0  #: chunks that ever outlived an end
    promoted_bytes: int = 0  #: their bytes
    promoted_live_count: int = 0  #: those whose views are still there
