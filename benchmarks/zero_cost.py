"""What the choice of a strategy costs: `Heap[BestFit]` from C against best fit written by hand, in instructions.

python -m benchmarks.zero_cost [--json FILE]

Callgrind counts what `native/zero_cost.c` executes in allocate and free, over the same 20,000 operations each way.
Counts do not depend on the machine's load: there is one run, and no median. Needs valgrind, make and a C compiler.
"""

import argparse
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = "build/bench/zero_cost"
WAYS = {"by_hand": "written by hand", "fused": "Heap[BestFit], fused", "run_time": "Heap(strategy=BestFit())"}
OPERATIONS = 20_000


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.zero_cost", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    counted = instructions()
    print(f"{'best fit, 1,000 live blocks':28} {'instructions':>12} {'ratio':>7}   per free and allocate")
    for way, words in WAYS.items():
        ratio = counted[way] / counted["by_hand"]
        print(f"{words:28} {counted[way] / OPERATIONS:12.1f} {ratio:7.4f}")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"operations": OPERATIONS, "instructions": counted}, indent=1))


def instructions() -> dict[str, int]:
    """Return the instructions of each way, calls included; the offsets are compared on the way."""
    subprocess.run(["make", "--silent", PROGRAM], cwd=ROOT, check=True)
    printed = subprocess.check_output([PROGRAM], cwd=ROOT, text=True)
    answers = dict(line.split() for line in printed.splitlines())
    if len(set(answers.values())) != 1:
        raise RuntimeError(f"the ways do not give the same offsets: {answers}")
    counted = {}
    for way in WAYS:
        calls = [f"--toggle-collect={way}_allocate*", f"--toggle-collect={way}_free*"]
        callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *calls, PROGRAM]
        said = subprocess.run(callgrind, cwd=ROOT, check=True, capture_output=True, text=True).stderr
        counted[way] = int(said.rpartition("Collected :")[2].split()[0])
    return counted


if __name__ == "__main__":
    main()
