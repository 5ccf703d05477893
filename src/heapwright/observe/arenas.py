"""CPython's small objects: which arenas there are, and how much of them is live.

Every pool of 16 KiB starts with a header that counts its live blocks, so exact live bytes cost one header per pool and
nothing at all while the program runs.
"""

from __future__ import annotations

import struct
from itertools import compress
from operator import mul
from typing import NamedTuple

from heapwright import _native
from heapwright.observe.mappings import PAGE_BYTES, Pagemap

ARENA_BYTES = 1 << 20
POOL_BYTES = 1 << 14
POOL_HEADER_BYTES = 48
SIZE_CLASSES = 32
GRAIN_BYTES = 16

_HEADER = struct.Struct("<5q24x")
_MAGIC = 0x31305341524E4552  # native/process/arenas.h
_COUNT_WORD, _SIZE_CLASS_WORD, _HEADER_WORDS = 0, 9, 12


class SmallObjects(NamedTuple):
    """How many arenas there are, and the live bytes in them."""

    arenas: int
    live_bytes: int


def read_arenas(path: str) -> list[int] | None:
    """Addresses of the live arenas, in order; None if there is no table or it is incomplete.

    Raises nothing: the process that writes the table may have died at any instruction.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            content = file.read()
    except OSError:
        return None
    if len(content) < _HEADER.size:
        return None
    magic, version, arena_bytes, slots, lost = _HEADER.unpack_from(content)
    if (magic, version, arena_bytes, lost) != (_MAGIC, 1, ARENA_BYTES, 0):
        return None
    stored = content[_HEADER.size : _HEADER.size + 8 * max(0, slots)]
    addresses = memoryview(stored[: len(stored) // 8 * 8]).cast("q")
    return sorted(address for address in addresses if address > 0 and address % PAGE_BYTES == 0)


def small_objects(pid: int, arenas: list[int], pagemap: Pagemap, at_most: int | None = None) -> SmallObjects:
    """Count what is live in `arenas` of process `pid`: in all, or in `at_most` of them and by proportion.

    Only the headers of resident pools are read; reading an absent page would have the kernel map one.

    Raises
    ------
    OSError
        If the kernel does not let us read the process's memory.
    """
    looked_into = arenas if at_most is None else arenas[:: -(-len(arenas) // at_most)]
    pools: list[int] = []
    for arena in looked_into:
        present = pagemap.present(arena, arena + ARENA_BYTES)
        skip = -arena % POOL_BYTES
        starts = range(arena + skip, arena + ARENA_BYTES - POOL_BYTES + 1, POOL_BYTES)
        pools += compress(starts, present[skip // PAGE_BYTES :: POOL_BYTES // PAGE_BYTES])
    headers = _native.peer_read(pid, struct.pack(f"{len(pools)}Q", *pools), POOL_HEADER_BYTES)
    words = memoryview(headers).cast("I")
    counts, classes = words[_COUNT_WORD::_HEADER_WORDS], words[_SIZE_CLASS_WORD::_HEADER_WORDS]
    # A pool that is being carved right now may show anything: the class bounds what it can say.
    sizes = [(szidx + 1) * GRAIN_BYTES if szidx < SIZE_CLASSES else 0 for szidx in classes]
    live_bytes = sum(min(amount, POOL_BYTES) for amount in map(mul, counts, sizes))
    return SmallObjects(len(arenas), live_bytes * len(arenas) // max(1, len(looked_into)))
