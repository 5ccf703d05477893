"""The benchmark of small blocks runs, and says something of every contender that is there."""

import shutil

import pytest

from benchmarks.small_blocks import measure


@pytest.mark.slow
@pytest.mark.skipif(not all(map(shutil.which, ("make", "cc"))), reason="needs make and a C compiler")
def test_it_runs() -> None:
    rows = measure(1, 1, [300])
    assert {"Heap[Slab]", "Heap[BestFit]", "glibc malloc"} <= {row["name"] for row in rows if row["order"] == "random"}
    assert all(row["median_ns"] > 0 for row in rows)
