"""A heap under NumPy: arrays in a space of the program's choice, in every order of coming and going."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from tests.adapters.leftovers import interpreter_holds_blocks

import heapwright as hw
from heapwright.adapters import numpy as adapter

STRATEGIES = [hw.FirstFit(), hw.BestFit(), hw.WorstFit(), hw.NextFit(), hw.TLSF(), hw.Buddy(), hw.Slab(), hw.Bump()]


@pytest.fixture(autouse=True)
def _off_afterwards() -> Iterator[None]:
    yield
    adapter.uninstall()
    gc.collect()
    assert adapter.uninstall() or interpreter_holds_blocks()
    adapter.check()


def new_heap(size: str = "64MiB", strategy: object = None) -> hw.Heap:
    return hw.Heap(hw.AnonymousSpace(size), strategy=strategy)


def live(heap: hw.Heap) -> list[int]:
    return [seen.requested_bytes for seen in heap.blocks() if seen.state is hw.State.ALLOCATED]


def run(program: str, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    start = "import heapwright as hw, numpy as np\nadapter = hw.adapters.numpy\n"
    return subprocess.run(
        [sys.executable, *flags, "-c", start + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | environment,
    )


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_arrays_are_blocks_of_the_heap(strategy: object) -> None:
    heap = new_heap(strategy=strategy)
    adapter.install(heap)
    assert adapter.installed() == "heap"
    arrays = [np.empty(n, np.uint8) for n in (1024, 1025, 5000, 3 << 20)]
    assert all(adapter.heap_of(a) is heap and adapter.owns(a) for a in arrays)
    assert all(heap.owns(a.ctypes.data) and a.ctypes.data % 64 == 0 for a in arrays)
    assert sorted(live(heap)) == [1024, 1025, 5000, 3 << 20]
    for i, a in enumerate(arrays):
        a[:] = i
    assert [int(a.max()) for a in arrays] == [0, 1, 2, 3]
    heap.check()
    statistics = heap.statistics()
    assert (statistics.block_count, statistics.requested_bytes) == (4, 1024 + 1025 + 5000 + (3 << 20))
    del arrays, a
    assert live(heap) == []
    heap.check()


def test_a_heap_compiled_for_its_strategy_serves_too() -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))
    with adapter.using(heap):
        a = np.ones(1000)
    assert adapter.heap_of(a) is heap


def test_small_arrays_stay_with_numpy() -> None:
    heap = new_heap()
    with adapter.using(heap):
        a = np.empty(1023, np.uint8)
        assert adapter.heap_of(a) is None
    assert live(heap) == []


def test_every_thread() -> None:
    heap = new_heap()
    adapter.install(heap)
    seen: list[bool] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        held: list[np.ndarray] = []
        for i in range(300):
            a = np.full(int(rng.integers(1024, 200_000)), i & 255, np.uint8)
            seen.append(adapter.heap_of(a) is heap)
            held.append(a)
            if len(held) > 8:
                b = held.pop(int(rng.integers(len(held))))
                assert (b == b[0]).all()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(20):  # what releases the GIL, and makes the others wait
        heap.trim()
        heap.check()
        heap.statistics()
    for thread in threads:
        thread.join()
    assert len(seen) == 6 * 300
    assert all(seen)
    heap.check()
    assert live(heap) == []


def test_zeros_are_zeros_where_blocks_were_and_where_none_was() -> None:
    heap = new_heap("8MiB")
    adapter.install(heap)
    for n in (1024, 5000, 100_000, 1 << 20, 5 << 20):
        dirty = np.full(n, 255, np.uint8)
        del dirty
        assert not np.zeros(n, np.uint8).any()
    mixed = np.full(3 << 20, 255, np.uint8)
    del mixed
    heap.trim(keep_bytes=1 << 20)
    assert not np.zeros(7 << 20, np.uint8).any()


def test_zeros_are_not_touched_before_the_program_does() -> None:
    heap = hw.Heap(hw.AnonymousSpace("1GiB"))
    with adapter.using(heap):
        a = np.zeros(512 << 20, np.uint8)
    assert adapter.heap_of(a) is heap
    assert heap.statistics().resident_bytes < 4 << 20


def test_without_room_the_array_comes_from_what_served_before() -> None:
    heap = new_heap("1MiB")
    before = adapter.statistics().spilled_bytes
    adapter.install(heap)
    a = np.ones(2 << 20, np.uint8)
    assert not adapter.owns(a)
    assert heap.statistics().failed_count == 1
    assert adapter.statistics().spilled_bytes - before == 2 << 20
    adapter.install()
    adapter.install(heap)  # in front of the pooled allocator
    b = np.ones(2 << 20, np.uint8)
    assert adapter.owns(b)
    assert adapter.heap_of(b) is None
    assert int(a.sum()) == int(b.sum()) == 2 << 20


def test_without_room_and_without_fallback() -> None:
    heap = new_heap("1MiB")
    adapter.install(heap, fallback=False)
    a = np.ones(1000)
    with pytest.raises(MemoryError):
        np.empty(2 << 20, np.uint8)
    with pytest.raises(MemoryError):
        a.resize(1 << 20, refcheck=False)
    assert a.sum() == 1000
    assert np.empty(10).size == 10


def test_resize_within_the_heap_and_across() -> None:
    rng = np.random.default_rng(1)
    first, second = new_heap("4MiB"), new_heap("4MiB", hw.FirstFit())
    a = np.arange(10)
    resources = [first, None, second, "off"]
    for step, n in enumerate([*rng.integers(1, 500_000, 80), 5, 300, 5, 700_000, 20]):
        resource = resources[step // 3 % 4]
        adapter.uninstall() if resource == "off" else adapter.install(resource)
        old = a.copy()
        a.resize(int(n), refcheck=False)
        kept = min(len(old), len(a))
        assert (a[:kept] == old[:kept]).all()
        assert (a[kept:] == 0).all()
        del old
        for heap in (first, second):
            heap.check()
            assert (adapter.heap_of(a) is heap) == (len(live(heap)) == 1)
    adapter.install(first)
    b = np.ones(1000)
    b.resize(1 << 18, refcheck=False)  # in place: the heap is empty behind it
    assert live(first) == [8 << 18]


def test_two_heaps_one_after_the_other_and_neither() -> None:
    first, second = new_heap(), new_heap()
    adapter.install(first)
    a = np.arange(1000)
    adapter.install(second)
    b = np.arange(1000)
    assert not adapter.uninstall()
    c = np.arange(1000)
    assert [adapter.heap_of(x) for x in (a, b, c)] == [first, second, None]
    assert adapter.installed() == "off"
    assert (a == b).all()
    del a
    assert not adapter.uninstall()
    assert live(first) == []
    del b
    assert adapter.uninstall() or interpreter_holds_blocks()


def test_a_heap_that_was_dropped_lives_while_arrays_lie_in_it() -> None:
    class Watched(hw.Heap):
        __slots__ = ("__weakref__",)

    heap = Watched(hw.AnonymousSpace("1MiB"))
    gone = weakref.ref(heap)
    adapter.install(heap)
    del heap
    gc.collect()
    a = np.ones(1000)
    assert adapter.heap_of(a) is gone()
    adapter.uninstall()
    gc.collect()
    assert a.sum() == 1000
    assert gone() is not None
    del a
    assert gone() is None


def test_an_idle_heap_is_let_go_when_another_serves() -> None:
    class Watched(hw.Heap):
        __slots__ = ("__weakref__",)

    heaps = [Watched(hw.AnonymousSpace("1MiB")) for _ in range(3)]
    gone = [weakref.ref(heap) for heap in heaps]
    while heaps:
        adapter.install(heaps.pop())
    assert [ref() is None for ref in gone] == [False, True, True]
    adapter.install()
    assert gone[0]() is None


def test_installing_again_and_again_keeps_one_reference() -> None:
    heap = new_heap()
    count = sys.getrefcount(heap)
    for _ in range(10):
        adapter.install(heap)
    a = [np.ones(1000) for _ in range(10)]
    assert sys.getrefcount(heap) == count + 1
    adapter.uninstall()
    del a
    assert sys.getrefcount(heap) == count


def test_using_nests_and_restores() -> None:
    first, second = new_heap(), new_heap()
    with adapter.using(first, fallback=False):
        with adapter.using(second):
            with adapter.using():
                assert adapter.installed() == "pooled"
            assert adapter.heap_of(np.ones(1000)) is second
        assert adapter.heap_of(np.ones(1000)) is first
        with pytest.raises(MemoryError):
            np.empty(1 << 30, np.uint8)
    assert adapter.installed() == "off"


def test_every_order_of_pool_and_heap() -> None:
    heap = new_heap()
    arrays: list[np.ndarray] = []
    for i, resource in enumerate([None, heap, None, "off", heap, "off", None, heap, "off", heap, None, "off"] * 2):
        adapter.uninstall() if resource == "off" else adapter.install(resource)
        a = np.full(3000, i)
        assert adapter.heap_of(a) is (heap if resource is heap else None)
        assert adapter.owns(a) == (resource != "off")
        arrays.append(a)
        if i % 5 == 4:
            del arrays[::2]
    assert all((a == a[0]).all() for a in arrays)


def test_blocks_of_the_program_and_of_numpy_side_by_side() -> None:
    heap = new_heap("1MiB")
    block = heap.allocate(5000)
    with adapter.using(heap):
        a = np.ones(1000)
    heap.deallocate(block)
    assert live(heap) == [8000]
    assert a.sum() == 1000


def test_access_stays_while_arrays_lie_in_the_space() -> None:
    heap = new_heap("1MiB")
    adapter.install(heap)
    a = np.ones(1000)
    with pytest.raises(hw.ViewExported, match="1 view is exported"):
        heap.space.protect(hw.Permissions.READ)
    a[0] = 2
    del a
    heap.space.protect(hw.Permissions.READ)
    assert adapter.heap_of(np.ones(1000)) is None  # it may not be written any more: served as if without room


def test_object_arrays() -> None:
    heap = new_heap()
    with adapter.using(heap):
        a = np.array([[i] for i in range(5000)] + [None], dtype=object)
        b = np.concatenate([a, a])
    assert adapter.heap_of(b) is heap
    del a
    gc.collect()
    assert b[4999] == [4999]


class Overriding(hw.Heap):
    def allocate(self, *args: object, **named: object) -> hw.Block:
        return super().allocate(*args, **named)


@pytest.mark.parametrize(
    ("resource", "word"),
    [
        (lambda: hw.Limiting(new_heap(), "1MiB"), "Limiting"),
        (lambda: Overriding(hw.AnonymousSpace("1MiB")), "has its own allocate"),
        (lambda: "64MiB", "str"),
    ],
)
def test_what_calls_python_is_refused_and_told_what_to_do(resource, word: str) -> None:
    with pytest.raises(hw.UnsuitableResource, match="Pass the Heap itself") as caught:
        adapter.install(resource())
    assert word in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert adapter.installed() == "off"


def test_when_memory_for_the_heaps_own_data_runs_out() -> None:
    """The n-th system call fails, for every n: an array comes from elsewhere, and nothing is lost."""
    from heapwright import _native

    for n in range(1, 40):
        heap = new_heap("16MiB")
        _native.pages_fail_nth(n)
        try:
            adapter.install(heap)
        except hw.SystemCallFailed:
            assert n <= 2
            continue
        arrays = [np.full(1024, i & 127, np.int8) for i in range(400)]
        left = _native.pages_fail_nth(0)
        heap.check()
        assert all((a == (i & 127)).all() for i, a in enumerate(arrays))
        assert len(live(heap)) == sum(adapter.heap_of(a) is heap for a in arrays) >= 100
        del arrays
        assert live(heap) == []
        if left > 0:
            break
    assert left > 0
    assert n > 3


def test_fork_and_exit_with_live_arrays() -> None:
    done = run(
        """
import os, threading
heap = hw.Heap(hw.AnonymousSpace("64MiB"))
adapter.install(heap)
a = np.arange(1 << 18)
stop = False
def busy():
    while not stop: heap.trim(); heap.statistics()
thread = threading.Thread(target=busy)
thread.start()
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        b = a * 2 + 1
        ok = adapter.heap_of(b) is heap and int(b[-1]) == 2 * ((1 << 18) - 1) + 1
        del b
        os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0
stop = True
thread.join()
heap.check()
assert (a == np.arange(1 << 18)).all()
np.kept = a                          # lives until NumPy's module dies
import atexit; atexit.register(lambda: np.ones(1 << 18))
del heap
print("ok")
""",
        "-W",
        "ignore",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


@pytest.mark.parametrize(
    "flags", [["-X", "dev"], ["-X", "tracemalloc"], ["-X", "dev", "-X", "tracemalloc"], []], ids=" ".join
)
def test_under_debug_hooks(flags: list[str]) -> None:
    program = """
import tracemalloc
before = [np.ones(n) for n in (1, 200, 100_000)]
heap = hw.Heap(hw.AnonymousSpace("64MiB"))
adapter.install()
pooled = np.ones(1000)
adapter.install(heap)
during = [x * 2 for x in before]
if tracemalloc.is_tracing():
    assert tracemalloc.get_traced_memory()[0] >= 800_000
    tracemalloc.stop()
for x in before + during + [pooled]: x.resize(50_000, refcheck=False)
adapter.install_for_run("system")
del before, pooled
for x in during: x.resize(3, refcheck=False); x.resize(60_000, refcheck=False)
adapter.uninstall()
del during, x
heap.check()
assert adapter.uninstall() and heap.statistics().block_count == 0
print("ok")
"""
    for environment in ({}, {"PYTHONMALLOC": "debug"}, {"PYTHONMALLOC": "malloc"}):
        done = run(program, *flags, **environment)
        assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_double_free_ends_the_process_with_a_message() -> None:
    done = run("""
import ctypes, gc
heap = hw.Heap(hw.AnonymousSpace("1MiB"))
adapter.install(heap)
a, b = np.ones(1000), np.ones(1000)
c = np.ones(1000)
address = b.ctypes.data
field = ctypes.c_void_p.from_address(id(b) + 16)   # PyArrayObject.data
field.value = address + 64
del b
""")
    assert done.returncode == -6
    assert "not the start of a live block of the heap under NumPy's arrays" in done.stderr


def test_call_sites_are_sampled_under_run(tmp_path) -> None:
    program = tmp_path / "program.py"
    program.write_text("""
import heapwright as hw, numpy as np
heap = hw.Heap(hw.AnonymousSpace("64MiB"))
hw.adapters.numpy.install(heap)
a = np.ones(4 << 20)  # the site
assert hw.adapters.numpy.heap_of(a) is heap
""")
    done = subprocess.run(
        [sys.executable, "-m", "heapwright", "run", "--sample", "4KiB", "--json", "out.json", "--quiet", str(program)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "program.py:5" in (tmp_path / "out.json").read_text()


def test_a_mark_is_not_released_under_an_array() -> None:
    heap = hw.Heap[hw.Bump](hw.AnonymousSpace("1MiB"))
    with adapter.using(heap):
        mark = heap.mark()
        block = heap.allocate(100)
        array = np.full(5000, 7, np.uint8)
    with pytest.raises(hw.ViewExported, match="release the mark"):
        heap.release(mark)
    assert mark.is_open
    assert block.state is hw.State.ALLOCATED
    assert int(array.min()) == 7
    del array
    heap.release(mark)
    assert block.state is hw.State.FREED
    assert live(heap) == []
    heap.check()
