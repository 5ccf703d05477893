"""Resources under a pool that do something on purpose: fail the n-th request, or break the protocol."""

from typing import Any

import heapwright as hw


class Failing:
    """A heap that counts what it is asked for, and has no memory when its plan says so."""

    def __init__(self, capacity: str = "64MiB") -> None:
        self.heap: hw.Heap[Any] = hw.Heap(hw.AnonymousSpace(capacity))
        self.requests = 0
        self.fail_nth = 0  # 1 = the next one
        self.refuses = False

    def _refused(self) -> bool:
        self.requests += 1
        self.fail_nth -= 1
        return self.fail_nth == 0 or self.refuses

    def allocate(self, size_bytes: Any, alignment: int = 16) -> hw.Block:
        if self._refused():
            raise hw.OutOfMemory(
                size_bytes=size_bytes, alignment=alignment, capacity_bytes=0, free_bytes=0, largest_free_bytes=0
            )
        return self.heap.allocate(size_bytes, alignment)

    def try_allocate(self, size_bytes: Any, alignment: int = 16) -> hw.Block | None:
        return None if self._refused() else self.heap.try_allocate(size_bytes, alignment)

    def deallocate(self, block: hw.Block) -> None:
        self.heap.deallocate(block)

    def reallocate(self, block: hw.Block, size_bytes: Any) -> hw.Block:
        return self.heap.reallocate(block, size_bytes)

    def owns(self, address: int) -> bool:
        return self.heap.owns(address)

    def trim(self, keep_bytes: Any = 0) -> int:
        return self.heap.trim(keep_bytes)

    def statistics(self) -> Any:
        return self.heap.statistics()

    @property
    def upstream(self) -> Any:
        return self.heap

    @property
    def out_bytes(self) -> int:
        """What the pool holds of it."""
        return self.heap.statistics().requested_bytes
