import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "arena_requests.py"


def test_requests_leave_nothing_behind() -> None:
    shown = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True).stdout
    assert "60000 blocks" in shown
    assert " 0 left" in shown
    assert "1 view escaped, from arena_requests.py" in shown
    assert "in main.<locals>.remember" in shown
    assert "1 chunk of 1 MiB stays for an array of 7.81 KiB, whose mean is 42; of others, 0 B" in shown
