"""ThreadSafe: an adaptor that lets one thread at a time into an upstream that cannot take several."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from heapwright.heaps.adaptor import Adaptor, B, Served
from heapwright.heaps.fork_lock import ForkLock
from heapwright.model.errors import ReentrantCall
from heapwright.model.protocols import Resource
from heapwright.model.sizes import Size

R = TypeVar("R")


class ThreadSafe(Adaptor[B]):
    """A memory resource whose upstream is in one call at a time, whatever threads and finalizers do.

    `Heap` and the adaptors here need none of this: any thread may call them. It is for resources of one's own, and for
    upstreams that call such.

    Python may run a finalizer or a signal handler in the middle of an upstream that is written in Python, in the
    thread that has the lock. What that asks for cannot wait, and cannot go in either. A `deallocate` from there is
    put aside and done when the upstream is left; if it fails then, the error goes to `sys.unraisablehook`, since
    whoever called is gone. Everything else raises `ReentrantCall`.

    A block that dies by its last handle does so without coming through here: what happens then is its own type's
    affair.

    Parameters
    ----------
    upstream
        Where the blocks come from; owned, and called by nobody else.

    Examples
    --------
    >>> import heapwright as hw
    >>> safe = hw.ThreadSafe(hw.Heap(hw.AnonymousSpace("1MiB")))
    >>> block = safe.allocate(100)
    >>> safe.deallocate(block)
    """

    def __init__(self, upstream: Resource[B]) -> None:
        super().__init__(upstream)
        self._lock = ForkLock()
        self._postponed: deque[B] = deque()

    def deallocate(self, block: B) -> None:  # noqa: D102  # as Adaptor's
        if self._lock.is_mine():
            self._postponed.append(block)
        else:
            self._alone(self._upstream.deallocate, block)

    def reallocate(self, block: B, size_bytes: Size) -> B:  # noqa: D102
        return self._alone(super().reallocate, block, size_bytes)

    def owns(self, address: int) -> bool:  # noqa: D102
        return self._alone(self._upstream.owns, address)

    def trim(self, keep_bytes: Size = 0) -> int:  # noqa: D102
        return self._alone(self._upstream.trim, keep_bytes)

    def statistics(self) -> Any:  # noqa: D102
        return self._alone(self._upstream.statistics)

    def _serve(self, ask: Callable[..., Served], size_bytes: int, *alignment: int) -> Served:
        return self._alone(ask, size_bytes, *alignment)

    def _alone(self, operation: Callable[..., R], *arguments: Any) -> R:
        if self._lock.is_mine():
            raise ReentrantCall(operation=operation.__name__, resource=repr(self._upstream))
        try:
            with self._lock:
                return operation(*arguments)
        finally:
            self._free_postponed()

    def _free_postponed(self) -> None:
        """Free what was put aside, unless another thread is in the upstream, which then does this on its way out."""
        while self._postponed and self._lock.acquire(blocking=False):
            try:
                _PostponedFree(self._upstream.deallocate, self._postponed.popleft())
            except IndexError:
                pass  # another thread was faster
            finally:
                self._lock.release()


class _PostponedFree:
    """Happens when it is dropped, which is at once: what a finalizer raises is what `sys.unraisablehook` is for."""

    __slots__ = ("block", "deallocate")

    def __init__(self, deallocate: Callable[[Any], None], block: Any) -> None:
        self.deallocate = deallocate
        self.block = block

    def __del__(self) -> None:
        self.deallocate(self.block)
