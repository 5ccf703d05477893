"""Timeline: the last pauses of a record heap, one after the other, for people and for Perfetto."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heapwright.gc.reports import Reports

#: In the order of native/heap/record_pauses.h.
KINDS = ("whole collection", "minor collection", "slice", "hurried end", "compaction")


@dataclass(frozen=True, slots=True)
class Pause:
    """The program waited for the collector."""

    kind: str  #: one of `KINDS`; a hurried end: the bound on memory was reached before the budget was
    began_ns: int  #: by `time.monotonic_ns`
    took_ns: int
    used_bytes: int  #: of records, texts and arrays, when it was over


def timeline(heap: Reports) -> tuple[Pause, ...]:
    """Return the last pauses, the oldest first."""
    return tuple(Pause(KINDS[kind], *rest) for kind, *rest in heap._pauses())


def to_perfetto(heap: Reports) -> str:
    """Return the timeline as JSON in the Trace Event Format: pauses as slices, memory as a counter."""
    process = {"pid": os.getpid(), "tid": 1}
    events: list[dict[str, object]] = [
        {"ph": "M", "name": "thread_name", "args": {"name": f"record heap, {type(heap.collector).__name__}"}, **process}
    ]
    for pause in timeline(heap):
        began_us, took_us = pause.began_ns / 1000, pause.took_ns / 1000
        events += [
            {"ph": "X", "name": pause.kind, "cat": "gc", "ts": began_us, "dur": took_us, **process},
            {"ph": "C", "name": "used", "ts": began_us + took_us, "args": {"bytes": pause.used_bytes}, **process},
        ]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"})
