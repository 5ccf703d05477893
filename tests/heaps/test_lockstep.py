"""The executable definition and the native core, step by step: the same offsets, always."""

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

import heapwright as hw
from heapwright.model.definitions import DEFINITIONS

STRATEGIES = [hw.FirstFit, hw.BestFit, hw.WorstFit, hw.NextFit, hw.TLSF, hw.Buddy]
CAPACITY = 4096
SIZES = st.one_of(st.integers(0, 200), st.sampled_from([16, 32, 64, 256]), st.integers(0, 2 * CAPACITY))
ALIGNMENTS = st.sampled_from([1, 8, 16, 32, 64, 256, 1024, 4096])


class Lockstep(RuleBasedStateMachine):
    strategy: Any
    fused: bool
    blocks = Bundle("blocks")

    def __init__(self) -> None:
        super().__init__()
        space = hw.AnonymousSpace(CAPACITY)
        self.heap: hw.Heap[Any] = (
            hw.Heap[self.strategy](space) if self.fused else hw.Heap(space, strategy=self.strategy())
        )
        self.model = DEFINITIONS[self.strategy.name](CAPACITY)
        self.alignments: dict[int, int] = {}  # by offset: kept when a block moves

    @rule(target=blocks, size=SIZES, alignment=ALIGNMENTS)
    def allocate(self, size: int, alignment: int) -> Any:
        block = self.heap.try_allocate(size, alignment)
        assert (None if block is None else block.offset_bytes) == self.model.allocate(size, alignment)
        if block is None:
            return multiple()
        assert block.address % alignment == 0
        assert block.size_bytes == size
        self.alignments[block.offset_bytes] = alignment
        return block

    @rule(block=consumes(blocks))
    def deallocate(self, block: hw.Block) -> None:
        offset = block.offset_bytes
        self.heap.deallocate(block)
        assert self.model.deallocate(offset)
        with pytest.raises(hw.InvalidFree):
            self.heap.deallocate(block)

    @rule(target=blocks, block=consumes(blocks), size=SIZES)
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
        assert block.state is hw.State.FREED
        assert (new.offset_bytes, new.size_bytes) == (where, size)
        return new

    @rule(block=blocks)
    def foreign(self, block: hw.Block) -> None:
        other = hw.Heap(hw.AnonymousSpace(CAPACITY), strategy=self.strategy())
        with pytest.raises(hw.InvalidFree):
            other.deallocate(block)

    @rule()
    def trim(self) -> None:
        self.heap.trim()

    @invariant()
    def same_heap(self) -> None:
        self.heap.check()
        assert self.heap.draw() == self.model.draw()
        figures = self.heap.counters()
        live = self.model.live.values()
        assert figures["requested_bytes"] == sum(block.requested for block in live)
        assert figures["allocated_bytes"] == sum(block.size for block in live)
        holes = [hole.size for hole in self.model.holes()]
        assert figures["largest_free_bytes"] == max(holes, default=0)
        assert (figures["free_bytes"], figures["free_count"]) == (sum(holes), len(holes))
        assert (
            figures["requested_bytes"]
            <= figures["allocated_bytes"]
            <= figures["committed_bytes"]
            <= figures["reserved_bytes"]
        )


@pytest.mark.parametrize("fused", [False, True], ids=["by-object", "by-type"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lockstep(strategy: Any, fused: bool) -> None:
    machine = type("Machine", (Lockstep,), {"strategy": strategy, "fused": fused})
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
    machine.TestCase().runTest()


@pytest.mark.parametrize("capacity", [65536, 65536 - 16, 3 * 16384 + 5 * 16])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_long_programs(strategy: Any, capacity: int) -> None:
    """More blocks, and sizes of every magnitude: classes of many sizes each, which short programs do not reach."""
    choose = random.Random(capacity)
    heap: Any = hw.Heap[strategy](hw.AnonymousSpace(capacity))
    model = DEFINITIONS[strategy.name](heap.capacity_bytes)
    blocks: list[hw.Block] = []
    for _ in range(1500):
        if blocks and choose.random() < 0.45:
            block = blocks.pop(choose.randrange(len(blocks)))
            assert model.deallocate(block.offset_bytes)
            heap.deallocate(block)
        else:
            size = int(2 ** choose.uniform(0, 13.5))
            alignment = 1 << choose.choice((0, 0, 0, 5, 8, 12))
            block = heap.try_allocate(size, alignment)
            assert (block and block.offset_bytes) == model.allocate(size, alignment)
            if block is not None:
                blocks.append(block)
    heap.check()
    assert heap.draw() == model.draw()
