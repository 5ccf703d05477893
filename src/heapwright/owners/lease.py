"""Lease: a block that is lent to the kernel, another thread, a process or a device, and to whom.

Who borrows a block may write to it at any time. So until it is back nobody else looks at it, and it is neither freed
nor moved; and that does not hang on whether somebody keeps the lease: one that is forgotten is out still, and says so.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import TypeAlias

from heapwright import _native
from heapwright.model.errors import HandleReleased, ViewExported
from heapwright.model.lifecycle import Event, after

Lendable: TypeAlias = _native.Block | _native.Buffer | _native.RegionBlock

_out: dict[int, BlockLease] = {}  # by the number of the block. A process has one kernel, and one answer to who has what


class BlockLease:
    """A block that is lent, for as long as this is not closed. `lease` makes them.

    Attributes
    ----------
    block
        What is lent.
    borrower
        To whom, for people.
    """

    __slots__ = ("__weakref__", "_closing", "_since", "_view", "block", "borrower", "closed")

    def __init__(self, block: Lendable, borrower: str, view: memoryview) -> None:
        self.block, self.borrower, self._view = block, borrower, view
        self._since = time.monotonic()
        self._closing = threading.RLock()  # or the second of two would end the next lease of the same block
        self.closed = False

    @property
    def size_bytes(self) -> int:
        """Bytes that are lent."""
        return self.block.size_bytes

    @property
    def age_s(self) -> float:
        """For how long."""
        return time.monotonic() - self._since

    def view(self) -> memoryview:
        """Return the borrower's memoryview, the only one.

        Raises
        ------
        HandleReleased
            The lease was closed.
        """
        if self.closed:
            raise HandleReleased("lease")
        return self._view

    def close(self) -> None:
        """Take the block back: the borrower is done with it. A second close() does nothing.

        Raises
        ------
        ViewExported
            Views that were made from the borrower's are still there. The block stays lent; drop them and close again.
        """
        with self._closing:
            if self.closed:
                return
            with suppress(BufferError):  # what is made of it is counted next
                self._view.release()
            if not _native.take_back(self.block):
                exports = self.block.exports - 1  # one is the lease itself
                what = f"take back from {self.borrower} the block"
                raise ViewExported(address=self.block.address, size_bytes=self.size_bytes, exports=exports, what=what)
            self.closed = True
            del _out[id(self.block)]

    def __enter__(self) -> BlockLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except ViewExported as exported:
            if error is None:
                raise
            error.add_note(f"heapwright: {self!r} is not closed: {exported}")

    def __repr__(self) -> str:
        return f"<lease of {self.block!r} to {self.borrower}{', closed' if self.closed else ''}>"


def lease(block: Lendable, borrower: str) -> BlockLease:
    """Lend a block: until the lease is closed it is `leased`, and nobody frees it, moves it or looks at it.

    Parameters
    ----------
    block
        Of a heap, a pool or an arena. No view of it is out.
    borrower
        Who gets it, in words for errors and reports: ``"the kernel, read 7"``.

    Raises
    ------
    InvalidTransition
        The block is lent already, or somebody has a view of it.
    BlockFreed
        It is freed.
    BlockLeased
        By whoever tries to free, move or view the block meanwhile.

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap(hw.AnonymousSpace(4096))
    >>> block = heap.allocate(100)
    >>> with hw.lease(block, "the kernel, read 7") as lent:
    ...     print(block.state.value, [lease.borrower for lease in hw.leases()])
    ...     lent.view()[:5] = b"hello"
    ...     heap.deallocate(block)
    Traceback (most recent call last):
    heapwright.model.errors.BlockLeased: cannot free the block at ... (100 B): it is lent to the kernel, read 7. ...
    >>> block.state.value, block.read(0, 5)
    ('allocated', b'hello')
    """
    view = _native.lend(block)
    while view is None:
        after(block.state, Event.LEASE)  # raises, unless what was in the way has gone meanwhile
        view = _native.lend(block)
    made = BlockLease(block, borrower, view)
    _out[id(block)] = made
    try:
        return _native.birth(made)
    except BaseException:
        made.close()
        raise


def leases() -> list[BlockLease]:
    """Return the leases that are not closed, the oldest first."""
    return list(_out.values())


def borrower_of(block: Lendable) -> str:
    """Return who has a block, in words; "nobody" where it is not lent."""
    made = _out.get(id(block))
    return "nobody" if made is None else made.borrower
