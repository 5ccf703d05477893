"""Limiting: an adaptor that holds a memory resource to a number of bytes, exactly, whatever the threads do."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from heapwright.model.block import Block
from heapwright.model.errors import InvalidFree, LimitExceeded
from heapwright.model.protocols import Resource
from heapwright.model.sizes import Size, parse_size

B = TypeVar("B", bound=Block)


@dataclass(frozen=True, slots=True)
class LimitingStatistics:
    """What a limit has seen. Bytes are requested bytes of live blocks, and requests that are being served."""

    current_bytes: int
    peak_bytes: int
    limit_bytes: int
    block_count: int
    refused_count: int


class Limiting(Generic[B]):
    """A memory resource that never has more than `limit_bytes` requested bytes out.

    A request is charged before it is passed on, and the charge is returned if the upstream fails: at no
    moment, in no thread, is the limit passed. A block counts until it is deallocated here or its last handle
    is gone.

    Parameters
    ----------
    upstream
        Where the blocks come from; owned.
    limit_bytes
        Bytes, or text such as ``"800MiB"``.

    Examples
    --------
    >>> import heapwright as hw
    >>> limited = hw.Limiting(hw.Heap(hw.AnonymousSpace("1MiB")), "1KiB")
    >>> block = limited.allocate(1000)
    >>> limited.allocate(100)
    Traceback (most recent call last):
    heapwright.model.errors.LimitExceeded: cannot allocate 100 B: 1000 B of the limit of 1024 B are taken, 24
    B are left...
    >>> limited.deallocate(block)
    >>> limited.statistics().current_bytes
    0
    """

    def __init__(self, upstream: Resource[B], limit_bytes: Size) -> None:
        self._upstream = upstream
        self._limit_bytes = parse_size(limit_bytes)
        self._lock = threading.Lock()
        self._charges: dict[int, tuple[weakref.ref[B], int]] = {}  # by id of a live handle
        self._dropped: deque[int] = deque()  # ids of handles that died; a finalizer may not take a lock
        self._current_bytes = self._peak_bytes = self._refused_count = 0

    def __repr__(self) -> str:
        return f"Limiting({self._upstream!r}, {self._limit_bytes})"

    @property
    def upstream(self) -> Resource[B]:
        """The resource that the blocks come from."""
        return self._upstream

    @property
    def limit_bytes(self) -> int:
        """The limit."""
        return self._limit_bytes

    def allocate(self, size_bytes: Size, alignment: int | None = None) -> B:
        """Return a block of the upstream.

        Raises
        ------
        LimitExceeded
            The limit would be passed; the upstream was not asked.
        OutOfMemory
            The upstream has no memory.
        """
        size = parse_size(size_bytes)
        self._charge(size)
        try:
            block = self._upstream.allocate(size, *_given(alignment))
        except BaseException:
            self._release(size)
            raise
        self._hold(block, size)
        return block

    def try_allocate(self, size_bytes: Size, alignment: int | None = None) -> B | None:
        """Return a block of the upstream, or None where `allocate` raises for want of memory."""
        size = parse_size(size_bytes)
        try:
            self._charge(size)
        except LimitExceeded:
            return None
        try:
            block = self._upstream.try_allocate(size, *_given(alignment))
        except BaseException:
            self._release(size)
            raise
        if block is None:
            self._release(size)
        else:
            self._hold(block, size)
        return block

    def deallocate(self, block: B) -> None:
        """Free a block that was allocated here, and return its charge.

        Raises
        ------
        InvalidFree
            It was freed before, or not allocated here.
        ViewExported
            A view of it is exported; nothing was freed.
        """
        self._require_held(block)
        self._upstream.deallocate(block)
        self._discharge(id(block))

    def reallocate(self, block: B, size_bytes: Size) -> B:
        """Replace a block by one of another size.

        A block that grows may move, and then both are out for a moment: so it takes room for the whole new size beside
        the old one. One that shrinks does so in place and needs none.

        Raises
        ------
        LimitExceeded, OutOfMemory, InvalidFree, ViewExported
            As by `allocate` and `deallocate`; the block is as it was.
        """
        size = parse_size(size_bytes)
        old_size = self._require_held(block)
        ahead = size if size > old_size else 0
        self._charge(ahead)
        try:
            new = self._upstream.reallocate(block, size)
        except BaseException:
            self._release(ahead)
            raise
        with self._lock:
            self._charges.pop(id(block), None)
            self._current_bytes += size - ahead - old_size
        self._hold(new, size)
        return new

    def owns(self, address: int) -> bool:
        """Say whether an address belongs to the upstream."""
        return self._upstream.owns(address)

    def trim(self, keep_bytes: Size = 0) -> int:
        """Give free memory of the upstream back; return the bytes given back."""
        return self._upstream.trim(keep_bytes)

    def statistics(self) -> LimitingStatistics:
        """Return exact figures; those of the upstream are ``limited.upstream.statistics()``."""
        with self._lock:
            self._settle()
            return LimitingStatistics(
                self._current_bytes,
                self._peak_bytes,
                self._limit_bytes,
                len(self._charges),
                self._refused_count,
            )

    def _charge(self, size: int) -> None:
        with self._lock:
            self._settle()
            if self._current_bytes + size > self._limit_bytes:
                self._refused_count += 1
                raise LimitExceeded(size_bytes=size, current_bytes=self._current_bytes, limit_bytes=self._limit_bytes)
            self._current_bytes += size
            self._peak_bytes = max(self._peak_bytes, self._current_bytes)

    def _release(self, size: int) -> None:
        with self._lock:
            self._current_bytes -= size

    def _hold(self, block: B, size: int) -> None:
        key, dropped = id(block), self._dropped
        reference = weakref.ref(block, lambda _: dropped.append(key))
        with self._lock:
            self._settle()  # a dead handle may have had the same id
            self._charges[key] = reference, size

    def _require_held(self, block: B) -> int:
        with self._lock:
            self._settle()
            reference, size = self._charges.get(id(block), (None, 0))
        if reference is None or reference() is not block:
            reason = "double" if getattr(block.state, "value", "") == "freed" else "foreign"
            raise InvalidFree(address=block.address, size_bytes=block.size_bytes, reason=reason)
        return size

    def _discharge(self, key: int) -> None:
        with self._lock:
            _, size = self._charges.pop(key, (None, 0))
            self._current_bytes -= size

    def _settle(self) -> None:
        """Return the charges of handles that died. The lock is held."""
        while self._dropped:
            _, size = self._charges.pop(self._dropped.popleft(), (None, 0))
            self._current_bytes -= size


def _given(alignment: int | None) -> tuple[Any, ...]:
    return () if alignment is None else (alignment,)
