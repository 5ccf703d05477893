from typing import Any

import pytest

import heapwright as hw


def heap(size: int | str = "1MiB") -> hw.Heap[Any]:
    return hw.Heap(hw.AnonymousSpace(size))


def live(*heaps: hw.Heap[Any]) -> list[int]:
    return [heap.statistics().block_count for heap in heaps]


def test_a_fallback_asks_the_second_where_the_first_gives_out() -> None:
    first, second = heap(4096), heap(8192)
    either = hw.Fallback(first, second)
    blocks = [either.allocate(4000) for _ in range(3)]
    assert [first.owns(block.address) for block in blocks] == [True, False, False]
    assert all(either.owns(block.address) for block in blocks)
    assert either.try_allocate(4000) is None
    with pytest.raises(hw.OutOfMemory) as caught:
        either.allocate(4000)
    assert caught.value.capacity_bytes == 8192
    figures = either.statistics()
    assert (figures.first_block_count, figures.second_block_count) == (1, 2)
    assert (figures.first.block_count, figures.second.block_count) == (1, 2)
    for block in blocks:
        either.deallocate(block)
    assert live(first, second) == [0, 0]
    assert either.trim() == 4096 + 8192
    assert (either.upstream, either.upstreams) == (first, (first, second))


def test_a_fallback_aligns_where_the_first_cannot() -> None:
    first, second = heap(), hw.Heap(hw.AnonymousSpace("8MiB", alignment="4MiB"))
    either = hw.Fallback(first, second)
    assert either.allocate(1, "4MiB").address % (4 << 20) == 0
    with pytest.raises(hw.InvalidAlignment):
        either.try_allocate(1, 3)


def test_a_block_that_does_not_fit_any_more_moves_to_the_other() -> None:
    first, second = heap(4096), heap()
    either = hw.Fallback(first, second)
    block = either.allocate(100, 64)
    block.view()[:5] = b"bytes"
    block = either.reallocate(block, 5000)
    assert live(first, second) == [0, 1]
    assert (bytes(block.view()[:5]), block.address % 64, block.size_bytes) == (b"bytes", 0, 5000)
    other = either.reallocate(either.allocate(4096), 10)
    assert live(first, second) == [1, 1]
    del other


def test_a_move_that_fails_leaves_the_block_as_it_was() -> None:
    first, second = heap(4096), heap(4096)
    either = hw.Fallback(first, second)
    block = either.allocate(100)
    with pytest.raises(hw.OutOfMemory):
        either.reallocate(block, 5000)
    by_size = hw.Segregator(heap(), target := heap(), 1000)
    exposed = by_size.allocate(100)
    with exposed.view(), pytest.raises(hw.ViewExported):
        by_size.reallocate(exposed, 2000)
    assert live(target) == [0]
    by_size.deallocate(exposed)
    either.deallocate(block)
    with pytest.raises(hw.InvalidFree) as caught:
        either.reallocate(block, 10)
    assert caught.value.reason == "double"


def test_two_branches_of_one_heap_are_kept_apart() -> None:
    """`owns` would say yes for both: each has all addresses of the heap."""
    below = heap()
    limited = hw.Limiting(below, 100)
    for either in (hw.Fallback(limited, below), hw.Fallback(limited, hw.Limiting(below, "1KiB"))):
        blocks = [either.allocate(80) for _ in range(3)]
        assert limited.statistics().block_count == 1
        for block in blocks:
            either.deallocate(block)
        assert limited.statistics().current_bytes == 0
        with pytest.raises(hw.InvalidFree) as caught:
            either.deallocate(below.allocate(1))
        assert caught.value.reason == "foreign"


def test_a_segregator_decides_by_size() -> None:
    small, large = heap(), heap()
    by_size = hw.Segregator(small, large, "1KiB")
    assert by_size.threshold_bytes == 1024
    blocks = [by_size.allocate(size) for size in (0, 1024, 1025, 5000)]
    assert [small.owns(block.address) for block in blocks] == [True, True, False, False]
    assert by_size.try_allocate("2MiB") is None
    blocks[0].view()
    for size in (2000, 20, 1024, 1025):
        blocks[1].view()[:5] = b"bytes"
        blocks[1] = by_size.reallocate(blocks[1], size)
        assert bytes(blocks[1].view()[:5]) == b"bytes"
        assert small.owns(blocks[1].address) == (size <= 1024)
        assert sum(live(small, large)) == 4


def test_a_move_keeps_the_alignment_that_was_asked_for() -> None:
    by_size = hw.Segregator(heap(), heap(), 100)
    block = by_size.allocate(10, 4096)
    for size in (2000, 20, 200):
        fence = by_size.allocate(size)
        block = by_size.reallocate(block, size)
        assert block.address % 4096 == 0
        del fence


def test_statistics_of_branches_count_each_memory_once() -> None:
    below, other = heap(), heap()
    counted = hw.Statistics(hw.Fallback(hw.Limiting(below, 100), hw.Fallback(below, other)))
    assert counted.statistics().reserved_bytes == 2 << 20
    assert counted.statistics().peak_committed_bytes is None
