"""The allocator under NumPy, through the public adapter. Each test leaves it off."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.adapters.leftovers import interpreter_holds_blocks

from heapwright.adapters import numpy as adapter


@pytest.fixture(autouse=True)
def _off_afterwards() -> Iterator[None]:
    yield
    adapter.uninstall()
    gc.collect()
    adapter.check()


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("n_bytes", [1024, 1025, 4096, 32768, 32769, 100_000, 1 << 20, (4 << 20) + 1, 64 << 20])
def test_blocks_are_ours_aligned_and_whole(n_bytes: int) -> None:
    adapter.install()
    adapter.trim()
    a = np.empty(n_bytes, np.uint8)
    assert adapter.owns(a)
    assert a.ctypes.data % 64 == 0
    if n_bytes >= 4 << 20:
        assert a.ctypes.data % (2 << 20) == 0  # as nothing that is resident could serve it
    a[:] = 7
    b = a.copy()
    assert (b == 7).all()


def test_small_arrays_are_left_to_numpys_cache() -> None:
    adapter.install()
    assert not adapter.owns(np.empty(1023, np.uint8))


def test_every_thread_and_context() -> None:
    """The official handler misses all of these."""
    import asyncio
    import contextvars

    adapter.install()
    make = lambda: adapter.owns(np.empty(100_000))  # noqa: E731
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(make()))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(8) as pool:
        seen += pool.map(lambda _: make(), range(32))
    seen.append(contextvars.Context().run(make))
    seen.append(contextvars.copy_context().run(make))

    async def main() -> bool:
        return all(
            [
                await asyncio.to_thread(make),
                await asyncio.get_running_loop().run_in_executor(None, make),
                make(),
            ]
        )

    seen.append(asyncio.run(main()))
    assert all(seen)
    assert len(seen) == 36


def test_arrays_from_before_and_after() -> None:
    before = np.arange(100_000)
    adapter.install()
    during = np.arange(100_000)
    assert not adapter.uninstall()  # a block of ours lives: the hook stays, forwarding
    after = np.arange(100_000)
    assert [adapter.owns(a) for a in (before, during, after)] == [False, True, False]
    assert (before == during).all()
    assert (during == after).all()
    del before, during, after
    assert (adapter.uninstall() and adapter.statistics().block_count == 0) or interpreter_holds_blocks()


def test_resize_keeps_contents_across_all_paths() -> None:
    rng = np.random.default_rng(1)
    adapter.install()
    a = np.arange(10)
    for n in [*rng.integers(1, 2_000_000, 60), 5, 100, 3000, 5, 4_000_000, 20]:
        old = a.copy()
        a.resize(int(n), refcheck=False)
        kept = min(len(old), len(a))
        assert (a[:kept] == old[:kept]).all()
        assert (a[kept:] == 0).all()
        adapter.check()


def test_zeros_are_zero_after_dirty_blocks_were_freed() -> None:
    adapter.install()
    for n in (1024, 5000, 40_000, 1 << 20, 6 << 20, 40 << 20):
        for _ in range(3):
            a = np.empty(n, np.uint8)
            a[:] = 255
            del a
            assert not np.zeros(n, np.uint8).any()
    mixed = np.full(3 << 20, 255, np.uint8)  # part dirty, part fresh
    del mixed
    assert not np.zeros(9 << 20, np.uint8).any()


def test_exact_statistics() -> None:
    adapter.install()
    gc.collect()
    start = adapter.statistics()
    arrays = [np.empty(n, np.uint8) for n in (1024, 2000, 50_000, 5 << 20)]
    now = adapter.statistics()
    assert now.requested_bytes - start.requested_bytes == 1024 + 2000 + 50_000 + (5 << 20)
    assert now.block_count - start.block_count == 4
    assert now.requested_bytes <= now.allocated_bytes <= now.committed_bytes
    del arrays
    assert adapter.statistics().requested_bytes == start.requested_bytes


def test_object_arrays() -> None:
    adapter.install()
    a = np.array([[i] for i in range(5000)] + [None], dtype=object)
    assert adapter.owns(a)
    b = np.concatenate([a, a])
    del a
    gc.collect()
    assert b[4999] == [4999]


def test_steady_temporaries_do_not_fault() -> None:
    import resource

    adapter.install()
    a, b = np.ones(1 << 20), np.ones(1 << 20)
    for _ in range(5):
        c = a * b + a - b / a
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        c = a * b + a - b / a
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert c[0] == 1.0
    assert faults < 100  # the default takes about 1000 for each evaluation


def test_trim_gives_back() -> None:
    adapter.install()
    a = np.ones(32 << 20, np.uint8)
    del a
    assert adapter.statistics().retained_bytes >= 32 << 20
    assert adapter.trim() >= 32 << 20
    # not 0: from NumPy 2.5 on the interpreter may have blocks in slabs, whose free slots stay
    assert adapter.statistics().retained_bytes < 1 << 20


def test_using_restores() -> None:
    assert adapter.installed() == "off"
    with adapter.using():
        assert adapter.installed() == "pooled"
        with adapter.using():
            pass
        assert adapter.installed() == "pooled"
    assert adapter.installed() == "off"


def test_uninstalled_before_it_was_ever_installed() -> None:
    program = """
import numpy as np
from heapwright.adapters import numpy as adapter
assert adapter.uninstall()
adapter.install()
assert adapter.owns(np.empty(1_000_000))
"""
    finished = run(program)
    assert finished.returncode == 0, finished.stderr


def test_threads_hammering() -> None:
    adapter.install()

    def work(seed: int) -> int:
        rng = np.random.default_rng(seed)
        held: list[tuple[int, np.ndarray]] = []
        for i in range(400):
            n = int(2 ** rng.uniform(0, 21))
            held.append((i & 255, np.full(n, i & 255, np.uint8)))
            if len(held) > 20:
                value, a = held.pop(int(rng.integers(len(held))))
                assert (a == value).all()
        return len(held)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(16))) == [20] * 16
    adapter.check()


FORK = """
import os, sys, threading
import numpy as np
from heapwright.adapters import numpy as adapter
adapter.install()
a = np.arange(1 << 18)
pid = os.fork()
if pid == 0:
    b = a * 2 + 1
    ok = adapter.owns(b) and int(b[-1]) == 2 * ((1 << 18) - 1) + 1
    del b
    adapter.check()
    os._exit(0 if ok else 1)
assert os.waitpid(pid, 0)[1] == 0
assert (a == np.arange(1 << 18)).all()
adapter.check()
print("ok")
"""


def test_fork() -> None:
    done = run(FORK, "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_fork_while_threads_allocate() -> None:
    program = """
import os, threading, warnings
warnings.simplefilter("ignore")
import numpy as np
from heapwright.adapters import numpy as adapter
adapter.install()
stop = False
def churn():
    while not stop:
        np.ones(300_000)
threads = [threading.Thread(target=churn) for _ in range(4)]
for t in threads: t.start()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        for _ in range(20): np.ones(300_000)
        adapter.check()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop = True
for t in threads: t.join()
adapter.check()
print("ok")
"""
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_exit_with_live_arrays_and_tracemalloc_in_every_order() -> None:
    for lines in (
        ["tracemalloc.start()", "adapter.install()", "a = np.ones(1 << 20)", "tracemalloc.stop()", "del a"],
        ["adapter.install()", "tracemalloc.start()", "a = np.ones(1 << 20)", "tracemalloc.stop()", "del a"],
        [
            "adapter.install()",
            "tracemalloc.start()",
            "a = np.ones(1 << 20)",
            "adapter.uninstall()",
            "tracemalloc.stop()",
        ],
        [
            "adapter.install()",
            "a = np.ones(1 << 20)",
            "import atexit; atexit.register(lambda: np.ones(1 << 20))",
        ],
    ):
        program = "import tracemalloc, numpy as np\nfrom heapwright.adapters import numpy as adapter\n" + "\n".join(
            lines
        )
        done = run(program)
        assert (done.returncode, done.stderr) == (0, ""), lines


@pytest.mark.parametrize("flags", [["-X", "dev"], ["-X", "tracemalloc"]])
def test_under_debug_hooks(flags: list[str]) -> None:
    program = """
import numpy as np
from heapwright.adapters import numpy as adapter
adapter.install_for_run("system")
a = [np.ones(n) for n in (1, 10, 200, 1000, 100_000)]
adapter.install()
b = [x * 2 for x in a]
del a, b
adapter.uninstall()
print("ok")
"""
    done = run(program, *flags)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_double_free_is_refused_loudly() -> None:
    program = """
import ctypes, numpy as np
from heapwright import _native
from heapwright.adapters import numpy as adapter
adapter.install()
a = np.ones(100_000)
adapter_free = _native.pooled_free_for_tests
adapter_free(a.ctypes.data)
adapter_free(a.ctypes.data)
"""
    done = run(program)
    assert done.returncode == -6
    assert "not the start of a live block" in done.stderr


def test_subinterpreter_is_refused() -> None:
    program = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import heapwright.adapters.numpy
i = interpreters.create("legacy") if hasattr(interpreters, "new_config") else interpreters.create(isolated=False)
code = '''
try:
    from heapwright import _native
    _native.numpy_install(None, 2, True)
except (RuntimeError, ImportError) as error:
    print(type(error).__name__, "subinterpreter" in str(error))
'''
interpreters.run_string(i, code)
"""
    done = run(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout in ("InstallRefused True\n", "ImportError True\n")


def test_childs_figures_are_those_of_the_fork_whatever_the_parent_does_next(tmp_path: object) -> None:
    """Under `heapwright run` the counters lie in a shared file, in which the parent goes on counting."""
    program = f"""
import os, sys
import numpy as np
from heapwright import _native
from heapwright.adapters import numpy as adapter
_native.process_start({str(tmp_path)!r}, "pooled")
adapter.install()
wrong = 0
for _ in range(30):
    kept = [np.ones(1000) for _ in range(100)]
    expected = adapter.statistics().block_count
    pid = os.fork()
    if pid == 0:
        os._exit(0 if adapter.statistics().block_count == expected else 1)
    del kept
    more = [np.ones(1000) for _ in range(2000)]
    wrong += os.waitpid(pid, 0)[1] != 0
print("wrong", wrong)
"""
    done = run(program, "-W", "ignore")
    assert (done.returncode, done.stdout) == (0, "wrong 0\n"), done.stderr


def test_trim_leaves_nothing_resident_of_half_used_huge_pages() -> None:
    adapter.install()
    adapter.trim()
    arrays = [np.ones((4 << 20) + 4096, np.uint8) for _ in range(8)]
    del arrays
    adapter.trim()
    assert adapter.statistics().block_count > 0 or adapter.statistics().resident_bytes == 0
