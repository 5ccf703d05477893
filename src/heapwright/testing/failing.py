"""Failing: a memory resource that fails on purpose; and a check that code survives that at each of its allocations."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from heapwright.model.errors import HeapwrightError, OutOfMemory
from heapwright.model.sizes import Size, parse_size
from heapwright.testing.plain import PlainResource


class FailureSwallowed(HeapwrightError, AssertionError):
    """Code under test ended well although one of its allocations had failed.

    Attributes
    ----------
    n : int; which allocation failed, counted from 1
    """

    n: int

    def __init__(self, *, n: int) -> None:
        super().__init__(
            f"allocation number {n} failed, and nobody was told. Let its MemoryError out; or, if the code is meant to "
            "do without, call check_all_failures(..., may_recover=True)",
            n=n,
        )


class AllocationsLeaked(HeapwrightError, AssertionError):
    """Code under test left blocks behind when one of its allocations had failed.

    Attributes
    ----------
    n : int; which allocation failed, counted from 1
    block_count, requested_bytes : int; what is still out
    """

    n: int
    block_count: int
    requested_bytes: int

    def __init__(self, *, n: int, block_count: int, requested_bytes: int) -> None:
        super().__init__(
            f"after allocation number {n} failed, {block_count} blocks with {requested_bytes} B were left behind. "
            "Free on the way out what the failed step had already allocated",
            n=n,
            block_count=block_count,
            requested_bytes=requested_bytes,
        )


class Failing:
    """A memory resource that forwards everything, but fails where it is told to.

    `allocate`, `try_allocate` and `reallocate` are counted from 1 in one sequence.

    Parameters
    ----------
    upstream
        What serves the other requests.
    fails
        From the number of a request to whether it fails.
    error
        Makes what is raised, from the requested bytes; by default an OutOfMemory, for which `try_allocate` answers
        None.

    Examples
    --------
    >>> resource = Failing(PlainResource(), lambda n: n % 2 == 0)
    >>> block = resource.allocate(10)
    >>> resource.try_allocate(10) is None
    True
    """

    def __init__(
        self,
        upstream: Any,
        fails: Callable[[int], object],
        error: Callable[[int], BaseException] | None = None,
    ) -> None:
        self.upstream = upstream
        self.request_count = 0  #: so far
        self.failed_count = 0  #: of them
        self._fails = fails
        self._error = error

    def __repr__(self) -> str:
        return f"Failing({self.upstream!r})"

    def allocate(self, size_bytes: Size, alignment: Size | None = None) -> Any:
        """Return a block of the upstream, or fail."""
        self._count(size_bytes)
        return self.upstream.allocate(size_bytes, *_given(alignment))

    def try_allocate(self, size_bytes: Size, alignment: Size | None = None) -> Any:
        """Return a block of the upstream, or None."""
        try:
            self._count(size_bytes)
        except OutOfMemory:
            return None
        return self.upstream.try_allocate(size_bytes, *_given(alignment))

    def reallocate(self, block: Any, size_bytes: Size, /) -> Any:
        """Return what the upstream replaces the block by, or fail; then the block is as it was."""
        self._count(size_bytes)
        return self.upstream.reallocate(block, size_bytes)

    def deallocate(self, block: Any, /) -> None:
        """Free a block."""
        self.upstream.deallocate(block)

    def owns(self, address: int, /) -> bool:
        """Say whether an address belongs to the upstream."""
        return bool(self.upstream.owns(address))

    def trim(self, keep_bytes: Size = 0) -> int:
        """Give free memory of the upstream back."""
        return int(self.upstream.trim(keep_bytes))

    def statistics(self) -> Any:
        """Return the figures of the upstream."""
        return self.upstream.statistics()

    def _count(self, size_bytes: Size) -> None:
        self.request_count += 1
        if not self._fails(self.request_count):
            return
        self.failed_count += 1
        size = parse_size(size_bytes)
        if self._error is not None:
            raise self._error(size)
        raise OutOfMemory(
            size_bytes=size, alignment=1, capacity_bytes=size, free_bytes=0, largest_free_bytes=0, resource=repr(self)
        )


def _given(alignment: Size | None) -> tuple[Size, ...]:
    return () if alignment is None else (alignment,)


def failing_nth(upstream: Any, n: int) -> Failing:
    """Return a resource whose n-th request fails, counted from 1, and no other.

    Examples
    --------
    >>> resource = failing_nth(PlainResource(), 2)
    >>> [resource.try_allocate(10) is None for _ in range(3)]
    [False, True, False]
    """
    return Failing(upstream, lambda number: number == n)


def check_all_failures(
    use: Callable[[Failing], object], upstream: Callable[[], Any] = PlainResource, *, may_recover: bool = False
) -> int:
    """Run code with its first allocation failing, then with its second, and so on, until none is left to fail.

    Each run must let a MemoryError out and leave no block behind.

    Parameters
    ----------
    use
        The code: called with the resource that it is to allocate from.
    upstream
        Makes what serves the requests that succeed; its `statistics()` must have `block_count` and `requested_bytes`.
    may_recover
        Whether a run may end well although an allocation failed, as code with a plan B does.

    Returns
    -------
    int
        How many allocations the code makes: each of them has failed once.

    Raises
    ------
    FailureSwallowed, AllocationsLeaked
        With the number of the allocation that failed.

    Examples
    --------
    >>> def careless(resource, kept=[]):
    ...     kept.append(resource.allocate(100))     # nobody takes it out again if the next one fails
    ...     resource.deallocate(resource.allocate(200))
    ...     resource.deallocate(kept.pop())
    >>> check_all_failures(careless)
    Traceback (most recent call last):
    heapwright.testing.failing.AllocationsLeaked: after allocation number 2 failed, 1 blocks with 100 B were left...

    Source: `std.testing.checkAllAllocationFailures` of Zig.
    """
    n = 0
    while True:
        n += 1
        below = upstream()
        resource = failing_nth(below, n)
        failed = False
        try:
            use(resource)
        except MemoryError:
            if not resource.failed_count:
                raise  # not ours: it does not fit at all
            failed = True
        gc.collect()  # what only a cycle holds has not been left behind
        if resource.failed_count and not failed and not may_recover:
            raise FailureSwallowed(n=n)
        left = below.statistics()
        if left.block_count:
            raise AllocationsLeaked(n=n, block_count=left.block_count, requested_bytes=left.requested_bytes)
        if not resource.failed_count:
            return n - 1
