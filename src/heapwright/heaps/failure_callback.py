"""FailureCallback: an adaptor that asks the program to free something, and tries again."""

from __future__ import annotations

import threading
from collections.abc import Callable

from heapwright.heaps.adaptor import Adaptor, B, Served
from heapwright.model.errors import HeapwrightError
from heapwright.model.protocols import Resource
from heapwright.model.sizes import Size, parse_size


class FailureCallback(Adaptor[B]):
    """A memory resource that does not give up at once.

    Where the upstream has no memory, `callback` is called with the number of bytes that were asked for. If it answers
    true, it has freed something (dropped a cache, evicted a session) and the upstream is asked again; if false, the
    failure stands. A callback that always answers true is asked `attempts` times for one request and no more.

    The callback runs in the thread that allocates, holds no lock of this adaptor, and may allocate and free. What it
    allocates here is not retried: a callback is not called inside a callback. Under a `ThreadSafe` it could only free,
    and that too late: put this around that, not that around this.

    Parameters
    ----------
    upstream
        Where the blocks come from; owned.
    callback
        From requested bytes to whether to try again. What it raises comes out of `allocate`.
    attempts
        Most calls of the callback for one request.

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap(hw.AnonymousSpace(4096))
    >>> cache = [heap.allocate(1024) for _ in range(4)]
    >>> def evict(size_bytes):
    ...     if not cache:
    ...         return False
    ...     cache.pop()
    ...     return True
    >>> retrying = hw.FailureCallback(heap, evict)
    >>> block = retrying.allocate(2000)
    >>> len(cache)
    2
    """

    def __init__(self, upstream: Resource[B], callback: Callable[[int], object], *, attempts: int = 16) -> None:
        super().__init__(upstream)
        if attempts < 0:
            raise ValueError(f"attempts {attempts} is negative. Give the most calls for one request")
        self._callback = callback
        self._attempts = attempts
        self._thread = threading.local()

    def reallocate(self, block: B, size_bytes: Size) -> B:  # noqa: D102  # as Adaptor's
        return self._serve(self._resize(block), parse_size(size_bytes))

    def _resize(self, block: B) -> Callable[[int], B]:
        return lambda size: self._upstream.reallocate(block, size)

    def _serve(self, ask: Callable[..., Served], size_bytes: int, *alignment: int) -> Served:
        for _ in range(self._attempts):
            try:
                block = ask(size_bytes, *alignment)
            except MemoryError as error:
                if not isinstance(error, HeapwrightError) or not self._freed_something(size_bytes):
                    raise
            else:
                if block is not None or not self._freed_something(size_bytes):
                    return block
        return ask(size_bytes, *alignment)

    def _freed_something(self, size_bytes: int) -> bool:
        if getattr(self._thread, "in_callback", False):
            return False
        self._thread.in_callback = True
        try:
            return bool(self._callback(size_bytes))
        finally:
            self._thread.in_callback = False
