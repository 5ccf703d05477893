"""What was measured, kept on disk after every process, so that a run can be stopped and taken up again."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1

LIBRARIES = (
    "numpy",
    "scipy",
    "pandas",
    "polars",
    "pyarrow",
    "scikit-learn",
    "scikit-image",
    "xarray",
    "statsmodels",
    "PyWavelets",
    "astropy",
    "colour-science",
)


class Samples:
    """Samples by (round, subject, configuration): a JSON file that is whole after every sample."""

    def __init__(self, path: Path, benchmark: str) -> None:
        self.path = path
        self.document: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "benchmark": benchmark,
            "machine": machine(),
            "samples": [],
        }
        if path.exists():
            before = json.loads(path.read_text())
            ours = self.document
            same = all(before[key] == ours[key] for key in ("schema_version", "benchmark", "machine"))
            if not same:
                raise SystemExit(f"{path} comes from another machine, benchmark or set of libraries; move it away")
            self.document = before

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.document["samples"])

    def has(self, round_: int, subject: str, configuration: str) -> bool:
        key = (round_, subject, configuration)
        return any((s["round"], s["subject"], s["configuration"]) == key for s in self)

    def add(self, round_: int, subject: str, configuration: str, figures: dict[str, Any]) -> None:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        key = {"round": round_, "subject": subject, "configuration": configuration, "when": when}
        self.document["samples"].append({**key, "load": os.getloadavg()[0], **figures})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(self.document, indent=1) + "\n")
        unfinished.replace(self.path)


def interleave(
    samples: Samples,
    subjects: Iterable[str],
    configurations: list[str],
    rounds: int,
    measure: Callable[[str, str], dict[str, Any]],
) -> None:
    """Take every missing sample: per subject all configurations in turn, in reverse order every other round.

    Neighbours in time share what the machine is doing to them, so ratios are taken within a round; reversing
    the order cancels what a steady drift would add to the later ones.
    """
    subjects = list(subjects)
    for round_ in range(rounds):
        order = configurations if round_ % 2 == 0 else configurations[::-1]
        for subject in subjects:
            for configuration in order:
                if not samples.has(round_, subject, configuration):
                    samples.add(round_, subject, configuration, measure(subject, configuration))


def machine() -> dict[str, Any]:
    """What the figures depend on and what must be the same for them to be put in one table."""
    cpu = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    thp = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "cpu": cpu[0] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kib / (1 << 20), 1),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "transparent_hugepage": thp.read_text().strip() if thp.exists() else "absent",
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := installed(name))},
    }


def installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
