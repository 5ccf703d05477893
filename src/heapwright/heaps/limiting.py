"""Limiting: an adaptor that holds a memory resource to a number of bytes, exactly, whatever the threads do."""

from __future__ import annotations

from dataclasses import dataclass

from heapwright import _native
from heapwright.heaps.adaptor import B
from heapwright.heaps.observing import Observing
from heapwright.model.protocols import Resource
from heapwright.model.sizes import Size, parse_size


@dataclass(frozen=True, slots=True)
class LimitingStatistics:
    """What a limit has seen. Bytes are requested bytes of live blocks, and requests that are being served."""

    current_bytes: int
    peak_bytes: int
    limit_bytes: int
    block_count: int
    refused_count: int


class Limiting(Observing[B, None]):
    """A memory resource that never has more than `limit_bytes` requested bytes out.

    A request is charged before it is passed on, and the charge is returned if the upstream fails: at no
    moment, in no thread, is the limit passed. A block counts until it is deallocated here or its last handle
    is gone. Limits nest: children that share a limited parent never have more out together than the parent's limit.

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
        super().__init__(upstream)
        self._limit_bytes = parse_size(limit_bytes)
        self._account = _native.Account(self._limit_bytes)

    def __repr__(self) -> str:
        return f"Limiting({self._upstream!r}, {self._limit_bytes})"

    @property
    def limit_bytes(self) -> int:
        """The limit."""
        return self._limit_bytes

    def statistics(self) -> LimitingStatistics:
        """Return exact figures; those of the upstream are ``limited.upstream.statistics()``."""
        self._settle()
        figures = self._account.figures()
        return LimitingStatistics(
            current_bytes=figures["requested_bytes"],
            peak_bytes=figures["peak_requested_bytes"],
            limit_bytes=self._limit_bytes,
            block_count=len(self._notes),
            refused_count=figures["failed_count"],
        )

    def _admit(self, size_bytes: int) -> None:
        self._account.take(size_bytes)  # or LimitExceeded

    def _withdraw(self, size_bytes: int, error: BaseException | None) -> None:
        self._account.give(size_bytes)

    def _born(self, block: B, size_bytes: int, alignment: int | None) -> None:
        """Nothing to note: its charge is its size, and has been taken."""

    def _resized(self, old_size_bytes: int, note: None, new: B, size_bytes: int, *, moved: bool) -> None:
        grows = size_bytes > old_size_bytes  # then the new size has been taken beside the old one
        self._account.give(old_size_bytes if grows else old_size_bytes - size_bytes)

    def _died(self, size_bytes: int, note: None) -> None:
        self._account.give(size_bytes)
