import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "frame_pipeline.py"


def test_the_ball_is_followed_with_eight_frames() -> None:
    shown = subprocess.run([sys.executable, str(EXAMPLE), "40"], capture_output=True, text=True, check=True).stdout
    found = re.findall(
        r"^(pool|np.empty).* 39 of 40 frames tracked, at most (\d+) pixels off; ([\d,]+) page", shown, re.M
    )
    faults = {name: int(count.replace(",", "")) for name, _, count in found}
    assert faults["pool"] < faults["np.empty"]
    assert all(int(off) <= 8 for _, off, _ in found)
    assert "of 8 live" in shown
    assert "40 frames acquired, 0 live" in shown
