"""Runs one program twice: plainly, and under `heapwright run`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from running import OBSERVED, PLAIN, Result, execute


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


@pytest.fixture
def doctor(tmp_path: Path) -> Callable[..., Result]:
    """Run `heapwright doctor`."""

    def run(*arguments: str) -> Result:
        return execute([*PLAIN, "-m", "heapwright", "doctor", *arguments], tmp_path)

    return run
