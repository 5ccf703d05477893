"""Start one process, wait for it, and account for its whole tree."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.configurations import Configuration

ROOT = Path(__file__).resolve().parents[1]


class ProgramFailedError(RuntimeError):
    """A measured program ended badly; the message carries what it wrote to stderr."""


@dataclass(frozen=True)
class Launched:
    """One finished process: the last line it printed (parsed), and what its tree cost."""

    output: dict[str, Any]
    tree_cpu_s: float
    wall_s: float


def launch(configuration: Configuration, arguments: Sequence[str]) -> Launched:
    """Run ``python arguments`` under ``configuration`` and parse the JSON line it prints, if it prints any.

    The CPU time is what ``wait4`` reports: the process and every descendant that was waited for, so a
    supervisor and its program are both in it.
    """
    command = configuration.command(arguments)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=ROOT, env=configuration.environ()
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        lines = out.read().decode().splitlines()
        if process.returncode != 0:
            told = err.read().decode(errors="replace")[-2000:]
            raise ProgramFailedError(f"{' '.join(command)} ended with {process.returncode}:\n{told}")
    output = json.loads(lines[-1]) if lines else {}
    absent = [name for name in configuration.expects if name not in output.get("allocators", configuration.expects)]
    if absent:
        raise ProgramFailedError(f"{' '.join(command)}: {', '.join(absent)} is not in the process; it measured nothing")
    return Launched(output, usage.ru_utime + usage.ru_stime, wall_s)
