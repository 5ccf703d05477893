"""Twenty real programs on every configuration: CPU, page faults, memory, and the same results to the bit.

    python -m benchmarks.programs --rounds 4 --json benchmarks/results/programs.json
    python -m benchmarks.programs --only sklearn_pca,scipy_ndimage --configurations default,pooled --rounds 2

A run that was stopped goes on where it stopped if it is given the same ``--json`` file.
"""

import argparse
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.configurations import chosen
from benchmarks.launch import launch
from benchmarks.paired import Paired, cell, geometric_mean, table
from benchmarks.samples import Samples, interleave
from benchmarks.workloads import HOME

DEFAULT = "default"

#: What is claimed for the pooled allocator, per row; a row outside is printed, never dropped.
LIMITS = {"cpu_s": 1 / 0.97, "minor_faults": 0.20, "peak_resident_bytes": 1.05, "later_resident_bytes": 1.00}
TITLES = {
    "cpu_s": "CPU time of the work: default / configuration, above 1 is faster",
    "tree_cpu_s": "CPU time of the process tree, start-up and supervisor included: default / configuration",
    "minor_faults": "Minor page faults of the work: configuration / default",
    "peak_resident_bytes": "Peak resident memory: configuration / default",
    "later_resident_bytes": "Resident memory one second after the work: configuration / default",
}
#: Speeds read as "times faster", everything else as "times as much".
INVERTED = ("cpu_s", "tree_cpu_s")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.programs", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--only", help="comma-separated workloads")
    parser.add_argument("--configurations", help="comma-separated configurations")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/programs.json"))
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    parser.add_argument("--show", action="store_true", help="measure nothing; print what the file has")
    options = parser.parse_args(arguments)

    samples = Samples(options.json, "programs")
    if not options.show:
        workloads = options.only.split(",") if options.only else list(HOME)
        if unknown := [name for name in workloads if name not in HOME]:
            parser.error(f"no workload called {', '.join(unknown)}; there are {', '.join(HOME)}")
        run(samples, workloads, options.configurations, options.rounds)
    report = render(Paired(samples))
    print(report)
    if options.markdown:
        options.markdown.write_text(report + "\n")


def run(samples: Samples, workloads: Iterable[str], names: str | None, rounds: int) -> None:
    configurations = {configuration.name: configuration for configuration in chosen(names)}

    def measure(workload: str, name: str) -> dict[str, Any]:
        print(f"{workload} on {name}", file=sys.stderr)
        launched = launch(configurations[name], ["-m", "benchmarks.workload", workload])
        return {**launched.output, "tree_cpu_s": launched.tree_cpu_s, "wall_s": launched.wall_s}

    interleave(samples, workloads, list(configurations), rounds, measure)


def render(paired: Paired) -> str:
    rivals = [name for name in paired.configurations if name != DEFAULT]
    parts = [different(paired), summary(paired, rivals)]
    for name, title in TITLES.items():
        parts.append(f"**{title}**\n\n{figure_table(paired, rivals, name)}")
    if "pooled" in rivals:
        parts.append(losses(paired, "pooled"))
    return "\n\n".join(parts)


def different(paired: Paired) -> str:
    """Which workloads did not return the same bits everywhere; the first thing to look at."""
    wrong = []
    for subject in paired.subjects:
        digests = {
            sample["digest"] for name in paired.configurations for sample in paired.rounds(subject, name).values()
        }
        if len(digests) > 1:
            wrong.append(subject)
    if wrong:
        return f"RESULTS DIFFER between configurations in: {', '.join(wrong)}."
    programs, configurations = len(paired.subjects), len(paired.configurations)
    return f"Results are bit-identical: {programs} programs, {configurations} configurations."


def ratios(paired: Paired, configuration: str, name: str) -> dict[str, float]:
    values = {subject: paired.ratio(subject, configuration, DEFAULT, name) for subject in paired.subjects}
    return {subject: 1 / value if name in INVERTED else value for subject, value in values.items()}


def summary(paired: Paired, rivals: list[str]) -> str:
    means = {"tree_cpu_s": "CPU, tree", "minor_faults": "faults"}
    means |= {"peak_resident_bytes": "peak", "later_resident_bytes": "+1 s"}
    header = ["geometric mean", "CPU", "CPU, best rounds", *means.values(), "all faults", "slowest row"]
    rows = []
    for rival in rivals:
        cpu = ratios(paired, rival, "cpu_s")
        best = (1 / paired.ratio_of_best(subject, rival, DEFAULT, "cpu_s") for subject in paired.subjects)
        others = (ratios(paired, rival, name).values() for name in means)
        columns = [cell(geometric_mean(values)) for values in (cpu.values(), best, *others)]
        slowest = min(cpu, key=lambda subject: cpu[subject])
        rows.append([rival, *columns, cell(together(paired, rival)), f"{slowest} {cell(cpu[slowest])}"])
    return table(header, rows)


def together(paired: Paired, configuration: str) -> float:
    """All faults of all programs, ours over the default's: unlike the mean of ratios, few faults weigh little."""
    ours = [paired.figure(subject, configuration, "minor_faults") for subject in paired.subjects]
    theirs = [paired.figure(subject, DEFAULT, "minor_faults") for subject in paired.subjects]
    both = [(a, b) for a, b in zip(ours, theirs, strict=True) if not math.isnan(a + b)]
    return sum(a for a, _ in both) / sum(b for _, b in both) if both else math.nan


def figure_table(paired: Paired, rivals: list[str], name: str) -> str:
    unit, scale = unit_of(name)
    rows = []
    for subject in paired.subjects:
        row = [f"{paired.figure(subject, DEFAULT, name) / scale:,.2f}"]
        rows.append([subject, *row, *(cell(ratios(paired, rival, name)[subject]) for rival in rivals)])
    means = [cell(geometric_mean(ratios(paired, rival, name).values())) for rival in rivals]
    rows.append(["geometric mean", "", *means])
    return table(["program", f"default ({unit})", *rivals], rows)


def unit_of(name: str) -> tuple[str, float]:
    if name.endswith("_bytes"):
        return "MB", 1e6
    return ("thousands", 1e3) if name == "minor_faults" else ("s", 1.0)


def losses(paired: Paired, configuration: str) -> str:
    """The rows of ``configuration`` outside the limits, worst first."""
    lines = [f"**Rows of {configuration} outside the limits**", ""]
    for name, limit in LIMITS.items():
        found = {subject: paired.ratio(subject, configuration, DEFAULT, name) for subject in paired.subjects}
        # A kilobyte of noise in a resident figure is not a loss: half a percent is.
        outside = {subject: ratio for subject, ratio in found.items() if ratio > limit * 1.005}
        listed = ", ".join(f"{s} {cell(r)}" for s, r in sorted(outside.items(), key=lambda item: -item[1]))
        lines.append(f"- {name} above {limit:.2f}: {len(outside)} of {len(found)}{': ' + listed if listed else ''}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
