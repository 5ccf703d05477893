"""What holds for every strategy that heaps are built for: the requests at the edges, and one random program."""

import random
from typing import Any

import pytest

import heapwright as hw
from heapwright import _native

MIB = 1 << 20
TYPES: dict[str, Any] = {
    home.name: home
    for home in (getattr(hw, name) for name in hw.__all__)
    if isinstance(getattr(home, "name", None), str) and home.__module__.startswith("heapwright.strategies")
}
everywhere = pytest.mark.parametrize("strategy", list(TYPES.values()), ids=list(TYPES))
either_way = pytest.mark.parametrize("fused", [False, True], ids=["by-object", "by-type"])


def make(strategy: Any, fused: bool, capacity: int = 8 * MIB, alignment: int = 4096) -> "hw.Heap[Any]":
    space = hw.AnonymousSpace(capacity, alignment=alignment)
    return hw.Heap[strategy](space) if fused else hw.Heap(space, strategy=strategy())


def test_this_list_is_complete() -> None:
    assert set(TYPES) == set(_native.STRATEGIES)


@everywhere
@either_way
def test_zero_bytes_are_a_block_of_their_own(strategy: Any, fused: bool) -> None:
    heap = make(strategy, fused)
    blocks = [heap.allocate(0) for _ in range(100)]
    assert len({block.address for block in blocks}) == 100
    assert all(block.size_bytes == 0 for block in blocks)
    assert heap.statistics().requested_bytes == 0
    assert heap.statistics().allocated_bytes == 100 * heap.granule_bytes
    heap.check()
    for block in blocks:
        heap.deallocate(block)
    assert heap.statistics().allocated_bytes == 0


@everywhere
@either_way
@pytest.mark.parametrize("size", [8 * MIB + 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**200])
def test_what_cannot_be_is_bottom_and_changes_nothing(strategy: Any, fused: bool, size: int) -> None:
    heap = make(strategy, fused)
    kept = heap.allocate(1000)
    before = heap.draw()
    assert heap.try_allocate(size) is None
    assert heap.try_allocate(size, alignment=4096) is None
    with pytest.raises(hw.OutOfMemory) as error:
        heap.allocate(size)
    assert error.value.size_bytes == size
    with pytest.raises(hw.OutOfMemory):
        heap.reallocate(kept, size)
    assert kept.state is hw.State.ALLOCATED
    assert heap.draw() == before
    heap.check()


@everywhere
@either_way
def test_the_greatest_request_is_what_the_figures_say(strategy: Any, fused: bool) -> None:
    heap = make(strategy, fused)
    blocks = [heap.allocate(size) for size in (10, 5000, 300, 70_000, 1)]
    del blocks[1::2]
    largest = heap.statistics().largest_free_bytes
    assert heap.try_allocate(largest + 1) is None
    assert heap.try_allocate(largest) is not None
    heap.check()


@everywhere
@either_way
@pytest.mark.parametrize("alignment", [1 << log for log in range(22)])
def test_alignment_up_to_2_mib(strategy: Any, fused: bool, alignment: int) -> None:
    heap = make(strategy, fused, 16 * MIB, max(alignment, 4096))
    small = heap.allocate(1)
    for size in (0, 1, 100, alignment):
        block = heap.allocate(size, alignment=alignment)
        assert block.address % alignment == 0
        block.write(0, b"x" * size)
        assert heap.reallocate(block, size + 1).address % alignment == 0
    heap.check()
    assert small.state is hw.State.ALLOCATED
    for bad in (0, 3, 2 * max(alignment, 4096)):
        with pytest.raises(hw.InvalidAlignment):
            heap.allocate(1, alignment=bad)


@everywhere
@either_way
def test_wrong_frees_are_refused_and_change_nothing(strategy: Any, fused: bool) -> None:
    heap, other = make(strategy, fused), make(strategy, fused)
    kept, freed = heap.allocate(100), heap.allocate(100)
    heap.deallocate(freed)
    before = heap.draw()
    for wrong, reason in ((freed, "double"), (other.allocate(100), "foreign")):
        with pytest.raises(hw.InvalidFree) as error:
            heap.deallocate(wrong)
        assert error.value.reason == reason
        with pytest.raises(hw.InvalidFree):
            heap.reallocate(wrong, 10)
    with kept.view(), pytest.raises(hw.ViewExported):
        heap.deallocate(kept)
    assert heap.draw() == before


@everywhere
@either_way
def test_a_random_program_keeps_its_bytes_and_the_figures_add_up(strategy: Any, fused: bool) -> None:
    choose, heap = random.Random(7), make(strategy, fused)
    live: list[tuple[hw.Block, bytes]] = []
    requested = total = 0
    for step in range(3000):
        act = choose.random()
        size = choose.choice((choose.randrange(64), choose.randrange(1024), choose.randrange(20_000)))
        if act < 0.5:
            block = heap.try_allocate(size, 1 << choose.randrange(10))
            if block is not None:
                content = choose.randbytes(8)[:size]
                block.write(0, content)
                live.append((block, content))
                requested += size
                total += size
        elif live:
            which = choose.randrange(len(live))
            block, content = live[which]
            assert block.read(0, len(content)) == content
            if act < 0.8:
                live[which] = live[-1]
                live.pop()
                requested -= block.size_bytes
                heap.deallocate(block)
            else:
                old = block.size_bytes
                try:
                    block = heap.reallocate(block, size)
                except hw.OutOfMemory:
                    continue
                requested += size - old
                live[which] = block, content[:size]
        if step % 200 == 0:
            heap.check()
            heap.trim(keep_bytes=choose.randrange(2 * MIB))
            figures = heap.statistics()
            assert (figures.requested_bytes, figures.block_count) == (requested, len(live))
            assert requested <= figures.allocated_bytes <= figures.committed_bytes <= figures.reserved_bytes
            assert figures.resident_bytes <= figures.committed_bytes
            assert figures.free_bytes == heap.capacity_bytes - figures.allocated_bytes
            assert figures.total_requested_bytes >= total
            walk = heap.walk()
            assert sum(size for _, size, _, _ in walk) == heap.capacity_bytes
            assert sum(size for _, size, _, live in walk if live) == figures.allocated_bytes
            assert len(walk) == figures.block_count + figures.free_count
    del live, block
    assert heap.statistics().allocated_bytes == 0
    heap.check()
