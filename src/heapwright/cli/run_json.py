"""The report as JSON: docs/reference/run-json.md documents every key."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heapwright.cli.observation import Child, Look, Outcome
    from heapwright.observe.record import Record

SCHEMA_VERSION = 1


def write_json(outcome: Outcome, path: str) -> None:
    """Write the document to `path`."""
    with open(path, "w") as file:
        json.dump(document(outcome), file, indent=1)
        file.write("\n")


def document(outcome: Outcome) -> dict[str, Any]:
    """Build the document."""
    ending, usage = outcome.ending, outcome.ending.rusage
    return {
        "schema_version": SCHEMA_VERSION,
        "program": outcome.command,
        "exit_code": ending.status,
        "signal": signal.Signals(ending.signal).name if ending.signal in _signals() else ending.signal,
        "wall_s": round(ending.elapsed_s, 6),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 6),
        "user_s": usage.ru_utime,
        "system_s": usage.ru_stime,
        "minor_faults": usage.ru_minflt,
        "major_faults": usage.ru_majflt,
        "peak_resident_bytes": outcome.peak_resident_bytes,
        "final_resident_bytes": outcome.final_resident_bytes,
        "resident_breakdown": _holders(outcome.final_holders()),
        "at_end": _look(outcome.end) | {"orderly": outcome.orderly},
        "at_peak": _look(outcome.peak),
        "arrays": _arrays(outcome.record),
        "c_library": _figures(outcome.record, "libc_"),
        "call_sites": [
            {
                "site": site.site,
                "live_bytes_peak": site.live_bytes_peak,
                "live_bytes_end": site.live_bytes_end,
                "total_bytes": site.total_bytes,
                "via": site.via,
                "samples": site.samples,
                "frames": [str(frame) for frame in site.frames],
            }
            for site in outcome.sites or []
        ],
        "sample_bytes": outcome.options.sample,
        "children": [_child(child) for child in outcome.children],
        "failures": outcome.failures,
    }


def _signals() -> set[int]:
    return {int(number) for number in signal.Signals}


def _holders(holders: dict[str, int]) -> list[dict[str, Any]]:
    return [{"holder": holder, "bytes": size} for holder, size in holders.items()]


def _look(look: Look | None) -> dict[str, Any]:
    if look is None:
        return {"elapsed_s": None, "resident_bytes": None, "huge_page_bytes": None, "resident_breakdown": []}
    return {
        "elapsed_s": round(look.elapsed_s, 6),
        "resident_bytes": look.breakdown.resident_bytes,
        "huge_page_bytes": look.breakdown.huge_bytes,
        "resident_breakdown": _holders(look.breakdown.holders),
    }


def _arrays(record: Record | None) -> dict[str, Any] | None:
    if record is None:
        return None
    names = [
        name
        for name in record.fields
        if name.startswith(("heap_", "array_heaps_", "forwarded", "returned", "retained", "peak_"))
    ]
    names += ["failed_blocks", "spilled_bytes", "reused_bytes", "fresh_bytes"]
    figures: dict[str, Any] = {name: record[name] for name in names if name not in ("heap_base", "peak_resident_bytes")}
    return (
        {"allocator": record.allocator, "hook": record.hook}
        | figures
        | {
            "sizes": [
                {"from_bytes": size.low_bytes, "count": size.requests, "total_bytes": size.total_bytes}
                for size in record.size_classes
            ]
        }
    )


def _figures(record: Record | None, prefix: str) -> dict[str, int]:
    if record is None:
        return {}
    return {
        name.removeprefix(prefix): value
        for name, value in record.fields.items()
        if name.startswith(prefix) and not name.endswith("_ns")
    }


def _child(child: Child) -> dict[str, Any]:
    record = child.record
    return {
        "pid": child.pid,
        "parent_pid": child.parent_pid,
        "program": child.command,
        "cpu_s": round(record["cpu_ns"] / 1e9, 6),
        "minor_faults": record["minor_faults"],
        "peak_resident_bytes": record["peak_resident_bytes"],
        "peak_array_bytes": record["peak_bytes"],
        "orderly": bool(record["finished"]),
    }
