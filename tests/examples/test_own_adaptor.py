import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_adaptor.py"


def test_the_first_try_is_refuted_and_the_second_is_not() -> None:
    shown = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True).stdout
    lines = shown.splitlines()
    assert lines[0].startswith("the first try breaks the clause ")
    assert lines[1] == "the second keeps every clause:"
    assert lines[-2:] == ["getting full: 1200 B are out", "getting full: 2000 B are out"]
