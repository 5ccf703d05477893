"""Both type checkers refuse every marked line of programs/, for the reason that is written there, and no other line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "typing" / "programs"
FILES = sorted(PROGRAMS.glob("*.py"))

Found = set[tuple[str, int, str]]  # file, line, kind


def expected(checker: str) -> Found:
    mark = re.compile(rf"# error: .*\b{checker}\[([\w-]+)\]")
    return {
        (path.name, number, match[1])
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if (match := mark.search(line))
    }


def mypy() -> Found:
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--no-pretty", "--no-error-summary"]
    answer = subprocess.run([*command, *map(str, FILES)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not answer.stderr, answer.stderr
    lines = re.findall(r"^(.*?):(\d+): error: .*\[([\w-]+)\]$", answer.stdout, re.MULTILINE)
    return {(Path(name).name, int(line), kind) for name, line, kind in lines}


def pyright() -> Found:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    answer = subprocess.run([*command, *map(str, FILES)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.stdout.startswith("{"), answer.stdout + answer.stderr
    return {
        (Path(seen["file"]).name, seen["range"]["start"]["line"] + 1, seen.get("rule", seen["message"]))
        for seen in json.loads(answer.stdout)["generalDiagnostics"]
        if seen["severity"] == "error"
    }


@pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: str(checker.__name__))
def test_misuse_is_refused_and_use_is_not(checker) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip(checker.__name__, reason=f"{checker.__name__} comes with the extra [dev]")
    assert checker() == expected(checker.__name__)


def test_both_checkers_are_to_refuse_the_same_lines() -> None:
    mypys, pyrights = ({seen[:2] for seen in expected(checker)} for checker in ("mypy", "pyright"))
    assert mypys == pyrights
    assert len(mypys) >= 30
