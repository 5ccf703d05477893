import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "stray_write.py"


def test_the_filter_with_the_error_is_named() -> None:
    shown = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True).stdout
    assert "brighten is clean\ninvert is clean\nframe damaged 64000 B at" in shown
    assert re.search(r"red zone after, offset 64000: expected \w\w, found 00\n", shown)
    assert "salvaged 64000 pixels" in shown
    assert "and not freed: cannot deallocate through this handle: verify() moved its memory, corrupted now" in shown
