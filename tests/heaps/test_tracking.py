import threading
from pathlib import Path

import pytest

import heapwright as hw


def tracked_heap(stack_depth: int = 1) -> hw.Tracking[hw.Block]:
    return hw.Tracking(hw.Heap(hw.AnonymousSpace("1MiB")), stack_depth=stack_depth)


def test_every_block_that_is_out_is_named() -> None:
    tracked = tracked_heap()
    first = tracked.allocate(100)
    second = tracked.allocate(200)
    del first
    blocks = tracked.outstanding()
    assert [(block.address, block.size_bytes) for block in blocks] == [(second.address, 200)]
    assert blocks[0].thread == threading.current_thread().name
    assert blocks[0].age_s >= 0
    (frame,) = blocks[0].stack
    assert (frame.filename, frame.function) == (__file__, "test_every_block_that_is_out_is_named")
    assert "second = tracked.allocate(200)" in Path(frame.filename).read_text().splitlines()[frame.line - 1]
    tracked.deallocate(second)
    assert tracked.outstanding() == []
    assert tracked.report() == "0 B in 0 blocks are out"


def test_the_site_is_the_users_however_deep_the_adaptors() -> None:
    tracked = tracked_heap()
    outer = hw.Statistics(hw.Limiting(tracked, 1000))
    block = outer.allocate(10)
    other = outer.try_allocate(20)
    (here, there) = tracked.outstanding()
    assert here.stack[0].function == there.stack[0].function == "test_the_site_is_the_users_however_deep_the_adaptors"
    assert there.stack[0].line == here.stack[0].line + 1
    del block, other


@pytest.mark.parametrize("depth", [0, 1, 3, 1000])
def test_stacks_are_as_deep_as_asked_for(depth: int) -> None:
    tracked = tracked_heap(depth)

    def inner() -> hw.Block:
        return tracked.allocate(1)

    block = inner()
    (outstanding,) = tracked.outstanding()
    names = [frame.function.rpartition(".")[2] for frame in outstanding.stack]
    assert names[:2] == ["inner", "test_stacks_are_as_deep_as_asked_for"][:depth]
    assert len(names) == depth or depth == 1000
    del block
    with pytest.raises(ValueError, match="negative"):
        tracked_heap(-1)


def test_a_reallocated_block_is_out_once_with_its_new_size() -> None:
    tracked = tracked_heap()
    block = tracked.allocate(100)
    fence = tracked.allocate(1)
    block = tracked.reallocate(block, 5000)
    assert sorted(found.size_bytes for found in tracked.outstanding()) == [1, 5000]
    assert block.address in {found.address for found in tracked.outstanding()}
    with pytest.raises(hw.OutOfMemory):
        tracked.reallocate(block, "2MiB")
    assert len(tracked.outstanding()) == 2
    del block, fence


def test_the_report_groups_by_site_the_most_bytes_first() -> None:
    tracked = tracked_heap()
    small = [tracked.allocate(10) for _ in range(3)]
    large = tracked.allocate(1024)
    first, head, where, tail, _ = tracked.report().splitlines()
    assert first == "1.03 KiB in 4 blocks are out"
    assert head.startswith("1 KiB in 1 block, the oldest for ")
    assert where.endswith("in test_the_report_groups_by_site_the_most_bytes_first")
    assert tail.startswith("30 B in 3 blocks")
    del small, large
