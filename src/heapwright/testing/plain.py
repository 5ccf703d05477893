"""PlainResource: the protocol in plain Python, to test against: no native code, every block memory of its own."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from heapwright.model.errors import BlockFreed, InvalidFree, OutOfMemory, ViewExported
from heapwright.model.lifecycle import State
from heapwright.model.sizes import Size, parse_alignment, parse_size
from heapwright.model.space import Permissions
from heapwright.model.statistics import ResourceStatistics


class PlainResource:
    """A memory resource whose blocks are bytearrays: slow, simple, and right by reading.

    A stray write lands in no other block, a block that was freed has no bytes, and one that is dropped is freed. Any
    thread may call it.

    Parameters
    ----------
    capacity_bytes
        Requested bytes that may be out at one time.

    Examples
    --------
    >>> resource = PlainResource("1KiB")
    >>> block = resource.allocate(1000, 64)
    >>> block.address % 64, resource.try_allocate(25)
    (0, None)
    >>> del block
    >>> resource.statistics().block_count
    0
    """

    def __init__(self, capacity_bytes: Size = "1MiB") -> None:
        self._capacity = parse_size(capacity_bytes)
        self._live: dict[int, int] = {}  # address -> requested bytes; changed by one dictionary operation at a time
        self._lock = threading.RLock()  # of allocate alone: a finalizer only removes

    def __repr__(self) -> str:
        return f"PlainResource({self._capacity})"

    @property
    def upstream(self) -> None:
        """None: its memory is Python's."""
        return

    def allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock:
        """Return a new block, or raise OutOfMemory."""
        size, multiple = parse_size(size_bytes), parse_alignment(alignment)
        with self._lock:
            free = self._capacity - sum(self._live.copy().values())
            if size > free:
                raise OutOfMemory(
                    size_bytes=size,
                    alignment=multiple,
                    capacity_bytes=self._capacity,
                    free_bytes=free,
                    largest_free_bytes=free,
                    resource=repr(self),
                )
            block = PlainBlock(self, size, multiple)
            self._live[block.address] = size
        return block

    def try_allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock | None:
        """Return a new block, or None where `allocate` raises OutOfMemory."""
        try:
            return self.allocate(size_bytes, alignment)
        except OutOfMemory:
            return None

    def deallocate(self, block: PlainBlock, /) -> None:
        """Free a block, or raise InvalidFree or ViewExported."""
        if block.resource is not self or block.state is State.FREED:
            reason = "double" if block.state is State.FREED else "foreign"
            raise InvalidFree(address=block.address, size_bytes=block.size_bytes, reason=reason)
        block.end()

    def reallocate(self, block: PlainBlock, size_bytes: Size, /) -> PlainBlock:
        """Move a block to memory of another size: the first bytes and the alignment stay."""
        if block.resource is not self or block.state is State.FREED:
            self.deallocate(block)  # says what is wrong with it
        new = self.allocate(size_bytes, block.alignment)
        kept = min(block.size_bytes, new.size_bytes)
        new.view()[:kept] = block.view()[:kept]
        self.deallocate(block)  # or ViewExported, and the new one is dropped
        return new

    def owns(self, address: int, /) -> bool:
        """Say whether an address lies in a live block."""
        return any(start <= address < start + max(size, 1) for start, size in self._live.copy().items())

    def trim(self, keep_bytes: Size = 0) -> int:
        """Return 0: nothing is kept that could be given back."""
        parse_size(keep_bytes)
        return 0

    def statistics(self) -> ResourceStatistics:
        """Return exact figures."""
        sizes = list(self._live.copy().values())
        return ResourceStatistics(
            requested_bytes=sum(sizes),
            allocated_bytes=sum(sizes),
            committed_bytes=self._capacity,
            reserved_bytes=self._capacity,
            block_count=len(sizes),
        )


class PlainBlock:
    """A block of a `PlainResource`."""

    def __init__(self, resource: PlainResource, size_bytes: int, alignment: int) -> None:
        self.resource = resource
        self.size_bytes = size_bytes
        self.alignment = alignment
        self._data = bytearray(size_bytes + alignment)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._data))
        self._skipped = -start % alignment
        self.address = start + self._skipped

    def __del__(self) -> None:
        if self._data:  # its bytes die with it, or in a cycle with a view of them
            self.resource._live.pop(self.address, None)

    def __len__(self) -> int:
        return self.size_bytes

    @property
    def permissions(self) -> Permissions:
        """Those of memory of Python's."""
        return Permissions.READ | Permissions.WRITE

    @property
    def state(self) -> State:
        """Allocated or freed; that a view is out shows when it is to be freed."""
        return State.ALLOCATED if self._data else State.FREED

    def view(self) -> memoryview:
        """Return the bytes without a copy; it keeps the block."""
        if not self._data:
            raise BlockFreed(address=self.address, size_bytes=self.size_bytes)
        if self.size_bytes == 0:
            return memoryview(self._data)[:0]
        array: Any = (ctypes.c_ubyte * self.size_bytes).from_buffer(self._data, self._skipped)
        array.block = self
        return memoryview(array).cast("B")

    def end(self) -> None:
        """Give the bytes back, or raise ViewExported."""
        try:
            self._data.clear()
        except BufferError:
            raise ViewExported(address=self.address, size_bytes=self.size_bytes, exports=1) from None
        self.resource._live.pop(self.address, None)
