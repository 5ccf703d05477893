"""Bump heaps: in lock-step with their definition; marks; what a release may not take away."""

import gc
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

import heapwright as hw
from heapwright.model.bump import BumpModel

CAPACITY = 4096
SIZES = st.one_of(st.integers(0, 200), st.sampled_from([16, 32, 64, 256]), st.integers(0, 2 * CAPACITY))
ALIGNMENTS = st.sampled_from([1, 8, 16, 32, 64, 256, 1024, 4096])


class Lockstep(RuleBasedStateMachine):
    fused: bool
    blocks = Bundle("blocks")

    def __init__(self) -> None:
        super().__init__()
        space = hw.AnonymousSpace(CAPACITY)
        self.heap: hw.Heap[hw.Bump] = hw.Heap[hw.Bump](space) if self.fused else hw.Heap(space, strategy=hw.Bump())
        self.model = BumpModel(CAPACITY)
        self.alignments: dict[int, int] = {}
        self.marks: list[hw.Mark] = []
        self.ended: list[hw.Mark] = []

    @rule(target=blocks, size=SIZES, alignment=ALIGNMENTS)
    def allocate(self, size: int, alignment: int) -> Any:
        block = self.heap.try_allocate(size, alignment)
        assert (None if block is None else block.offset_bytes) == self.model.allocate(size, alignment)
        if block is None:
            return multiple()
        self.alignments[block.offset_bytes] = alignment
        return block

    @rule(block=consumes(blocks))
    def deallocate(self, block: hw.Block) -> None:
        if block.state is hw.State.ALLOCATED:
            offset = block.offset_bytes
            self.heap.deallocate(block)
            assert self.model.deallocate(offset)
        with pytest.raises(hw.InvalidFree):
            self.heap.deallocate(block)

    @rule(target=blocks, block=consumes(blocks), size=SIZES)
    def reallocate(self, block: hw.Block, size: int) -> Any:
        if block.state is hw.State.FREED:
            with pytest.raises(hw.InvalidFree):
                self.heap.reallocate(block, size)
            return multiple()
        offset = block.offset_bytes
        where = offset if self.model.resize(offset, size) else self.model.allocate(size, self.alignments[offset])
        if where is None:
            with pytest.raises(hw.OutOfMemory):
                self.heap.reallocate(block, size)
            return block
        if where != offset:
            self.model.deallocate(offset)
        new = self.heap.reallocate(block, size)
        self.alignments[where] = self.alignments[offset]
        assert (new.offset_bytes, new.size_bytes) == (where, size)
        return new

    @rule()
    def mark(self) -> None:
        assert self.model.mark() == len(self.marks)
        self.marks.append(self.heap.mark())

    @precondition(lambda self: self.marks)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        which = data.draw(st.integers(0, len(self.marks) - 1))
        self.heap.release(self.marks[which])
        self.model.release(which)
        self.ended += self.marks[which:]
        del self.marks[which:]

    @rule()
    def trim(self) -> None:
        self.heap.trim()

    @invariant()
    def same_heap(self) -> None:
        self.heap.check()
        assert self.heap.draw() == self.model.draw()
        assert all(mark.is_open for mark in self.marks)
        assert not any(mark.is_open for mark in self.ended)
        figures = self.heap.counters()
        live = [block for block in self.model.blocks if block.live]
        assert figures["requested_bytes"] == sum(block.requested for block in live)
        assert figures["allocated_bytes"] == sum(block.size for block in live)
        assert figures["block_count"] == len(live)
        assert figures["largest_free_bytes"] == CAPACITY - self.model.top
        assert figures["free_bytes"] == CAPACITY - figures["allocated_bytes"]
        assert figures["free_count"] == sum(not live for _, _, _, live in self.heap.walk())
        assert (
            figures["requested_bytes"]
            <= figures["allocated_bytes"]
            <= figures["committed_bytes"]
            <= figures["reserved_bytes"]
        )


@pytest.mark.parametrize("fused", [False, True], ids=["by-object", "by-type"])
def test_lockstep(fused: bool) -> None:
    machine = type("Machine", (Lockstep,), {"fused": fused})
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
    machine.TestCase().runTest()


def bump(capacity: str = "1MiB") -> "hw.Heap[hw.Bump]":
    return hw.Heap[hw.Bump](hw.AnonymousSpace(capacity))


def test_a_release_kills_the_handles_of_what_it_frees_and_no_others() -> None:
    heap = bump()
    before = heap.allocate(10)
    mark = heap.mark()
    since = [heap.allocate(size) for size in (10, 20, 30)]
    heap.release(mark)
    assert before.state is hw.State.ALLOCATED
    assert [block.state for block in since] == [hw.State.FREED] * 3
    with pytest.raises(hw.BlockFreed):
        since[0].view()
    again = heap.allocate(10)
    del since
    gc.collect()
    assert again.state is hw.State.ALLOCATED  # a dead handle does not free what lies there now
    heap.check()


def test_a_view_holds_everything_back() -> None:
    heap = bump()
    mark = heap.mark()
    first, second = heap.allocate(10), heap.allocate(10)
    view = second.view()
    with pytest.raises(hw.ViewExported, match="release the mark"):
        heap.release(mark)
    assert (first.state, second.state) == (hw.State.ALLOCATED, hw.State.EXPOSED)
    assert mark.is_open
    view.release()
    heap.release(mark)
    assert first.state is hw.State.FREED


def test_marks_are_refused_where_they_mean_nothing() -> None:
    heap, other = bump(), bump()
    outer, inner = heap.mark(), heap.mark()
    with pytest.raises(hw.InvalidMark) as foreign:
        other.release(outer)
    assert foreign.value.reason == "foreign"
    heap.release(outer)
    for mark in (outer, inner):
        with pytest.raises(hw.InvalidMark) as released:
            heap.release(mark)
        assert released.value.reason == "released"
    with pytest.raises(hw.UnsupportedByStrategy) as error:
        hw.Heap(hw.AnonymousSpace(4096)).mark()  # type: ignore[type-var]
    assert (error.value.strategy, error.value.use) == ("best-fit", "bump")


def test_a_mark_as_context_manager_frees_in_spite_of_an_exception() -> None:
    heap = bump()
    blocks: list[hw.Block] = []
    with pytest.raises(ZeroDivisionError), heap.mark():
        blocks.extend(heap.allocate(100 // n) for n in (2, 1, 0))
    assert [block.state for block in blocks] == [hw.State.FREED] * 2
    with heap.mark() as mark:
        heap.release(mark)  # by hand: the end of the block finds nothing to do


def test_more_blocks_and_marks_than_the_first_control_region_has_room_for() -> None:
    heap = bump("4MiB")
    marks, blocks = [], []
    for _ in range(2000):
        marks.append(heap.mark())
        blocks.append(heap.allocate(100))
    heap.check()
    heap.release(marks[1000])
    assert heap.statistics().block_count == 1000
    heap.release(marks[0])
    figures = heap.statistics()
    assert (figures.block_count, figures.requested_bytes, figures.free_bytes) == (0, 0, 4 << 20)
    assert (figures.peak_block_count, figures.peak_requested_bytes, figures.total_requested_bytes) == (
        2000,
        200_000,
        200_000,
    )


def test_a_trim_under_way_survives_a_release() -> None:
    heap = bump("8MiB")
    kept = heap.allocate(4096)
    mark = heap.mark()
    blocks = [heap.allocate(64 << 10) for _ in range(100)]
    del blocks[:50]
    heap.trim_step(budget_us=0)
    heap.release(mark)
    heap.check()
    while heap.trim_step():
        heap.check()
    heap.trim()
    assert heap.statistics().committed_bytes <= 2 * 4096
    assert kept.state is hw.State.ALLOCATED


def test_what_is_no_mark_is_not_released() -> None:
    for stack in (hw.Heap[hw.Bump](hw.AnonymousSpace("1MiB")), hw.Arena("1MiB")):
        block = stack.allocate(10)
        for wrong in (None, 3, block):
            with pytest.raises(TypeError, match="expected a mark"):
                stack.release(wrong)  # type: ignore[arg-type]
        assert block.state is hw.State.ALLOCATED


def test_a_mark_is_not_released_while_a_block_moves_behind_it() -> None:
    heap = hw.Heap[hw.Bump](hw.AnonymousSpace("256MiB"))
    old = heap.allocate("80MiB")
    old.view()[-5:] = b"hello"
    _behind = heap.allocate(16)  # so that it has to move
    mark = heap.mark()
    outcome: list[str] = []

    def release() -> None:
        while old.exports == 0 and old.state != hw.State.FREED:
            pass
        try:
            heap.release(mark)
            outcome.append("released under the copy" if old.exports else "released")  # the latter if it was over
        except hw.ViewExported:
            outcome.append("refused")

    thread = threading.Thread(target=release)
    thread.start()
    time.sleep(0.02)
    new = heap.reallocate(old, "100MiB")
    thread.join()
    heap.check()
    assert outcome in (["refused"], ["released"])
    if outcome == ["refused"]:
        assert bytes(new.view()[(80 << 20) - 5 : 80 << 20]) == b"hello"


def test_a_handle_dies_while_its_mark_is_released() -> None:
    """Both wait for a long operation; who comes second finds the block gone."""
    program = """
import sys, threading, time
import heapwright as hw
sys.setswitchinterval(1e-5)
heap, box, stop = hw.Heap[hw.Bump](hw.AnonymousSpace("64MiB")), [], False
kept = [heap.allocate(64) for _ in range(20_000)]
def check():
    while not stop: heap.check()
def drop():
    while not stop:
        try: box.pop()
        except IndexError: time.sleep(0)
threads = [threading.Thread(target=run) for run in (check, drop, drop)]
for thread in threads: thread.start()
end = time.monotonic() + 2
while time.monotonic() < end:
    mark = heap.mark()
    box.extend(heap.allocate(16) for _ in range(3))
    heap.release(mark)
stop = True
for thread in threads: thread.join()
heap.check()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
