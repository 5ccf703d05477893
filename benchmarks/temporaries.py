"""What array arithmetic pays for its temporaries: ``a*b + c - d/e`` from 64 KiB to 512 MiB per array.

    python -m benchmarks.temporaries --rounds 5 --json benchmarks/results/temporaries.json

Each sample is a fresh process that evaluates the expression until it has used enough CPU time; its figure is
the lower quartile over batches, which other jobs on the machine disturb least.  Faults are those of one
evaluation in the steady state, after the first evaluations have set the memory up.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.configurations import MIB, chosen
from benchmarks.launch import launch
from benchmarks.paired import Paired, cell, geometric_mean, table
from benchmarks.samples import Samples, interleave
from benchmarks.workload import Clock, allocators_present, peak_resident_bytes

#: array size in bytes -> speed asked for, in multiples of NumPy's default
CLAIMS = {MIB // 16: 1.3, MIB: 2.5, 8 * MIB: 1.5, 64 * MIB: 1.4, 512 * MIB: 1.2}
CLAIM_AGAINST_BEST_RIVAL = 0.95

WARM_EVALUATIONS = 5
BATCH_CPU_S = 0.01
SECTION_CPU_S = 0.5
EVALUATIONS_MIN = 5

RIVALS = ("thr", "mimalloc", "jemalloc", "tcmalloc")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.temporaries", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="comma-separated sizes, such as 64KiB,8MiB")
    parser.add_argument("--configurations", help="comma-separated configurations")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/temporaries.json"))
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    parser.add_argument("--show", action="store_true", help="measure nothing; print what the file has")
    parser.add_argument("--worker", type=int, metavar="BYTES", help="be one sample: measure here and print it")
    options = parser.parse_args(arguments)
    if options.worker:
        print(json.dumps(evaluate(options.worker)))
        return

    samples = Samples(options.json, "temporaries")
    if not options.show:
        known = {label(size): size for size in CLAIMS}
        sizes = options.only.split(",") if options.only else list(known)
        if unknown := [size for size in sizes if size not in known]:
            parser.error(f"no size {', '.join(unknown)}; there are {', '.join(known)}")
        run(samples, {size: known[size] for size in sizes}, options.configurations, options.rounds)
    report = render(Paired(samples))
    print(report)
    if options.markdown:
        options.markdown.write_text(report + "\n")


def evaluate(size_bytes: int) -> dict[str, Any]:
    """Measure in this process; ``cpu_s`` is per evaluation."""
    import numpy as np

    rng = np.random.default_rng(0)
    a, b, c, d, e = (rng.random(size_bytes // 8) + 0.5 for _ in range(5))

    def batch(evaluations: int) -> float:
        start = time.process_time()
        for _ in range(evaluations):
            a * b + c - d / e
        return time.process_time() - start

    once = min(batch(1) for _ in range(WARM_EVALUATIONS))
    per_batch = max(1, round(BATCH_CPU_S / once))
    batches = max(EVALUATIONS_MIN, round(SECTION_CPU_S / (once * per_batch)))
    batch(per_batch)
    before = Clock.now()
    costs = sorted(batch(per_batch) / per_batch for _ in range(batches))
    section = Clock.now().since(before)
    return {
        "cpu_s": costs[len(costs) // 4],
        "faults": section.minor_faults / (per_batch * batches),
        "evaluations": per_batch * batches,
        "peak_resident_bytes": peak_resident_bytes(),
        "allocators": allocators_present(),
    }


def run(samples: Samples, sizes: dict[str, int], names: str | None, rounds: int) -> None:
    configurations = {configuration.name: configuration for configuration in chosen(names)}

    def measure(size: str, name: str) -> dict[str, Any]:
        print(f"{size} on {name}", file=sys.stderr)
        worker = ["-m", "benchmarks.temporaries", "--worker", str(sizes[size])]
        return launch(configurations[name], worker).output

    interleave(samples, sizes, list(configurations), rounds, measure)


def render(paired: Paired) -> str:
    names = [name for name in paired.configurations if name != "default"]
    speeds = {size: speed_of(paired, size, names) for size in paired.subjects}
    header = ["a*b + c - d/e", "default (us)", *names]
    rows = []
    for size, speed in speeds.items():
        microseconds = paired.figure(size, "default", "cpu_s") * 1e6
        rows.append([size, f"{microseconds:,.0f}", *(f"x{cell(speed[name])}" for name in names)])
    means = [f"x{cell(geometric_mean(speed[name] for speed in speeds.values()))}" for name in names]
    rows.append(["geometric mean", "", *means])
    parts = [f"**CPU time per evaluation: default / configuration, above 1 is faster**\n\n{table(header, rows)}"]

    for figure, title in (("faults", "Page faults per evaluation"), ("peak_resident_bytes", "Peak (MB)")):
        scale = 1e6 if figure.endswith("_bytes") else 1.0
        listed = ["default", *names]
        rows = [[s, *(f"{paired.figure(s, n, figure) / scale:,.1f}" for n in listed)] for s in paired.subjects]
        parts.append(f"**{title}**\n\n{table(['array', *listed], rows)}")
    if "pooled" in names:
        parts.append(claims(paired, speeds))
    return "\n\n".join(parts)


def speed_of(paired: Paired, size: str, names: list[str]) -> dict[str, float]:
    return {name: 1 / paired.ratio(size, name, "default", "cpu_s") for name in names}


def claims(paired: Paired, speeds: dict[str, dict[str, float]]) -> str:
    """What was promised for the pooled allocator against what was measured."""
    asked = {label(size): claim for size, claim in CLAIMS.items()}
    header = ["pooled", "claimed", "measured", "against best rival", "claimed", "faults", "all kept"]
    rows = []
    for size, speed in speeds.items():
        rivals = {name: speed[name] for name in RIVALS if not math.isnan(speed.get(name, math.nan))}
        best = max(rivals, key=lambda name: rivals[name], default=None)
        against = 1 / paired.ratio(size, "pooled", best, "cpu_s") if best else math.nan
        faults = paired.figure(size, "pooled", "faults")
        kept = speed["pooled"] >= asked[size] and not against < CLAIM_AGAINST_BEST_RIVAL and faults < 1
        rows.append(
            [
                size,
                f">= x{asked[size]}",
                f"x{cell(speed['pooled'])}",
                f"x{cell(against)} ({best})",
                f">= x{CLAIM_AGAINST_BEST_RIVAL}",
                f"{faults:.1f}",
                "yes" if kept else "NO",
            ]
        )
    return table(header, rows)


def label(size_bytes: int) -> str:
    return f"{size_bytes // 1024}KiB" if size_bytes < MIB else f"{size_bytes // MIB}MiB"


if __name__ == "__main__":
    main()
