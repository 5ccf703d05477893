"""The native core by itself, without Python.h, under AddressSanitizer and UBSan, by the rules of `make sanitize`.

ThreadSanitizer takes half a minute for the pooled allocator alone: that is `make sanitize-threads`.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = [path.stem for path in sorted((ROOT / "tests" / "native").glob("test_*.c"))]


@pytest.mark.skipif(not (shutil.which("make") and shutil.which("cc")), reason="needs make and a C compiler")
@pytest.mark.parametrize("program", PROGRAMS)
def test_under_sanitizers(program: str) -> None:
    binary = f"build/sanitize/{program}"
    for command in (["make", "--silent", binary], [binary]):
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stdout + finished.stderr
