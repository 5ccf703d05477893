"""The memory orders of the depot are needed: ThreadSanitizer finds a race without them, and none with them."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-fsanitize=thread", "-pthread", f"-I{ROOT / 'native'}"]


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("relaxed", [False, True])
def test_relaxed_orders_are_refuted(tmp_path: Path, relaxed: bool) -> None:
    program, source = tmp_path / "depot", ROOT / "tests" / "native" / "test_concurrent_pool.c"
    mutant = ["-DHW_DEPOT_RELAXED"] if relaxed else []
    built = subprocess.run(["cc", *FLAGS, *mutant, str(source), "-o", str(program)], capture_output=True, check=False)
    if b"cannot find" in built.stderr:
        pytest.skip("this compiler has no ThreadSanitizer")
    assert built.returncode == 0, built.stderr
    finished = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    if "unexpected memory mapping" in finished.stderr:
        pytest.skip("ThreadSanitizer does not know this kernel's address space")
    assert ("data race" in finished.stderr) == relaxed, finished.stderr
