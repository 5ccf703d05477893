"""Zero cost, counted: the fused call executes what the call written by hand does."""

import shutil

import pytest

from benchmarks.zero_cost import instructions

NEEDED = ("valgrind", "make", "cc")


@pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"needs {', '.join(NEEDED)}")
def test_a_strategy_that_is_a_type_costs_what_the_call_written_by_hand_costs() -> None:
    counted = instructions()
    assert counted["by_hand"] > 0
    assert abs(counted["fused"] / counted["by_hand"] - 1) < 0.02
    assert counted["run_time"] > counted["fused"]  # there is a choice to pay for, and this way pays it
