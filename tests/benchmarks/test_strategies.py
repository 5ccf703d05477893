"""The replay of recorded programs: what is read, and what need and internal mean."""

import platform
import shutil

import numpy as np
import pytest

import heapwright as hw
from benchmarks.strategies import EVENT, Trace, internal, need, read, record


def events(*rows: tuple[int, int, int]) -> np.ndarray:
    return np.array(list(rows), EVENT)


def test_requests_are_numbered_and_strange_frees_left_out() -> None:
    trace = read(
        events((0x10, 0, 1), (0x20, 100, 0), (0x30, 50, 0), (0x20, 0, 1), (0x20, 7, 0), (0x20, 9, 0), (0x30, 0, 1))
    )
    assert trace.steps == [100, 50, ~0, 7, ~2, 9, ~1]  # at 0x20 a block that was freed unseen
    assert (trace.requests, trace.peak_blocks, trace.peak_bytes) == (4, 2, 150)


def test_need_is_everything_that_is_lost() -> None:
    # Two of 1 MiB, of which the first goes; then 2 MiB, for which its hole is of no use.
    trace = Trace(steps=[1 << 20, 1 << 20, ~0, 2 << 20], requests=3, peak_blocks=2, peak_bytes=3 << 20)
    assert need(hw.BestFit, trace) == pytest.approx(4 / 3, abs=0.01)
    assert internal(hw.BestFit, trace) == 0
    assert internal(hw.Buddy, Trace([520], 1, 1, 520)) == pytest.approx(1 - 520 / 1024)


@pytest.mark.skipif(not (shutil.which("make") and shutil.which("cc")), reason="needs make and a C compiler")
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_program_is_recorded() -> None:
    trace = read(record("kept = [bytes(5000 + i) for i in range(100)]"))
    large = [step for step in trace.steps if 5000 <= step < 5200]
    assert len(large) >= 100
    assert trace.peak_bytes > 500_000
