"""Slab heaps: in lock-step with their definition; the bound on a slot; what is kept, and what is given back."""

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

import heapwright as hw
from heapwright.model.slab import SLOTS, SlabModel

ALIGNMENTS = st.sampled_from([1, 8, 16, 32, 64, 256, 1024, 4096])


class Lockstep(RuleBasedStateMachine):
    fused: bool
    capacity: int
    blocks = Bundle("blocks")

    def __init__(self) -> None:
        super().__init__()
        space = hw.AnonymousSpace(self.capacity)
        self.heap: hw.Heap[Any] = hw.Heap[hw.Slab](space) if self.fused else hw.Heap(space, strategy=hw.Slab())
        self.model = SlabModel(self.capacity)
        self.alignments: dict[int, int] = {}
        self.dropped: list[hw.Block] = []

    def allocated(self, size: int, alignment: int) -> Any:
        block = self.heap.try_allocate(size, alignment)
        assert (None if block is None else block.offset_bytes) == self.model.allocate(size, alignment)
        if block is not None:
            assert block.address % alignment == 0
            self.alignments[block.offset_bytes] = alignment
        return block

    @rule(target=blocks, size=st.one_of(st.integers(0, 1100), st.integers(0, 40_000)), alignment=ALIGNMENTS)
    def allocate(self, size: int, alignment: int) -> Any:
        block = self.allocated(size, alignment)
        return multiple() if block is None else block

    @rule(target=blocks, size=st.sampled_from([16, 32, 100, 600, 1024]), count=st.integers(2, 2 * SLOTS))
    def allocate_many(self, size: int, count: int) -> Any:
        return multiple(*filter(None, [self.allocated(size, 1) for _ in range(count)]))

    @rule(block=consumes(blocks))
    def deallocate(self, block: hw.Block) -> None:
        offset = block.offset_bytes
        self.heap.deallocate(block)
        assert self.model.deallocate(offset)
        assert not self.model.deallocate(offset)

    @rule(target=blocks, size=st.sampled_from([16, 100]), slabs=st.integers(1, 4), seed=st.integers(0, 1000))
    def fill_and_drain(self, size: int, slabs: int, seed: int) -> Any:
        order = random.Random(seed)
        filled = [block for _ in range(slabs * SLOTS) if (block := self.allocated(size, 1)) is not None]
        turns = order.choice([filled, filled[::-1], order.sample(filled, len(filled))])
        kept = order.choice([0, 1, len(turns) // 2])
        while len(turns) > kept:
            self.deallocate(turns.pop())
            self.heap.check()
        return multiple(*turns)

    @rule(target=blocks, block=consumes(blocks), size=st.integers(0, 1100))
    def reallocate(self, block: hw.Block, size: int) -> Any:
        offset = block.offset_bytes
        in_place = self.model.resize(offset, size)
        where = offset if in_place else self.model.allocate(size, self.alignments[offset])
        if where is None:
            with pytest.raises(hw.OutOfMemory):
                self.heap.reallocate(block, size)
            return block
        if not in_place:
            self.model.deallocate(offset)
        new = self.heap.reallocate(block, size)
        self.alignments[where] = self.alignments[offset]
        assert (new.offset_bytes, new.size_bytes) == (where, size)
        return new

    @rule(budget=st.sampled_from([0, 1, 1000]))
    def trim_step(self, budget: int) -> None:
        self.heap.trim_step(budget)

    @invariant()
    def same_heap(self) -> None:
        self.heap.check()
        seen = list(self.model.walk())
        assert self.heap.walk() == seen
        figures = self.heap.counters()
        assert figures["requested_bytes"] == sum(requested for _, _, requested, _ in seen)
        assert figures["allocated_bytes"] == sum(size for _, size, _, live in seen if live)
        assert figures["free_bytes"] == sum(size for _, size, _, live in seen if not live)
        assert figures["block_count"] == sum(live for *_, live in seen)
        assert figures["free_count"] == sum(not live for *_, live in seen)
        assert (
            figures["requested_bytes"]
            <= figures["allocated_bytes"]
            <= figures["committed_bytes"]
            <= figures["reserved_bytes"]
        )


@pytest.mark.parametrize("capacity", [4096, 40_960, 409_600])
@pytest.mark.parametrize("fused", [False, True], ids=["by-object", "by-type"])
def test_lockstep(fused: bool, capacity: int) -> None:
    machine = type("Machine", (Lockstep,), {"fused": fused, "capacity": capacity})
    machine.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
    machine.TestCase().runTest()


def slab(capacity: str = "4MiB") -> "hw.Heap[hw.Slab]":
    return hw.Heap[hw.Slab](hw.AnonymousSpace(capacity))


def test_a_slot_exceeds_its_request_by_less_than_a_granule_or_an_eighth() -> None:
    heap = slab()
    allocated = 0
    for size in range(1, 1025):
        block = heap.allocate(size)
        before, allocated = allocated, heap.counters()["allocated_bytes"]
        assert allocated - before - size < max(16, size / 8)
        del block
        allocated = 0


def test_empty_slabs_go_back_but_for_one_of_each_class() -> None:
    heap = slab()
    blocks = [heap.allocate(1000) for _ in range(40 * SLOTS)]
    random.Random(3).shuffle(blocks)
    blocks.clear()
    assert heap.statistics().largest_free_bytes == heap.capacity_bytes  # counting the one that is left
    assert heap.statistics().free_count == SLOTS + 1
    assert heap.allocate(heap.capacity_bytes).offset_bytes == 0  # which goes back when it is in the way


def test_a_small_heap_serves_small_requests_without_room_for_a_slab() -> None:
    heap = hw.Heap[hw.Slab](hw.AnonymousSpace(4096))
    blocks = [heap.allocate(1000) for _ in range(4)]
    assert heap.try_allocate(100) is None
    heap.deallocate(blocks.pop())
    assert heap.allocate(16).offset_bytes == 3024
    heap.check()


def test_pages_of_empty_slots_are_given_back() -> None:
    heap = slab()
    blocks = [heap.allocate(1000) for _ in range(10 * SLOTS)]
    del blocks[1:]
    before = heap.statistics().committed_bytes
    heap.trim()
    assert heap.statistics().committed_bytes <= 2 * 4096 < before
    heap.check()
    blocks += [heap.allocate(1000) for _ in range(SLOTS)]
    heap.check()


def test_what_a_block_is_resized_to_is_what_the_figures_say() -> None:
    heap = slab()
    block = heap.reallocate(heap.allocate(100), 7)
    figures = heap.statistics()
    assert (figures.requested_bytes, figures.allocated_bytes, figures.total_requested_bytes) == (7, 112, 100)
    block = heap.reallocate(block, 5000)
    assert block.offset_bytes >= 112 * SLOTS
    block = heap.reallocate(block, 9000)  # in place, in the fit
    figures = heap.statistics()
    assert (figures.requested_bytes, figures.allocated_bytes) == (9000, 9008)
    assert (figures.peak_requested_bytes, figures.peak_block_count) == (9000, 2)
