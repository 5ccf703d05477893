"""The example runs, with every right and with none, and shows a histogram that adds up."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "real_time.py"


def test_every_operation_is_in_each_histogram() -> None:
    command = [sys.executable, str(EXAMPLE), "2000"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr
    assert re.search(r"real time \((locked|populated)\)", finished.stdout)
    rows = [line.split()[-3:] for line in finished.stdout.splitlines() if re.match(r"\d+ to \d+ us|more than", line)]
    assert [sum(int(count.replace(",", "")) for count in column) for column in zip(*rows, strict=True)] == [2000] * 3
    for line in ("median", "99.9 %", "99.99 %", "latest"):
        assert re.search(rf"^{line}.*us.*us.*us$", finished.stdout, re.MULTILINE)
