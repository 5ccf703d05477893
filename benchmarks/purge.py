"""What goes back to the operating system after nine of ten blocks died at random, and how long that takes.

python -m benchmarks.purge [--live 100000] [--churn 500000] [--rounds 1] [--realtime] [--json FILE]

Blocks of 16 B to 64 KiB, as many small as large; each is written to. Random ones are replaced until the heap looks
as it does after a long time, then nine of ten die, then the allocator is asked to give back what it can: slices as
those of ``Heap.trim``, ``malloc_trim(0)``, ``mi_collect(true)``, ``arena.4096.purge``,
``MallocExtension_ReleaseFreeMemory``. Every contender runs the same program (``native/purge.c``), in a process of its
own.

Resident memory is that of the process above what it had before the first block, so each allocator's own books count.
On a machine with other work the wall time of a stop has the scheduler's share in it: CPU time stands beside it, and
``--realtime`` keeps the scheduler away (SCHED_FIFO, for root).

Claim: at most 1.4 times what is live stays, with no slice over 1 ms.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.mallocs import beside_mallocs

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "build" / "bench" / "purge"
STRATEGIES = {"FirstFit": "0", "BestFit": "1", "TLSF": "4", "Buddy": "5"}  # enum hw_strategy


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.purge", description=__doc__.split("\n")[0])
    parser.add_argument("--live", type=int, default=100_000, help="blocks")
    parser.add_argument("--churn", type=int, default=500_000, help="replacements")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--realtime", action="store_true", help="under SCHED_FIFO")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    if not all(map(shutil.which, ("make", "cc"))):
        print("skipping: it needs make and a C compiler (cc)", file=sys.stderr)
        return
    build()
    samples = beside_mallocs(
        PROGRAM, STRATEGIES, str(options.live), str(options.churn), rounds=options.rounds, realtime=options.realtime
    )
    rows = [
        {"name": name} | {key: statistics.median(one[key] for one in taken) for key in taken[0]}
        for name, taken in samples.items()
    ]
    render(rows)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        how = {"live": options.live, "churn": options.churn, "rounds": options.rounds, "realtime": options.realtime}
        options.json.write_text(json.dumps(how | {"rows": rows}, indent=1) + "\n")


def build() -> None:
    """Compile the program with the native core as it is now."""
    subprocess.run(["make", "--silent", str(PROGRAM.relative_to(ROOT))], cwd=ROOT, check=True)


def render(rows: list[dict[str, Any]]) -> None:
    print(f"{rows[0]['live_mib']:.0f} MiB live, then {rows[0]['left_live_mib']:.0f} MiB; resident / live")
    print(f"{'':10} {'full':>6} {'freed':>6} {'asked':>6} {'stops':>6} {'longest ms':>11} {'CPU ms':>7} {'all ms':>7}")
    for row in rows:
        print(
            f"{row['name']:10} {row['full_over_live']:6.2f} {row['freed_over_live']:6.2f} "
            f"{row['given_back_over_live']:6.2f} {row['stops']:6.0f} {row['longest_stop_ms']:11.2f} "
            f"{row['longest_stop_cpu_ms']:7.2f} {row['all_stops_ms']:7.0f}"
        )


if __name__ == "__main__":
    main()
