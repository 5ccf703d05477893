"""What each knob of a collector costs and saves, on three loads: a program that edits, one that churns, one that grows.

python -m benchmarks.record_tuning [--files 100] [--realtime] [--json FILE]

- index: the code index of examples/code_index.py, built and edited; garbage in large cycles, now and then
- churn: rings of ten records, dropped as soon as they are made, beside 300,000 that stay
- growth: a million records, one after the other; nothing dies

Each knob is turned by itself, the others stand at their defaults. CPU time of the load and of its collections; the most
in use, over what is reachable at the end; the longest pause by the clock, in which the machine's other work is.
"""

import argparse
import importlib.util
import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import heapwright as hw
from benchmarks.record_graphs import Node, columns, in_a_process, of_records
from benchmarks.records import show
from benchmarks.samples import machine

EXAMPLE = Path(__file__).parent.parent / "examples" / "code_index.py"
TURNED: list[tuple[Any, str, list[Any]]] = [
    (hw.MarkSweep(), "growth", [0.25, 0.5, 1.0, 2.0]),
    (hw.MarkSweep(), "minimum", ["1MiB", "4MiB", "16MiB"]),
    (hw.Generational(), "nursery", ["1MiB", "4MiB", "16MiB"]),
    (hw.Generational(), "promote_after", [1, 2, 4]),
    (hw.Incremental(), "growth", [0.25, 1.0]),
    (hw.Incremental(), "budget_us", [100, 500, 2000]),
    (hw.Concurrent(), "growth", [0.25, 1.0]),
]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.record_tuning", description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--realtime", action="store_true", help="under SCHED_FIFO (for root); Concurrent is not")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {
        "machine": machine(),
        "load": os.getloadavg(),
        "files": options.files,
        "realtime": options.realtime,
    }
    for load in LOADS:
        figures[load] = [
            {"collector": type(collector).__name__, knob: value}
            | in_a_process(figures_of, load, replace(collector, **{knob: value}), options.files, options.realtime)
            for collector, knob, values in TURNED
            for value in values
        ]
        show(
            load,
            [
                {"what": " ".join(map(str, list(row.values())[:2]))} | dict(list(row.items())[2:])
                for row in figures[load]
            ],
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def index(heap: hw.RecordHeap, files: int) -> Any:
    spec = importlib.util.spec_from_file_location("code_index", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    made = example.Index(
        lambda **fields: heap.new(example.Node, **fields), lambda **fields: heap.new(example.Name, **fields)
    )
    sources = {path: path.read_text(encoding="utf-8") for path in example.standard_library()[:files]}
    for path, source in sources.items():
        made.add(path, source)
    choose = random.Random(1)
    for _ in range(files):
        path = choose.choice(list(sources))
        made.add(path, sources[path])
    return made


def churn(heap: hw.RecordHeap, files: int) -> Any:
    kept = of_records(heap, columns(300_000, True))
    for _ in range(100_000):
        first = last = heap.new(Node, key=0, value=0.5)
        for key in range(1, 10):
            last = heap.new(Node, key=key, value=0.5, left=last)
        first.left = last
    return kept


def growth(heap: hw.RecordHeap, files: int) -> Any:
    last = None
    for key in range(1_000_000):
        last = heap.new(Node, key=key, value=0.5, left=last)
    return last


LOADS: dict[str, Callable[[hw.RecordHeap, int], Any]] = {"index": index, "churn": churn, "growth": growth}


def figures_of(load: str, collector: Any, files: int, realtime: bool) -> dict[str, Any]:
    if realtime and not isinstance(collector, hw.Concurrent):  # whose thread would have to wait for this one
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    heap = hw.RecordHeap(collector)
    start = time.process_time()
    kept = LOADS[load](heap, files)
    cpu_s = time.process_time() - start
    end = heap.statistics()
    heap.collect()
    heap.collect()  # with generations, and after a cycle under way, what floated is gone too
    reachable = heap.statistics().used_bytes
    assert kept is not None
    return {
        "cpu_s": cpu_s,
        "pauses_ms": end.pauses.total_ns / 1e6,
        "longest_ms": end.pauses.longest_ns / 1e6,
        "p99_ms": end.pauses.quantile_ns(0.99) / 1e6,
        "peak_over_reachable": end.peak_used_bytes / reachable,
        "whole": end.whole_cycles,
        "minor": end.minor_cycles,
        "hurried": end.hurried_cycles,
    }


if __name__ == "__main__":
    main()
