"""The report's lines, from made-up outcomes: what a run on a machine of any size and load may have to say."""

from types import SimpleNamespace
from typing import Any

import pytest

from heapwright.cli.report import WIDTH, report_lines


def outcome(**usage: float) -> Any:
    rusage = SimpleNamespace(ru_utime=1.0, ru_stime=0.5, ru_minflt=1234, ru_majflt=0)
    vars(rusage).update(usage)
    return SimpleNamespace(
        ending=SimpleNamespace(status=0, signal=None, elapsed_s=2.0, rusage=rusage),
        command=["python", "prog.py"],
        final_resident_bytes=100 << 30,
        peak_resident_bytes=200 << 30,
        **dict.fromkeys(("peak", "end", "record", "sites")),
        children=[],
        failures=[],
    )


@pytest.fixture
def ink() -> Any:
    same = dict.fromkeys(("heading", "faint", "bar", "warning"), str)
    return SimpleNamespace(**same)


def test_the_figures_of_a_run_are_one_line(ink: Any) -> None:
    assert "  2.00 s wall   1.50 s CPU   1,234 page faults   peak 200.0 GiB   end 100.0 GiB" in list(
        report_lines(outcome(), ink)
    )


def test_figures_that_are_too_long_for_one_line_are_two(ink: Any) -> None:
    lines = list(report_lines(outcome(ru_utime=123456.0, ru_minflt=123_456_789, ru_majflt=1_234_567), ink))
    assert "  2.00 s wall   123456.50 s CPU   peak 200.0 GiB   end 100.0 GiB" in lines
    assert "  123,456,789 page faults + 1,234,567 from disk" in lines
    assert max(map(len, lines)) <= WIDTH
