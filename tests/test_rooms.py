"""The law of the rooms, where import-linter does not reach: what native code includes, and what the model needs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NATIVE = ROOT / "native"

#: room -> the rooms whose headers it may include
BELOW = {
    "core": {"core"},
    "os": {"os"},
    "heap": {"heap", "core", "os"},
    "process": {"process", "heap", "core", "os"},
    "binding": {"binding", "heap", "process", "core", "os"},
}

#: The headers that stand for arithmetic: no call into the system is declared in them.
ARITHMETIC = {"assert", "inttypes", "limits", "math", "stdalign", "stdatomic", "stdbool", "stddef", "stdint", "string"}

#: room -> headers of the system that it includes although system calls belong to os/, each with its reason
CATALOGUE = {
    "heap": {
        "errno",  # the names of results
        "pthread",  # the marker is a thread, and pthread_atfork is how it hears of a fork
        "stdlib",  # pools and the map of handles are of no size that could be reserved
    },
    "process": {
        "errno",
        "pthread",  # the keeper is a thread, and pthread_atfork is how a process hears of a fork
        "signal",  # ... and that thread blocks every signal
        "stdio",  # snprintf, and the last words before abort
        "stdlib",  # abort
        "sched",  # a thread that waits for another's purge lets it run
        "sys/sysinfo",  # how much memory the machine has: the extent's limit
        "time",
        "unistd",  # getpid in the name of a record
    },
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"(\w+)/\w+\.h"|<([\w/]+)\.h>)', re.MULTILINE)
FILES = sorted(NATIVE.rglob("*.[ch]"))


def rooms_and_headers(source: Path) -> tuple[set[str], set[str]]:
    found = INCLUDE.findall(source.read_text())
    return {room for room, _ in found if room}, {header for _, header in found if header}


def test_every_room_has_a_law() -> None:
    assert {path.name for path in NATIVE.iterdir()} == set(BELOW)


@pytest.mark.parametrize("source", FILES, ids=lambda path: str(path.relative_to(NATIVE)))
def test_native_includes_point_down(source: Path) -> None:
    room = source.relative_to(NATIVE).parts[0]
    rooms, headers = rooms_and_headers(source)
    assert rooms <= BELOW[room]
    if room in {"core", "heap", "process"}:
        assert headers - ARITHMETIC <= CATALOGUE.get(room, set())
    if room != "binding":
        assert "Python" not in headers


def test_the_model_needs_no_native_code_and_nothing_of_ours() -> None:
    program = """
import sys
sys.modules["heapwright._native"] = None  # importing it fails
import importlib, pkgutil, heapwright.model
for module in pkgutil.iter_modules(heapwright.model.__path__, "heapwright.model."):
    importlib.import_module(module.name)
print(*sorted(name for name in sys.modules if name.startswith("heapwright")))
"""
    shown = subprocess.check_output([sys.executable, "-c", program], text=True)
    rooms = {".".join(name.split(".")[:2]) for name in shown.split()}
    assert rooms == {"heapwright", "heapwright.model", "heapwright._native"}
