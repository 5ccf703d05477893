"""The report at exit, of programs that end in every way."""

import os
import subprocess
import sys

import pytest

HEAP = "import heapwright as hw; heap = hw.Heap(hw.AnonymousSpace('1MiB')); "
ASK = "import heapwright as hw; hw.report_leaks_at_exit(); hw.report_leaks_at_exit(); "


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


def test_what_is_left_is_told_once() -> None:
    done = run(ASK + HEAP + "cache = {'a': heap.allocate(1000)}; gone = heap.allocate(10); del gone")
    assert done.stderr.count("1000 B in 1 survivor:") == 1
    assert "kept by module __main__.cache['a'] -> Block" in done.stderr
    assert "<string>:1 in <module>" in done.stderr
    assert (done.returncode, done.stdout) == (0, "")


def test_a_variable_in_the_environment_asks_for_it() -> None:
    program = HEAP + "block = heap.allocate(1000); import sys; sys.exit(3)"
    done = run(program, HEAPWRIGHT_LEAKS="1")
    assert "kept by module __main__.block -> Block" in done.stderr
    assert done.returncode == 3
    for other in ("", "0"):
        assert run(program, HEAPWRIGHT_LEAKS=other).stderr == ""


def test_nothing_is_written_where_nothing_is_left_or_nobody_asked() -> None:
    assert run(ASK + HEAP + "block = heap.allocate(1000); del block").stderr == ""
    assert run(HEAP + "block = heap.allocate(1000)").stderr == ""


def test_a_lease_that_nobody_closed_is_told_with_its_borrower() -> None:
    done = run(ASK + HEAP + "hw.lease(heap.allocate(1000), 'the kernel, read 7')")
    assert "1000 B in 1 survivor:" in done.stderr
    assert "lent to the kernel, read 7, kept by " in done.stderr
    assert (done.returncode, done.stdout) == (0, "")


def test_an_uncaught_error_stays_what_it_is() -> None:
    done = run(ASK + HEAP + "shared = hw.Shared([1]); 1 / 0")
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.index("ZeroDivisionError") < done.stderr.index("Shared[list]")
    assert done.returncode == 1


@pytest.mark.parametrize("closing", ["sys.stderr.close()", "sys.stderr = None", "os.close(2)"])
def test_without_stderr_the_exit_code_is_as_it_was(closing: str) -> None:
    done = run(ASK + HEAP + f"import os, sys; block = heap.allocate(1); {closing}; sys.exit(7)")
    assert (done.returncode, done.stdout) == (7, "")


def test_a_forked_child_does_not_tell_of_its_parent() -> None:
    program = """
import os, sys
child = os.fork()
if child == 0:
    mine = heap.allocate(5)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    done = run(ASK + HEAP + "block = heap.allocate(1000)\n" + program)
    assert done.stderr.count("survivor") == 1
    told = run(
        ASK + HEAP + "block = heap.allocate(1000)\n" + program.replace("mine =", "hw.report_leaks_at_exit(); mine =")
    )
    assert sorted(line.rpartition(" left ")[2] for line in told.stderr.splitlines() if "survivor" in line) == [
        "1000 B in 1 survivor:", "5 B in 1 survivor:",
    ]  # fmt: skip
