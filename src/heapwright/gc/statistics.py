"""The figures of a record heap, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heapwright import _native

PHASES = ("idle", "roots", "trace", "weak handles", "weak", "finalize", "trace again", "sweep")


@dataclass(frozen=True, slots=True)
class ClassStatistics:
    """The records of one class."""

    stride_bytes: int  #: of a record
    live: int  #: records that are there, reachable or not collected yet
    places: int  #: records and holes between them
    payload_bytes: int  #: texts and arrays that they own
    total_made: int
    total_freed: int

    @property
    def record_bytes(self) -> int:
        """Bytes of the records that are there."""
        return self.live * self.stride_bytes

    @property
    def hole_bytes(self) -> int:
        """Bytes between them: `RecordHeap.compact` gives them back."""
        return (self.places - self.live) * self.stride_bytes


@dataclass(frozen=True, slots=True)
class PauseStatistics:
    """How long the program waited for the collector, by the clock."""

    count: int
    total_ns: int
    longest_ns: int
    histogram: tuple[tuple[int, int], ...]  #: (at least so many ns, how many), of those that there were; powers of 2

    def quantile_ns(self, q: float) -> int:
        """Return a bound that a part q of the pauses did not exceed: the upper end of a bucket."""
        seen = 0
        for at_least, count in self.histogram:
            seen += count
            if seen >= q * self.count:
                return min(2 * at_least, self.longest_ns)
        return self.longest_ns


@dataclass(frozen=True, slots=True)
class RecordStatistics:
    """A record heap."""

    capacity_bytes: int
    used_bytes: int  #: records that are there, and what they own: what pacing counts
    peak_used_bytes: int
    payload_bytes: int
    made_bytes: int  #: ever
    bound_bytes: int  #: what `used_bytes` does not exceed before the next whole cycle has ended, where it is automatic
    classes: Mapping[type, ClassStatistics]
    handles: int
    runs: int
    phase: str  #: of the cycle under way; "idle": none is
    whole_cycles: int
    minor_cycles: int
    compactions: int  #: that followed cycles
    hurried_cycles: int  #: ended at once, since the bound came before the budget
    freed_records: int
    barrier_hits: int  #: stores that had something to do for the collector
    remembered: int  #: old records that may refer to young ones
    pauses: PauseStatistics


def read_statistics(heap: _native.RecordHeap, numbers: Mapping[type, int]) -> RecordStatistics:
    """Return the figures of now."""
    counters = heap._counters()
    classes = {}
    for cls, number in numbers.items():
        pool = heap._pool_counters(number)
        classes[cls] = ClassStatistics(
            stride_bytes=pool["stride_bytes"],
            live=pool["live"],
            places=pool["used"],
            payload_bytes=pool["payload_bytes"],
            total_made=pool["total_made"],
            total_freed=pool["total_freed"],
        )
    pauses = PauseStatistics(
        count=counters["pauses"],
        total_ns=counters["pause_total_ns"],
        longest_ns=counters["pause_longest_ns"],
        histogram=tuple((1 << i, count) for i, count in enumerate(counters["pause_buckets"]) if count),
    )
    same = ("capacity_bytes", "used_bytes", "peak_used_bytes", "payload_bytes", "made_bytes", "handles", "runs")
    more = (
        "whole_cycles",
        "minor_cycles",
        "compactions",
        "hurried_cycles",
        "freed_records",
        "barrier_hits",
        "remembered",
    )
    return RecordStatistics(
        bound_bytes=counters["base_bytes"] + counters["allowance_bytes"] + counters["largest_request_bytes"],
        classes=classes,
        phase=PHASES[counters["phase"]],
        pauses=pauses,
        **{name: counters[name] for name in (*same, *more)},
    )
