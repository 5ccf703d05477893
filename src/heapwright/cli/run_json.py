"""The report as JSON: docs/reference/run-json.md documents every key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heapwright.cli.observation import Outcome

SCHEMA_VERSION = 1


def document(outcome: Outcome) -> dict[str, Any]:
    """Build the document."""
    ending = outcome.ending
    return {
        "schema_version": SCHEMA_VERSION,
        "program": outcome.program,
        "exit_code": ending.status,
        "wall_s": ending.elapsed_s,
        "cpu_s": ending.rusage.ru_utime + ending.rusage.ru_stime,
        "minor_faults": ending.rusage.ru_minflt,
        "major_faults": ending.rusage.ru_majflt,
        "peak_resident_bytes": outcome.peak_resident_bytes,
        "final_resident_bytes": outcome.final_resident_bytes,
        "resident_breakdown": [{"holder": "unexplained", "bytes": outcome.final_resident_bytes}],
        "call_sites": [],
        "children": [],
        "failures": outcome.failures,
    }


def write_json(outcome: Outcome, path: str) -> None:
    """Write the document to `path`."""
    with open(path, "w") as file:
        json.dump(document(outcome), file, indent=1)
        file.write("\n")
