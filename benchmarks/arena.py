"""What a block of an arena costs, made and ended, in C and from Python.

python -m benchmarks.arena [--blocks 100000] [--rounds 5] [--json FILE]

In C: blocks of 16 to 256 B are made, written to, and ended: an arena's by one reset, the rivals' by `free`, in the
order in which they were made. Every contender runs the same program (``arena.c``) in a process of its own, on warm
memory. Then the end alone, for a thousand to a million blocks.

From Python: what makes 64 B, and its handle dropped, beside `object()`; and an array of 64 B beside `np.empty`.

Claim: at most 3 ns a block in C, and an end that does not depend on the number of blocks. CPU time of one thread;
contenders take turns; medians.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import heapwright as hw
from benchmarks.beside_object import beside_object, dropped
from benchmarks.configurations import configurations
from benchmarks.mallocs import beside_mallocs, run

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "build" / "bench" / "arena"
REPETITIONS = "15"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.arena", description=__doc__.split("\n")[0])
    parser.add_argument("--blocks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {}
    if shutil.which("cc") is None:
        print("skipping the part in C: there is no C compiler (cc)", file=sys.stderr)
    else:
        build()
        figures |= {"c": in_c(options.blocks, options.rounds), "end": ends(options.rounds)}
    figures["python"] = from_python(8 * options.rounds)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(
            json.dumps(figures | {"blocks": options.blocks, "rounds": options.rounds}, indent=1) + "\n"
        )


def build() -> None:
    """Compile the program with the native core as it is now."""
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    options = ["-std=c11", "-D_GNU_SOURCE", "-O2", f"-I{ROOT / 'native'}"]
    subprocess.run(["cc", ROOT / "benchmarks" / "arena.c", *options, "-o", PROGRAM], check=True)


def in_c(blocks: int, rounds: int) -> list[dict[str, Any]]:
    """Make and end blocks of 16 to 256 B."""
    samples = beside_mallocs(PROGRAM, {"Arena": "arena"}, str(blocks), REPETITIONS, rounds=rounds)
    print(f"{f'{blocks:,} blocks of 16-256 B, in C':32} {'make ns':>8} {'end ns':>8} {'both':>8}")
    rows = []
    for name, taken in samples.items():
        make, end = (median(one[key] for one in taken) for key in ("make_ns", "end_ns"))
        rows.append({"name": name, "make_ns": make, "end_ns": end})
        print(f"{name:32} {make:8.2f} {end:8.2f} {make + end:8.2f}")
    return rows


def ends(rounds: int) -> list[dict[str, Any]]:
    """End a thousand to a million blocks at once."""
    print(f"\n{'end of all blocks, ns, in C':32} {'Arena':>12} {'glibc':>12}")
    rows = []
    environment = configurations()["default"].environ()
    for blocks in (1000, 10_000, 100_000, 1_000_000):
        arena, glibc = (
            median(
                json.loads(run([PROGRAM, who, str(blocks), REPETITIONS], environment))["end_all_ns"]
                for _ in range(min(rounds, 3))
            )
            for who in ("arena", "malloc")
        )
        rows.append({"blocks": blocks, "arena_ns": arena, "glibc_ns": glibc})
        print(f"{blocks:<32,} {arena:12,.0f} {glibc:12,.0f}")
    return rows


def from_python(rounds: int) -> list[dict[str, Any]]:
    """Make one thing of 64 bytes, and drop it."""
    arena = hw.Arena("64MiB")
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))

    print()
    return beside_object(
        "64 B from Python, and dropped",
        {
            "arena.allocate(64)": dropped(arena.allocate, 64),
            "heap.allocate(64)": dropped(heap.allocate, 64),
            "bytearray(64)": dropped(bytearray, 64),
            "np.empty(8)": dropped(np.empty, 8),
            "arena.ndarray(8)": dropped(arena.ndarray, 8),
        },
        rounds,
        after_each=arena.reset,
    )


if __name__ == "__main__":
    main()
