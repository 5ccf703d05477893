"""The package as a whole: it imports, and importing it is cheap."""

import subprocess
import sys


def test_import_does_not_load_numpy() -> None:
    program = "import heapwright, sys; print('numpy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


def test_native_module_loads() -> None:
    from heapwright import _native

    assert _native.__name__ == "heapwright._native"
