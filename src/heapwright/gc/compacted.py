"""What compaction did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Compacted:
    """A compaction: how many records moved, and what came of it."""

    moved: int  #: records that are somewhere else now
    pinned_classes: int  #: that have holes, and stay as they are: a column of them is in use
    returned_bytes: int  #: to the operating system
