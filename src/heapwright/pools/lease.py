"""Lease: a buffer for the length of a ``with`` block."""

from __future__ import annotations

from types import TracebackType
from typing import Generic, Protocol, TypeVar

from heapwright.model.errors import ViewExported
from heapwright.model.lifecycle import State

L = TypeVar("L", bound="Releasable")


class Releasable(Protocol):
    """What a pool hands out: it knows whether it went back."""

    @property
    def state(self) -> State:
        """Where in the life cycle it is."""


class Lender(Protocol[L]):
    """What can lend and take back: every pool."""

    def acquire(self) -> L:
        """Return a live buffer."""

    def release(self, buffer: L, /) -> None:
        """Take it back."""


class Lease(Generic[L]):
    """Acquire at the start of a ``with`` block, release at its end, whatever happens in between.

    A view that is still exported at the end is an error, `ViewExported`: the block of memory goes back when the view
    is gone. Where the ``with`` block ends by an exception, which usually holds the view in its traceback, that
    exception is the one that is raised. A buffer that was released inside the block is not released again.
    """

    __slots__ = ("_buffer", "_pool")

    def __init__(self, pool: Lender[L]) -> None:
        self._pool = pool
        self._buffer: L | None = None

    def __enter__(self) -> L:
        if self._buffer is not None:
            raise RuntimeError("a lease is for one with block at a time. Call lease() again for the next one")
        self._buffer = buffer = self._pool.acquire()
        return buffer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        buffer, self._buffer = self._buffer, None
        if buffer is None or buffer.state is State.FREED:
            return
        try:
            self._pool.release(buffer)
        except ViewExported:
            if error is None:
                raise
