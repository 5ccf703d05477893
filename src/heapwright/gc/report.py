"""The report: all that a record heap says of itself, on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heapwright.gc.dominators import Dominators
from heapwright.gc.picture import draw
from heapwright.gc.statistics import RecordStatistics
from heapwright.gc.tabulate import tabulate
from heapwright.model.sizes import format_size

if TYPE_CHECKING:
    from heapwright.gc.reports import Reports

_SHOWN = 3


def report(heap: Reports) -> str:
    """Return the page."""
    tree = Dominators(heap)
    _, groups, in_groups, dead_groups, dead_records = heap._cycles(0, 0)
    lines = [
        *_memory(heap.statistics()),
        f"groups  records that reach each other: {in_groups:,} in {groups:,} groups; garbage among them: "
        f"{dead_records:,} in {dead_groups:,}; cycles() tells how",
        "",
        *_classes(tree, heap.statistics()),
        "",
        *draw(heap, 60).splitlines(),
        "",
        *map(str, map(tree.retainer, tree.largest(_SHOWN))),
    ]
    return "\n".join(lines)


def _memory(s: RecordStatistics) -> list[str]:
    used, capacity, peak, bound = map(format_size, (s.used_bytes, s.capacity_bytes, s.peak_used_bytes, s.bound_bytes))
    p50, p99, longest = (
        ns / 1e6 for ns in (s.pauses.quantile_ns(0.5), s.pauses.quantile_ns(0.99), s.pauses.longest_ns)
    )
    return [
        f"in use  {used} of {capacity}; at the peak {peak}; before the next cycle has ended at most {bound}",
        f"roots   handles {s.handles:,}, runs {s.runs:,}",
        f"cycles  whole {s.whole_cycles:,}, minor {s.minor_cycles:,}, hurried {s.hurried_cycles:,}; "
        f"records freed {s.freed_records:,}",
        f"pauses  {s.pauses.count:,}, {s.pauses.total_ns / 1e6:.1f} ms in all; half within {p50:.2g} ms, "
        f"99 % within {p99:.2g} ms, the longest {longest:.2g} ms",
    ]


def _classes(tree: Dominators, s: RecordStatistics) -> list[str]:
    rows = []
    for cls, kept in sorted(tree.by_class().items(), key=lambda item: -item[1].retained_bytes):
        c = s.classes[cls]
        row = (kept.records, kept.unreachable, c.places - c.live)
        sizes = (c.record_bytes, c.payload_bytes, c.hole_bytes, kept.retained_bytes)
        rows.append((cls.__name__, *(f"{n:,}" for n in row), *map(format_size, sizes)))
    head = ("class", "reachable", "garbage", "holes", "records", "texts, arrays", "in holes", "retained")
    return tabulate(head, rows)
