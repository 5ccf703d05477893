"""Programs in C that run one contender to a process: a part of heapwright, or `malloc` with a library behind it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.configurations import configurations

#: name -> configuration that it runs under
MALLOCS = {"glibc": "default", "mimalloc": "mimalloc", "jemalloc": "jemalloc", "tcmalloc": "tcmalloc"}


def beside_mallocs(
    program: Path, ours: Mapping[str, str], *arguments: str, rounds: int, realtime: bool = False
) -> dict[str, list[dict[str, float]]]:
    """Run a program once a round for each contender, taking turns; return what each of them printed, as JSON.

    The program's first argument says who runs: a value of ``ours``, or ``malloc``. Every other round goes backwards. A
    library that is not there is skipped with a note.
    """
    samples: dict[str, list[dict[str, float]]] = {}
    known = configurations()
    for turn in range(rounds):
        names = [*ours, *MALLOCS]
        for name in names if turn % 2 == 0 else reversed(names):
            configuration = known[MALLOCS.get(name, "default")]
            if configuration.missing:
                print(f"skipping {name}: {configuration.missing}", file=sys.stderr)
                continue
            command = [program, ours.get(name, "malloc"), *arguments]
            printed = run(command, configuration.environ(), realtime=realtime)
            samples.setdefault(name, []).append(json.loads(printed))
    return samples


def run(command: Sequence[object], environment: Mapping[str, str] | None = None, *, realtime: bool = False) -> str:
    """Return what a program prints. ``realtime``: no other process is scheduled in its place, for root."""

    def first_in_line() -> None:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))

    finished = subprocess.run(
        [str(word) for word in command],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=first_in_line if realtime else None,  # this process has one thread
    )
    return finished.stdout
