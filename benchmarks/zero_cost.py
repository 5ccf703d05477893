"""What the choice of a strategy costs: `Heap[BestFit]` from C against best fit written by hand, in instructions.

python -m benchmarks.zero_cost [--json FILE]

Callgrind counts what `native/zero_cost.c` executes in allocate and free, over the same 20,000 operations each way.
Counts do not depend on the machine's load, so there is one run. Of the time beside them, the least of 41 rounds in
turns is shown, the program's own choices included. Needs valgrind, make and a C compiler.
"""

import argparse
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = "build/bench/zero_cost"
WAYS = {"by_hand": "written by hand", "fused": "Heap[BestFit], fused", "run_time": "Heap(strategy=BestFit())"}
OPERATIONS = 20_000
ROUNDS = 41


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.zero_cost", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    counted, ns = instructions(), times(ROUNDS)
    print(f"{'best fit, 1,000 live blocks':28} {'instructions':>12} {'ratio':>7} {'ns':>7}   per free and allocate")
    for way, words in WAYS.items():
        ratio = counted[way] / counted["by_hand"]
        print(f"{words:28} {counted[way] / OPERATIONS:12.1f} {ratio:7.4f} {ns[way]:7.1f}")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"operations": OPERATIONS, "instructions": counted, "ns": ns}, indent=1))


def instructions() -> dict[str, int]:
    """Return the instructions of each way, calls included."""
    times(1)
    counted = {}
    for way in WAYS:
        calls = [f"--toggle-collect={way}_allocate*", f"--toggle-collect={way}_free*"]
        callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *calls, PROGRAM]
        said = subprocess.run(callgrind, cwd=ROOT, check=True, capture_output=True, text=True).stderr
        counted[way] = int(said.rpartition("Collected :")[2].split()[0])
    return counted


def times(rounds: int) -> dict[str, float]:
    """Return the ns of each way, once it is seen that all give the same offsets."""
    subprocess.run(["make", "--silent", PROGRAM], cwd=ROOT, check=True)
    rows = [row.split() for row in subprocess.check_output([PROGRAM, str(rounds)], cwd=ROOT, text=True).splitlines()]
    if len({offsets for _, offsets, _ in rows}) != 1:
        raise RuntimeError(f"the ways do not give the same offsets: {rows}")
    return {way: float(ns) for way, _, ns in rows}


if __name__ == "__main__":
    main()
