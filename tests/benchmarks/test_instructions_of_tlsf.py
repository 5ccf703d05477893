"""Constant time, counted: what TLSF executes does not depend on the number of blocks."""

import shutil
from statistics import mean

import pytest

from benchmarks.real_time import NEEDED, instructions


@pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"needs {', '.join(NEEDED)}")
def test_what_tlsf_executes_does_not_depend_on_the_number_of_blocks() -> None:
    try:
        few, many = instructions("TLSF", 100, 60), instructions("TLSF", 50_000, 60)
    except PermissionError as refused:
        pytest.skip(str(refused))
    for call in ("allocate", "free"):
        assert len(few[call]) == len(many[call]) == 60
        assert mean(many[call]) <= 1.3 * mean(few[call])
        assert max(*few[call], *many[call]) < 400  # of every single call, whatever the heap looks like
