"""Python itself has no memory, at the n-th request, for every n: a pool stays whole, and no reference is lost."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

import heapwright as hw

POOLS: dict[str, Callable[[Any], Any]] = {
    "fixed": lambda heap: hw.FixedPool(heap, 16 << 10),
    "tiered": lambda heap: hw.TieredPool(heap),
    "concurrent": lambda heap: hw.ConcurrentPool(heap, 16 << 10),
}


@pytest.mark.parametrize("kind", POOLS)
def test_every_allocation_of_python_can_fail_and_leaves_the_pool_whole(kind: str) -> None:
    testcapi = pytest.importorskip("_testcapi")
    heap: hw.Heap[Any] = hw.Heap(hw.AnonymousSpace("256MiB"))
    pool = POOLS[kind](heap)
    arguments = (16 << 10,) if kind == "tiered" else ()
    held = [pool.acquire(*arguments) for _ in range(300)]  # more than the handles that are kept for reuse
    live = references = 0

    def attempt(operation: Callable[[], object], n: int) -> bool:
        testcapi.set_nomemory(n, n + 1)
        try:
            operation()
        except MemoryError:
            return False
        finally:
            testcapi.remove_mem_hooks()
        return True

    def acquire() -> None:
        held.append(pool.acquire(*arguments))

    def grow() -> None:
        while pool.statistics().free_bytes:  # up to the next chunk
            held.append(pool.acquire(*arguments))
        held.append(pool.acquire(*arguments))

    def resize() -> None:
        if kind == "tiered":
            held[0] = pool.reallocate(held[0], 100 if held[0].size_bytes > 100 else 100_000)

    live, references = len(held), sys.getrefcount(pool)
    refused = 0
    for n in range(40):
        for operation in (acquire, pool.counters, pool.check, held[1].view, resize, *([grow] if n < 12 else [])):
            refused += not attempt(operation, n)
            pool.check()
            assert pool.statistics().block_count == len(held)
            assert heap.statistics().requested_bytes == pool.statistics().committed_bytes
    assert refused > 4
    assert sys.getrefcount(pool) - references <= len(held) - live + 2
    held.clear()
    pool.check()
    assert pool.trim() >= 0
    assert heap.statistics().block_count == 0


@pytest.mark.parametrize("kind", POOLS)
def test_what_a_pool_does_leaves_no_reference_to_it(kind: str) -> None:
    heap: hw.Heap[Any] = hw.Heap(hw.AnonymousSpace("256MiB"))
    pool, other = POOLS[kind](heap), POOLS[kind](heap)
    arguments = (100,) if kind == "tiered" else ()

    def everything() -> None:
        buffer, foreign = pool.acquire(*arguments), other.acquire(*arguments)
        buffer.view()[0] = 1
        pool.release(buffer)
        for wrong in (buffer, foreign, None):
            with pytest.raises((hw.InvalidFree, TypeError)):
                pool.release(wrong)
        assert buffer.pool is None
        assert foreign.pool is other
        pool.acquire(*arguments)
        with pool.lease(*arguments):
            pool.statistics()
        if kind == "tiered":
            large = pool.reallocate(pool.acquire(100), 1 << 20)
            pool.release(pool.reallocate(large, 10))
        pool.check()
        pool.trim()
        assert pool.owns(0) is False

    everything()
    before = sys.getrefcount(pool), sys.getrefcount(heap), sys.getrefcount(None)
    for _ in range(50):
        everything()
    after = sys.getrefcount(pool), sys.getrefcount(heap), sys.getrefcount(None)
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 50
