import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "heap_tour.py"


def test_the_tour_shows_four_different_heaps() -> None:
    shown = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True).stdout
    drawings = {line.split(maxsplit=1)[1] for line in shown.splitlines() if "-fit " in line}
    assert len(drawings) == 4
    assert "its sum is 499500" in shown
    assert "not freed under it" in shown
    assert "LimitExceeded: cannot allocate 5120 B" in shown
