"""A pytest plugin that writes one line per test: what happened to it.  Used by `run.py` in this directory."""

import json
import os
from pathlib import Path

import pytest

#: Where to write; `run.py` sets it for the pytest that it starts.
DESTINATION = os.environ.get("SUITE_OUTCOMES", "")

RANK = ("passed", "xfailed", "xpassed", "skipped", "failed", "error")


class Outcomes:
    """Keeps the gravest outcome of a test's three phases, and writes it when the test is over."""

    def __init__(self, path: Path) -> None:
        # Line-buffered: after a crash the last line names the test before the one that crashed.
        self.file = path.open("w", buffering=1)
        self.current: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = outcome_of(report)
        before = self.current.get(report.nodeid, "passed")
        self.current[report.nodeid] = max(before, outcome, key=RANK.index)
        if report.when == "teardown":
            self.file.write(json.dumps([report.nodeid, self.current.pop(report.nodeid)]) + "\n")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome != "passed":
            self.file.write(json.dumps([f"collection of {report.nodeid}", report.outcome]) + "\n")


def outcome_of(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xpassed" if report.passed else "xfailed"
    if report.failed:
        return "failed" if report.when == "call" else "error"
    return report.outcome


def pytest_configure(config: pytest.Config) -> None:
    if DESTINATION:
        config.pluginmanager.register(Outcomes(Path(DESTINATION)))
