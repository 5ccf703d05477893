"""Lease: a buffer for the length of a ``with`` block."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from heapwright.model.errors import ViewExported


class Lendable(Protocol):
    """What a pool hands out: it knows whether it went back."""

    @property
    def pool(self) -> Any:
        """The pool that it was acquired from; None once released."""


L = TypeVar("L", bound=Lendable, covariant=True)


class Lease(Generic[L]):
    """Acquire at the start of a ``with`` block, release at its end, whatever happens in between.

    A view that is still exported at the end is an error, `ViewExported`: the block of memory goes back when the view
    is gone. Where the ``with`` block ends by an exception, which usually holds the view in its traceback, that
    exception is the one that is raised. A buffer that was released inside the block is not released again.
    """

    __slots__ = ("_acquire", "_buffer", "_release")

    def __init__(self, acquire: Callable[[], L], release: Callable[[L], Any]) -> None:
        self._acquire = acquire
        self._release = release
        self._buffer: L | None = None

    def __enter__(self) -> L:
        if self._buffer is not None:
            raise RuntimeError("a lease is for one with block at a time. Call lease() again for the next one")
        self._buffer = buffer = self._acquire()
        return buffer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        buffer, self._buffer = self._buffer, None
        if buffer is None or buffer.pool is None:
            return
        try:
            self._release(buffer)
        except ViewExported:
            if error is None:
                raise
