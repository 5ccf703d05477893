"""Where resident memory is: what we say against what CPython, glibc and the kernel say themselves."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from heapwright.observe import resident
from heapwright.observe.arenas import read_arenas
from heapwright.observe.mappings import Pagemap, read_mappings
from heapwright.observe.resident import breakdown

MIB = 1 << 20


def explain(tmp_path: Path, body: str, **environment: str) -> tuple[dict[str, Any], str]:
    """Run `body` in a process of its own that explains itself when it is done; (figures, its stderr)."""
    program = f"""
import json, os, sys, threading
from pathlib import Path
from heapwright import _native
session = {str(tmp_path)!r}
_native.arenas_start(session)
_native.process_start(session, "system")
from heapwright.observe.arenas import read_arenas
from heapwright.observe.record import read_record
from heapwright.observe.resident import breakdown
def explain(**more):
    _native.process_finish()
    found = breakdown(os.getpid(), read_record(f"{{session}}/{{os.getpid()}}.record"),
                      read_arenas(f"{{session}}/{{os.getpid()}}.arenas"), session)
    return dict(holders=found.holders, resident=found.resident_bytes, live=found.arenas and found.arenas.live_bytes,
                arenas=found.arenas and found.arenas.arenas, **more)
explain()  # import what it needs before the measurement
{textwrap.dedent(body)}
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_holders_add_up_to_the_kernels_figure(tmp_path: Path) -> None:
    figures, _ = explain(tmp_path, "print(json.dumps(explain()))")
    assert tuple(figures["holders"]) == resident.HOLDERS
    assert sum(figures["holders"].values()) == figures["resident"]
    assert all(size >= 0 for size in figures["holders"].values())


@pytest.mark.parametrize("flags", [{}, {"PYTHONDEVMODE": "1"}], ids=["release", "debug hooks"])
def test_small_objects_agree_with_cpythons_own_count(tmp_path: Path, flags: dict[str, str]) -> None:
    body = """
    keep = [str(i) * (i % 60 + 1) for i in range(200_000)]
    del keep[::3]
    figures = explain()
    sys._debugmallocstats()
    print(json.dumps(figures))
    """
    figures, stderr = explain(tmp_path, body, **flags)
    allocated = int(re.search(r"# bytes in allocated blocks += +([\d,]+)", stderr)[1].replace(",", ""))
    arenas = int(re.search(r"# arenas allocated current += +([\d,]+)", stderr)[1].replace(",", ""))
    assert figures["arenas"] in (arenas, arenas - 1)  # one more may be needed before CPython counts
    slack = 512 << 10 if flags else 256 << 10  # what the look itself allocated and freed
    assert abs(figures["live"] - allocated) < slack
    assert abs(figures["holders"][resident.OBJECTS_LIVE] - allocated) < slack
    assert figures["holders"][resident.OBJECTS_FREE] > MIB


def test_without_small_object_arenas(tmp_path: Path) -> None:
    figures, _ = explain(
        tmp_path, "x = [str(i) for i in range(100_000)]; print(json.dumps(explain()))", PYTHONMALLOC="malloc"
    )
    assert figures["holders"][resident.OBJECTS_LIVE] == 0
    assert figures["holders"][resident.LIBC_LIVE] > 4 * MIB
    assert sum(figures["holders"].values()) == figures["resident"]


@pytest.mark.parametrize(
    ("body", "holder", "at_least", "at_most"),
    [
        ("x = [bytearray(b'x' * 300_000) for _ in range(100)]", resident.LIBC_LIVE, 28 * MIB, 36 * MIB),
        ("x = bytearray(b'x') * (40 << 20)", resident.LIBC_LIVE, 40 * MIB, 47 * MIB),
        ("x = bytes(100 << 20)", resident.LIBC_LIVE, 0, 16 * MIB),
        ("import mmap; x = mmap.mmap(-1, 20 << 20); x.write(b'x' * (20 << 20))", resident.SHARED, 20 * MIB, 21 * MIB),
        (
            "import mmap; x = mmap.mmap(-1, 20 << 20, mmap.MAP_PRIVATE | 32); x.write(b'x' * (20 << 20))",
            resident.UNEXPLAINED,
            20 * MIB,
            22 * MIB,
        ),
        (
            "import mmap; f = open('/proc/self/exe', 'rb'); x = mmap.mmap(f.fileno(), 0, 1, 1)\nsum(x[::4096])",
            resident.FILES,
            3 * MIB,
            60 * MIB,
        ),
        (
            """
            import numpy
            from heapwright.adapters.numpy import install_for_run
            install_for_run("system")
            x = numpy.ones(5 << 20)""",
            resident.ARRAYS_LIVE,
            38 * MIB,
            42 * MIB,
        ),
        (
            """
            import numpy
            from heapwright.adapters.numpy import install_for_run
            install_for_run("pooled")
            x = numpy.ones(5 << 20)""",
            resident.ARRAYS_LIVE,
            40 * MIB,
            42 * MIB,
        ),
    ],
    ids=["malloc", "one block", "untouched", "shared", "private mapping", "file", "arrays watched", "arrays pooled"],
)
def test_memory_is_found_where_it_is(tmp_path: Path, body: str, holder: str, at_least: int, at_most: int) -> None:
    figures, _ = explain(tmp_path, textwrap.dedent(body) + "\nprint(json.dumps(explain()))")
    assert at_least <= figures["holders"][holder] <= at_most, figures
    assert sum(figures["holders"].values()) == figures["resident"]
    if holder != resident.UNEXPLAINED:
        assert figures["holders"][resident.UNEXPLAINED] < MIB


def test_thread_stacks_and_thread_heaps(tmp_path: Path) -> None:
    body = """
    import ctypes
    gate, ready = threading.Event(), threading.Semaphore(0)
    def down(n):
        return down(n - 1) if n else (ready.release(), gate.wait())
    def work():
        libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p
        for _ in range(20):
            ctypes.memset(ctypes.c_void_p(libc.malloc(100_000)), 1, 100_000)
        down(50)
    before = explain()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads: t.start()
    for t in threads: ready.acquire()
    figures = explain(before=before)
    gate.set()
    print(json.dumps(figures))
    """
    figures, _ = explain(tmp_path, body)
    before = figures["before"]["holders"]
    assert figures["holders"][resident.STACKS] - before[resident.STACKS] >= 4 * 8192
    assert figures["holders"][resident.LIBC_LIVE] - before[resident.LIBC_LIVE] >= 6 * MIB
    assert figures["holders"][resident.UNEXPLAINED] < MIB
    assert sum(figures["holders"].values()) == figures["resident"]


def test_a_forked_child_has_a_table_of_its_own(tmp_path: Path) -> None:
    body = """
    pid = os.fork()
    if pid == 0:
        more = [str(i) * 9 for i in range(100_000)]
        found = explain()
        os._exit(0 if found["arenas"] >= 10 and sum(found["holders"].values()) == found["resident"] else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps(explain(child=code, tables=sorted(p.name for p in Path(session).glob("*.arenas")))))
    """
    figures, _ = explain(tmp_path, body)
    assert figures["child"] == 0
    assert len(figures["tables"]) == 2


def test_another_process_without_any_record(tmp_path: Path) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1)
    with sleeper:
        sleeper.stdout.readline()
        found = breakdown(sleeper.pid)
        assert sum(found.holders.values()) == found.resident_bytes > 5 * MIB
        sleeper.communicate(b"\n")
    with pytest.raises(OSError, match=r"No such (file|process)"):
        breakdown(sleeper.pid)


def test_torn_arena_tables(tmp_path: Path) -> None:
    path = tmp_path / "1.arenas"
    assert read_arenas(str(path)) is None
    for content in (b"", b"x" * 63, b"\0" * 64, b"RENRAS01" + b"\xff" * 200):
        path.write_bytes(content)
        assert read_arenas(str(path)) is None
    header = b"".join(word.to_bytes(8, "little") for word in (0x31305341524E4552, 1, MIB, 1000, 0, 0, 0, 0))
    path.write_bytes(header + (1 << 20).to_bytes(8, "little") + b"\xff" * 8 + b"\1\2\3")
    assert read_arenas(str(path)) == [1 << 20]


def test_pagemap_agrees_with_smaps() -> None:
    with Pagemap(os.getpid()) as pagemap:
        for mapping in read_mappings(os.getpid()):
            if mapping.path == "[stack]":
                assert abs(pagemap.resident_bytes(mapping.start, mapping.end) - mapping.resident_bytes) <= 16384
