"""Giving memory back: by the page, in slices between which the heap is used."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import heapwright as hw
from heapwright import _native

PAGE = os.sysconf("SC_PAGESIZE")
STRATEGIES = [hw.FirstFit, hw.BestFit, hw.WorstFit, hw.NextFit, hw.TLSF, hw.Buddy, hw.Slab, hw.Bump]


@pytest.fixture
def no_injection() -> Iterator[None]:
    yield
    _native.pages_fail_nth(0)


def touched(heap: hw.Heap[hw.BestFit], size_bytes: int) -> hw.Block:
    block = heap.allocate(size_bytes)
    with block.view() as view:
        view[::PAGE] = b"\1" * len(range(0, size_bytes, PAGE))
        view[-1:] = b"\1"
    return block


def scattered(heap: hw.Heap[hw.BestFit], blocks: int, keep_each: int = 10) -> list[hw.Block]:
    """Fill a heap with blocks of 16 B to 64 KiB, as many small as large, and keep every tenth."""
    choose = random.Random(7)
    made = [touched(heap, int(2 ** choose.uniform(4, 16))) for _ in range(blocks)]
    return made[::keep_each]


def eventually(operation: Callable[[], object], condition: Callable[[], bool]) -> bool:
    """Repeat an operation until the condition holds; False if it never does (for half a minute)."""
    end = time.monotonic() + 30
    while not condition():
        operation()
        if time.monotonic() > end:
            return False
    return True


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_left_is_the_pages_that_live_blocks_touch(strategy: type[hw.BestFit]) -> None:
    heap = hw.Heap[strategy](hw.AnonymousSpace("1GiB"))
    kept = scattered(heap, 10_000)
    live_pages: set[int] = set()
    for seen in heap.blocks():
        if seen.state is hw.State.ALLOCATED:
            live_pages.update(range(seen.offset_bytes // PAGE, -(-(seen.offset_bytes + seen.size_bytes) // PAGE)))
    before = heap.statistics()
    returned = heap.trim()
    now = heap.statistics()
    assert before.resident_bytes > 6 * now.resident_bytes
    assert now.committed_bytes == len(live_pages) * PAGE
    assert now.resident_bytes <= now.committed_bytes
    assert now.total_purged_bytes == returned == before.committed_bytes - now.committed_bytes
    assert all(block.view()[0] == block.view()[-1] == 1 for block in kept)
    heap.check()


def test_in_steps_it_gives_back_what_one_trim_gives_back() -> None:
    left = []
    for in_steps in (False, True):
        heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1GiB"))
        kept = scattered(heap, 5_000)
        steps = 0
        if in_steps:
            while heap.trim_step(budget_us=0):
                steps += 1
            assert steps > 10
        else:
            heap.trim()
        left.append(heap.statistics().committed_bytes)
        assert heap.trim() == 0
        del kept
    assert left[0] == left[1]


def test_between_steps_the_heap_is_used() -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1GiB"))
    kept = scattered(heap, 5_000)
    choose = random.Random(3)
    while heap.trim_step(budget_us=0):
        for _ in range(20):
            kept[choose.randrange(len(kept))] = touched(heap, int(2 ** choose.uniform(4, 16)))
        heap.check()
    assert all(block.view()[0] == block.view()[-1] == 1 for block in kept)
    kept.clear()
    heap.trim()
    assert heap.statistics().committed_bytes == 0


def test_steps_keep_what_they_were_told_to_when_they_began() -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1GiB"))
    touched(heap, 64 << 20)  # dropped at once
    assert heap.trim_step(0, keep_bytes="16MiB")
    while heap.trim_step(0):
        pass
    assert heap.statistics().resident_bytes == 16 << 20
    assert heap.trim_step(0)  # a new one, which keeps nothing
    assert (
        heap.trim(keep_bytes="4MiB") == 14 << 20
    )  # the step gave back 2 MiB; it goes on with that one first, and leaves nothing to keep
    assert heap.statistics().resident_bytes == 0


def test_a_hole_gives_back_its_part_of_a_huge_page() -> None:
    space = hw.AnonymousSpace("8MiB", huge_pages=True)
    heap = hw.Heap(space, strategy=hw.FirstFit())
    first, hole, last = touched(heap, PAGE), touched(heap, 1 << 20), touched(heap, PAGE)
    assert space.committed_bytes == space.unit_bytes == 2 << 20
    heap.deallocate(hole)
    assert heap.trim() == (2 << 20) - 2 * PAGE
    assert space.committed_bytes == 2 * PAGE
    assert first.view()[0] == last.view()[0] == 1
    assert bytes(heap.allocate(1 << 20).view()[:PAGE]) == bytes(PAGE)
    heap.check()


def test_other_threads_use_the_heap_while_it_is_trimmed() -> None:
    heap = hw.Heap[hw.FirstFit](hw.AnonymousSpace("4GiB"))
    touched(heap, 512 << 20)
    blocks: list[int] = []
    begun, stop = threading.Event(), threading.Event()

    def use() -> None:
        while not stop.is_set():
            blocks.append(heap.allocate(100).size_bytes)
            begun.set()

    thread = threading.Thread(target=use)
    thread.start()
    begun.wait()
    before = len(blocks)
    heap.trim()
    during = len(blocks) - before
    stop.set()
    thread.join()
    assert during > 1  # not only after it
    heap.check()


@pytest.mark.usefixtures("no_injection")
def test_a_step_that_the_system_refuses_leaves_the_heap_whole() -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1GiB"))
    kept = scattered(heap, 2_000)
    committed = heap.statistics().committed_bytes
    for n in (1, 2, 5):
        _native.pages_fail_nth(n)
        for _ in range(n - 1):
            heap.trim_step(0)
        with pytest.raises(hw.SystemCallFailed, match="giving pages back"):
            heap.trim_step(0)
        heap.check()
        now = heap.statistics()
        assert now.committed_bytes == committed - now.total_purged_bytes
    heap.trim()
    heap.check()
    assert all(block.view()[-1] == 1 for block in kept)


def test_arguments_of_a_step() -> None:
    heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    assert heap.trim_step(budget_us=2**62, keep_bytes="1KiB") is False
    with pytest.raises(ValueError, match="budget_us is -1"):
        heap.trim_step(-1)
    with pytest.raises(hw.InvalidSize):
        heap.trim_step(keep_bytes=-1)
    for arguments in ((1, 2, 3), ("soon",)):
        with pytest.raises(TypeError):
            heap.trim_step(*arguments)  # type: ignore[arg-type]


def test_a_heap_with_decay_gives_back_what_it_has_not_needed() -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1GiB"), decay_s=10)
    start = time.monotonic()
    kept = touched(heap, 1 << 20)
    touched(heap, 64 << 20)  # dropped at once
    assert not heap.decay_tick(now_s=start + 1)
    assert not heap.decay_tick(now_s=start + 10)
    assert heap.statistics().total_purged_bytes == 0
    while heap.decay_tick(now_s=start + 13):
        pass
    now = heap.statistics()
    assert (1 << 20) <= now.committed_bytes <= (1 << 20) * 17 / 16
    assert now.total_purged_bytes >= 63 << 20
    assert now.peak_allocated_bytes >= 65 << 20  # ever, not of late
    assert kept.view()[0] == 1
    heap.check()


def test_decay_happens_by_itself_while_the_heap_is_used() -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1GiB"), decay_s=0)
    touched(heap, 64 << 20)
    assert eventually(lambda: heap.deallocate(heap.allocate(64)), lambda: heap.space.committed_bytes < 1 << 20)
    heap.check()


def test_without_decay_it_does_not() -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1GiB"), decay_s=0)
    heap.decay_s = None
    touched(heap, 64 << 20)
    for _ in range(10_000):
        heap.deallocate(heap.allocate(64))
    assert not heap.decay_tick(now_s=time.monotonic() + 1000)
    assert heap.space.committed_bytes >= 64 << 20


def test_decay_may_be_set_and_ended() -> None:
    heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    assert heap.decay_s is None
    heap.decay_s = 2.5
    assert heap.decay_s == 2.5
    assert hw.HeapBuilder().capacity("1MiB").decay(30).build().decay_s == 30  # type: ignore[union-attr]
    assert "30 s of demand" in hw.HeapBuilder().capacity("1MiB").decay(30).explain()
    for bad in (-1, float("nan")):
        with pytest.raises(ValueError, match="give 0 or more"):
            heap.decay_s = bad
        with pytest.raises(hw.InvalidConfiguration, match="give 0 or more"):
            hw.HeapBuilder().capacity("1MiB").decay(bad).build()
    with pytest.raises(TypeError):
        heap.decay_s = "soon"  # type: ignore[assignment]
    with pytest.raises(AttributeError, match="None ends decay"):
        del heap.decay_s
    assert heap.decay_s == 2.5
    assert not heap.decay_tick(now_s=float("inf"))


@pytest.mark.usefixtures("no_injection")
def test_what_the_system_refuses_to_decay_is_told_to_who_asks() -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1GiB"), decay_s=0)
    touched(heap, 8 << 20)
    _native.pages_fail_nth(1)
    assert eventually(lambda: heap.deallocate(heap.allocate(16)), lambda: heap.space.committed_bytes < 1 << 20)
    assert _native.pages_fail_nth(0) == 0  # it did fail once, with nobody to tell
    touched(heap, 8 << 20)
    later = time.monotonic()
    _native.pages_fail_nth(1)
    with pytest.raises(hw.SystemCallFailed, match="giving pages back"):  # the first tick may but find the peak
        sum(heap.decay_tick(now_s=later + seconds) for seconds in range(1, 10))
    heap.check()


def test_arrays_make_their_heap_decay_too() -> None:
    np = pytest.importorskip("numpy")
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1GiB"), decay_s=0)
    with hw.adapters.numpy.using(heap):
        np.ones(64 << 17)
        assert eventually(lambda: np.empty(1000), lambda: heap.space.committed_bytes < 1 << 20)


@pytest.mark.parametrize("keep_bytes", [2**63, 2**64 - 1, 2**70])
def test_to_keep_more_than_there_is_keeps_all(keep_bytes: int) -> None:
    heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    heap.deallocate(heap.allocate("512KiB"))
    assert heap.trim(keep_bytes=keep_bytes) == 0
    assert heap.trim() == 512 << 10
