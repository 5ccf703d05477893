"""The marker, as somebody's pytest runs it."""

import subprocess
import sys
import tomllib
from pathlib import Path

PLUGIN = "heapwright.testing.pytest_plugin"

SUITE = """
import heapwright as hw
import pytest

heap = hw.Heap(hw.AnonymousSpace("1MiB"))
kept = []

@pytest.fixture
def given():
    return heap.allocate(10)

def load(size_bytes):
    kept.append(heap.allocate(size_bytes))

def test_unmarked_passes():
    load(1)

@pytest.mark.no_leaks
def test_clean_passes(given):
    block = heap.allocate(100)

@pytest.mark.no_leaks
def test_leaking_fails():
    load(100)

@pytest.mark.no_leaks(allow_bytes=200)
def test_allowed_passes():
    load(200)

@pytest.mark.no_leaks
def test_broken_fails():
    load(300)
    raise KeyError("its own error")

@pytest.mark.no_leaks
class TestClass:
    def test_in_class_fails(self):
        load(400)
"""


def test_marked_tests_fail_by_what_they_leave(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:heapwright", "-p", PLUGIN, "--strict-markers", "-rA"]
    done = subprocess.run([*command, tmp_path], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    outcomes = [line for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED"))]
    assert len(outcomes) == 6, done.stdout
    for line in outcomes:
        assert line.startswith("PASSED") == ("passes" in line), line
    assert "kept by module test_suite.kept[1] -> Block" in done.stdout
    line = SUITE.splitlines().index("    kept.append(heap.allocate(size_bytes))") + 1
    assert f"test_suite.py:{line} in load" in done.stdout
    assert "400 B in 1 survivor" in done.stdout
    assert "KeyError: 'its own error'" in done.stdout
    assert "300 B" not in done.stdout


def test_pytest_finds_it_by_itself() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"heapwright": PLUGIN}
