"""The native core by itself, without Python.h, under AddressSanitizer and UBSan: what `make sanitize` runs."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NATIVE = ROOT / "native"
PROGRAMS = sorted((ROOT / "tests" / "native").glob("test_*.c"))


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_under_sanitizers(program: Path, tmp_path: Path) -> None:
    sources = [path for path in sorted(NATIVE.rglob("*.c")) if "binding" not in path.parts]
    binary = tmp_path / program.stem
    flags = "-std=c11 -O1 -g -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-parameter -fno-sanitize-recover=all".split()
    flags += ["-fsanitize=address,undefined", f"-I{NATIVE}", "-pthread"]
    subprocess.run(["cc", *flags, str(program), *map(str, sources), "-o", str(binary)], check=True)
    finished = subprocess.run([str(binary)], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
