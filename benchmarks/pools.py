"""What a block of a pool costs: from Python, and in C from one thread to another.

python -m benchmarks.pools [--rounds 41] [--json FILE]

From Python: 64 B acquired and released, beside `object()`, `bytearray`, `np.empty` and Arrow's `allocate_buffer`
(where pyarrow is installed). Claim: at most 2.5 times `object()`, and less than the last two.

In C (``native/handover.c``), each contender in a process of its own: what one thread acquires and another releases,
against glibc, mimalloc, jemalloc and tcmalloc; ``locked`` is the other pool under a mutex. Claim: at most 1.2 times
mimalloc's cross-thread free. A pool knows the size of its blocks and is told which thread asks; a `malloc` has to find
out both.

CPU time where nobody waits for anybody; contenders take turns; ratios within a round, then medians.
"""

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import heapwright as hw
from benchmarks.beside_object import CALLS, Batch, beside_object, dropped, given_back
from benchmarks.mallocs import beside_mallocs

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "build" / "bench" / "handover"
FIGURES = ("pair_cpu_ns", "beside_cpu_ns", "phased_cpu_ns", "streamed_wall_ns")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.pools", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {"rounds": options.rounds, "python": from_python(options.rounds)}
    if shutil.which("cc") is None:
        print("skipping the part in C: there is no C compiler (cc)", file=sys.stderr)
    else:
        build()
        figures["c"] = in_c(max(3, options.rounds // 8))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def from_python(rounds: int) -> list[dict[str, Any]]:
    """Make and drop one thing of 64 bytes."""
    heap: hw.Heap[Any] = hw.Heap(hw.AnonymousSpace("64MiB"))
    tiered = hw.TieredPool(heap)
    typed = hw.TypedPool([("x", "f8", 8)], heap)
    contenders = {
        "FixedPool": released(hw.FixedPool(heap, 64)),
        "FixedPool, dropped": dropped(hw.FixedPool(heap, 64).acquire),
        "FixedPool, lease()": leased(hw.FixedPool(heap, 64)),
        "TieredPool": released(tiered, 64),
        "ConcurrentPool": released(hw.ConcurrentPool(heap, 64)),
        "TypedPool": released(typed),
        "Heap": dropped(heap.allocate, 64),
        "bytearray(64)": dropped(bytearray, 64),
        "np.empty(8)": dropped(np.empty, 8),
    }
    if importlib.util.find_spec("pyarrow"):
        import pyarrow as pa

        contenders["pa.allocate_buffer(64)"] = dropped(pa.allocate_buffer, 64)
    else:
        print("skipping Arrow: pyarrow is not installed", file=sys.stderr)
    return beside_object("64 B, acquired and released", contenders, rounds)


def released(pool: Any, *arguments: Any) -> Batch:
    return given_back(pool.acquire, pool.release, *arguments)


def leased(pool: Any) -> Batch:
    def batch() -> None:
        for _ in repeat(None, CALLS):
            with pool.lease():
                pass

    return batch


def build() -> None:
    """Compile the program with the native core as it is now."""
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    options = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-pthread", f"-I{ROOT / 'native'}"]
    sources = [ROOT / "benchmarks" / "native" / "handover.c", ROOT / "native" / "core" / "slots.c"]
    subprocess.run(["cc", *sources, *options, "-o", PROGRAM], check=True)


def in_c(rounds: int) -> list[dict[str, Any]]:
    """Acquire here and release there."""
    samples = beside_mallocs(PROGRAM, {"depot": "depot", "locked": "locked"}, rounds=rounds)
    titles = f"{'one thread':>10} {'two':>8} {'in turns':>10} {'x mimalloc':>11} {'at once':>9}"
    print(f"\n{'64 B in C, ns a block':28} {titles}")
    rows = []
    for name, taken in samples.items():
        row = {figure: median(one[figure] for one in taken) for figure in FIGURES}
        rival = samples.get("mimalloc", taken)
        ratio = median(a["phased_cpu_ns"] / b["phased_cpu_ns"] for a, b in zip(taken, rival, strict=True))
        rows.append({"name": name, **row, "phased_ratio_to_mimalloc": ratio})
        pair, beside, phased, streamed = (row[figure] for figure in FIGURES)
        print(f"{name:28} {pair:10.1f} {beside:8.1f} {phased:10.1f} {ratio:11.2f} {streamed:9.1f}")
    return rows


if __name__ == "__main__":
    main()
