"""ChunkStack: the chunks of an arena, in the order in which they came. All policy about them is here."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from heapwright import _native
from heapwright.model.protocols import Resource, as_resource

CHUNK_ALIGNMENT = 4096
GRANULE_BYTES = 16  # as in native/core/region.h

#: Requests above this part of a chunk get a chunk of their own. So what is left unused at the end of a full one is less
#: than this part of it, but for alignment (the rule of LLVM's BumpPtrAllocator).
OWN_CHUNK_PART = 4


@dataclass(frozen=True, slots=True)
class Place:
    """How far a stack was filled at some moment."""

    count: int
    filling: _native.Region | None
    top_bytes: int


class Chunk:
    """A block of the upstream, with the region in it."""

    __slots__ = ("block", "region", "size_bytes")

    def __init__(self, block: Any) -> None:
        self.block = block
        self.region = _native.Region(block)
        self.size_bytes: int = block.size_bytes
        _native.birth_withdraw(block)  # the arena's, not of the program that asked the arena

    def give_back(self, upstream: Resource[Any]) -> None:
        """Free the block. Nobody looks at it."""
        self.region.abandon()  # lets go of the block at once
        upstream.deallocate(self.block)


class ChunkStack:
    """Obtains chunks, and disposes of those whose blocks are dead: keeps them, or gives them back, or to their views.

    Parameters
    ----------
    upstream
        Where chunks come from.
    chunk_bytes
        Of a chunk that many blocks share.
    """

    def __init__(self, upstream: Resource[Any], chunk_bytes: int) -> None:
        self.upstream = as_resource(upstream)
        self.chunk_bytes = chunk_bytes
        self.filling: _native.Region | None = None
        self.chunks: list[Chunk] = []
        self.spare: list[Chunk] = []  # whole and empty, for the next ones
        self.promoted_count = self.promoted_bytes = 0
        self.promoted: weakref.WeakSet[_native.Region] = weakref.WeakSet()  # those that are looked at still
        self.overlooked: weakref.WeakSet[_native.Region] = weakref.WeakSet()  # in use, with views of dead blocks

    def push(self, size_bytes: int, alignment: int, raises: bool) -> _native.Region | None:
        """Return a region with room for a request, on a new chunk; if the upstream has none, raise or return None."""
        needed = (max(size_bytes, 1) + GRANULE_BYTES - 1) // GRANULE_BYTES * GRANULE_BYTES
        needed += max(alignment - CHUNK_ALIGNMENT, 0)
        shared = needed <= self.chunk_bytes // OWN_CHUNK_PART
        chunk = self._next_shared() if shared else None
        if chunk is None:  # a large request; or a small one that no whole chunk is left for
            chunk = self._next_own(needed, raises)
        if chunk is None:
            return None
        self.chunks.append(chunk)
        if shared:
            self.filling = chunk.region
        return chunk.region

    def place(self) -> Place:
        """Return how far it is filled now."""
        return Place(len(self.chunks), self.filling, self.filling.top_bytes if self.filling is not None else 0)

    def return_to(self, place: Place, *, viewed: bool) -> None:
        """Dispose of what came since. All of it is dead; some of it may be `viewed`."""
        since, self.chunks[place.count :] = self.chunks[place.count :], []
        self.filling = place.filling
        if place.filling is not None:
            self._rewind(place.filling, place.top_bytes, viewed)
        for chunk in reversed(since):  # so that the first is the next one again, at the same address
            self._dispose(chunk)

    def _rewind(self, filling: _native.Region, top_bytes: int, viewed: bool) -> None:
        """Go back to an old top, unless a view may lie above it: of what ends now, or of what an inner mark ended."""
        if filling.exports and (viewed or filling in self.overlooked):
            self.overlooked.add(filling)
        else:
            self.overlooked.discard(filling)
            filling.rewind(top_bytes)

    def trim(self, keep_bytes: int) -> int:
        """Give spare chunks back, all but `keep_bytes` of them; return the bytes given back."""
        held, returned = self.spare_bytes, 0
        while self.spare and held - self.spare[-1].size_bytes >= keep_bytes:
            chunk = self.spare.pop()
            held -= chunk.size_bytes
            returned += chunk.size_bytes
            chunk.give_back(self.upstream)
        return returned

    @property
    def size_bytes(self) -> int:
        """Of the chunks with blocks in them."""
        return sum(chunk.size_bytes for chunk in self.chunks)

    @property
    def spare_bytes(self) -> int:
        """Of the others."""
        return sum(chunk.size_bytes for chunk in self.spare)

    @property
    def filled_bytes(self) -> int:
        """Up to the last block of each chunk."""
        return sum(chunk.region.top_bytes for chunk in self.chunks)

    def _next_shared(self) -> Chunk | None:
        if self.spare:
            return self.spare.pop()
        block = self.upstream.try_allocate(self.chunk_bytes, CHUNK_ALIGNMENT)
        return None if block is None else Chunk(block)

    def _next_own(self, size_bytes: int, raises: bool) -> Chunk | None:
        block = self.upstream.try_allocate(size_bytes, CHUNK_ALIGNMENT)
        if block is None:
            self.trim(0)  # what waits for reuse may be in the way
            ask = self.upstream.allocate if raises else self.upstream.try_allocate
            block = ask(size_bytes, CHUNK_ALIGNMENT)
        return None if block is None else Chunk(block)

    def _dispose(self, chunk: Chunk) -> None:
        if chunk.region.exports:
            self.promoted.add(chunk.region)
            self.promoted_count += 1
            self.promoted_bytes += chunk.size_bytes
            chunk.region.abandon()  # closes with its last view, and the block is freed by being nobody's
        elif chunk.size_bytes == self.chunk_bytes:
            chunk.region.rewind(0)
            self.spare.append(chunk)
        else:
            chunk.give_back(self.upstream)
