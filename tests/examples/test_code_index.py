import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "code_index.py"


def test_both_ways_index_the_same_code() -> None:
    command = [sys.executable, str(EXAMPLE), "--files", "25", "--edits", "5"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = {line[:36].strip(): line[36:].split() for line in shown.splitlines()[1:]}
    for same in ("nodes", "deepest", "most used"):
        slotted, records = rows[same]
        assert slotted == records
    assert int(rows["nodes"][0]) > 10_000
    memory_mib = [float(cell) for cell in rows["memory, built, MiB"]]
    assert memory_mib[1] < memory_mib[0]
    assert rows["pauses, record heap's, longest, ms"][0] == "0.0"
