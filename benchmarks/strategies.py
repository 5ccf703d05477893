"""Which strategy? What each makes of the allocations of real programs: memory needed, and time.

python -m benchmarks.strategies [--only compile,json,arrays] [--events 1000000] [--json FILE]

Every program is run once with a recorder under its `malloc` (`native/preload/record_malloc.c`) and CPython's own pools
switched off, so that each object and each array is one request. The first `--events` requests and frees are replayed
against every strategy:

need        the smallest capacity in which the whole trace fits, by bisection, over the peak of what was requested. All
            waste is in it: rounding up, holes, and what one strategy keeps for itself
internal    of what is allocated at the peak, the part that nobody asked for
ns          CPU time of one request or free from Python, with capacity to spare

`need` and `internal` depend on nothing but the trace; `ns` is the best of three.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import heapwright as hw

ROOT = Path(__file__).parent.parent
RECORDER = "build/bench/record_malloc.so"
EVENT = np.dtype([("address", "u8"), ("size_bytes", "u8"), ("is_free", "u8")])
STRATEGIES: list[Any] = [hw.FirstFit, hw.BestFit, hw.WorstFit, hw.NextFit, hw.TLSF, hw.Buddy, hw.Slab]
PROGRAMS = {
    "compile": """
import ast, glob, os
trees = []
for path in sorted(glob.glob(os.path.dirname(ast.__file__) + "/a*.py")):
    trees.append(ast.parse(open(path, encoding="utf-8").read()))
    compile(trees[-1], path, "exec")
    trees = trees[-3:]
""",
    "json": """
import json, random
choose = random.Random(1)
def document(depth):
    if depth == 0:
        return choose.choice([choose.random(), "word " * choose.randrange(30), None])
    return {str(choose.randrange(10**6)): document(depth - 1) for _ in range(choose.randrange(2, 7))}
kept = []
for turn in range(60):
    kept.append(json.loads(json.dumps(document(5))))
    if len(kept) > 20:
        del kept[choose.randrange(len(kept))]
""",
    "arrays": """
import numpy as np
choose = np.random.default_rng(1)
cache = {}
for turn in range(20000):
    image = choose.random((int(choose.integers(8, 96)), int(choose.integers(8, 96))), dtype="f4")
    smooth = (image + np.roll(image, 1, 0) + np.roll(image, 1, 1)) / 3
    edges = np.abs(image - smooth) > 0.2
    cache[int(choose.integers(200))] = (smooth, edges, np.flatnonzero(edges))
""",
}


@dataclass(frozen=True)
class Trace:
    """Requests and frees in order: a size >= 0 is a request, ~n frees what request n (counted from 0) got."""

    steps: list[int]
    requests: int
    peak_blocks: int
    peak_bytes: int


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.strategies", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default=",".join(PROGRAMS), help="programs, with commas between them")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    figures = []
    for name in options.only.split(","):
        trace = read(record(PROGRAMS[name])[: options.events])
        print(
            f"{name}: {trace.requests:,} requests, {trace.requests * 2 - len(trace.steps):,} never freed; "
            f"at the peak {trace.peak_blocks:,} blocks, {trace.peak_bytes:,} B"
        )
        print(f"  {'':10} {'need':>6} {'internal':>9} {'ns':>6}")
        for strategy in STRATEGIES:
            row = {"program": name, "strategy": strategy.name, "need": need(strategy, trace)}
            row["internal"], row["ns"] = internal(strategy, trace), ns(strategy, trace)
            print(f"  {strategy.name:10} {row['need']:6.3f} {row['internal']:9.3f} {row['ns']:6.0f}", flush=True)
            figures.append(row)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1))


def record(program: str) -> Any:
    """Run a program and return its events, an array of `EVENT`."""
    subprocess.run(["make", "--silent", RECORDER], cwd=ROOT, check=True)
    with tempfile.NamedTemporaryFile(prefix="malloc.") as file:
        recording = {"LD_PRELOAD": str(ROOT / RECORDER), "RECORD_MALLOC": file.name}
        alone = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", program], env={**os.environ, **recording, **alone}, check=True)
        events = np.fromfile(file.name, EVENT)
    return events[: np.flatnonzero(events["address"])[-1] + 1]


def read(events: Any) -> Trace:
    """Number the requests; a free of what was never requested, before the recorder came, is left out."""
    steps: list[int] = []
    live: dict[int, tuple[int, int]] = {}
    requests = bytes_live = peak_bytes = peak_blocks = 0
    for address, size_bytes, is_free in events.tolist():
        if address in live:  # freed, or freed by a thread whose event came late
            number, size = live.pop(address)
            steps.append(~number)
            bytes_live -= size
        if not is_free:
            live[address] = requests, size_bytes
            steps.append(size_bytes)
            requests += 1
            bytes_live += size_bytes
            peak_bytes, peak_blocks = max(peak_bytes, bytes_live), max(peak_blocks, len(live))
    return Trace(steps, requests, peak_blocks, peak_bytes)


def replay(heap: Any, trace: Trace) -> Iterator[None]:
    """Do all steps, and then, with all that is left still live, yield. Stops at the first request that gets nothing."""
    allocate, deallocate = heap.try_allocate, heap.deallocate
    blocks: list[Any] = []
    for step in trace.steps:
        if step >= 0:
            block = allocate(step)
            if block is None:
                return
            blocks.append(block)
        else:
            deallocate(blocks[~step])
            blocks[~step] = None
    yield


def fits(strategy: Any, trace: Trace, capacity: int) -> bool:
    return any(True for _ in replay(hw.Heap[strategy](hw.AnonymousSpace(capacity)), trace))


def need(strategy: Any, trace: Trace) -> float:
    """Bisect to half a percent."""
    low, high = trace.peak_bytes, 2 * trace.peak_bytes
    while not fits(strategy, trace, high):
        low, high = high, 2 * high
    while high - low > trace.peak_bytes // 200:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(strategy, trace, middle) else (middle, high)
    return high / trace.peak_bytes


def internal(strategy: Any, trace: Trace) -> float:
    heap: Any = hw.Heap[strategy](hw.AnonymousSpace(16 * trace.peak_bytes))
    for _ in replay(heap, trace):
        counted = heap.statistics()
        return float(1 - counted.peak_requested_bytes / counted.peak_allocated_bytes)
    raise RuntimeError(f"{strategy.name} needs more than 16 times what is requested")


def ns(strategy: Any, trace: Trace) -> float:
    best = float("inf")
    for _ in range(3):
        heap: Any = hw.Heap[strategy](hw.AnonymousSpace(16 * trace.peak_bytes))
        start = time.thread_time_ns()
        for _ in replay(heap, trace):
            best = min(best, (time.thread_time_ns() - start) / len(trace.steps))
    return best


if __name__ == "__main__":
    main()
