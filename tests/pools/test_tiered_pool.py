import gc
import itertools
import mmap
import weakref
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from tests.pools.upstreams import Failing

import heapwright as hw
from heapwright import _native
from heapwright.model.pools import TieredPoolModel, size_classes
from heapwright.model.protocols import Resource


@pytest.fixture
def heap() -> hw.Heap[Any]:
    return hw.Heap(hw.AnonymousSpace("256MiB"))


def test_the_bound_holds_for_every_size(heap: hw.Heap[Any]) -> None:
    pool = hw.TieredPool(heap)
    classes = iter(size_classes(32768))
    block = next(classes)
    for size in range(32769):
        if size > block:
            block = next(classes)
        assert pool.block_bytes(size) == block
        assert block - size < (size / 8 if size > 128 else 17)
    assert pool.block_bytes(32769) == 32769


@pytest.mark.parametrize("alignment", [1, 16, 32, 64, 256, 1024, 4096, 8192, 65536])
def test_alignment(heap: hw.Heap[Any], alignment: int) -> None:
    pool = hw.TieredPool(heap)
    for size in (0, 1, 100, 1000, 5000, 40_000):
        buffers = [pool.acquire(size, alignment) for _ in range(20)]
        assert all(buffer.address % alignment == 0 for buffer in buffers)
        starts = sorted(buffer.address for buffer in buffers)
        assert all(after - before >= max(size, 1) for before, after in itertools.pairwise(starts))
        block, rounded = pool.block_bytes(size, alignment), -(-max(size, 1) // alignment) * alignment
        assert rounded <= block < max(rounded + 16, rounded * 1.125) or block == size
    pool.check()


def test_arguments(heap: hw.Heap[Any]) -> None:
    pool = hw.TieredPool(heap)
    assert pool.acquire(size_bytes="1KiB", alignment="64").size_bytes == 1024
    for alignment in (0, 3, 48):
        with pytest.raises(hw.InvalidAlignment):
            pool.acquire(10, alignment)
    with pytest.raises(hw.InvalidSize):
        pool.try_acquire(-1)
    for arguments in ((), (1, 2, 3)):
        with pytest.raises(TypeError, match="takes size_bytes"):
            pool.acquire(*arguments)  # type: ignore[arg-type, call-arg]
    with pytest.raises(TypeError):
        pool.acquire(1, size=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        pool.acquire(1, size_bytes=2)  # type: ignore[misc]
    for largest in (0, "4MiB"):
        with pytest.raises(ValueError, match="largest class"):
            hw.TieredPool(heap, largest_bytes=largest)
    assert hw.TieredPool(heap, largest_bytes=1000).largest_bytes == 1024


@pytest.mark.parametrize("size", ["1TiB", 1 << 63, 1 << 80])
def test_sizes_that_nobody_has(heap: hw.Heap[Any], size: Any) -> None:
    pool = hw.TieredPool(heap)
    assert pool.try_acquire(size) is None
    with pytest.raises(hw.OutOfMemory):
        pool.acquire(size)
    assert pool.statistics().failed_count == 2


def test_large_ones_are_blocks_of_the_upstream(heap: hw.Heap[Any]) -> None:
    pool = hw.TieredPool(heap)
    large = pool.acquire("1MiB")
    assert (large.slot, large.pool, large.state) == (None, pool, hw.State.ALLOCATED)
    assert [seen.requested_bytes for seen in heap.blocks() if seen.state is hw.State.ALLOCATED] == [1 << 20]
    figures = pool.statistics()
    assert (figures.requested_bytes, figures.allocated_bytes, figures.committed_bytes) == (1 << 20, 1 << 20, 1 << 20)
    view = large.view()
    with pytest.raises(hw.ViewExported):
        pool.release(large)
    view.release()
    pool.release(large)
    assert heap.statistics().block_count == 0
    with pytest.raises(hw.InvalidFree):
        pool.release(large)
    view = pool.acquire("1MiB").view()
    assert pool.statistics().block_count == 1
    del view
    assert pool.statistics().block_count == heap.statistics().block_count == 0


def test_an_adaptor_sees_what_a_block_takes(heap: hw.Heap[Any]) -> None:
    counted = hw.Statistics(hw.TieredPool(heap))
    small, large = counted.allocate(1000), counted.allocate(100_000)
    figures, below = counted.statistics(), counted.upstream.statistics()
    assert (small.allocated_bytes, large.allocated_bytes) == (1024, 100_000)
    assert figures.allocated_bytes == below.allocated_bytes == 101_024
    counted.deallocate(small)
    assert small.allocated_bytes == 0
    frame = hw.FixedPool(heap, 100).acquire()
    assert frame.allocated_bytes == hw.ConcurrentPool(heap, 100).acquire().allocated_bytes - 16 == 112


def test_another_pools_buffer(heap: hw.Heap[Any]) -> None:
    pool, other = hw.TieredPool(heap), hw.TieredPool(heap)
    for size in (100, "1MiB"):
        with pytest.raises(hw.InvalidFree, match="another"):
            pool.release(other.acquire(size))
    with pytest.raises(TypeError):
        pool.release(heap.allocate(16))  # type: ignore[arg-type]


class TestReallocate:
    def test_in_the_same_class(self, heap: hw.Heap[Any]) -> None:
        pool = hw.TieredPool(heap)
        old = pool.acquire(1000)
        new = pool.reallocate(old, 1024)
        assert (new.address, new.size_bytes, old.state) == (old.address, 1024, hw.State.FREED)
        figures = pool.statistics()
        assert (figures.requested_bytes, figures.total_requested_bytes, figures.total_block_count) == (1024, 1024, 1)
        pool.reallocate(new, 970)
        pool.check()

    @pytest.mark.parametrize(("before", "after"), [(100, 5000), (5000, 100), (100, 1 << 20), (1 << 20, 3 << 20)])
    def test_across(self, heap: hw.Heap[Any], before: int, after: int) -> None:
        pool = hw.TieredPool(heap)
        old = pool.acquire(before, 64)
        old.view()[:] = bytes(i % 251 for i in range(before))
        new = pool.reallocate(old, after)
        kept = min(before, after)
        assert bytes(new.view()[:kept]) == bytes(i % 251 for i in range(kept))
        assert new.address % 64 == 0
        assert pool.statistics().block_count == 1
        pool.check()

    def test_refused(self) -> None:
        upstream = Failing()
        pool = hw.TieredPool(upstream)
        old = pool.acquire(100)
        view = old.view()
        with pytest.raises(hw.ViewExported):
            pool.reallocate(old, 5000)
        view.release()
        upstream.refuses = True
        with pytest.raises(hw.OutOfMemory):
            pool.reallocate(old, 5000)
        assert (old.state, pool.statistics().block_count) == (hw.State.ALLOCATED, 1)
        pool.release(old)
        with pytest.raises(hw.InvalidFree):
            pool.reallocate(old, 5000)


def test_it_is_a_resource(heap: hw.Heap[Any]) -> None:
    pool: Resource[Any] = hw.TieredPool(heap)
    frames = hw.FixedPool(hw.Limiting(pool, "1MiB"), "64KiB")
    buffers = [frames.acquire() for _ in range(8)]
    assert pool.owns(buffers[0].address)
    block = pool.allocate(100, 32)
    assert pool.owns(block.address)
    block = pool.reallocate(block, 200)
    pool.deallocate(block)
    assert not pool.owns(id(block))
    assert not pool.owns(1 << 70)
    del buffers, frames
    assert pool.statistics().block_count == 0


def test_trim_and_the_end() -> None:
    upstream = Failing()
    pool = hw.TieredPool(upstream)
    buffers = [pool.acquire(size) for size in range(1, 20_000, 50)]
    before = pool.statistics()
    assert before.committed_bytes == upstream.out_bytes
    del buffers[1:]
    free = pool.statistics().free_bytes
    returned = pool.trim(keep_bytes="1MiB")
    assert pool.statistics().free_bytes == free - returned >= 1 << 20
    pool.trim()
    pool.check()
    assert pool.statistics().chunk_count == 1
    assert pool.statistics().committed_bytes == upstream.out_bytes
    buffers.append(pool.acquire("1MiB"))
    del pool
    assert upstream.out_bytes > 0
    buffers.clear()
    assert upstream.out_bytes == 0


def test_a_pool_in_a_cycle_is_collected() -> None:
    class Watching(Failing):
        pool: Any = None

    upstream = Watching()
    upstream.pool = hw.TieredPool(upstream)
    upstream.pool.acquire(64)
    gone, held = weakref.ref(upstream), upstream.heap
    del upstream
    gc.collect()
    assert gone() is None
    assert held.statistics().block_count == 0


@pytest.mark.parametrize("nth", range(1, 12))
def test_the_nth_request_to_the_upstream_fails(nth: int) -> None:
    upstream = Failing()
    pool = hw.TieredPool(upstream)
    upstream.fail_nth = nth
    sizes = iter(range(100, 1 << 20, 1000))
    buffers: list[hw.Buffer] = []
    with pytest.raises(hw.OutOfMemory):
        buffers.extend(pool.acquire(next(sizes)) for _ in range(1000))
    pool.check()
    figures = pool.statistics()
    assert (figures.block_count, figures.failed_count, figures.chunk_count) == (len(buffers), 1, nth - 1)
    assert figures.committed_bytes == upstream.out_bytes
    buffers.append(pool.acquire(next(sizes)))
    pool.check()


class TieredLockstep(RuleBasedStateMachine):
    buffers = Bundle("buffers")

    @initialize()
    def make(self) -> None:
        self.upstream = Failing()
        self.pool = hw.TieredPool(self.upstream, largest_bytes=8000)
        self.model = TieredPoolModel(8000, upstream=lambda size_bytes: not self.upstream.refuses)
        self.live: dict[int, tuple[int, int, int]] = {}  # address -> size, class, slot
        self.large: dict[int, int] = {}

    @rule(
        target=buffers,
        size=st.integers(0, 300) | st.integers(0, 12_000),
        alignment=st.sampled_from([1, 16, 64, 1024, 4096, 8192]),
    )
    def acquire(self, size: int, alignment: int) -> Any:
        buffer = self.pool.try_acquire(size, alignment)
        if self.model.block_bytes(size, alignment) is None:
            assert (buffer is None) == self.upstream.refuses
            if buffer is None:
                return multiple()
            self.large[buffer.address] = size
        else:
            expected = self.model.acquire(size, alignment)
            assert (None if buffer is None else buffer.slot) == (None if expected is None else expected[1])
            if buffer is None or expected is None:
                return multiple()
            self.live[buffer.address] = (size, *expected)
        assert buffer.address % alignment == 0
        buffer.view()[:] = bytes([size % 256]) * size
        return buffer

    @rule(buffer=consumes(buffers))
    def release(self, buffer: hw.Buffer) -> None:
        size = buffer.size_bytes
        assert bytes(buffer.view()) == bytes([size % 256]) * size
        if buffer.address in self.large:
            assert self.large.pop(buffer.address) == size
        else:
            assert self.model.release(*self.live.pop(buffer.address)[1:])
        self.pool.release(buffer)
        with pytest.raises(hw.InvalidFree):
            self.pool.release(buffer)

    @rule()
    def trim(self) -> None:
        for block in sorted(self.model.pools, reverse=True):
            self.model.pools[block].trim()
        self.pool.trim()

    @rule(refuses=st.booleans())
    def upstream_refuses(self, refuses: bool) -> None:
        self.upstream.refuses = refuses

    @invariant()
    def same_pool(self) -> None:
        self.pool.check()
        figures = self.pool.counters()
        large = sum(self.large.values())
        assert figures["block_count"] == len(self.live) + len(self.large)
        assert figures["requested_bytes"] == sum(size for size, _, _ in self.live.values()) + large
        assert figures["allocated_bytes"] == sum(block for _, block, _ in self.live.values()) + large
        assert figures["free_bytes"] == sum(block * len(pool.free()) for block, pool in self.model.pools.items())
        assert figures["committed_bytes"] == self.upstream.out_bytes


def test_a_buffer_that_is_released_while_the_upstream_runs_is_not_copied() -> None:
    class Mapped:
        """To give back is to unmap: whoever still reads the bytes ends the process."""

        live = 0

        def allocate(self, size_bytes: int, alignment: int = 16) -> mmap.mmap:
            block = mmap.mmap(-1, size_bytes)
            self.live += 1
            if old:
                pool.release(old.pop())
            return block

        def deallocate(self, block: mmap.mmap) -> None:
            block.close()
            self.live -= 1

    old: list[Any] = []
    upstream: Any = Mapped()
    pool = _native.TieredPool(upstream, 1 << 20)
    buffer = pool.acquire(16 << 20)
    old.append(buffer)
    with pytest.raises(hw.InvalidFree):
        pool.reallocate(buffer, 20 << 20)
    pool.check()
    assert upstream.live == 0


def test_tiered() -> None:
    TieredLockstep.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
    TieredLockstep.TestCase().runTest()


def test_more_than_there_are_addresses_is_refused_with_the_figures_of_the_upstream(heap: hw.Heap[Any]) -> None:
    pool = hw.TieredPool(heap)
    buffer = pool.acquire(100)
    for ask in (pool.acquire, lambda size: pool.reallocate(buffer, size)):
        with pytest.raises(hw.OutOfMemory) as refused:
            ask(2**70)
        assert (refused.value.size_bytes, refused.value.capacity_bytes) == (2**70, heap.capacity_bytes)
    assert pool.try_acquire(2**70) is None
    assert pool.statistics().failed_count == 3
    pool.release(buffer)
