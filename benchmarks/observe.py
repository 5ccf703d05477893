"""What it costs only to watch: ``heapwright run --allocator system`` with its default sampling.

    python -m benchmarks.observe --rounds 5 --json benchmarks/results/observe.json

Six of the twenty programs, those that allocate most often or most.  Two figures: CPU of the work, and CPU of
the whole process tree with start-up, sampling, the supervisor's polling and the report in it.  `default2` is
the default again: what it shows is noise.  `system` is the hook alone, `watched` what a report costs.
"""

import argparse
from pathlib import Path

from benchmarks.paired import Paired, geometric_mean, table
from benchmarks.programs import run
from benchmarks.samples import Samples

WORKLOADS = (
    "sklearn_gaussian_mixture",
    "pandas_groupby_transform",
    "pandas_merge_sort_pivot",
    "skimage_features",
    "xarray_groupby_rolling",
    "astropy_coordinates",
)
CLAIM_PERCENT = 2


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.observe", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/observe.json"))
    parser.add_argument("--show", action="store_true", help="measure nothing; print what the file has")
    options = parser.parse_args(arguments)
    samples = Samples(options.json, "observe")
    if not options.show:
        run(samples, WORKLOADS, "default,default2,system,watched", options.rounds)
    print(render(Paired(samples)))


def render(paired: Paired) -> str:
    names = [name for name in paired.configurations if name != "default"]
    columns = [(name, figure) for name in names for figure in ("cpu_s", "tree_cpu_s")]
    header = [
        "CPU added",
        *(f"{name}, {'work' if figure == 'cpu_s' else 'tree'}" for name, figure in columns),
    ]
    found = {s: [paired.ratio(s, name, "default", figure) for name, figure in columns] for s in paired.subjects}
    rows = [[subject, *(f"{(ratio - 1):+.1%}" for ratio in ratios)] for subject, ratios in found.items()]
    means = [geometric_mean(column) for column in zip(*found.values(), strict=True)]
    rows.append(["geometric mean", *(f"{(mean - 1):+.1%}" for mean in means)])
    return f"{table(header, rows)}\n\nClaim: {CLAIM_PERCENT} % of CPU at most."


if __name__ == "__main__":
    main()
