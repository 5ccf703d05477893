from typing import Any

import pytest

import heapwright as hw


def small_heap() -> hw.Heap[Any]:
    return hw.Heap(hw.AnonymousSpace(4096))


def test_what_the_callback_frees_is_used() -> None:
    heap = small_heap()
    cache = [heap.allocate(1024) for _ in range(4)]
    asked: list[int] = []

    def evict(size_bytes: int) -> bool:
        asked.append(size_bytes)
        cache.pop(0)
        return True

    retrying = hw.FailureCallback(heap, evict)
    block = retrying.allocate(2048, 16)
    assert asked == [2048, 2048]
    other = retrying.try_allocate(1024)
    assert other is not None
    assert len(cache) == 1
    other = retrying.reallocate(other, 1025)  # in place, or moved to what the last one leaves
    assert cache == []
    del block


@pytest.mark.parametrize("attempts", [0, 1, 5])
def test_a_callback_that_frees_nothing_is_not_asked_for_ever(attempts: int) -> None:
    asked: list[int] = []
    retrying = hw.FailureCallback(small_heap(), lambda size: asked.append(size) or True, attempts=attempts)
    with pytest.raises(hw.OutOfMemory) as caught:
        retrying.allocate(5000)
    assert caught.value.size_bytes == 5000
    assert len(asked) == attempts
    assert retrying.try_allocate(5000) is None
    block = retrying.allocate(100)
    with pytest.raises(hw.OutOfMemory):
        retrying.reallocate(block, 5000)
    assert len(asked) == 3 * attempts
    assert block.state is hw.State.ALLOCATED
    with pytest.raises(ValueError, match="negative"):
        hw.FailureCallback(small_heap(), bool, attempts=-1)


def test_a_callback_that_gives_up_is_asked_once() -> None:
    asked: list[int] = []
    retrying = hw.FailureCallback(hw.Limiting(small_heap(), 100), asked.append)
    with pytest.raises(hw.LimitExceeded):
        retrying.allocate(101)
    assert asked == [101]


def test_other_errors_are_none_of_its_business() -> None:
    retrying = hw.FailureCallback(small_heap(), lambda size: pytest.fail("asked"))
    with pytest.raises(hw.InvalidAlignment):
        retrying.allocate(1, 3)
    block = retrying.allocate(1)
    with block.view(), pytest.raises(hw.ViewExported):
        retrying.reallocate(block, 2)


def test_a_callback_is_not_called_inside_itself() -> None:
    depth: list[int] = []

    def callback(size_bytes: int) -> bool:
        depth.append(size_bytes)
        return retrying.try_allocate(6000) is not None

    retrying = hw.FailureCallback(small_heap(), callback)
    assert retrying.try_allocate(5000) is None
    assert depth == [5000]


def test_what_the_callback_raises_comes_out_and_the_next_failure_asks_again() -> None:
    def callback(size_bytes: int) -> bool:
        raise KeyError(size_bytes)

    retrying = hw.FailureCallback(small_heap(), callback)
    for _ in range(2):
        with pytest.raises(KeyError):
            retrying.allocate(5000)
