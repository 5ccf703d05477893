import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "views_keep_owners.py"


def test_every_view_of_a_block_sees_its_bytes() -> None:
    shown = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True).stdout
    of_blocks = [line for line in shown.splitlines() if line.startswith("a block")]
    assert len(of_blocks) >= 3
    for line in of_blocks:
        assert "deallocate() is refused, and says views_keep_owners.py:" in line
        assert line.endswith("in of_a_block; the view sees its bytes")
    assert "mmap, np.ndarray(buffer=)" in shown  # what others do is theirs to change
