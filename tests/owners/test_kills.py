"""A short form of `make kill-test`, in an interpreter without threads: it forks."""

import subprocess
import sys
from pathlib import Path

ROUNDS = Path(__file__).parent / "kill_rounds.py"


def test_the_killed_give_up_exactly_their_own() -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "error", str(ROUNDS), "30"], capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.stdout.startswith("30 rounds"), finished.stderr
    assert "nothing lost and nothing left" in finished.stdout
