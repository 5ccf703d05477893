import gc
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import heapwright as hw


class Counting(hw.Observing[hw.Block, str]):
    """Writes down what it hears."""

    def __init__(self, upstream: Any) -> None:
        super().__init__(upstream)
        self.heard: list[tuple[Any, ...]] = []

    def _admit(self, size_bytes: int) -> None:
        self.heard.append(("admit", size_bytes))

    def _withdraw(self, size_bytes: int, error: BaseException | None) -> None:
        self.heard.append(("withdraw", size_bytes, type(error)))

    def _born(self, block: hw.Block, size_bytes: int, alignment: int | None) -> str:
        self.heard.append(("born", size_bytes, alignment))
        return f"of {size_bytes}"

    def _died(self, size_bytes: int, note: str) -> None:
        self.heard.append(("died", size_bytes, note))


@pytest.fixture
def counting() -> Counting:
    return Counting(hw.Heap[hw.BestFit](hw.AnonymousSpace("64KiB")))


def test_every_moment_is_heard_of_once(counting: Counting) -> None:
    block = counting.allocate(10, 64)
    counting.deallocate(block)
    with pytest.raises(hw.InvalidFree):
        counting.deallocate(block)
    del block
    assert counting.heard == [("admit", 10), ("born", 10, 64), ("died", 10, "of 10")]


def test_a_dropped_handle_is_heard_of_before_anything_else(counting: Counting) -> None:
    counting.allocate(10)
    counting.try_allocate(20)
    assert counting.heard == [
        ("admit", 10),
        ("born", 10, None),
        ("died", 10, "of 10"),
        ("admit", 20),
        ("born", 20, None),
    ]


def test_what_was_not_served_is_withdrawn(counting: Counting) -> None:
    with pytest.raises(hw.OutOfMemory):
        counting.allocate("1MiB")
    assert counting.try_allocate("1MiB") is None
    block = counting.allocate(5)
    with pytest.raises(hw.OutOfMemory):
        counting.reallocate(block, "1MiB")
    view = block.view()
    with pytest.raises(hw.ViewExported):
        counting.reallocate(block, 1)
    del view
    size = 1 << 20
    assert [heard for heard in counting.heard if heard[0] == "withdraw"] == [
        ("withdraw", size, hw.OutOfMemory),
        ("withdraw", size, type(None)),
        ("withdraw", size, hw.OutOfMemory),
        ("withdraw", 0, hw.ViewExported),
    ]
    assert counting.holds(block)


def test_a_resize_is_a_birth_before_a_death(counting: Counting) -> None:
    block = counting.allocate(10)
    counting.heard.clear()
    block = counting.reallocate(block, 20)
    block = counting.reallocate(block, 5)
    assert counting.heard == [
        ("admit", 20),
        ("born", 20, None),
        ("died", 10, "of 10"),
        ("born", 5, None),  # a block that shrinks needs nobody's leave
        ("died", 20, "of 20"),
    ]
    del block


def test_a_hook_that_raises_loses_no_block(counting: Counting) -> None:
    def refuse(*arguments: Any) -> str:
        raise KeyError("no")

    counting._born = refuse  # type: ignore[method-assign]
    with pytest.raises(KeyError):
        counting.allocate(10)
    heap: Any = counting.upstream
    assert heap.statistics().block_count == 0
    assert counting.heard == [("admit", 10), ("withdraw", 10, KeyError)]


def test_holds_is_about_handles_and_owns_about_addresses(counting: Counting) -> None:
    heap: Any = counting.upstream
    ours, theirs = counting.allocate(10), heap.allocate(10)
    assert (counting.holds(ours), counting.holds(theirs)) == (True, False)
    assert (counting.owns(ours.address), counting.owns(theirs.address)) == (True, True)
    counting.deallocate(ours)
    assert not counting.holds(ours)


def test_the_adaptor_may_go_before_its_blocks() -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("64KiB"))
    below = hw.Limiting(heap, 1000)
    block = hw.Statistics(hw.Tracking(below)).allocate(600)
    assert below.statistics().current_bytes == 600  # nobody above remembers the block, and it is charged here
    del block
    assert below.statistics().current_bytes == 0


def test_adaptors_need_no_cycle_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("64KiB"))
        chain = hw.Statistics(hw.Logging(hw.Tracking(hw.Limiting(heap, 1000)), lambda event: None))
        blocks = [chain.allocate(10) for _ in range(5)]
        del chain
        blocks.clear()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_many_threads_free_one_block_and_it_dies_once(often: None) -> None:
    for _ in range(60):
        limited = hw.Limiting(hw.Heap[hw.BestFit](hw.AnonymousSpace("64KiB")), 1000)
        block, refused = limited.allocate(100), []

        def free(limited: Any = limited, block: Any = block, refused: list[object] = refused) -> None:
            try:
                limited.deallocate(block)
            except hw.InvalidFree as error:
                refused.append(error.reason)

        threads = [threading.Thread(target=free) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert refused == ["double"] * 3
        assert limited.statistics().current_bytes == 0


def test_the_nth_allocation_of_python_fails() -> None:
    """Every n: whoever is told that there is no memory has not been charged, and what was freed is accounted for."""
    testcapi = pytest.importorskip("_testcapi")
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))
    counted = hw.Statistics(limited := hw.Limiting(heap, "512KiB"))
    held = [counted.allocate(16) for _ in range(300)]

    def attempt(operation: Callable[[], Any], n: int) -> Any:
        testcapi.set_nomemory(n, n + 1)
        try:
            return operation()
        except MemoryError:
            return MemoryError
        finally:
            testcapi.remove_mem_hooks()

    def settled() -> None:
        expected = heap.statistics()
        assert limited.statistics().current_bytes == expected.requested_bytes
        assert limited.statistics().block_count == expected.block_count
        figures = counted.statistics()
        assert (figures.requested_bytes, figures.block_count) == (expected.requested_bytes, expected.block_count)

    refused = 0
    for n in range(60):
        block = attempt(lambda: counted.allocate(1000), n)
        refused += block is MemoryError
        settled()
        if block is not MemoryError:
            refused += attempt(partial(counted.deallocate, block), n) is MemoryError
            settled()
        moved = attempt(lambda: counted.reallocate(held[0], 2000), n)
        refused += moved is MemoryError
        if moved is not MemoryError:
            held[0] = moved
        elif held[0].state is hw.State.FREED:  # it had moved when there was no memory to note it
            held[0] = counted.allocate(16)
        block = moved = None
        settled()
        held[0] = counted.reallocate(held[0], 16)
        settled()
    assert refused > 10
    held.clear()
    assert limited.statistics().current_bytes == heap.statistics().requested_bytes == 0
