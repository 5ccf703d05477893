"""How the tests run a program: plainly, or under `heapwright run`."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PLAIN = [sys.executable]
OBSERVED = [sys.executable, "-m", "heapwright", "run"]
REPORT_STARTS = "heapwright run"


@dataclass
class Result:
    exit_code: int
    stdout: str
    stderr: str
    report: str


def clean_environment(**extra: str) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key != "HEAPWRIGHT_SESSION"}
    environment["PYTHONPATH"] = ""
    return environment | extra


def execute(command: list[str], cwd: Path, stdin: str | None = None, **extra: str) -> Result:
    completed = subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(**extra),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=60,
    )
    stderr, mark, report = completed.stderr.partition(f"\n{REPORT_STARTS}")
    return Result(completed.returncode, completed.stdout, stderr, mark + report)
