"""Memory resources that are wrong on purpose, each in one way: the suite has to refute every one of them."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any
from weakref import ref

import heapwright as hw
from heapwright.model.sizes import Size, parse_alignment
from heapwright.testing import PlainBlock, PlainResource

LIMIT = 64 << 10

# ---- resources of their own


class Overlapping(PlainResource):
    """Hands out the same memory again while it is somebody's."""

    last: PlainBlock | None = None

    def allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock:
        block = super().allocate(size_bytes, alignment)
        before, self.last = self.last, block
        if before is not None and before._data and len(before._data) >= len(block._data) and before.size_bytes:
            block._data, block.address, block._skipped = before._data, before.address, before._skipped
        return block


class ShiftedByEight(PlainResource):
    """Ignores the alignment."""

    def allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock:
        parse_alignment(alignment)
        return super().allocate(size_bytes, 1)


class OneByteShort(PlainResource):
    """Gives a byte less than asked for."""

    def allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock:
        return super().allocate(max(hw.parse_size(size_bytes) - 1, 0), alignment)


class OwnsTheFirstByte(PlainResource):
    """Knows the first address of a block only."""

    def owns(self, address: int, /) -> bool:
        return address in self._live


class LosesBytes(PlainResource):
    """Reallocates without copying the last byte."""

    def reallocate(self, block: PlainBlock, size_bytes: Size, /) -> PlainBlock:
        if block.size_bytes and hw.parse_size(size_bytes) >= block.size_bytes:
            last = block.view()[block.size_bytes - 1]
            new = super().reallocate(block, size_bytes)
            new.view()[block.size_bytes - 1] = last ^ 1
            return new
        return super().reallocate(block, size_bytes)


class ForgetsTheAlignment(PlainResource):
    """Reallocates to an address of any alignment."""

    def reallocate(self, block: PlainBlock, size_bytes: Size, /) -> PlainBlock:
        block.alignment = 1
        return super().reallocate(block, size_bytes)


class FreesBeforeItMoves(PlainResource):
    """Has freed the old block when there turns out to be no room for the new one."""

    def reallocate(self, block: PlainBlock, size_bytes: Size, /) -> PlainBlock:
        size, kept, alignment = hw.parse_size(size_bytes), bytes(block.view()), block.alignment
        self.deallocate(block)
        new = self.allocate(size, alignment)
        new.view()[: min(len(kept), size)] = kept[:size]
        return new


class KeepsTheOldHandleAlive(PlainResource):
    """Reallocates, and the block that was has not ended."""

    def reallocate(self, block: PlainBlock, size_bytes: Size, /) -> PlainBlock:
        if block.resource is not self or not block._data:
            self.deallocate(block)
        new = self.allocate(size_bytes, block.alignment)
        kept = min(len(block), len(new))
        new.view()[:kept] = block.view()[:kept]
        return new


class CannotBeNoted(PlainResource):
    """Hands out blocks that equal each other, and so have no hash."""

    class Block(PlainBlock):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, PlainBlock) and self.size_bytes == other.size_bytes

    def allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock:
        block = super().allocate(size_bytes, alignment)
        block.__class__ = self.Block
        return block


class FreesTwice(PlainResource):
    """Does not mind a handle that is dead."""

    def deallocate(self, block: PlainBlock, /) -> None:
        if block._data:
            super().deallocate(block)


class FreesForeign(PlainResource):
    """Does not mind whose block it is."""

    def deallocate(self, block: PlainBlock, /) -> None:
        if block.resource is not self and block._data:
            block.end()
        else:
            super().deallocate(block)


class FreesWhatIsExposed(PlainResource):
    """Gives the memory back under a view."""

    def deallocate(self, block: PlainBlock, /) -> None:
        try:
            super().deallocate(block)
        except BufferError:
            block._data = bytearray()
            self._live.pop(block.address)


class Hoards(PlainResource):
    """Keeps every handle, so that none is ever gone."""

    def allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock:
        block = super().allocate(size_bytes, alignment)
        self.__dict__.setdefault("kept", []).append(block)
        return block


class Leaks(PlainResource):
    """Marks a block as freed, and does not take it back."""

    def deallocate(self, block: PlainBlock, /) -> None:
        super().deallocate(block)
        self._live[-len(self._live) - 1] = block.size_bytes


class RaisesInPairs(PlainResource):
    """Raises from try_allocate."""

    def try_allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock | None:
        return self.allocate(size_bytes, alignment)


class ReturnsNothing(PlainResource):
    """Returns None from allocate."""

    def allocate(self, size_bytes: Size, alignment: Size = 1) -> Any:
        try:
            return super().allocate(size_bytes, alignment)
        except hw.OutOfMemory:
            return None


class BareError(PlainResource):
    """Says that there is no memory, and nothing else."""

    def allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock:
        try:
            return super().allocate(size_bytes, alignment)
        except hw.OutOfMemory:
            raise MemoryError from None

    def try_allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock | None:
        try:
            return self.allocate(size_bytes, alignment)
        except MemoryError:
            return None


class TrimsWhatIsLive(PlainResource):
    """Gives the memory of live blocks back."""

    def trim(self, keep_bytes: Size = 0) -> int:
        if self.__dict__.get("last") is not None and (block := self.last()) is not None and block._data:
            block.view()[:] = bytes(len(block))
        return 0

    def allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock:
        block = super().allocate(size_bytes, alignment)
        if block.size_bytes > 7:
            self.last = ref(block)
        return block


class OneScratchForAllThreads(PlainResource):
    """Moves a block by way of a buffer that other threads use too."""

    scratch = b""

    def reallocate(self, block: PlainBlock, size_bytes: Size, /) -> PlainBlock:
        if block.resource is not self or not block._data:
            self.deallocate(block)
        new = self.allocate(size_bytes, block.alignment)
        self.scratch = bytes(block.view())
        time.sleep(0)  # another thread comes here
        kept = min(len(block), len(new), len(self.scratch))
        new.view()[:kept] = self.scratch[:kept]
        self.deallocate(block)
        return new


RESOURCES = [
    Overlapping,
    ShiftedByEight,
    OneByteShort,
    OwnsTheFirstByte,
    LosesBytes,
    ForgetsTheAlignment,
    FreesBeforeItMoves,
    KeepsTheOldHandleAlive,
    CannotBeNoted,
    FreesTwice,
    FreesForeign,
    FreesWhatIsExposed,
    Hoards,
    Leaks,
    RaisesInPairs,
    ReturnsNothing,
    BareError,
    TrimsWhatIsLive,
    OneScratchForAllThreads,
]

# ---- adaptors


class KeepsTheCharge(hw.Limiting[Any]):
    """Does not return the charge of a request that was not served."""

    def __init__(self, upstream: Any) -> None:
        super().__init__(upstream, LIMIT)

    def _withdraw(self, size_bytes: int, error: BaseException | None) -> None:
        pass


class CountsTwice(hw.Statistics[Any]):
    """Counts what is reallocated as one more."""

    def _resized(self, old_size_bytes: int, note: Any, new: Any, size_bytes: int, *, moved: bool) -> Any:
        return self._born(new, size_bytes, None)


class ForgetsWhatIsDropped(hw.Statistics[Any]):
    """Hears of deallocate only."""

    def _settle(self) -> None:
        self._dropped.clear()


class LooksThenCharges(hw.Adaptor[Any]):
    """Is within the limit when it looks, and not when it charges."""

    def __init__(self, upstream: Any) -> None:
        super().__init__(upstream)
        self.current, self.sizes, self.lock = 0, {}, threading.Lock()

    def _serve(self, ask: Any, size_bytes: int, *alignment: int) -> Any:
        if self.current + size_bytes > LIMIT:
            raise hw.LimitExceeded(size_bytes=size_bytes, current_bytes=self.current, limit_bytes=LIMIT)
        block = ask(size_bytes, *alignment)
        with self.lock:
            self.current += size_bytes
        return block


class LimitsBirthOnly(hw.Limiting[Any]):
    """Lets a block grow past the limit."""

    def __init__(self, upstream: Any) -> None:
        super().__init__(upstream, LIMIT)

    def reallocate(self, block: Any, size_bytes: Size) -> Any:
        size, note = self._noted(block)
        new = self._upstream.reallocate(block, size_bytes)
        self._notes.pop(ref(block))
        self._account.give(size)
        with suppress(hw.LimitExceeded):
            self._account.take(min(hw.parse_size(size_bytes), LIMIT))
        self._keep(new, hw.parse_size(size_bytes), note)
        return new


class KeepsTheUpstreamsBlock(hw.Observing[Any, None]):
    """Is told to free, and does not pass it on."""

    def _born(self, block: Any, size_bytes: int, alignment: int | None) -> None:
        return None

    def deallocate(self, block: Any) -> None:
        self._noted(block)
        self._notes.clear()


class SwallowsErrors(hw.Adaptor[Any]):
    """Knows better than to trouble anybody with an error that it never heard of."""

    def _serve(self, ask: Any, size_bytes: int, *alignment: int) -> Any:
        with suppress(RuntimeError, hw.HeapwrightError):
            return ask(size_bytes, *alignment)
        return None


class OwnsEverything(hw.Adaptor[Any]):
    """Says yes."""

    def owns(self, address: int) -> bool:
        return True


class TrimsNothing(hw.Adaptor[Any]):
    """Does not pass on trim."""

    def trim(self, keep_bytes: Size = 0) -> int:
        return 0


class DropsTheAlignment(hw.Adaptor[Any]):
    """Does not pass on the alignment."""

    def _serve(self, ask: Any, size_bytes: int, *alignment: int) -> Any:
        return ask(size_bytes)


class LeavesABlockBehind(hw.Adaptor[Any]):
    """Reallocates by hand, and keeps the new block when the old one cannot be freed."""

    def __init__(self, upstream: Any) -> None:
        super().__init__(upstream)
        self.spare: list[Any] = []

    def _serve(self, ask: Any, size_bytes: int, *alignment: int) -> Any:
        try:
            return ask(size_bytes, *alignment)
        except Exception:
            with suppress(Exception):
                self.spare.append(self._upstream.allocate(1))
            raise


class HasAnotherUpstream(hw.Adaptor[Any]):
    """Draws from somewhere else than it was told."""

    def __init__(self, upstream: Any) -> None:
        super().__init__(PlainResource())


ADAPTORS = [
    KeepsTheCharge,
    CountsTwice,
    ForgetsWhatIsDropped,
    KeepsTheUpstreamsBlock,
    SwallowsErrors,
    OwnsEverything,
    TrimsNothing,
    DropsTheAlignment,
    LeavesABlockBehind,
    HasAnotherUpstream,
]
LIMITS = [LooksThenCharges, LimitsBirthOnly]
