"""Arena: memory that dies together. Blocks and arrays one behind the other, and one end for all of them."""

from __future__ import annotations

import operator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsIndex

from heapwright import _native
from heapwright.heaps.birthplaces import Birthplaces
from heapwright.heaps.builder import HeapBuilder
from heapwright.heaps.chunk_stack import CHUNK_ALIGNMENT, GRANULE_BYTES, ChunkStack, Place
from heapwright.heaps.fork_lock import ForkLock
from heapwright.heaps.mark import Mark
from heapwright.model.errors import HeapwrightError, ViewExported
from heapwright.model.protocols import Resource
from heapwright.model.sizes import Size, format_size, parse_size
from heapwright.model.statistics import ArenaStatistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike

OnEscape = Literal["raise", "promote"]

ARRAY_ALIGNMENT = 64  # a cache line, and the widest vector register

NOTHING = Place(0, None, 0)


class ArenaClosed(HeapwrightError, ValueError):
    """The arena was closed: it has no memory, and gets none.

    Attributes
    ----------
    resource : str; which arena
    """

    resource: str

    def __init__(self, *, resource: str) -> None:
        super().__init__(
            f"cannot allocate from, mark or reset {resource}: it was closed. Do so before close(), or the end of its "
            "with block, or make another one",
            resource=resource,
        )


class ViewsEscaped(ViewExported):
    """Views outlive what they look at. Nothing ended: the arena, or the mark, is as it was, and so are the views.

    Attributes
    ----------
    exports : int; views that are out
    sites : tuple[str, ...]; where their blocks were allocated, the most frequent first; empty unless ``sites=True``
    address, size_bytes : int; the first chunk, and all chunks together
    """

    sites: tuple[str, ...]

    def __init__(self, *, what: str, address: int, size_bytes: int, exports: int, sites: tuple[str, ...]) -> None:
        super().__init__(address=address, size_bytes=size_bytes, exports=exports, what=what)
        views = "1 view of its memory is" if exports == 1 else f"{exports} views of its memory are"
        where = f": {'; '.join(sites)}" if sites else " (Arena(..., sites=True) says from where)"
        self.args = (
            f"cannot {what}: {views} still exported{where}. Drop them (del array, view.release()) and try again, copy "
            "what shall stay, or choose on_escape='promote'",
        )
        self.sites = sites


class Arena(_native.Arena):
    """A memory resource whose blocks have one end: that of the ``with`` block, or `close`, `reset`, a mark's release.

    A block is placed behind the one before, in chunks of the upstream. It costs no book-keeping, so a million of them
    end as fast as one. Once the arena has ended, its handle is freed, and says so. A block may be freed before that, or
    its handle dropped: then it no longer counts, but unless it was the last one its room waits for the end.

    A *view* (a memoryview, an array) that is still there at the end has escaped. With ``on_escape="raise"`` that is
    an error, nothing ends, and whoever drops the view may close again. With ``"promote"`` the chunks that escaped
    views look at live until the last of these views is gone, without a copy; all others go back at once. Never is there
    a view of memory that is somebody else's by now.

    Parameters
    ----------
    source
        A size, such as ``"64MiB"``: the arena has a space of its own, with that much address space and no more. Or
        the resource that chunks come from: a heap, an adaptor, another arena.
    on_escape
        What happens to views that outlive the arena: ``"raise"`` or ``"promote"``.
    chunk_bytes
        Bytes of a chunk; a request for more than a quarter of it gets one of its own.
    sites
        Remember where each block was allocated, for `ViewsEscaped`. Costs about a microsecond a block.
    name
        Appears in errors and reports.

    Examples
    --------
    >>> import heapwright as hw
    >>> with hw.Arena("64MiB") as arena:
    ...     table = arena.ndarray((1000, 8), "f8", zero=True)
    ...     total = float(table.sum())
    ...     block = arena.allocate(100)
    ...     del table
    >>> total, block.state.value
    (0.0, 'freed')
    >>> with hw.Arena("64MiB", on_escape="promote") as arena:
    ...     kept = arena.ndarray(3, "i4")
    ...     kept[:] = 1, 2, 3
    >>> int(kept.sum())
    6
    """

    __slots__ = (
        "__weakref__",
        "_birthplaces",
        "_chunks",
        "_closed",
        "_lock",
        "_marks",
        "_on_escape",
        "_owns_upstream",
        "_resets",
        "name",
    )

    name: str
    _chunks: ChunkStack
    _lock: ForkLock  # of the chunks; the blocks' is the GIL
    _marks: dict[int, Place]  # where each open mark was set, by depth
    _on_escape: OnEscape
    _birthplaces: Birthplaces | None
    _closed: bool
    _owns_upstream: bool
    _resets: int

    def __new__(  # noqa: D102  # the class says it
        cls,
        source: Size | Resource[Any],
        *,
        on_escape: OnEscape = "raise",
        chunk_bytes: Size = "1MiB",
        sites: bool = False,
        name: str = "",
    ) -> Self:
        if on_escape not in ("raise", "promote"):
            raise ValueError(f"on_escape={on_escape!r} is no choice. Give 'raise' or 'promote'")
        birthplaces = Birthplaces() if sites else None
        self = super().__new__(cls, birthplaces)
        self.name = name
        self._birthplaces = birthplaces
        self._on_escape = on_escape
        self._owns_upstream = isinstance(source, str | SupportsIndex)
        chunk = max(GRANULE_BYTES, parse_size(chunk_bytes))
        if isinstance(source, str | SupportsIndex):
            size = max(GRANULE_BYTES, parse_size(source))
            self._chunks = ChunkStack(HeapBuilder().capacity(size).name(name or "arena").build(), min(chunk, size))
        else:
            self._chunks = ChunkStack(source, chunk)
        self._marks = {}
        self._lock = ForkLock()
        self._closed = False
        self._resets = 0
        return self

    def __repr__(self) -> str:
        held = f"{format_size(self._chunks.size_bytes)} in {len(self._chunks.chunks)} chunks"
        state = "closed" if self._closed else held
        return f"<Arena{f' {self.name!r}' if self.name else ''}, {state}>"

    @property
    def upstream(self) -> Resource[Any]:
        """The resource that chunks come from."""
        return self._chunks.upstream

    @property
    def closed(self) -> bool:
        """Whether it has ended for good."""
        return self._closed

    @property
    def on_escape(self) -> str:
        """What happens to views that outlive the arena."""
        return self._on_escape

    # ---- what is in it ---------------------------------------------------------------------------------------------

    def ndarray(
        self,
        shape: SupportsIndex | tuple[SupportsIndex, ...],
        dtype: DTypeLike = float,
        *,
        zero: bool = False,
        alignment: Size = ARRAY_ALIGNMENT,
    ) -> np.ndarray[Any, Any]:
        """Return an array that lies in the arena. Its elements are what was there before, unless `zero`.

        Raises
        ------
        TypeError
            The dtype holds Python objects, whose references would be lost at the end.
        OutOfMemory, LimitExceeded, ArenaClosed
            As by `allocate`.
        """
        import numpy

        kind = numpy.dtype(dtype)
        if kind.hasobject:
            raise TypeError(f"an arena cannot hold {kind}: its references to objects would be lost. Use a plain dtype")
        size = kind.itemsize
        for length in shape if isinstance(shape, tuple) else (shape,):
            size *= length if type(length) is int and length >= 0 else parse_size(operator.index(length))
        if size == 0:
            return numpy.empty(shape, kind)  # no bytes, so nothing that could die
        # NumPy keeps the block and forgets the buffer that it exports; so the block itself counts as a view.
        block: Any = self._allocate_pinned(size, alignment)
        if zero:
            numpy.ndarray(size, "u1", block)[:] = 0
        return numpy.ndarray(shape, kind, block)

    def reallocate(self, block: _native.RegionBlock, size_bytes: Size, /) -> _native.RegionBlock:
        """Copy to a block of another size, and end the old one. Its room comes back with all the rest.

        Raises
        ------
        OutOfMemory, ViewExported, InvalidFree
            The block is as it was.
        """
        size = parse_size(size_bytes)
        new = self.allocate(size, min(block.address & -block.address, CHUNK_ALIGNMENT))
        kept = min(size, block.size_bytes)
        try:
            if block.state.value == "allocated":
                with block.view() as old:
                    new.write(0, old[:kept])
            self.deallocate(block)
            _native.birth_moved(block, new)
        except BaseException:
            self.deallocate(new)
            raise
        return new

    def owns(self, address: int, /) -> bool:
        """Say whether an address lies in one of its chunks. O(chunks)."""
        return any(0 <= address - chunk.region.address < chunk.size_bytes for chunk in self._chunks.chunks)

    # ---- its end ---------------------------------------------------------------------------------------------------

    def mark(self) -> Mark:
        """Return a mark: what is allocated from now on ends with its release, or with the mark's ``with`` block. O(1).

        Raises
        ------
        TooManyMarks
            63 are open.
        ArenaClosed
            It is closed.

        Examples
        --------
        >>> import heapwright as hw
        >>> arena = hw.Arena("1MiB")
        >>> kept = arena.allocate(64)
        >>> with arena.mark():
        ...     scratch = arena.allocate(64)
        >>> kept.state.value, scratch.state.value
        ('allocated', 'freed')
        """
        self._require_open()
        with self._lock:
            serial, depth = self._set_mark()
            self._marks[depth] = (
                self._chunks.place()
            )  # second: what comes between is ended by the mark, and stays below it
        return Mark(self, serial, depth)

    def release(self, mark: Mark) -> None:
        """End all that was allocated since a mark, with later marks and itself. O(chunks since).

        Raises
        ------
        ViewsEscaped
            A view of a block since is exported, and escaping is an error here; nothing ended.
        InvalidMark
            It is another's, or was released.
        """
        if not isinstance(mark, Mark):
            raise TypeError(f"expected a mark of this arena, not {type(mark).__name__}")
        mark.release_on(self)

    def release_mark(self, serial: int, depth: int) -> bool:
        """Do what `release` does for the mark with these numbers; False if it is not open."""
        with self._lock:
            if not self.is_mark_open(serial, depth):
                return False
            self._end("release the mark", depth, self._marks[depth])
            return True

    def reset(self) -> None:
        """End all that is in it, and all marks; begin anew with the same chunks. O(chunks), whatever the blocks.

        Raises
        ------
        ViewsEscaped
            A view is exported, and escaping is an error here; nothing ended.
        ArenaClosed
            It is closed.
        """
        with self._lock:
            self._require_open()
            self._end("reset the arena", 0, NOTHING)
            self._resets += 1

    def close(self) -> None:
        """End all that is in it, and give every chunk back. A closed arena stays closed; closing it again is nothing.

        Raises
        ------
        ViewsEscaped
            A view is exported, and escaping is an error here. The arena is as it was: drop the view, and close again.
        """
        with self._lock:
            if self._closed:
                return
            self._end("close the arena", 0, NOTHING)
            self._closed = True
            self.trim()
            if self._owns_upstream:
                self.upstream.trim()  # its pages go back now, and its addresses with the last view

    def trim(self, keep_bytes: Size = 0) -> int:
        """Give chunks that wait for reuse since a reset back to the upstream; return the bytes given back."""
        with self._lock:
            return self._chunks.trim(parse_size(keep_bytes))

    def statistics(self) -> ArenaStatistics:
        """Return exact figures. O(chunks)."""
        chunks = self._chunks
        held, filled = chunks.size_bytes + chunks.spare_bytes, chunks.filled_bytes
        return ArenaStatistics(
            **self.counters(),
            allocated_bytes=filled,
            committed_bytes=held,
            reserved_bytes=held,
            free_bytes=held - filled,
            chunk_count=len(chunks.chunks),
            spare_bytes=chunks.spare_bytes,
            reset_count=self._resets,
            promoted_count=chunks.promoted_count,
            promoted_bytes=chunks.promoted_bytes,
            promoted_live_count=len(chunks.promoted),
        )

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except ViewsEscaped as escaped:
            if exc is None:
                raise
            # The body's own error counts: its traceback is what holds the views, as a rule. They die with it, the arena
            # with them.
            exc.add_note(f"heapwright: {self!r} is not closed: {escaped}")

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _find_region(self, size_bytes: int, alignment: int, raises: bool) -> _native.Region | None:
        """Return a region with room for a request: called where the one that is being filled has none."""
        with self._lock:
            self._require_open()
            region = self._chunks.push(size_bytes, alignment, raises)
            self._fill(self._chunks.filling)
            return region

    def _end(self, what: str, depth: int, place: Place) -> None:
        promotes = self._on_escape == "promote"
        exports = self._end_epochs(depth, promotes)
        if exports and not promotes:
            raise ViewsEscaped(
                what=what,
                address=self._chunks.chunks[0].region.address,
                size_bytes=self._chunks.size_bytes,
                exports=exports,
                sites=() if self._birthplaces is None else self._birthplaces.exposed(),
            )
        self._chunks.return_to(place, viewed=exports > 0)
        self._fill(self._chunks.filling)
        if depth == 0 and self._birthplaces is not None:
            self._birthplaces.forget()

    def _require_open(self) -> None:
        if self._closed:
            raise ArenaClosed(resource=repr(self))
