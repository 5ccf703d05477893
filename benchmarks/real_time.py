"""How many instructions one allocate and one free take, from a hundred live blocks to a million.

python -m benchmarks.real_time [--live 100,1000,10000,100000,1000000] [--pairs 300] [--only TLSF,BestFit] [--json FILE]

Blocks of 16 B to 1 KiB, as after a long time; random ones are replaced, and every single call is counted by
single-stepping (``native/real_time.c``). Counts are exact and do not depend on the machine's load: one run, no median.

Claim: with TLSF the mean is the same for any number of live blocks (greatest / median at most 1.3), and no single call
takes more than 350. Best fit, with its search tree, stands beside it.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, median
from typing import Any

ROOT = Path(__file__).parent.parent
PROGRAM = "build/bench/real_time"
NEEDED = ("make", "cc")
STRATEGIES = {"FirstFit": 0, "BestFit": 1, "WorstFit": 2, "NextFit": 3, "TLSF": 4, "Buddy": 5}  # enum hw_strategy
LIVE = (100, 1000, 10_000, 100_000, 1_000_000)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.real_time", description=__doc__.split("\n")[0])
    parser.add_argument("--live", default=",".join(map(str, LIVE)), help="comma-separated numbers of blocks")
    parser.add_argument("--pairs", type=int, default=300, help="calls of each kind that are counted")
    parser.add_argument("--only", default="TLSF,BestFit", help=f"comma-separated: {', '.join(STRATEGIES)}")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    if not all(map(shutil.which, NEEDED)):
        print(f"skipping: it needs {' and '.join(NEEDED)}", file=sys.stderr)
        return
    counts = [int(live) for live in options.live.split(",")]
    rows = [row for name in options.only.split(",") for row in table(name, counts, options.pairs)]
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"pairs": options.pairs, "rows": rows}, indent=1) + "\n")


def table(name: str, counts: list[int], pairs: int) -> list[dict[str, Any]]:
    """Print and return a row for each number of live blocks."""
    print(f"{name + ', live blocks':24} {'allocate':>9} {'longest':>8} {'free':>6} {'longest':>8}   instructions")
    rows = []
    for live in counts:
        calls = instructions(name, live, pairs)
        row: dict[str, Any] = {"strategy": name, "live": live}
        for call, each in calls.items():
            row |= {f"{call}_mean": mean(each), f"{call}_max": max(each)}
        rows.append(row)
        allocate = f"{row['allocate_mean']:9.1f} {row['allocate_max']:8}"
        print(f"{live:24,} {allocate} {row['free_mean']:6.1f} {row['free_max']:8}")
    for call in ("allocate", "free"):
        means = [row[f"{call}_mean"] for row in rows]
        print(f"{call}: greatest mean / median {max(means) / median(means):.2f}")
    return rows


def instructions(strategy: str, live: int, pairs: int) -> dict[str, list[int]]:
    """Return the instructions of every single call: of `pairs` frees, each with an allocate after it.

    Raises
    ------
    PermissionError
        One process may not trace another here.
    """
    subprocess.run(["make", "--silent", PROGRAM], cwd=ROOT, check=True)
    command = [PROGRAM, str(STRATEGIES[strategy]), str(live), str(pairs)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if finished.returncode == 77:
        raise PermissionError("ptrace is not permitted here, so instructions cannot be counted one by one")
    finished.check_returncode()
    calls: dict[str, list[int]] = defaultdict(list)
    for line in finished.stdout.splitlines():
        call, counted = line.split()
        calls[call].append(int(counted))
    return calls


if __name__ == "__main__":
    main()
