"""Birthplaces: where the blocks of an arena were allocated, for the error that says whose views escaped."""

from __future__ import annotations

import weakref
from collections import Counter

from heapwright import _native
from heapwright.model.call_stack import call_stack, named
from heapwright.model.witnesses import come_forward


class Birthplaces:
    """Remembers the line outside heapwright that each block comes from. Called with each new block."""

    def __init__(self) -> None:
        self._born: list[tuple[weakref.ref[_native.RegionBlock], str]] = []
        come_forward(self)

    def __call__(self, block: _native.RegionBlock) -> None:
        """Note who allocates."""
        self._born.append((weakref.ref(block), str(named(call_stack(1))[0])))

    def site_of(self, thing: object) -> str | None:
        """Return where a block of the arena was allocated. O(blocks)."""
        return next((site for reference, site in self._born if reference() is thing), None)

    def exposed(self) -> tuple[str, ...]:
        """Return the sites of blocks with views, the most frequent first."""
        counts = Counter(site for reference, site in self._born if (block := reference()) and block.exports)
        return tuple(f"{site} ({count})" if count > 1 else site for site, count in counts.most_common())

    def forget(self) -> None:
        """Begin anew: those blocks are dead."""
        self._born.clear()
