"""What small blocks cost in C: `Heap[Slab]` and `Heap[Bump]`, beside mimalloc, tcmalloc and glibc's malloc.

python -m benchmarks.small_blocks [--processes 5] [--rounds 21] [--live 1000 10000 100000] [--realtime] [--json FILE]

All contenders are in one program, ``native/small_blocks.c``, which says what is measured, and take turns within each
round. Where its arrays lie in their pages is worth up to a third of a figure, and differs from process to process: so
there are several, and the figures are medians of theirs. ``--realtime`` keeps the scheduler away (SCHED_FIFO, for
root): it takes one core for some seconds. MIMALLOC and TCMALLOC in the environment name other libraries than those that
are installed.

Claim: at most 1.1 times mimalloc's time for slab, mixed 16 to 1023 B; 3 ns a block for bump, and an end that does not
depend on the number of blocks.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.mallocs import run

ROOT = Path(__file__).parent.parent
PROGRAM = "build/bench/small_blocks"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.small_blocks", description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=21, help="in each process")
    parser.add_argument("--live", type=int, nargs="+", default=[1000, 10_000, 100_000], help="blocks")
    parser.add_argument("--realtime", action="store_true", help="under SCHED_FIFO")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    if not all(map(shutil.which, ("make", "cc"))):
        print("skipping: it needs make and a C compiler (cc)", file=sys.stderr)
        return
    rows = measure(options.processes, options.rounds, options.live, realtime=options.realtime)
    print(f"{'':30} {'ns: least':>9} {'median':>9} {'to mimalloc':>12}")
    for row in rows:
        what = f"{row['order']:6} {row['live']:>7,} {row['name']}"
        print(f"{what:34} {row['least_ns']:>7.1f} {row['median_ns']:>9.1f} {row['to_mimalloc']:>9.2f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        how = {"processes": options.processes, "rounds": options.rounds, "realtime": options.realtime}
        options.json.write_text(json.dumps(how | {"rows": rows}, indent=1) + "\n")


def measure(processes: int, rounds: int, live: list[int], *, realtime: bool = False) -> list[dict[str, Any]]:
    """Build the program with the native core as it is now, and run it; medians over its processes."""
    subprocess.run(["make", "--silent", PROGRAM], cwd=ROOT, check=True)
    command = [ROOT / PROGRAM, str(rounds), *map(str, live)]
    samples: dict[tuple[str, int, str], list[list[float]]] = {}
    for _ in range(processes):
        printed = run(command, realtime=realtime)
        for line in printed.splitlines()[1:]:
            order, count, name, *figures = line.split("\t")
            samples.setdefault((order, int(count), name.strip()), []).append([float(figure) for figure in figures])
    keys = ("least_ns", "median_ns", "to_mimalloc")
    return [
        {"order": order, "live": count, "name": name}
        | dict(zip(keys, map(median, zip(*taken, strict=True)), strict=True))
        for (order, count, name), taken in samples.items()
    ]


if __name__ == "__main__":
    main()
