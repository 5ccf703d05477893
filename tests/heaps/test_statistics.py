import asyncio
import gc
import random
import threading
from typing import Any

import pytest

import heapwright as hw


def counted_heap(size: str = "1MiB") -> tuple[hw.Statistics[hw.Block], hw.Heap[Any]]:
    heap: hw.Heap[Any] = hw.Heap(hw.AnonymousSpace(size))
    return hw.Statistics(heap), heap


COUNTED = [f"{when}{what}_bytes" for what in ("requested", "allocated") for when in ("", "peak_", "total_")] + [
    "block_count",
    "peak_block_count",
    "total_block_count",
    "failed_count",
]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_counted_is_what_the_heap_counts(seed: int) -> None:
    counted, heap = counted_heap("64KiB")
    rng, held = random.Random(seed), []
    for _ in range(600):
        act = rng.random()
        if act < 0.5 or not held:
            block = counted.try_allocate(rng.choice([0, 1, 100, 1000, 5000]), rng.choice([1, 64, 1024]))
            held += [block] if block is not None else []
        elif act < 0.65:
            counted.deallocate(held.pop(rng.randrange(len(held))))
        elif act < 0.8:
            del held[rng.randrange(len(held))]
        else:
            i = rng.randrange(len(held))
            try:
                held[i] = counted.reallocate(held[i], rng.choice([0, 10, 500, 3000]))
            except hw.OutOfMemory:
                assert held[i].state is hw.State.ALLOCATED
        ours, theirs = counted.statistics(), heap.statistics()
        assert {name: getattr(ours, name) for name in COUNTED} == {name: getattr(theirs, name) for name in COUNTED}
        assert ours.requested_bytes <= ours.allocated_bytes <= ours.committed_bytes <= ours.reserved_bytes
        assert ours.internal_fragmentation == theirs.internal_fragmentation
        assert ours.external_fragmentation == theirs.external_fragmentation
    assert ours.failed_count > 0
    assert (ours.peak_committed_bytes, ours.total_committed_bytes) == (
        theirs.peak_committed_bytes,
        theirs.total_committed_bytes,
    )


def test_only_what_goes_through_it_counts() -> None:
    counted, heap = counted_heap()
    apart = heap.allocate(1000)
    block = counted.allocate(100)
    assert counted.statistics().requested_bytes == 100
    with pytest.raises(hw.InvalidFree):
        counted.deallocate(apart)
    with block.view(), pytest.raises(hw.ViewExported):
        counted.deallocate(block)
    with pytest.raises(hw.InvalidAlignment):
        counted.allocate(1, 3)
    assert counted.statistics().block_count == 1
    assert counted.statistics().failed_count == 0  # none of these was for want of memory


def test_a_block_belongs_to_the_counters_around_its_allocation() -> None:
    counted, _ = counted_heap()
    with counted.counters("outer") as outer:
        a = counted.allocate(100)
        with counted.counters("inner") as inner:
            b = counted.allocate(30)
        counted.allocate(7)  # dropped at once
    c = counted.allocate(1)
    assert (outer.path, inner.path) == ("outer", "outer/inner")
    assert outer.statistics().requested_bytes == 130
    assert outer.statistics().total_requested_bytes == 137
    assert inner.statistics().requested_bytes == 30
    with counted.counters("elsewhere") as elsewhere:
        counted.deallocate(b)  # whoever frees it
    assert inner.statistics().requested_bytes == elsewhere.statistics().total_requested_bytes == 0
    for size in (50, 200, 5000):  # in place and moved: it stays where it belongs
        a = counted.reallocate(a, size)
        assert outer.statistics().requested_bytes == size
    del a, c
    assert outer.statistics().requested_bytes == counted.statistics().requested_bytes == 0


def test_entries_of_one_path_add_up() -> None:
    counted, _ = counted_heap()
    kept = []
    for size in (10, 20, 30):
        with counted.counters("request") as request:
            kept.append(counted.allocate(size))
        assert request.statistics().total_requested_bytes == size
    assert list(counted.by_path()) == ["request"]
    assert counted.by_path()["request"].peak_requested_bytes == 60


def test_counters_of_one_resource_do_not_see_another() -> None:
    (first, _), (second, _) = counted_heap(), counted_heap()
    with first.counters("a") as a, second.counters("b") as b:
        block = first.allocate(5)
    assert (a.statistics().requested_bytes, b.statistics().requested_bytes, b.path) == (5, 0, "b")
    del block


def test_each_task_has_its_own_counters() -> None:
    counted, _ = counted_heap()

    async def work(name: str, size: int) -> int:
        with counted.counters(name) as counters:
            held = []
            for _ in range(20):
                held.append(counted.allocate(size))
                await asyncio.sleep(0)  # the other tasks run here
            return counters.statistics().peak_requested_bytes

    async def main() -> list[int]:
        with counted.counters("main"):
            return await asyncio.gather(*(work(f"task {size}", size) for size in (1, 10, 100)))

    assert asyncio.run(main()) == [20, 200, 2000]
    paths = counted.by_path()
    assert paths["main"].total_requested_bytes == 2220
    assert paths["main/task 10"].total_requested_bytes == 200
    assert paths["main"].requested_bytes == 0


def test_exact_under_threads(often: None) -> None:
    counted, heap = counted_heap("64MiB")
    shared: list[hw.Block] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        with counted.counters("work"):
            for _ in range(1500):
                try:
                    shared.append(counted.allocate(rng.randrange(500)))
                    block = shared.pop(rng.randrange(len(shared)))
                except (IndexError, ValueError):
                    continue
                if rng.random() < 0.3:
                    counted.deallocate(block)
                elif rng.random() < 0.3:
                    shared.append(counted.reallocate(block, rng.randrange(900)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ours, theirs = counted.statistics(), heap.statistics()
    for name in ("requested_bytes", "allocated_bytes", "block_count", "total_requested_bytes", "total_block_count"):
        assert getattr(ours, name) == getattr(theirs, name) == getattr(counted.by_path()["work"], name), name
    shared.clear()
    assert counted.statistics().requested_bytes == counted.statistics().allocated_bytes == 0


def test_a_finalizer_that_frees_here_does_not_wait_for_itself() -> None:
    counted, _ = counted_heap()

    class Owner:
        def __init__(self) -> None:
            self.block, self.cycle = counted.allocate(64), self

        def __del__(self) -> None:
            counted.deallocate(self.block)  # from the cycle collector: in the middle of whatever runs

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(2000):
            Owner()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert counted.statistics().block_count == 0
    assert counted.statistics().total_block_count == 2000


def test_several_memories_below_are_counted_once_each() -> None:
    heap: hw.Heap[Any] = hw.Heap(hw.AnonymousSpace("1MiB"))
    counted = hw.Statistics(hw.Statistics(hw.Limiting(heap, 100)))
    assert counted.try_allocate(101) is None
    block = counted.allocate(100)
    figures = counted.statistics()
    assert (figures.requested_bytes, figures.failed_count, figures.reserved_bytes) == (100, 1, 1 << 20)
    assert heap.statistics().failed_count == 0  # the limit refused before the heap was asked
    del block
