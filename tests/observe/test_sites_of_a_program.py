"""Call sites of whole programs under ``heapwright run``: NumPy's own calls, wherever Python runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heapwright import _native

pytestmark = pytest.mark.skipif(
    not _native.SAMPLER_SEES_FRAMES, reason="the layout of this interpreter's frames is not known"
)

MIB = 1 << 20
PROGRAM = """\
import asyncio, os, threading
import numpy as np
keep = []
def plain():
    keep.append(np.ones(MIB // 8))                  # line 5
def generator():
    yield np.empty(2 * MIB // 8)                    # line 7
async def coroutine():
    await asyncio.sleep(0)
    keep.append(np.zeros(3 * MIB // 8))             # line 10
class Thing:
    def __add__(self, other):
        return np.full(4 * MIB // 8, 1.5)           # line 13
def on_a_thread():
    keep.append(np.arange(5 * MIB // 8))            # line 15
def freed():
    np.ones(100 * MIB // 8)                         # line 17
def callback(_):
    keep.append(np.empty(6 * MIB, dtype='u1'))      # line 19
    return 0
freed()
plain()
keep += generator()
asyncio.run(coroutine())
keep.append(Thing() + 1)
thread = threading.Thread(target=on_a_thread); thread.start(); thread.join()
sorted([1], key=callback)
if ENDS: os._exit(3)
""".replace("MIB", str(MIB))
EXPECTED = {
    ":5 plain": 1,
    ":7 generator": 2,
    ":10 coroutine": 3,
    ":13 Thing.__add__": 4,
    ":15 on_a_thread": 5,
    ":19 callback": 6,
}


def sites_of(tmp_path: Path, source: str, *options: str, exit_code: int = 0) -> dict[str, dict[str, Any]]:
    program = tmp_path / "program.py"
    program.write_text(source)
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "heapwright", "run", "--quiet", "--json", str(report), *options, str(program)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == exit_code, finished.stderr
    sites: list[dict[str, Any]] = json.loads(report.read_text())["call_sites"]
    return {site["site"].removeprefix(str(program)): site for site in sites}


@pytest.mark.parametrize("ends", [False, True], ids=["returns", "os._exit"])
def test_every_array_is_booked_on_its_line(tmp_path: Path, ends: bool) -> None:
    source = PROGRAM.replace("ENDS", str(ends))
    sites = sites_of(tmp_path, source, "--sample", "0", exit_code=3 if ends else 0)
    for line, mebibytes in EXPECTED.items():
        assert sites[line]["live_bytes_end"] == pytest.approx(mebibytes * MIB, abs=64 << 10)
    assert sites[":17 freed"]["live_bytes_end"] == 0
    assert sites[":17 freed"]["live_bytes_peak"] == pytest.approx(100 * MIB, abs=64 << 10)
    assert sites[":19 callback"]["live_bytes_peak"] == 0  # the peak was before


def test_sampled_it_finds_the_large_ones(tmp_path: Path) -> None:
    sites = sites_of(tmp_path, PROGRAM.replace("ENDS", "False"), "--sample", "128KiB")
    # A block of 32 means is missed once in 10**14 runs; its weight is its size.
    for line in (":13 Thing.__add__", ":15 on_a_thread", ":19 callback"):
        assert sites[line]["live_bytes_end"] == pytest.approx(EXPECTED[line] * MIB, rel=0.01)
    assert sites[":17 freed"]["live_bytes_peak"] == pytest.approx(100 * MIB, rel=0.01)
