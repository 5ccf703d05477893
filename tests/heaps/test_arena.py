"""Arenas: one end for all, and no view of memory that is somebody else's."""

import gc
import os
import sys
import threading
import weakref
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import heapwright as hw
from heapwright.testing import CLAUSES


@pytest.fixture
def heap() -> hw.Heap[hw.FirstFit]:
    return hw.Heap[hw.FirstFit](hw.AnonymousSpace("64MiB"))


# ---- what is in it -------------------------------------------------------------------------------------------------


def test_blocks_lie_one_behind_the_other_aligned() -> None:
    arena = hw.Arena("1MiB")
    a, b, c = arena.allocate(100), arena.allocate(1, alignment=256), arena.allocate("1KiB", 64)
    assert b.address == (a.address + 100 + 255) // 256 * 256
    assert c.address == b.address + 64
    assert [block.size_bytes for block in (a, b, c)] == [100, 1, 1024]
    assert isinstance(a, hw.model.block.Block)
    assert a.state is hw.State.ALLOCATED
    assert a.permissions == hw.Permissions.READ | hw.Permissions.WRITE
    assert arena.owns(c.address)
    assert not arena.owns(c.address + (64 << 20))
    empty = [arena.allocate(0, 1).address for _ in range(3)]
    assert len(set(empty)) == 3
    assert repr(a) == f"<RegionBlock {a.address:#x} 100 B allocated>"
    arena.check()


@pytest.mark.parametrize("clause", CLAUSES, ids=str)
def test_it_keeps_the_contract_of_a_memory_resource(clause: Any) -> None:
    """With room enough, since most of what is freed comes back at the end only."""
    clause(lambda: hw.Arena("64MiB"), examples=10)


def test_the_room_of_a_dropped_handle_is_nobody_elses() -> None:
    arena = hw.Arena("1MiB")
    address = arena.allocate(64).address
    assert arena.allocate(64).address == address + 64
    assert arena.statistics().block_count == 0


def test_blocks_that_are_freed_in_reverse_order_take_no_room() -> None:
    arena = hw.Arena("64KiB")
    for _ in range(100):
        blocks = [arena.allocate(size) for size in (10_000, 0, 5, 20_000)]
        for block in reversed(blocks):
            arena.deallocate(block)
    assert arena.statistics().allocated_bytes == 0
    arena.deallocate(arena.allocate(100))
    outer = arena.allocate(100)
    with arena.mark():  # what was freed before it is below it, and lost until the next end
        arena.deallocate(outer)
        inner = arena.allocate(300)
    assert arena.allocate(16).address == outer.address + 112
    assert inner.state is hw.State.FREED


@pytest.mark.parametrize(("shape", "dtype"), [(10, "u1"), ((3, 4), "f8"), ((), "i4"), ((2, 0), "f8"), ((5,), "M8[s]")])
def test_arrays(shape: Any, dtype: str) -> None:
    arena = hw.Arena("1MiB")
    dirt = arena.ndarray(1000, "u1")
    dirt[:] = 255
    del dirt
    arena.reset()
    array = arena.ndarray(shape, dtype, zero=True)
    expected = np.zeros(shape, dtype)
    assert (array.shape, array.dtype, array.strides) == (expected.shape, expected.dtype, expected.strides)
    assert array.ctypes.data % 64 == 0 or array.size == 0
    assert array.tobytes() == expected.tobytes()


def test_records_and_what_cannot_lie_in_an_arena() -> None:
    arena = hw.Arena("1MiB")
    array = arena.ndarray(8, np.dtype([("x", "f8"), ("name", "S3")]), zero=True)
    array["x"] = np.arange(8)
    assert array["x"].sum() == 28
    with pytest.raises(TypeError, match="objects"):
        arena.ndarray(3, object)
    with pytest.raises(hw.InvalidSize):
        arena.ndarray((3, -1))
    with pytest.raises(hw.OutOfMemory):
        arena.ndarray((1 << 40, 1 << 20))


def test_it_grows_by_chunks_and_large_requests_have_their_own(heap: hw.Heap[hw.FirstFit]) -> None:
    arena = hw.Arena(heap, chunk_bytes="64KiB")
    for _ in range(100):
        arena.allocate(16 << 10, 1)
    assert arena.statistics().chunk_count == 25
    small = arena.allocate(10)
    large = arena.allocate("1MiB")
    assert arena.allocate(10).address == small.address + 16  # the chunk that is being filled is still that
    figures = arena.statistics()
    assert figures.chunk_count == 27
    assert figures.committed_bytes == 26 * 65536 + (1 << 20)
    assert heap.statistics().requested_bytes == figures.committed_bytes
    assert large.size_bytes == 1 << 20
    assert arena.allocate("3MiB", alignment="2MiB").address % (2 << 20) == 0


def test_all_of_the_size_can_be_had_and_no_more() -> None:
    arena = hw.Arena("1MiB")
    blocks = [arena.allocate("256KiB") for _ in range(4)]
    assert arena.try_allocate(4096) is None
    with pytest.raises(hw.OutOfMemory):
        arena.allocate(4096)
    arena.reset()
    assert arena.allocate("1MiB").size_bytes == 1 << 20
    assert all(block.state is hw.State.FREED for block in blocks)
    assert hw.Arena(0).try_allocate("1GiB") is None


@pytest.mark.parametrize("arguments", [(), (1, 2, 3), (-1,), ("lots",), (1, 3), (1, 0)])
def test_bad_requests(arguments: tuple[Any, ...]) -> None:
    arena: Any = hw.Arena("1MiB")
    with pytest.raises((TypeError, ValueError)):
        arena.allocate(*arguments)
    with pytest.raises(TypeError):
        arena.allocate(1, align=16)
    with pytest.raises(ValueError, match="'raise' or 'promote'"):
        hw.Arena("1MiB", on_escape="ignore")  # type: ignore[arg-type]


def test_single_blocks_may_end_early() -> None:
    arena = hw.Arena("1MiB")
    block = arena.allocate(100)
    with block.view(), pytest.raises(hw.ViewExported):
        arena.deallocate(block)
    arena.deallocate(block)
    assert block.state is hw.State.FREED
    for refused, reason in ((block, "double"), (hw.Arena("1MiB").allocate(1), "foreign")):
        with pytest.raises(hw.InvalidFree) as caught:
            arena.deallocate(refused)
        assert caught.value.reason == reason
    with pytest.raises(hw.BlockFreed):
        block.view()
    assert arena.statistics().block_count == 0
    arena.check()


def test_reallocate_copies(heap: hw.Heap[hw.FirstFit]) -> None:
    arena = hw.Arena(heap)
    old = arena.allocate(10)
    with old.view() as view:
        view[:] = b"0123456789"
        with pytest.raises(hw.ViewExported):
            arena.reallocate(old, 20)
    new = arena.reallocate(old, 20)
    assert bytes(new.view()[:10]) == b"0123456789"
    assert old.state is hw.State.FREED
    least = arena.reallocate(new, 4)
    assert bytes(least.view()) == b"0123"
    with pytest.raises(hw.InvalidFree):
        arena.reallocate(old, 5)
    assert arena.statistics().block_count == 1


def test_a_pool_may_die_with_an_arena() -> None:
    with hw.Arena("1MiB") as arena:
        pool = hw.FixedPool(arena, block_bytes=64, capacity=10)
        buffers = [pool.acquire() for _ in range(10)]
        assert arena.owns(buffers[9].address)
        del buffers, pool


# ---- the end -------------------------------------------------------------------------------------------------------


def test_at_the_end_everything_goes_back(heap: hw.Heap[hw.FirstFit]) -> None:
    with hw.Arena(heap) as arena:
        blocks = [arena.allocate(1000) for _ in range(3000)]
        large = arena.allocate("4MiB")
    assert heap.draw() == str(heap.capacity_bytes)
    assert arena.closed
    for block in (*blocks, large):
        assert block.state is hw.State.FREED
        assert block.arena is None
    with pytest.raises(hw.BlockFreed):
        large.view()
    with pytest.raises(hw.ArenaClosed, match="cannot allocate from") as caught:
        arena.allocate(1)
    assert caught.value.resource == repr(arena)
    for use in (lambda: arena.allocate(1), arena.reset, arena.mark, arena.__enter__, lambda: arena.try_allocate(1)):
        with pytest.raises(hw.ArenaClosed):
            use()
    arena.close()


def test_a_dropped_arena_gives_back_too(heap: hw.Heap[hw.FirstFit]) -> None:
    arena = hw.Arena(heap)
    block = arena.allocate(100)
    del arena
    assert block.state is hw.State.ALLOCATED  # a block keeps its arena
    view = block.view()
    del block
    assert heap.draw() != str(heap.capacity_bytes)
    view[:] = bytes(100)
    view.release()
    del view
    assert heap.draw() == str(heap.capacity_bytes)


def test_a_closed_arena_of_its_own_keeps_no_pages() -> None:
    with hw.Arena("64MiB") as arena:
        arena.ndarray(16 << 20, "u1")[:] = 1
        assert arena.upstream.statistics().resident_bytes >= 16 << 20
    assert arena.upstream.statistics().resident_bytes == 0


def test_an_escaping_view_is_an_error_and_nothing_ends(heap: hw.Heap[hw.FirstFit]) -> None:
    arena = hw.Arena(heap, name="request 7")
    array = arena.ndarray(100, "f8")
    part, view = array[:3], arena.allocate(10).view()
    array[:] = 7
    block = arena.allocate(1)
    with (
        pytest.raises(hw.ViewsEscaped, match=r"cannot close the arena: 2 views .* still exported \(Arena") as caught,
        arena,
    ):
        pass
    assert isinstance(caught.value, BufferError)
    assert (caught.value.exports, caught.value.sites) == (2, ())
    assert array.sum() == 700
    assert block.state is hw.State.ALLOCATED
    assert arena.allocate(10).size_bytes == 10  # it is open as before
    with pytest.raises(hw.ViewsEscaped, match="cannot reset the arena"):
        arena.reset()
    view.release()
    del array
    with pytest.raises(hw.ViewsEscaped, match="1 view "):
        arena.close()
    assert part[2] == 7
    del part
    arena.close()
    assert heap.draw() == str(heap.capacity_bytes)


def test_it_says_where_escaped_views_come_from() -> None:
    arena = hw.Arena("1MiB", sites=True)

    def load() -> Any:
        return arena.ndarray(10, "f8")

    kept = [load(), load(), arena.allocate(5).view()]
    arena.ndarray(3)
    with pytest.raises(hw.ViewsEscaped) as caught:
        arena.close()
    twice, once = caught.value.sites
    assert "test_arena.py" in twice
    assert twice.endswith("load (2)")
    assert once.endswith("come_from")
    assert twice in str(caught.value)
    kept.clear()
    arena.close()


def test_an_error_in_the_body_is_the_one_that_is_raised() -> None:
    arena = hw.Arena("1MiB")
    array = arena.ndarray(10, "f8")
    with pytest.raises(ZeroDivisionError) as caught, arena:
        array[0] = 1 / 0
    assert "is not closed: cannot close the arena: 1 view " in caught.value.__notes__[0]
    assert not arena.closed
    del array
    arena.close()
    with pytest.raises(ZeroDivisionError) as caught, hw.Arena("1MiB") as arena:
        arena.allocate(10 // 0)
    assert arena.closed
    assert not hasattr(caught.value, "__notes__")


def test_promoted_chunks_live_as_long_as_their_views(heap: hw.Heap[hw.FirstFit]) -> None:
    with hw.Arena(heap, on_escape="promote", chunk_bytes="64KiB") as arena:
        arena.ndarray(1 << 20, "u1")[:] = 1
        kept = arena.ndarray(1000, "f8")
        kept[:] = 3
        large = arena.ndarray(1 << 20, "u1")[5:10]
        large[:] = 9
        block = arena.allocate(10)
    assert block.state is hw.State.FREED
    figures = arena.statistics()
    assert (figures.promoted_count, figures.promoted_bytes) == (2, (64 << 10) + (1 << 20))
    assert (figures.promoted_live_count, figures.committed_bytes) == (2, 0)
    assert heap.statistics().requested_bytes == figures.promoted_bytes  # everything else went back
    others = [heap.allocate("64KiB") for _ in range(50)]
    for other in others:
        other.view()[:] = b"\xff" * (64 << 10)
    assert kept.sum() == 3000
    assert large.tolist() == [9] * 5
    del large
    assert arena.statistics().promoted_live_count == 1
    del others, other, arena
    assert kept.sum() == 3000
    del kept
    assert block.state is hw.State.FREED  # a dead handle keeps nothing
    assert heap.draw() == str(heap.capacity_bytes)


def test_a_promoted_view_of_an_arena_of_its_own() -> None:
    with hw.Arena("1MiB", on_escape="promote") as arena:
        kept = arena.ndarray(100, "i8")
        kept[:] = 5
    gone = weakref.ref(arena)
    del arena
    gc.collect()
    assert kept.sum() == 500
    assert gone() is not None  # its space is what the view lies in
    del kept
    gc.collect()
    assert gone() is None


def test_a_limit_is_charged_until_the_last_promoted_view_is_gone(heap: hw.Heap[hw.FirstFit]) -> None:
    limited = hw.Limiting(heap, "128KiB")
    with hw.Arena(limited, on_escape="promote", chunk_bytes="64KiB") as arena:
        kept = arena.ndarray(10, "u1")
        arena.allocate(16 << 10)
        assert arena.try_allocate("65KiB") is None
        with pytest.raises(hw.LimitExceeded):
            arena.allocate("65KiB")
    assert limited.statistics().current_bytes == 64 << 10
    del kept
    assert limited.statistics().current_bytes == 0


# ---- again and again -----------------------------------------------------------------------------------------------


def test_reset_keeps_the_chunks(heap: hw.Heap[hw.FirstFit]) -> None:
    arena = hw.Arena(heap, chunk_bytes="64KiB")
    addresses = []
    for _ in range(5):
        blocks = [arena.allocate(1000) for _ in range(500)]
        large = arena.allocate("1MiB")
        addresses.append({block.address for block in blocks})
        arena.reset()
        assert all(block.state is hw.State.FREED for block in (*blocks, large))
    assert all(again == addresses[0] for again in addresses)
    figures = arena.statistics()
    assert (figures.reset_count, figures.total_block_count, figures.block_count) == (5, 2505, 0)
    assert figures.peak_requested_bytes == 500_000 + (1 << 20)
    assert figures.spare_bytes == figures.committed_bytes == heap.statistics().requested_bytes == 8 << 16
    assert arena.trim(keep_bytes="100KiB") == 6 << 16
    assert arena.trim() == 2 << 16
    assert heap.draw() == str(heap.capacity_bytes)


def test_a_reset_costs_the_same_whatever_the_blocks() -> None:
    """Counted in calls: what a reset does in Python depends on the chunks alone, and in C it is one assignment."""

    def calls_of_a_reset(blocks: int) -> int:
        arena = hw.Arena("16MiB", chunk_bytes="16MiB")
        for _ in range(blocks):
            arena.allocate(16)
        count = 0

        def profile(*_: Any) -> None:
            nonlocal count
            count += 1

        sys.setprofile(profile)
        arena.reset()
        sys.setprofile(None)
        return count

    assert calls_of_a_reset(10) == calls_of_a_reset(100_000)


def test_marks_nest_and_end_what_came_since(heap: hw.Heap[hw.FirstFit]) -> None:
    arena = hw.Arena(heap, chunk_bytes="64KiB")
    kept = arena.allocate(100)
    outer = arena.mark()
    a = arena.allocate(100)
    with arena.mark() as inner:
        b = arena.allocate(100)
        many = [arena.allocate(16_000) for _ in range(20)]
        own = arena.allocate("1MiB")
        assert inner.is_open
    assert not inner.is_open
    assert [block.state.value for block in (kept, a, b, many[-1], own)] == ["allocated", "allocated", *["freed"] * 3]
    assert arena.allocate(100).address == b.address
    arena.release(outer)
    assert a.state is hw.State.FREED
    for mark in (outer, inner):
        with pytest.raises(hw.InvalidMark):
            arena.release(mark)
    with pytest.raises(hw.InvalidMark):
        arena.release(hw.Arena("1MiB").mark())
    assert arena.allocate(100).address == a.address
    outer = arena.mark()
    arena.reset()
    assert not outer.is_open
    assert kept.state is hw.State.FREED
    arena.check()


def test_a_view_since_a_mark_escapes_from_it_one_before_does_not() -> None:
    arena = hw.Arena("1MiB")
    before = arena.ndarray(10)
    mark = arena.mark()
    since = arena.ndarray(10)
    with pytest.raises(hw.ViewsEscaped, match="cannot release the mark: 1 view "):
        arena.release(mark)
    assert mark.is_open
    del since
    arena.release(mark)
    kept = []
    with pytest.raises(ZeroDivisionError) as caught, arena.mark():
        kept.append(arena.ndarray(10)[10 // 0])
    assert "__notes__" not in vars(caught.value)  # the array died before it had a name
    mark = arena.mark()
    since = arena.ndarray(10)
    with pytest.raises(ZeroDivisionError) as caught, mark:
        since[10 // 0] = 1
    assert "is not released" in caught.value.__notes__[0]
    del before, since


def test_a_view_promoted_from_a_mark_is_not_written_over() -> None:
    arena = hw.Arena("16MiB", on_escape="promote", chunk_bytes="64KiB")
    with arena.mark():
        inside = arena.ndarray(100, "u1")
        inside[:] = 1
        own = arena.ndarray(1 << 20, "u1")
        own[:] = 2
    for _ in range(100):
        arena.ndarray(10_000, "u1")[:] = 255
        arena.ndarray(1 << 20, "u1")[:] = 255
        arena.reset()
    assert set(inside) == {1}
    assert set(own[::4096]) == {2}


def test_there_is_a_most_of_marks() -> None:
    arena = hw.Arena("1MiB")
    marks = [arena.mark() for _ in range(63)]
    with pytest.raises(hw.TooManyMarks) as caught:
        arena.mark()
    assert caught.value.open_count == 63
    arena.release(marks[0])
    assert arena.mark().is_open


def test_threads_share_an_arena(heap: hw.Heap[hw.FirstFit]) -> None:
    arena = hw.Arena(heap, chunk_bytes="4KiB", on_escape="promote")
    done = threading.Event()
    wrong: list[Any] = []

    def work(mine: int) -> None:
        while not done.is_set():
            views = []
            for _ in range(50):
                try:
                    views.append(arena.allocate(64 + mine).view())
                except hw.BlockFreed:  # reset between the two calls
                    continue
                views[-1][:] = bytes([mine]) * len(views[-1])
            wrong.extend(view for view in views if set(view) != {mine})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 4)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        arena.reset()
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    arena.close()
    assert heap.draw() == str(heap.capacity_bytes)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_an_arena_of_its_own() -> None:
    arena = hw.Arena("16MiB", chunk_bytes="4KiB", on_escape="promote")
    kept = arena.ndarray(100, "u1")
    kept[:] = 1
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            with arena.mark():
                arena.allocate(1000)

    thread = threading.Thread(target=churn)
    thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:  # perhaps in the middle of a step of a thread that does not exist here
            kept[:] = 2
            for _ in range(100):
                arena.allocate(1000)
            arena.reset()
            arena.check()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    stop.set()
    thread.join()
    assert set(kept) == {1}


def test_every_allocation_of_python_can_fail_and_leaves_the_arena_whole(heap: hw.Heap[hw.FirstFit]) -> None:
    testcapi = pytest.importorskip("_testcapi")

    def program(arena: hw.Arena) -> None:
        blocks = [arena.allocate(1000) for _ in range(300)]  # more handles than are kept for reuse
        blocks[0].view().release()
        mark = arena.mark()
        arena.allocate("64KiB")
        arena.release(mark)
        arena.reset()

    refused = 0
    for n in range(0, 1200, 7):
        arena = hw.Arena(heap, chunk_bytes="64KiB")
        testcapi.set_nomemory(n, n + 1)
        try:
            program(arena)
        except MemoryError:
            refused += 1
        finally:
            testcapi.remove_mem_hooks()
        arena.check()
        program(arena)
        arena.close()
    assert refused > 20
    arena = None  # type: ignore[assignment]
    gc.collect()
    heap.check()
    assert heap.draw() == str(heap.capacity_bytes)


def test_a_view_that_outlives_an_inner_mark_outlives_the_outer_one_too() -> None:
    arena = hw.Arena("64KiB", on_escape="promote", chunk_bytes=4096)
    arena.allocate(1)
    outer, inner = arena.mark(), arena.mark()
    view = arena.allocate(100).view()
    view[:] = b"x" * 100
    arena.release(inner)
    arena.release(outer)
    arena.allocate(100).write(0, b"y" * 100)
    assert bytes(view) == b"x" * 100


# ---- random programs -----------------------------------------------------------------------------------------------


class Programs(RuleBasedStateMachine):
    """Every view keeps the bytes that were written to it, whatever ends; and at the end nothing is left."""

    def __init__(self) -> None:
        super().__init__()
        self.heap = hw.Heap[hw.FirstFit](hw.AnonymousSpace("16MiB"))
        self.arena = hw.Arena(self.heap, on_escape="promote", chunk_bytes=4096)
        self.marks: list[Any] = []
        self.blocks: list[list[Any]] = [[]]  # by epoch
        self.dead: list[Any] = []
        self.views: list[tuple[Any, int]] = []
        self.next = 0

    @rule(size=st.integers(0, 3000), log2=st.integers(0, 7), viewed=st.booleans())
    def allocate(self, size: int, log2: int, viewed: bool) -> None:
        block = self.arena.allocate(size, 1 << log2)
        assert block.address % (1 << log2) == 0
        self.blocks[-1].append(block)
        if viewed:
            self.next = self.next % 255 + 1
            view = block.view()
            view[:] = bytes([self.next]) * size
            self.views.append((view, self.next))

    @rule()
    def mark(self) -> None:
        if len(self.marks) < 60:
            self.marks.append(self.arena.mark())
            self.blocks.append([])

    @precondition(lambda self: self.marks)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        which = data.draw(st.integers(0, len(self.marks) - 1))
        self.arena.release(self.marks[which])
        for blocks in self.blocks[which + 1 :]:
            self.dead.extend(blocks)
        del self.marks[which:], self.blocks[which + 1 :]

    @rule()
    def reset(self) -> None:
        self.arena.reset()
        for blocks in self.blocks:
            self.dead.extend(blocks)
        self.blocks, self.marks = [[]], []

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def drop(self, data: Any) -> None:
        self.views.pop(data.draw(st.integers(0, len(self.views) - 1)))

    @rule()
    def trim(self) -> None:
        self.arena.trim()

    @invariant()
    def holds(self) -> None:
        for view, filling in self.views:
            assert bytes(view) == bytes([filling]) * len(view)
        live = [block for blocks in self.blocks for block in blocks]
        assert all(block.state is not hw.State.FREED for block in live)
        assert all(block.state is hw.State.FREED for block in self.dead)
        places = sorted((block.address, block.address + block.size_bytes) for block in live)
        assert all(end <= start for (_, end), (start, _) in pairwise(places))
        assert self.arena.counters()["block_count"] == len(live)
        figures = self.arena.statistics()
        assert figures.requested_bytes <= figures.allocated_bytes <= figures.committed_bytes
        self.arena.check()

    def teardown(self) -> None:
        self.arena.close()
        self.views.clear()
        assert self.heap.draw() == str(self.heap.capacity_bytes)
        self.heap.check()


TestPrograms = Programs.TestCase
TestPrograms.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_what_is_no_resource_and_no_size_is_refused_when_the_arena_is_made() -> None:
    for wrong in (None, 1.5, hw.AnonymousSpace(1)):
        with pytest.raises(hw.UnsuitableUpstream, match="it is no memory resource and"):
            hw.Arena(wrong)  # type: ignore[arg-type]
