import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "shared_workers.py"


def test_workers_find_the_spot_and_own_nothing_afterwards() -> None:
    command = [sys.executable, str(EXAMPLE), "--size", "300", "--workers", "2"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert shown.startswith("brightest: 1.")
    assert "of 300 x 300" in shown
    assert "mean 0.503" in shown
    assert "was 0.503" in shown
    assert "other owners: set()" in shown
