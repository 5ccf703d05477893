"""Runs one program twice: plainly, and under `heapwright run`."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

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


@pytest.fixture
def observed(tmp_path: Path) -> Callable[..., Result]:
    """Run the arguments under `heapwright run` in the temporary directory."""

    def run(*arguments: str, stdin: str | None = None, **extra: str) -> Result:
        return execute([*OBSERVED, *arguments], tmp_path, stdin, **extra)

    return run


@pytest.fixture
def same(tmp_path: Path) -> Callable[..., Result]:
    """Assert that the command line does the same with and without us; return what it did with us."""

    def check(*arguments: str, stdin: str | None = None, **extra: str) -> Result:
        plain = execute([*PLAIN, *arguments], tmp_path, stdin, **extra)
        ours = execute([*OBSERVED, *arguments], tmp_path, stdin, **extra)
        assert ours.stdout == plain.stdout
        assert ours.exit_code == plain.exit_code
        assert ours.stderr == plain.stderr
        assert ours.report, "there was no report"
        return ours

    return check
