import gc
import os
import random
import signal
import threading
from contextlib import suppress
from typing import Any

import pytest

import heapwright as hw


@pytest.fixture
def limited() -> hw.Limiting[hw.Block]:
    return hw.Limiting(hw.Heap[hw.BestFit](hw.AnonymousSpace("16MiB")), 10_000)


def test_the_limit_is_exact(limited: hw.Limiting[hw.Block]) -> None:
    block = limited.allocate(10_000)
    for refused in (1, 10_000):
        with pytest.raises(hw.LimitExceeded) as caught:
            limited.allocate(refused)
        assert (caught.value.size_bytes, caught.value.current_bytes, caught.value.limit_bytes) == (
            refused,
            10_000,
            10_000,
        )
        assert limited.try_allocate(refused) is None
    assert limited.allocate(0).size_bytes == 0
    limited.deallocate(block)
    figures = limited.statistics()
    assert (figures.current_bytes, figures.peak_bytes, figures.refused_count) == (0, 10_000, 4)
    assert isinstance(caught.value, MemoryError)


def test_a_dropped_handle_returns_its_charge(limited: hw.Limiting[hw.Block]) -> None:
    block = limited.allocate(10_000)
    assert limited.statistics().block_count == 1
    del block
    assert limited.statistics().current_bytes == 0
    for _ in range(1000):
        limited.allocate(9_000)  # dropped at once; the next handle may have the same id


def test_a_failure_of_the_upstream_returns_the_charge() -> None:
    limited = hw.Limiting(hw.Heap(hw.AnonymousSpace(4096)), "1GiB")
    with pytest.raises(hw.OutOfMemory):
        limited.allocate(5000)
    assert limited.try_allocate(5000) is None
    with pytest.raises(hw.InvalidAlignment):
        limited.allocate(1, 3)
    block = limited.allocate(100)
    with pytest.raises(hw.OutOfMemory):
        limited.reallocate(block, 5000)
    view = block.view()
    with pytest.raises(hw.ViewExported):
        limited.deallocate(block)
    view.release()
    assert limited.statistics().current_bytes == 100


def test_a_growing_block_takes_room_for_both_sizes(limited: hw.Limiting[hw.Block]) -> None:
    heap: Any = limited.upstream
    block = limited.allocate(4_000)
    fence = limited.allocate(16)
    block = limited.reallocate(block, 5_000)  # it moves: 4,000 + 5,000 + 16 are out for a moment
    assert heap.statistics().peak_requested_bytes == limited.statistics().peak_bytes == 9_016
    assert limited.statistics().current_bytes == 5_016
    with pytest.raises(hw.LimitExceeded):
        limited.reallocate(block, 5_001)
    block = limited.reallocate(block, 1_000)
    assert limited.statistics().current_bytes == 1_016
    limited.deallocate(fence)
    limited.deallocate(block)
    assert limited.statistics().current_bytes == heap.statistics().requested_bytes == 0


def test_only_what_was_allocated_here_is_taken_back(limited: hw.Limiting[hw.Block]) -> None:
    heap: Any = limited.upstream
    with pytest.raises(hw.InvalidFree) as caught:
        limited.deallocate(heap.allocate(10))
    assert caught.value.reason == "foreign"
    block = limited.allocate(10)
    limited.deallocate(block)
    with pytest.raises(hw.InvalidFree) as caught:
        limited.deallocate(block)
    assert caught.value.reason == "double"


def test_adaptors_stack() -> None:
    outer = hw.Limiting(hw.Limiting(hw.Heap(hw.AnonymousSpace("1MiB")), 1000), 2000)
    block = outer.allocate(900)
    with pytest.raises(hw.LimitExceeded) as caught:
        outer.allocate(200)
    assert caught.value.limit_bytes == 1000
    assert outer.statistics().current_bytes == 900
    outer.deallocate(block)
    assert outer.owns(block.address)
    assert outer.trim() > 0


def test_threads_never_pass_the_limit(often: None) -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("16MiB"))
    limited = hw.Limiting(heap, 10_000)

    def work(seed: int) -> None:
        held = []
        for i in range(2000):
            block = limited.try_allocate((seed * 131 + i * 17) % 3000)
            if block is not None:
                held.append(block)
            if len(held) > 2 or (block is None and held):
                if i % 2:
                    limited.deallocate(held.pop(0))
                else:
                    held.pop(0)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The heap itself remembers the most that was ever out at once, to the byte.
    assert heap.statistics().peak_requested_bytes <= 10_000
    assert limited.statistics().current_bytes == heap.statistics().requested_bytes == 0
    assert limited.statistics().refused_count > 0


def test_children_together_never_have_more_than_their_parent() -> None:
    parent = hw.Limiting(hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB")), 1000)
    children = [hw.Limiting(parent, 800), hw.Limiting(parent, 600)]
    held = [children[0].allocate(700), children[1].allocate(300)]
    for child, limit in (
        (children[0], 800),
        (children[1], 1000),
    ):  # by its own, by the parent's
        with pytest.raises(hw.LimitExceeded) as caught:
            child.allocate(150)
        assert caught.value.limit_bytes == limit
    assert [child.statistics().current_bytes for child in children] == [700, 300]
    held[0] = children[0].reallocate(held[0], 100)
    held.append(children[1].allocate(300))
    assert parent.statistics().current_bytes == 700
    with pytest.raises(hw.InvalidFree):
        children[0].deallocate(held[1])  # its sister's
    children[0].deallocate(held.pop(0))
    held.clear()
    assert [resource.statistics().current_bytes for resource in (parent, *children)] == [0, 0, 0]


def overshoots(operations: int, threads: int = 8) -> int:
    """Return by how many bytes the heap, which remembers the most that was ever out, was beyond the limit."""
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("64MiB"))
    parent = hw.Limiting(heap, 10_000)
    resources = [hw.Limiting(parent, 3_000) for _ in range(threads)]

    def work(number: int) -> None:
        resource, choose, held = resources[number], random.Random(number), []
        for _ in range(operations // threads):
            block = resource.try_allocate(choose.randrange(2_000))
            if block is not None:
                held.append(block)
            elif held:
                act = choose.random()
                if act < 0.4:
                    resource.deallocate(held.pop(0))
                elif act < 0.8:
                    held.pop(0)
                else:
                    with suppress(hw.LimitExceeded):
                        held.append(resource.reallocate(held.pop(), choose.randrange(3_000)))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(resource.statistics().current_bytes == 0 for resource in (parent, *resources))
    assert parent.statistics().refused_count > 0
    assert heap.statistics().requested_bytes == 0
    return max(0, heap.statistics().peak_requested_bytes - 10_000)


def test_eight_threads_under_a_parent_never_overshoot(often: None) -> None:
    assert overshoots(40_000) == 0


@pytest.mark.slow
def test_eight_threads_never_overshoot_in_a_million_operations(often: None) -> None:
    assert overshoots(1_000_000) == 0


def test_a_finalizer_that_frees_here_does_not_wait_for_itself() -> None:
    limited = hw.Limiting(hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB")), 1000)

    class Owner:
        def __init__(self, block: hw.Block) -> None:
            self.block, self.cycle = block, self

        def __del__(self) -> None:
            limited.deallocate(self.block)  # from the cycle collector: in the middle of whatever runs

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(2000):
            block = limited.try_allocate(64)
            if block is not None:
                Owner(block)
    finally:
        gc.set_threshold(*threshold)
    del block
    gc.collect()
    assert limited.statistics().current_bytes == 0


def test_a_signal_handler_may_free_here() -> None:
    limited = hw.Limiting(hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB")), 1000)
    held: list[hw.Block] = []

    def handler(number: int, frame: object) -> None:
        while held:
            limited.deallocate(held.pop())

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        for _ in range(20_000):
            block = limited.try_allocate(100)
            if block is not None:
                held.append(block)
                del block
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    handler(0, None)
    assert limited.statistics().current_bytes == 0


def test_a_forked_child_counts_for_itself() -> None:
    limited = hw.Limiting(hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB")), 1000)
    block = limited.allocate(600)
    child = os.fork()
    if child == 0:
        limited.deallocate(block)
        os._exit(0 if limited.try_allocate(1000) is not None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert limited.try_allocate(401) is None
    assert limited.statistics().current_bytes == 600
