"""What ``heapwright run`` adds to the start and end of a program that does nothing.

    python -m benchmarks.startup --rounds 15 --json benchmarks/results/startup.json

Wall time is what a user waits for, and it is what the claim is about; on a busy machine its minimum over the
rounds is the figure to trust.  CPU time, of the whole process tree, is beside it.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.configurations import chosen
from benchmarks.launch import launch
from benchmarks.paired import Paired, table
from benchmarks.samples import Samples, interleave

SCRIPTS = {"empty program": "", "import numpy": "import numpy\n"}
CONFIGURATIONS = "default,default2,pooled,system"
CLAIM_MS = 150


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.startup", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/startup.json"))
    parser.add_argument("--show", action="store_true", help="measure nothing; print what the file has")
    options = parser.parse_args(arguments)
    samples = Samples(options.json, "startup")
    if not options.show:
        run(samples, options.rounds)
    print(render(Paired(samples)))


def run(samples: Samples, rounds: int) -> None:
    configurations = {configuration.name: configuration for configuration in chosen(CONFIGURATIONS)}
    with tempfile.TemporaryDirectory() as folder:
        scripts = {}
        for subject, text in SCRIPTS.items():
            scripts[subject] = Path(folder, subject.replace(" ", "_") + ".py")
            scripts[subject].write_text(text)

        def measure(subject: str, name: str) -> dict[str, Any]:
            launched = launch(configurations[name], [str(scripts[subject])])
            return {"wall_s": launched.wall_s, "tree_cpu_s": launched.tree_cpu_s}

        for name in configurations:  # compile what is imported, fill the page cache
            measure("import numpy", name)
        interleave(samples, SCRIPTS, list(configurations), rounds, measure)


def render(paired: Paired) -> str:
    rows = []
    for subject in paired.subjects:
        for name in paired.configurations:
            figures = []
            for figure in ("wall_s", "tree_cpu_s"):
                lowest, middle = (
                    lowest_of(paired, subject, name, figure),
                    paired.figure(subject, name, figure),
                )
                added = lowest - lowest_of(paired, subject, "default", figure)
                added_middle = middle - paired.figure(subject, "default", figure)
                figures += [f"{lowest * 1e3:.0f}", f"{added * 1e3:+.0f}", f"{added_middle * 1e3:+.0f}"]
            rows.append([f"{subject}, {name}", *figures])
    header = ["milliseconds", "wall, min", "added", "added, median", "CPU, min", "added", "added, median"]
    return f"{table(header, rows)}\n\nClaim: {CLAIM_MS} ms of wall time added at most."


def lowest_of(paired: Paired, subject: str, name: str, figure: str) -> float:
    return min(sample[figure] for sample in paired.rounds(subject, name).values())


if __name__ == "__main__":
    main()
