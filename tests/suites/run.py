"""Other people's test suites without and under heapwright: every test must end the same way.

    python tests/suites/run.py numpy                 # NumPy's whole suite
    python tests/suites/run.py pandas sklearn        # the parts that allocate
    python tests/suites/run.py numpy --allocator system
    python tests/suites/run.py numpy --baseline-only

The outcomes without us are kept under build/suites, and reused in the same environment: the same Python, and the
same version of everything that is installed (a newer setuptools was enough to fail eight of NumPy's tests).  A
test that ends differently is tried again on its own, both ways: some tests of these suites are random, depend on
the order, or are skipped when the machine has too little free memory at that moment.  One that also varies without
us, or that ends the same when it is tried again, is listed with that verdict and does not count as a difference.

Exits with 1 if any test ends differently because of us.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEPT = HERE.parents[1] / "build" / "suites"

#: How often a test that ended differently is tried again on each side.
TRIALS = 3
DIFFERENT = "DIFFERENT BECAUSE OF US"

Outcomes = dict[str, str]


@dataclass(frozen=True)
class Suite:
    """Part of a distribution's own tests, as arguments to pytest."""

    distribution: str
    targets: tuple[str, ...]
    options: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        return importlib.metadata.version(self.distribution)


def packages(parent: str, names: str) -> tuple[str, ...]:
    return tuple(f"{parent}.{name}" if name else parent for name in names.split())


SUITES = {
    "numpy": Suite("numpy", ("numpy",)),
    "pandas": Suite(
        "pandas",
        packages("pandas.tests", "groupby reshape window frame.methods frame.indexing arrays.floating copy_view"),
        ("-m", "not slow and not network and not db", "-o", "xfail_strict=False"),
    ),
    "sklearn": Suite(
        "scikit-learn",
        packages(
            "sklearn",
            "cluster.tests decomposition.tests linear_model.tests mixture.tests preprocessing.tests",
        ),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("suites", nargs="+", choices=SUITES)
    parser.add_argument("--allocator", default="pooled", help="what `heapwright run` puts under the suite")
    parser.add_argument("--baseline-only", action="store_true", help="only record the outcomes without us")
    parser.add_argument("--fresh", action="store_true", help="measure the outcomes without us again")
    options = parser.parse_args()
    different = 0
    for name in options.suites:
        suite = SUITES[name]
        without = baseline(suite, options.fresh)
        print(f"{name} {suite.version}, without us: {counted(without)}", flush=True)
        if not options.baseline_only:
            different += compare(suite, without, options.allocator)
    return 1 if different else 0


def baseline(suite: Suite, fresh: bool) -> Outcomes:
    kept = KEPT / f"{suite.distribution}-{suite.version}-{installed()}.json"
    if not kept.exists() or fresh:
        outcomes = run_pytest(suite, suite.targets, under=None)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(outcomes, indent=0) + "\n")
    return dict(json.loads(kept.read_text()))


def installed() -> str:
    """A name for this environment: Python's version, and a digest of what is installed beside us."""
    python = "".join(map(str, sys.version_info[:2]))
    found = {f"{each.name} {each.version}" for each in importlib.metadata.distributions() if each.name != "heapwright"}
    return f"py{python}-{hashlib.sha256(' '.join(sorted(found)).encode()).hexdigest()[:8]}"


def compare(suite: Suite, without: Outcomes, allocator: str) -> int:
    """Run the suite under us, print what differs, and return how many tests differ because of us."""
    under = run_pytest(suite, suite.targets, under=allocator)
    print(f"{suite.distribution}, under heapwright ({allocator}): {counted(under)}")
    suspects = sorted(test for test in without.keys() | under.keys() if without.get(test) != under.get(test))
    verdicts: Counter[str] = Counter()
    for test in suspects:
        sides = [without.get(test, "absent"), under.get(test, "absent")]
        alone, again = ([run_alone(suite, test, side) for _ in range(TRIALS)] for side in (None, allocator))
        verdicts[verdict := judge(alone, again)] += 1
        print(f"  {verdict}: {test}: {sides[0]} without us, {sides[1]} under us; alone {alone}, {again}")
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) or "none"
    print(f"  {len(without)} tests; ended differently: {counts}", flush=True)
    return verdicts[DIFFERENT]


def judge(without: list[str], under: list[str]) -> str:
    """Why a test ended differently, from trying it alone; what could not be tried counts against us."""
    if "absent" in without + under:
        return DIFFERENT
    if len(set(without)) > 1:
        return "unsteady without us too"
    return "not reproduced alone" if set(without) == set(under) else DIFFERENT


def run_alone(suite: Suite, test: str, under: str | None) -> str:
    return run_pytest(suite, (str(Path(site(), test)),), under).get(test, "absent")


def run_pytest(suite: Suite, targets: tuple[str, ...], under: str | None) -> Outcomes:
    """Outcome by test identifier; that pytest itself ended badly is an outcome too."""
    start = time.monotonic()
    ours = ["-m", "heapwright", "run", "--quiet", "--allocator", under] if under else []
    pyargs = [] if "::" in targets[0] else ["--pyargs"]
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "outcomes.jsonl")
        log = Path(folder, "log.txt")
        command = [sys.executable, *ours, "-m", "pytest", *pyargs, *targets, *suite.options]
        command += [
            "-q",
            "-p",
            "outcomes",
            "-p",
            "no:cacheprovider",
            "--tb=no",
            "--no-header",
            "--rootdir",
            site(),
        ]
        with log.open("w") as output:
            ended = subprocess.run(
                command, cwd=folder, env=environment(written), stdout=output, stderr=subprocess.STDOUT
            )
        outcomes = dict(json.loads(line) for line in written.read_text().splitlines()) if written.exists() else {}
        if ended.returncode not in (0, 1):
            print(log.read_text()[-3000:], file=sys.stderr)
            outcomes["pytest itself"] = f"ended with {ended.returncode}"
    if pyargs:
        print(f"  {time.monotonic() - start:.0f} s", flush=True)
    return outcomes


def environment(written: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    # Some tests start tools installed beside Python (meson), whether or not the environment is active.
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    return {**os.environ, **threads, "PATH": tools, "PYTHONPATH": path, "SUITE_OUTCOMES": str(written)}


def site() -> str:
    """Test identifiers are relative to here, so that they can be given back to pytest."""
    return str(Path(importlib.metadata.distribution("numpy").locate_file("")))


def counted(outcomes: Outcomes) -> str:
    counts = Counter(outcomes.values())
    return f"{len(outcomes)} tests, " + ", ".join(f"{count} {name}" for name, count in counts.most_common())


if __name__ == "__main__":
    sys.exit(main())
