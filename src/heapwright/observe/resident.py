"""Where a process's resident memory is: holders that add up to what the kernel says, to the byte.

The kernel's figure is the sum of ``Rss`` in /proc/PID/smaps (VmRSS counts the same pages, but in per-CPU batches, and
lags by up to some hundred kilobytes). Every mapping goes to the holder that is known to own it; a mapping that several
share (the kernel merges neighbours) is divided by /proc/PID/pagemap. What nobody claims is `UNEXPLAINED`, a line of its
own: memory that other allocators and libraries map for themselves.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from heapwright.observe.arenas import ARENA_BYTES, SmallObjects, small_objects
from heapwright.observe.malloc_chunks import mapped_blocks, thread_heap_bytes
from heapwright.observe.mappings import PAGE_BYTES, Mapping, Pagemap, read_mappings, resident_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heapwright.observe.record import Record

ARRAYS_LIVE = "arrays, live"
ARRAYS_RETAINED = "arrays, retained"
HEAPS_REST = "arrays' heaps, the rest"
OBJECTS_LIVE = "CPython objects, live"
OBJECTS_FREE = "CPython arenas, free"
LIBC_LIVE = "C library heap, live"
LIBC_FREE = "C library heap, free"
FILES = "mapped files and libraries"
LIBRARY_DATA = "libraries' own data"
STACKS = "stacks"
SHARED = "shared memory"
OWN = "heapwright's records"
UNEXPLAINED = "unexplained"
HOLDERS = (
    *(ARRAYS_LIVE, ARRAYS_RETAINED, HEAPS_REST, OBJECTS_LIVE, OBJECTS_FREE, LIBC_LIVE, LIBC_FREE),
    *(FILES, LIBRARY_DATA, STACKS, SHARED, OWN, UNEXPLAINED),
)

# Owners before they are divided into live and free.
_PAGE_HEAP, _ARENAS, _MALLOC_HEAPS, _MALLOC_BLOCKS = "page heap", "arenas", "malloc heaps", "malloc blocks"
_ARRAY_HEAP = "heap at "  # and its address

SHARED_PREFIXES = ("/memfd:", "/dev/shm/", "/SYSV", "/dev/zero", "/anon_hugepage", "/run/shm/")
DEFAULT_STACK_BYTES = 8 << 20
BSS_BYTES_MAX = 64 << 20


class Breakdown(NamedTuple):
    """Resident memory of one process at one moment.

    Parameters
    ----------
    holders
        Every name of `HOLDERS` -> bytes; their sum is `resident_bytes`.
    resident_bytes
        The kernel's figure.
    peak_resident_bytes
        VmHWM at that moment.
    huge_bytes
        Of the resident bytes, those in transparent huge pages.
    arenas
        CPython's small-object arenas, or None if they could not be looked into.
    cost_s
        CPU time that the look took.
    """

    holders: dict[str, int]
    resident_bytes: int
    peak_resident_bytes: int
    huge_bytes: int
    arenas: SmallObjects | None
    cost_s: float


def breakdown(
    pid: int,
    record: Record | None = None,
    arenas: list[int] | None = None,
    session: str | None = None,
    arenas_looked_into: int | None = None,
) -> Breakdown:
    """Explain the resident memory of process `pid`, which may be the caller.

    Parameters
    ----------
    record, arenas
        What the process itself has written down; without them their lines become unexplained.
    session
        Directory of the run; files mapped from there are ours.
    arenas_looked_into
        In at most so many arenas the live objects are counted, evenly chosen; None: in all of them.

    Raises
    ------
    OSError
        If the process is gone or its memory is not ours to look at.
    """
    started_s = time.thread_time()
    mappings = read_mappings(pid)
    with Pagemap(pid) as pagemap:
        owners = _Owners(pid, record, arenas or [], pagemap, session)
        owned: dict[str, int] = {}
        blocks_bytes = 0
        for before, mapping, run_end in zip([None, *mappings], mappings, _run_ends(mappings), strict=False):
            for owner, resident_bytes, span_bytes in owners.of(mapping, before, run_end):
                owned[owner] = owned.get(owner, 0) + resident_bytes
                blocks_bytes += span_bytes if owner == _MALLOC_BLOCKS else 0
        objects = _look_into(pid, arenas, pagemap, arenas_looked_into)
    size = resident_size(pid)
    return Breakdown(
        _holders(owned, record, objects, blocks_bytes),
        sum(mapping.resident_bytes for mapping in mappings),
        size.peak_bytes,
        sum(mapping.huge_bytes for mapping in mappings),
        objects,
        time.thread_time() - started_s,
    )


def _look_into(pid: int, arenas: list[int] | None, pagemap: Pagemap, at_most: int | None) -> SmallObjects | None:
    if not arenas:
        return None
    try:
        return small_objects(pid, arenas, pagemap, at_most)
    except OSError:
        return None  # process_vm_readv is refused: live and free cannot be told apart


def _holders(
    owned: dict[str, int], record: Record | None, objects: SmallObjects | None, blocks_bytes: int
) -> dict[str, int]:
    """Divide what each owner has resident into live and free, by what the owners themselves say."""
    holders = dict.fromkeys(HOLDERS, 0)
    for owner, resident_bytes in owned.items():
        if owner in holders:
            holders[owner] += resident_bytes
    page_heap = owned.get(_PAGE_HEAP, 0)
    holders[ARRAYS_RETAINED] = min(page_heap, max(0, record["retained_bytes"])) if record else 0
    holders[ARRAYS_LIVE] = page_heap - holders[ARRAYS_RETAINED]
    for heap in record.array_heaps if record else ():
        resident = owned.get(f"{_ARRAY_HEAP}{heap.start}", 0)
        arrays = min(resident, max(0, heap.array_bytes))
        holders[ARRAYS_LIVE] += arrays
        holders[HEAPS_REST] += resident - arrays
    arena_bytes = owned.get(_ARENAS, 0)
    holders[OBJECTS_LIVE] = min(arena_bytes, objects.live_bytes) if objects else arena_bytes
    holders[OBJECTS_FREE] = arena_bytes - holders[OBJECTS_LIVE]
    heaps, blocks = owned.get(_MALLOC_HEAPS, 0), owned.get(_MALLOC_BLOCKS, 0)
    heaps_live = heaps
    if record and record["libc_ns"]:
        heaps_live = min(heaps, max(0, record["libc_arena_bytes"] - record["libc_free_bytes"]))
    holders[LIBC_FREE] = heaps - heaps_live
    arrays = _arrays_in_malloc(record, heaps_live, blocks, blocks_bytes)
    holders[ARRAYS_LIVE] += arrays
    holders[LIBC_LIVE] = heaps_live + blocks - arrays
    return holders


def _arrays_in_malloc(record: Record | None, heaps_live: int, blocks: int, blocks_bytes: int) -> int:
    """Resident bytes of the arrays that the C library serves: all of them with ``--allocator system``.

    Their number is exact, their residence an estimate: large blocks are taken to be arrays as far as the arrays'
    bytes reach, and arrays to be touched as much as large blocks are on average.
    """
    if record is None or (record.hook_is_raw and record.allocator == "pooled"):
        return 0  # what the raw domain forwards is mostly CPython's
    arrays = max(0, record["forwarded_bytes"])
    in_blocks = min(arrays, blocks_bytes)
    resident = blocks * in_blocks // blocks_bytes if blocks_bytes else 0
    return resident + min(arrays - in_blocks, heaps_live)


def _run_ends(mappings: list[Mapping]) -> list[int]:
    """For each mapping, where the unbroken run of writable anonymous mappings that it is part of ends."""
    ends: list[int] = []
    following: Mapping | None = None
    for mapping in reversed(mappings):
        joined = (
            following is not None
            and following.start == mapping.end
            and not following.path
            and following.permissions == mapping.permissions
        )
        ends.append(ends[-1] if joined else mapping.end)
        following = mapping
    return ends[::-1]


class _Owners:
    """Says who owns which part of a mapping."""

    def __init__(
        self, pid: int, record: Record | None, arenas: list[int], pagemap: Pagemap, session: str | None
    ) -> None:
        self._pid = pid
        self._pagemap = pagemap
        self._arenas = arenas
        self._session = session + "/" if session else None
        self._written_down = list(_written_down(record)) if record else []
        self._file_end = 0
        self._block_end = 0

    def of(self, mapping: Mapping, before: Mapping | None, run_end: int) -> Iterator[tuple[str, int, int]]:
        """Yield (owner, resident bytes, address range in bytes), adding up to the mapping's resident bytes."""
        if mapping.path and not mapping.path.startswith("[anon"):
            yield from self._named(mapping)
            return
        left = mapping.resident_bytes
        spans = list(self._spans(mapping, before, run_end))
        if len(spans) == 1:
            yield spans[0][0], left, mapping.size_bytes
            return
        for owner, start, end in spans:
            # The pagemap also counts the zero page, smaps does not: never more than the mapping has.
            resident = min(left, self._pagemap.resident_bytes(start, end))
            left -= resident
            yield owner, resident, end - start
        if left:  # pages came or went between the two looks
            yield UNEXPLAINED, left, 0

    def _named(self, mapping: Mapping) -> Iterator[tuple[str, int, int]]:
        path, size = mapping.path, mapping.size_bytes
        if path == "[heap]":
            yield _MALLOC_HEAPS, mapping.resident_bytes, size
        elif path.startswith("[stack"):
            yield STACKS, mapping.resident_bytes, size
        elif self._session and path.startswith(self._session):
            yield OWN, mapping.resident_bytes, size
        elif path.startswith(SHARED_PREFIXES):
            yield SHARED, mapping.resident_bytes, size
        else:
            self._file_end = mapping.end if mapping.inode else 0
            yield FILES, mapping.resident_bytes - mapping.anonymous_bytes, size
            yield LIBRARY_DATA, mapping.anonymous_bytes, 0

    def _spans(self, mapping: Mapping, before: Mapping | None, run_end: int) -> Iterator[tuple[str, int, int]]:
        """Divide an anonymous mapping into (owner, start, end)."""
        at = mapping.start
        for owner, start, end in [*self._known(mapping), ("", mapping.end, mapping.end)]:
            if at < start:
                yield from self._unknown(mapping, before, at, start, run_end)
            if owner:
                yield owner, start, end
            at = end

    def _known(self, mapping: Mapping) -> Iterator[tuple[str, int, int]]:
        found = [
            (max(mapping.start, start), min(mapping.end, end), owner)
            for owner, start, end in self._written_down
            if start < mapping.end and mapping.start < end
        ]
        found += ((start, end, _ARENAS) for start, end in self._arenas_in(mapping))
        for start, end, owner in sorted(found):
            yield owner, start, end

    def _arenas_in(self, mapping: Mapping) -> Iterator[tuple[int, int]]:
        """Yield arenas of CPython, each with those that follow it without a gap, as (start, end)."""
        index = bisect_left(self._arenas, mapping.start)
        while index < len(self._arenas) and self._arenas[index] + ARENA_BYTES <= mapping.end:
            first = end = self._arenas[index]
            while index < len(self._arenas) and self._arenas[index] == end:
                end += ARENA_BYTES
                index += 1
            yield first, end

    def _unknown(
        self, mapping: Mapping, before: Mapping | None, start: int, end: int, run_end: int
    ) -> Iterator[tuple[str, int, int]]:
        """Divide a range that nobody has written down, by what lies there."""
        if start < self._block_end:
            yield _MALLOC_BLOCKS, start, min(end, self._block_end)
            start = min(end, self._block_end)
        if mapping.resident_bytes == 0:
            if start < end:
                yield UNEXPLAINED, start, end
            return
        if start == self._file_end and end - start <= BSS_BYTES_MAX:
            yield LIBRARY_DATA, start, end  # .bss, right behind .data
            return
        if start == mapping.start and _is_guard(before, start):
            top = min(end, max(start + PAGE_BYTES, start - PAGE_BYTES + DEFAULT_STACK_BYTES))
            yield STACKS, start, top
            start = top
        try:
            if length := thread_heap_bytes(self._pid, start, end) if start < end else 0:
                yield _MALLOC_HEAPS, start, start + length
                start += length
            for first, last in mapped_blocks(self._pid, start, end, run_end, self._pagemap):
                if start < first:
                    yield UNEXPLAINED, start, first
                yield _MALLOC_BLOCKS, first, min(last, end)
                start = min(last, end)
                self._block_end = last
        except OSError:
            pass  # process_vm_readv is refused: what it holds stays unexplained
        if start < end:
            yield UNEXPLAINED, start, end


def _written_down(record: Record) -> Iterator[tuple[str, int, int]]:
    """Yield (owner, start, end) of what the process has written down of its own memory."""
    if start := record["heap_base"]:
        yield _PAGE_HEAP, start, start + record["heap_committed_bytes"]
    for heap in record.array_heaps:
        yield f"{_ARRAY_HEAP}{heap.start}", heap.start, heap.start + heap.size_bytes


def _is_guard(before: Mapping | None, start: int) -> bool:
    """A thread's stack lies right above one inaccessible page."""
    return (
        before is not None
        and before.end == start
        and before.permissions == "---p"
        and not before.path
        and before.size_bytes == PAGE_BYTES
    )
