"""Collectors: when and how a record heap finds what is unreachable. Each is a value that a heap is made with.

All of them trace exactly and free the same records; they differ in who waits, for how long, and in what memory.

=================  ==========================================  ==================================================
collector          the program waits                           in use, with at most R bytes reachable, is at most
=================  ==========================================  ==================================================
`MarkSweep`        for a whole cycle: 30 ms at a million       (1 + growth) R, but `minimum` beyond R at least
`Generational`     for what is new, mostly                     the same; what died old waits for a whole cycle
`Incremental`      `budget_us` at a time                       4/3 of that: with what died or was made meanwhile
`Concurrent`       for the two ends of a cycle                 the same
=================  ==========================================  ==================================================

The bound is asserted at every allocation that looks at it (native/heap/record_pace.h), and `heapwright prove` checks it
against programs that are made to break it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

from heapwright.model.sizes import Size, parse_size

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkSweep:
    """Everything at once: the least total work, and the longest pauses.

    Parameters
    ----------
    growth
        A cycle begins when the heap has grown by this part of what the last one left. More is fewer cycles and more
        memory.
    minimum
        Bytes that it grows by in any case.
    automatic
        False: only when `collect` is called.
    every
        For tests: also at every so many allocations; 0 for not.
    compact_above
        A whole cycle is followed by a compaction where more than this part of the places is holes; 1.0: never.
    """

    growth: float = 1.0
    minimum: Size = "4MiB"
    automatic: bool = True
    every: int = 0
    compact_above: float = 1.0

    def __post_init__(self) -> None:
        """Check the figures."""
        _check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generational:
    """The young first: a minor collection looks at what was made since the last one, and at old records written to.

    Pays where most records die young. A store into an old record costs a few nanoseconds more.

    Parameters
    ----------
    nursery
        Bytes that are made between minor collections.
    promote_after
        Minor collections that a record survives before it is old, 1 to 4.
    growth, minimum, automatic, every, compact_above
        As of `MarkSweep`, for whole collections.
    """

    nursery: Size = "4MiB"
    promote_after: int = 1
    growth: float = 1.0
    minimum: Size = "4MiB"
    automatic: bool = True
    every: int = 0
    compact_above: float = 1.0

    def __post_init__(self) -> None:
        """Check the figures."""
        _check(self)
        if not 1 <= self.promote_after <= 4:
            raise ValueError(f"promote_after is 1 to 4, not {self.promote_after}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incremental:
    """A slice at a time, between allocations: short pauses, some more work in all.

    Parameters
    ----------
    budget_us
        Microseconds that a slice takes, about. Where the program makes records faster than slices free them, the bound
        on memory goes first: `statistics().hurried_cycles` says how often.
    growth, minimum, automatic, every, compact_above
        As of `MarkSweep`.
    """

    budget_us: float = 500
    growth: float = 1.0
    minimum: Size = "4MiB"
    automatic: bool = True
    every: int = 0
    compact_above: float = 1.0

    def __post_init__(self) -> None:
        """Check the figures."""
        _check(self)
        if not self.budget_us > 0:
            raise ValueError(f"budget_us is a time, not {self.budget_us}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrent:
    """Marking on a thread of its own, without the GIL, while the program runs; it waits for roots and end only.

    Parameters
    ----------
    budget_us
        As of `Incremental`, for these two.
    growth, minimum, automatic, every, compact_above
        As of `MarkSweep`.
    """

    budget_us: float = 500
    growth: float = 1.0
    minimum: Size = "4MiB"
    automatic: bool = True
    every: int = 0
    compact_above: float = 1.0

    def __post_init__(self) -> None:
        """Check the figures."""
        _check(self)
        if not self.budget_us > 0:
            raise ValueError(f"budget_us is a time, not {self.budget_us}")


class Collector(Protocol):
    """What a heap that collects garbage does: `RecordHeap` does it with each of the collectors above."""

    def new(self, cls: type[C], /, **fields: Any) -> C:
        """Make an object of a class."""

    def collect(self) -> int:
        """Free what is unreachable; return how many objects."""

    def step(self, budget_us: float = 500) -> bool:
        """Do a part of that, in about so long; return whether a cycle has ended."""

    def statistics(self) -> Any:
        """Return figures."""


Collecting = MarkSweep | Generational | Incremental | Concurrent

_NUMBERS: dict[type, int] = {MarkSweep: 0, Generational: 1, Incremental: 2, Concurrent: 3}


def policy(collector: Collecting) -> tuple[int, bool, int, float, int, int, int, int, float]:
    """Return what native/heap/record_pace.h knows of a collector, in the order of its constructor."""
    if type(collector) not in _NUMBERS:
        raise TypeError(
            f"{collector!r} is not a collector: give MarkSweep(), Generational(), Incremental() or Concurrent()"
        )
    values: dict[str, Any] = {field.name: getattr(collector, field.name) for field in fields(collector)}
    return (
        _NUMBERS[type(collector)],
        collector.automatic,
        parse_size(collector.minimum),
        collector.growth,
        parse_size(values.get("nursery", 0)),
        round(values.get("budget_us", 0) * 1000),
        values.get("promote_after", 0),
        collector.every,
        collector.compact_above,
    )


def _check(collector: Any) -> None:
    if not 0 < collector.growth < 1000:
        raise ValueError(f"growth is a part of what is in use, more than 0, not {collector.growth}")
    if parse_size(collector.minimum) < 1:
        raise ValueError("minimum is 1 byte at least")
    if not 0 <= collector.compact_above <= 1:
        raise ValueError(f"compact_above is a part of the places, 0 to 1, not {collector.compact_above}")
    if collector.every < 0:
        raise ValueError(f"every is 0 or more, not {collector.every}")
