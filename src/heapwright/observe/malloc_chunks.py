"""Recognises the C library's memory from outside: large blocks with a mapping of their own, and threads' heaps.

glibc's layout (malloc/malloc.c, malloc/arena.c of 2.26 to 2.41): a block that `malloc` mapped for itself starts with
the words ``[correction, size | IS_MMAPPED]`` at ``mapping + correction``, where `correction` is not 0 only for aligned
blocks; a thread's heap starts at a multiple of 64 MiB with ``[arena, previous, size, ...]``.
"""

from __future__ import annotations

import struct
from itertools import compress
from typing import TYPE_CHECKING

from heapwright import _native
from heapwright.observe.mappings import PAGE_BYTES, Pagemap

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAP_BYTES = 64 << 20
IS_MMAPPED = 2
FLAGS = 7
CORRECTIONS = (0, *((1 << power) - 16 for power in range(5, 13)))
PAGES_SEARCHED = 4096
"""How far to look for the next block behind bytes that are not malloc's."""
SMALLEST_FOUND_BYTES = 64 << 10
"""A block found by searching is at least this long: program data can look like the header of a small one."""


def thread_heap_bytes(pid: int, start: int, end: int) -> int:
    """Length of the thread heap at `start`, or 0 if there is none."""
    if start % HEAP_BYTES:
        return 0
    arena, _, size, _ = struct.unpack("<4Q", _read(pid, [start], 32))
    plausible = arena % 16 == 0 and arena > 0 and 0 < size <= HEAP_BYTES and size % PAGE_BYTES == 0
    return min(HEAP_BYTES, end - start) if plausible else 0


def mapped_blocks(pid: int, start: int, end: int, limit: int, pagemap: Pagemap) -> Iterator[tuple[int, int]]:
    """Address ranges that begin in [start, end) and are large blocks of `malloc`, in order.

    A block may reach beyond `end`, up to `limit`: advice on a part of it (NumPy asks for huge pages from the
    second page on) splits its mapping.

    Only resident pages are read: reading an absent one would have the kernel map it.
    """
    at = start
    searched = 0
    while at < end:
        if size := _block_bytes(pid, at, limit) if any(pagemap.present(at, at + PAGE_BYTES)) else 0:
            yield at, at + size
            at += size
            continue
        window = range(at + PAGE_BYTES, min(end, at + PAGE_BYTES * 512), PAGE_BYTES)
        if not window or searched >= PAGES_SEARCHED:
            return
        pages = list(compress(window, pagemap.present(window[0], window[-1] + PAGE_BYTES)))
        words = memoryview(_read(pid, pages, 16)).cast("Q")
        for page, correction, size in zip(pages, words[0::2], words[1::2], strict=True):
            if correction == 0 and _is_block(0, size, limit - page) and size >= SMALLEST_FOUND_BYTES:
                at = page
                break
        else:
            searched += len(window)
            at = window[-1]


def _block_bytes(pid: int, at: int, limit: int) -> int:
    words = memoryview(_read(pid, [at + correction for correction in CORRECTIONS], 16)).cast("Q")
    for wanted, correction, size in zip(CORRECTIONS, words[0::2], words[1::2], strict=True):
        if correction == wanted and _is_block(correction, size, limit - at):
            return (size & ~FLAGS) + correction
    return 0


def _is_block(correction: int, size: int, room: int) -> bool:
    total = (size & ~FLAGS) + correction
    return size & FLAGS == IS_MMAPPED and total % PAGE_BYTES == 0 and PAGE_BYTES <= total <= room


def _read(pid: int, addresses: list[int], size_bytes: int) -> bytes:
    return _native.peer_read(pid, struct.pack(f"{len(addresses)}Q", *addresses), size_bytes)
