"""The native core without a space under it: a private build of the strategies, called through ctypes.

Its control region may be copied elsewhere between any two calls: `Core.relocate`. The old copy is overwritten, so
whoever still looks there finds nonsense.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from typing import Any

OK, NO_MEMORY, CONTROL_FULL, NOT_LIVE, BAD_ARGUMENT = range(5)
NONE = 0xFFFFFFFF
_ALIGNMENT = 64


class Handle(Structure):
    """hw_strategy_handle."""

    _fields_ = (("offset_bytes", c_uint64), ("number", c_uint32))


class Seen(Structure):
    """hw_strategy_seen."""

    _fields_ = (
        ("offset_bytes", c_uint64),
        ("size_bytes", c_uint64),
        ("requested_bytes", c_uint64),
        ("live", c_bool),
        ("next", c_uint32),
    )


class Totals(Structure):
    """hw_strategy_totals."""

    _fields_ = (
        ("requested", c_uint64),
        ("allocated", c_uint64),
        ("free", c_uint64),
        ("peak_requested", c_uint64),
        ("peak_allocated", c_uint64),
        ("total_requested", c_uint64),
        ("total_allocated", c_uint64),
        ("blocks", c_uint64),
        ("peak_blocks", c_uint64),
        ("total_blocks", c_uint64),
        ("freed_blocks", c_uint64),
        ("holes", c_uint64),
    )


_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "hw_strategy_control_bytes": (c_size_t, (ctypes.c_int, c_uint32)),
    "hw_strategy_init": (ctypes.c_int, (c_void_p, c_uint32, ctypes.c_int, c_uint64, c_uint32)),
    "hw_strategy_grown_bytes": (c_size_t, (c_void_p,)),
    "hw_strategy_grow": (None, (c_void_p, c_void_p)),
    "hw_strategy_resize": (ctypes.c_int, (c_void_p, Handle, c_uint64)),
    "hw_strategy_totals_of": (Totals, (c_void_p,)),
    "hw_strategy_first": (c_uint32, (c_void_p,)),
    "hw_strategy_see": (Seen, (c_void_p, c_uint32)),
    "hw_strategy_check": (c_char_p, (c_void_p, POINTER(c_uint64))),
    "hw_prove_allocate": (ctypes.c_int, (c_void_p, c_uint64, c_uint64, POINTER(Handle))),
    "hw_prove_free": (ctypes.c_int, (c_void_p, Handle)),
}


@cache
def _loaded(library: str) -> ctypes.CDLL:
    core = ctypes.CDLL(library)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(core, name)
        function.restype = result
        function.argtypes = arguments
    return core


class _Region:
    """Aligned bytes."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._bytes = (c_char * (size_bytes + _ALIGNMENT))()
        start = ctypes.addressof(self._bytes)
        self.address = start + -start % _ALIGNMENT

    def copy(self) -> _Region:
        made = _Region(self.size_bytes)
        ctypes.memmove(made.address, self.address, self.size_bytes)
        return made

    def scribble(self) -> None:
        ctypes.memset(self.address, 0xA5, self.size_bytes)


class Core:
    """One control region of one strategy.

    Parameters
    ----------
    library
        A build of the strategies.
    strategy
        Its number, as in `heapwright._native`.
    capacity_bytes
        Of the space that the offsets are in.
    granule_bytes, blocks
        As by hw_strategy_init; few blocks, so that the region has to grow.
    """

    def __init__(
        self, library: str, strategy: int, capacity_bytes: int, granule_bytes: int = 16, blocks: int = 8
    ) -> None:
        self._core = _loaded(library)
        self._region = _Region(self._core.hw_strategy_control_bytes(strategy, blocks))
        result = self._core.hw_strategy_init(self._region.address, blocks, strategy, capacity_bytes, granule_bytes)
        if result != OK:
            raise ValueError(f"hw_strategy_init({blocks}, {strategy}, {capacity_bytes}) said {result}")

    def allocate(self, size_bytes: int, alignment: int) -> Handle | None:
        """Return a handle, or None: bottom."""
        handle = Handle()
        while True:
            result = self._core.hw_prove_allocate(self._region.address, size_bytes, alignment, byref(handle))
            if result != CONTROL_FULL:
                return handle if result == OK else None
            self._grow()

    def deallocate(self, handle: Handle) -> bool:
        """Free; False if the handle was refused."""
        return bool(self._core.hw_prove_free(self._region.address, handle) == OK)

    def resize(self, handle: Handle, size_bytes: int) -> bool:
        """Grow or shrink in place; False if that cannot be."""
        while True:
            result = self._core.hw_strategy_resize(self._region.address, handle, size_bytes)
            if result != CONTROL_FULL:
                return bool(result == OK)
            self._grow()

    def relocate(self) -> None:
        """Copy the region elsewhere, and overwrite where it was."""
        moved = self._region.copy()
        self._region.scribble()
        self._region = moved

    def fork(self) -> Core:
        """Return a second core in the same state."""
        other = object.__new__(Core)
        other._core = self._core
        other._region = self._region.copy()
        return other

    def check(self) -> str | None:
        """Walk the invariants: None, or which one is broken and where."""
        where = c_uint64()
        broken = self._core.hw_strategy_check(self._region.address, byref(where))
        return None if broken is None else f"{broken.decode()} at offset {where.value}"

    def totals(self) -> Totals:
        """Return the counters."""
        totals: Totals = self._core.hw_strategy_totals_of(self._region.address)
        return totals

    def draw(self) -> str:
        """Return blocks in brackets and holes without, by address, as the model draws them."""
        parts, number = [], self._core.hw_strategy_first(self._region.address)
        while number != NONE:
            seen = self._core.hw_strategy_see(self._region.address, number)
            parts.append(f"[{seen.size_bytes}]" if seen.live else str(seen.size_bytes))
            number = seen.next
        return " ".join(parts)

    def _grow(self) -> None:
        larger = _Region(self._core.hw_strategy_grown_bytes(self._region.address))
        self._core.hw_strategy_grow(self._region.address, larger.address)
        self._region.scribble()
        self._region = larger
