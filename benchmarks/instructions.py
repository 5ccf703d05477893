"""What it costs only to watch, in instructions: ``--allocator system`` with its default sampling, under callgrind.

    python -m benchmarks.instructions --json benchmarks/results/instructions.json

Time on a busy machine is good to some percent, which is more than what is claimed.  The number of instructions
that a program executes in user space repeats to a few parts in ten thousand (`default2` shows how well).  It leaves
out what the kernel does, what caches make of it, and the supervisor, which is another process: for these see
`benchmarks.observe`.  Valgrind has no AVX-512, so NumPy's loops take more instructions here than in earnest, and the
shares are somewhat too small for programs that spend their time there.

The section that is measured is the workload's: callgrind zeroes its counters at the one C function that the
workload calls in front of it, and writes them down at the one that it calls behind (`benchmarks.workload`).
"""

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.configurations import Configuration, chosen
from benchmarks.launch import launch
from benchmarks.observe import CLAIM_PERCENT, WORKLOADS
from benchmarks.paired import Paired, geometric_mean, table
from benchmarks.samples import Samples, interleave

FIGURE = "instructions"
STARTS, ENDS = "getloadavg", "getpriority"
TRIGGER = f"desc: Trigger: --dump-before={ENDS}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.instructions", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", help="comma-separated workloads")
    parser.add_argument("--configurations", default="default,default2,system,watched")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/instructions.json"))
    parser.add_argument("--show", action="store_true", help="measure nothing; print what the file has")
    options = parser.parse_args(arguments)
    samples = Samples(options.json, "instructions")
    if not options.show:
        if shutil.which("valgrind") is None:
            parser.error("valgrind is not installed (Debian: apt-get install valgrind)")
        workloads = options.only.split(",") if options.only else WORKLOADS
        configurations = {found.name: found for found in chosen(options.configurations)}

        def measure(workload: str, name: str) -> dict[str, int]:
            print(f"{workload} on {name}", file=sys.stderr)
            return {FIGURE: count(configurations[name], workload)}

        interleave(samples, workloads, list(configurations), options.rounds, measure)
    print(render(Paired(samples)))


def count(configuration: Configuration, workload: str) -> int:
    """Instructions of the workload's section, all threads of its process."""
    with tempfile.TemporaryDirectory() as folder:
        callgrind = (
            *("valgrind", "--quiet", "--tool=callgrind", "--trace-children=yes"),
            *(f"--callgrind-out-file={folder}/%p", f"--zero-before={STARTS}", f"--dump-before={ENDS}"),
        )
        launch(
            replace(configuration, prefix=(*callgrind, *configuration.prefix)), ["-m", "benchmarks.workload", workload]
        )
        found = [total for path in Path(folder).iterdir() if (total := section(path.read_text())) is not None]
    if len(found) != 1:
        raise SystemExit(
            f"{workload} on {configuration.name}: {len(found)} of callgrind's dumps are of the section, not 1"
        )
    return found[0]


def section(dump: str) -> int | None:
    """The instructions in one of callgrind's dumps, if it is the one at the end of the workload's section."""
    lines = dump.split("\n")
    if TRIGGER not in lines:
        return None
    return next(int(line.split()[1]) for line in lines if line.startswith(("summary:", "totals:")))


def render(paired: Paired) -> str:
    names = [name for name in paired.configurations if name != "default"]
    found = {s: [paired.ratio(s, name, "default", FIGURE) for name in names] for s in paired.subjects}
    rows = [
        [
            subject,
            f"{paired.figure(subject, 'default', FIGURE) / 1e6:,.0f} M",
            *(f"{ratio - 1:+.2%}" for ratio in ratios),
        ]
        for subject, ratios in found.items()
    ]
    means = [geometric_mean(column) for column in zip(*found.values(), strict=True)]
    rows.append(["geometric mean", "", *(f"{mean - 1:+.2%}" for mean in means)])
    return f"{table(['instructions added', 'default', *names], rows)}\n\nClaim: {CLAIM_PERCENT} % at most."


if __name__ == "__main__":
    main()
