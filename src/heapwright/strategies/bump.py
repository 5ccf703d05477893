"""Bump: one block behind the other; freed from the end, or all at once back to a mark.

Definition that can be run: `heapwright.model.bump`; code: native/core/bump.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True)
class Bump:
    """The place behind the last block: nothing is searched, and nothing is used again before its end is reached.

    Freeing the last block takes its room back; freeing another one does so only when all behind it are gone. Allocation
    is O(1), and `Heap.release` frees everything since a mark in O(1) for the memory: for blocks that die together.
    Source: Hanson, Software: Practice and Experience 20(1), 1990.

    Examples
    --------
    >>> Bump().name
    'bump'
    """

    name: ClassVar[str] = "bump"
    stacks: ClassVar[Literal[True]] = True
