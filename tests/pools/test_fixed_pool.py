import gc
import pickle
import threading
import weakref
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.pools.upstreams import Failing

import heapwright as hw
from heapwright.model.block import Block
from heapwright.testing import CLAUSES, Clause


@pytest.fixture
def heap() -> hw.Heap[Any]:
    return hw.Heap(hw.AnonymousSpace("64MiB"))


def test_blocks_are_disjoint_aligned_and_reused(heap: hw.Heap[Any]) -> None:
    pool = hw.FixedPool(heap, 100, alignment=64)
    buffers = [pool.acquire() for _ in range(3000)]
    starts = sorted(buffer.address for buffer in buffers)
    assert all(start % 64 == 0 for start in starts)
    assert all(after - before >= pool.stride_bytes == 128 for before, after in pairwise(starts))
    for number, buffer in enumerate(buffers):
        buffer.view()[:] = number.to_bytes(2, "little") * 50
    assert all(bytes(buffer.view()) == number.to_bytes(2, "little") * 50 for number, buffer in enumerate(buffers))
    assert all(heap.owns(start) and pool.owns(start) and pool.owns(start + 99) for start in starts)
    address = buffers[17].address
    pool.release(buffers[17])
    assert pool.acquire().address == address
    pool.check()


def test_a_buffer_is_a_block_of_the_model(heap: hw.Heap[Any]) -> None:
    pool = hw.FixedPool(heap, 100)
    buffer = pool.acquire()
    assert isinstance(buffer, Block)
    assert (buffer.size_bytes, len(buffer), buffer.state, buffer.pool) == (100, 100, hw.State.ALLOCATED, pool)
    assert buffer.permissions == hw.Permissions.READ | hw.Permissions.WRITE
    with buffer.view():
        assert (buffer.state, buffer.exports) == (hw.State.EXPOSED, 1)
    pool.release(buffer)
    assert (buffer.state, buffer.pool, buffer.permissions) == (hw.State.FREED, None, hw.Permissions(0))
    with pytest.raises(hw.BlockFreed):
        buffer.view()
    with pytest.raises(hw.BlockFreed):
        len(buffer)


def test_bounded(heap: hw.Heap[Any]) -> None:
    pool = hw.FixedPool(heap, 4096, capacity=37, name="frames")
    buffers = [pool.acquire() for _ in range(37)]
    assert pool.try_acquire() is None
    with pytest.raises(
        hw.PoolExhausted, match=r"cannot acquire 4096 B from FixedPool\('frames'\): 37 of 37 .* live"
    ) as refused:
        pool.acquire()
    error = pickle.loads(pickle.dumps(refused.value))
    assert (error.block_bytes, error.capacity, error.live_count) == (4096, 37, 37)
    assert isinstance(error, MemoryError)
    assert pool.statistics().failed_count == 2
    pool.release(buffers.pop())
    assert pool.try_acquire() is not None


@pytest.mark.parametrize("capacity", [0, -1, 1 << 31])
def test_a_capacity_that_is_none(heap: hw.Heap[Any], capacity: int) -> None:
    with pytest.raises(ValueError, match="is not a number of buffers"):
        hw.FixedPool(heap, 64, capacity)


def test_arguments_are_checked(heap: hw.Heap[Any]) -> None:
    assert hw.FixedPool(heap, "4KiB", alignment="2KiB").stride_bytes == 4096
    with pytest.raises(hw.InvalidSize):
        hw.FixedPool(heap, -1)
    with pytest.raises(hw.InvalidAlignment):
        hw.FixedPool(heap, 64, alignment=48)


@pytest.mark.parametrize("block_bytes", [0, 1, 64, 4096, 100_000])
def test_n_blocks_cost_log_n_requests(block_bytes: int) -> None:
    upstream = Failing("1GiB")
    pool = hw.FixedPool(upstream, block_bytes)
    buffers = []
    for n in range(1, 5000):
        buffers.append(pool.acquire())
        assert pool.statistics().grow_count == upstream.requests <= n.bit_length() + 1
    assert len({buffer.address for buffer in buffers}) == len(buffers)


def test_what_is_refused_has_no_effect(heap: hw.Heap[Any]) -> None:
    pool, other = hw.FixedPool(heap, 64), hw.FixedPool(heap, 64)
    buffer, foreign = pool.acquire(), other.acquire()
    pool.release(buffer)
    before = pool.statistics()
    with pytest.raises(hw.InvalidFree, match="freed before") as refused:
        pool.release(buffer)
    assert refused.value.reason == "double"
    with pytest.raises(hw.InvalidFree, match="another") as refused:
        pool.release(foreign)
    assert refused.value.reason == "foreign"
    for thing in (None, b"bytes", heap.allocate(64)):
        with pytest.raises(TypeError, match="expected a Buffer"):
            pool.release(thing)  # type: ignore[arg-type]
    assert pool.statistics() == before
    other.release(foreign)


def test_not_released_under_a_view(heap: hw.Heap[Any]) -> None:
    pool = hw.FixedPool(heap, 64)
    buffer = pool.acquire()
    column = np.frombuffer(buffer, "f8")
    with pytest.raises(hw.ViewExported, match="cannot release the buffer") as refused:
        pool.release(buffer)
    assert refused.value.exports == 1
    assert pool.statistics().block_count == 1
    column[:] = 1.5
    del column
    pool.release(buffer)


def test_a_dropped_buffer_goes_back_by_itself(heap: hw.Heap[Any]) -> None:
    pool = hw.FixedPool(heap, 64)
    buffer = pool.acquire()
    gone = []
    weakref.finalize(buffer, lambda: gone.append(pool.statistics().block_count))
    del buffer
    assert gone == [0]
    column = np.frombuffer(pool.acquire(), "u1")
    assert pool.statistics().block_count == 1
    del column
    assert pool.statistics().block_count == 0


def test_a_view_outlives_everything(heap: hw.Heap[Any]) -> None:
    pool = hw.FixedPool(heap, 64)
    view = pool.acquire().view()
    view[:2] = b"hi"
    gone = weakref.ref(pool)
    del pool, heap
    gc.collect()
    assert gone() is not None
    assert bytes(view[:2]) == b"hi"
    del view
    assert gone() is None


def test_the_end_of_a_pool_gives_everything_back(heap: hw.Heap[Any]) -> None:
    pool = hw.FixedPool(heap, 1000)
    buffers = [pool.acquire() for _ in range(1000)]
    del pool
    assert heap.statistics().block_count > 0
    del buffers
    assert heap.statistics().block_count == 0


def test_a_pool_in_a_cycle_is_collected(heap: hw.Heap[Any]) -> None:
    class Watching(Failing):
        pool: Any = None

    upstream = Watching()
    upstream.pool = hw.FixedPool(upstream, 64)
    upstream.pool.acquire()
    gone, held = weakref.ref(upstream), upstream.heap
    assert held.statistics().block_count == 1
    del upstream
    gc.collect()
    assert gone() is None
    assert held.statistics().block_count == 0


def test_a_chunk_cannot_be_freed_behind_the_pool(heap: hw.Heap[Any]) -> None:
    class Leaky(Failing):
        blocks: list[hw.Block]

        def allocate(self, size_bytes: Any, alignment: int = 16) -> hw.Block:
            self.blocks = [super().allocate(size_bytes, alignment)]
            return self.blocks[0]

    upstream = Leaky()
    pool = hw.FixedPool(upstream, 64)
    buffer = pool.acquire()
    with pytest.raises(hw.ViewExported):
        upstream.heap.deallocate(upstream.blocks[0])
    with pytest.raises(hw.ViewExported):
        upstream.heap.space.protect(hw.Permissions.READ)
    pool.release(buffer)
    assert pool.trim() > 0
    assert upstream.out_bytes == 0


class TestTrim:
    def test_gives_whole_chunks_back(self) -> None:
        upstream = Failing()
        pool = hw.FixedPool(upstream, 4096)
        buffers = [pool.acquire() for _ in range(500)]
        before = upstream.out_bytes
        assert pool.trim() == 0 or upstream.out_bytes < before  # an empty last chunk, at most
        del buffers[10:]
        figures = pool.statistics()
        assert figures.free_bytes > figures.releasable_bytes > 0
        assert figures.external_fragmentation == 1 - figures.releasable_bytes / figures.free_bytes
        assert pool.trim() == figures.releasable_bytes
        assert pool.statistics().committed_bytes == upstream.out_bytes
        pool.check()
        buffers.clear()
        pool.trim()
        assert upstream.out_bytes == pool.statistics().committed_bytes == 0
        assert len([pool.acquire() for _ in range(100)]) == 100
        pool.check()

    def test_keeps_what_it_is_told_to(self, heap: hw.Heap[Any]) -> None:
        pool = hw.FixedPool(heap, 4096)
        del [pool.acquire() for _ in range(500)][:]
        free = pool.statistics().free_bytes
        returned = pool.trim(keep_bytes="200KB")
        assert returned > 0
        assert pool.statistics().free_bytes == free - returned >= 200_000
        assert pool.trim(keep_bytes="200KB") == 0

    def test_an_upstream_that_refuses(self) -> None:
        class Stubborn(Failing):
            def deallocate(self, block: hw.Block) -> None:
                if not self.refuses:
                    raise RuntimeError("not today")

        upstream = Stubborn()
        pool = hw.FixedPool(upstream, 4096)
        pool.release(pool.acquire())
        with pytest.raises(RuntimeError, match="not today"):
            pool.trim()
        pool.check()
        pool.acquire()
        upstream.refuses = True


@pytest.mark.parametrize("nth", range(1, 9))
def test_the_nth_request_to_the_upstream_fails(nth: int) -> None:
    upstream = Failing()
    pool = hw.FixedPool(upstream, 1 << 15)
    upstream.fail_nth = nth
    buffers: list[hw.Buffer] = []
    with pytest.raises(hw.OutOfMemory):
        buffers.extend(iter(pool.acquire, None))
    pool.check()
    figures = pool.statistics()
    assert (figures.block_count, figures.failed_count, figures.chunk_count) == (len(buffers), 1, nth - 1)
    assert figures.committed_bytes == upstream.out_bytes
    upstream.refuses = True
    assert pool.try_acquire() is None
    upstream.refuses = False
    buffers.extend(pool.acquire() for _ in range(100))
    assert len({buffer.address for buffer in buffers}) == len(buffers)
    pool.check()


@pytest.mark.parametrize(
    ("why", "block"),
    [
        ("do not support the buffer protocol", object()),
        ("smaller than was asked for", bytearray(10)),
        ("returned None", None),
    ],
)
def test_an_upstream_that_does_not_keep_the_protocol(why: str, block: Any) -> None:
    class Wrong(Failing):
        def allocate(self, size_bytes: Any, alignment: int = 16) -> Any:
            return block

        def deallocate(self, block: Any) -> None:
            pass

    pool = hw.FixedPool(Wrong(), 64)
    with pytest.raises(hw.UnsuitableUpstream, match=why):
        pool.acquire()
    pool.check()
    assert pool.statistics().chunk_count == 0


def test_read_only_memory_is_refused() -> None:
    heap: hw.Heap[Any] = hw.Heap(hw.AnonymousSpace("1MiB", permissions=hw.Permissions.READ))
    pool = hw.FixedPool(heap, 64)
    with pytest.raises(BufferError):
        pool.acquire()
    assert heap.statistics().block_count == 0


def test_a_pool_over_a_limit() -> None:
    limited = hw.Limiting(hw.Heap(hw.AnonymousSpace("64MiB")), "1MiB")
    pool = hw.FixedPool(limited, 4096)
    buffers = []
    while (buffer := pool.try_acquire()) is not None:
        buffers.append(buffer)
    with pytest.raises(hw.LimitExceeded):
        pool.acquire()
    assert limited.statistics().current_bytes == pool.statistics().committed_bytes <= 1 << 20
    del buffers, buffer
    pool.trim()
    assert limited.statistics().current_bytes == 0


def test_the_upstream_may_use_the_pool_while_it_is_asked() -> None:
    class Reentrant(Failing):
        pool: Any = None

        def allocate(self, size_bytes: Any, alignment: int = 16) -> hw.Block:
            if self.pool is not None:
                pool, self.pool = self.pool, None
                self.taken = [pool.acquire() for _ in range(3)]  # grows the very chunk that is being fetched
            return super().allocate(size_bytes, alignment)

    upstream = Reentrant()
    upstream.pool = pool = hw.FixedPool(upstream, 1 << 16)
    buffer = pool.acquire()
    assert buffer.address not in {other.address for other in upstream.taken}
    pool.check()
    figures = pool.statistics()
    assert figures.block_count == 4
    assert figures.committed_bytes == upstream.out_bytes


def test_threads_share_a_pool() -> None:
    pool = hw.FixedPool(hw.Heap(hw.AnonymousSpace("64MiB")), 64)
    torn: list[int] = []

    def work(number: int) -> None:
        held: list[hw.Buffer] = []
        for step in range(1500):
            if len(held) < 20 and step % 3:
                held.append(pool.acquire())
                held[-1].view()[:] = bytes([number]) * 64
            elif held:
                buffer = held.pop(step % len(held))
                if bytes(buffer.view()) != bytes([number]) * 64:
                    torn.append(number)
                pool.release(buffer)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not torn
    pool.check()
    assert pool.statistics().block_count == 0


class TestResource:
    def test_requests_up_to_a_block(self, heap: hw.Heap[Any]) -> None:
        pool = hw.FixedPool(heap, 100, capacity=2, alignment=32, name="small")
        block = pool.allocate(40, alignment=32)
        assert (block.size_bytes, block.allocated_bytes, block.address % 32) == (40, 128, 0)
        block.view()[:] = bytes(range(40))
        grown = pool.reallocate(block, 100)
        assert (grown.address, bytes(grown.view()[:40])) == (block.address, bytes(range(40)))
        assert block.state is hw.State.FREED
        figures = pool.statistics()
        assert (figures.requested_bytes, figures.total_requested_bytes, figures.total_block_count) == (100, 100, 1)
        other = pool.try_allocate("1B")
        assert other is not None
        assert pool.try_allocate(1) is None
        pool.deallocate(grown)
        with pytest.raises(hw.InvalidFree):
            pool.reallocate(grown, 10)
        pool.check()

    def test_what_does_not_fit(self, heap: hw.Heap[Any]) -> None:
        pool = hw.FixedPool(heap, 100, name="small")
        with pytest.raises(
            hw.LargerThanBlock, match=r"101 B in FixedPool\('small'\): its blocks have 100 B"
        ) as refused:
            pool.allocate(101)
        assert isinstance(refused.value, MemoryError)
        assert (refused.value.size_bytes, refused.value.block_bytes) == (101, 100)
        assert pool.try_allocate(101) is None
        block = pool.allocate(10)
        with pytest.raises(hw.LargerThanBlock):
            pool.reallocate(block, 101)
        assert block.state is hw.State.ALLOCATED
        for attempt in (pool.allocate, pool.try_allocate):
            with pytest.raises(hw.InvalidAlignment):
                attempt(10, 64)
        assert pool.statistics().failed_count == 3

    @pytest.mark.parametrize("clause", CLAUSES, ids=str)
    def test_behind_a_segregator_it_keeps_the_contract(self, clause: Clause) -> None:
        def by_size() -> Any:
            heap: hw.Heap[Any] = hw.Heap(hw.AnonymousSpace("8MiB"))
            return hw.Segregator(hw.FixedPool(heap, 256, alignment=4096), heap, 256)

        clause(by_size, examples=15)


class TestLease:
    def test_goes_back_at_the_end(self, heap: hw.Heap[Any]) -> None:
        pool = hw.FixedPool(heap, 64)
        with pool.lease() as buffer:
            assert pool.statistics().block_count == 1
        assert buffer.state is hw.State.FREED
        with pytest.raises(KeyError), pool.lease() as buffer:
            raise KeyError
        assert pool.statistics().block_count == 0

    def test_a_view_at_the_end(self, heap: hw.Heap[Any]) -> None:
        pool = hw.FixedPool(heap, 64)
        with pytest.raises(hw.ViewExported), pool.lease() as buffer:
            view = buffer.view()
        assert pool.statistics().block_count == 1
        del buffer, view
        gc.collect()
        assert pool.statistics().block_count == 0

    def test_an_exception_is_not_masked_by_a_view(self, heap: hw.Heap[Any]) -> None:
        pool = hw.FixedPool(heap, 64)
        views = []
        with pytest.raises(KeyError), pool.lease() as buffer:  # noqa: PT012
            views.append(buffer.view())
            raise KeyError
        assert views[0][0] == 0

    def test_released_early(self, heap: hw.Heap[Any]) -> None:
        pool = hw.FixedPool(heap, 64)
        with pool.lease() as buffer:
            pool.release(buffer)
            other = pool.acquire()  # the same block: the lease must not take it back
        assert other.state is hw.State.ALLOCATED
        assert pool.statistics().block_count == 1

    def test_one_at_a_time(self, heap: hw.Heap[Any]) -> None:
        lease = hw.FixedPool(heap, 64).lease()
        with lease, pytest.raises(RuntimeError, match="one with block"), lease:
            pass
        with lease:
            pass


def test_figures(heap: hw.Heap[Any]) -> None:
    pool = hw.FixedPool(heap, 100, capacity=1000)
    empty = pool.statistics()
    assert (empty.internal_fragmentation, empty.external_fragmentation) == (0.0, 0.0)
    buffers = [pool.acquire() for _ in range(10)]
    for buffer in buffers:
        buffer.view()[:] = bytes(100)
    figures = pool.statistics()
    assert (figures.requested_bytes, figures.allocated_bytes) == (1000, 1120)
    assert figures.requested_bytes <= figures.allocated_bytes <= figures.committed_bytes <= figures.reserved_bytes
    assert 0 < figures.resident_bytes <= figures.committed_bytes
    assert figures.internal_fragmentation == 120 / 1120
    assert figures.allocated_bytes + figures.free_bytes == figures.committed_bytes
    del buffers, buffer
    after = pool.statistics()
    assert (after.requested_bytes, after.peak_requested_bytes, after.total_requested_bytes) == (0, 1000, 1000)
    assert (after.block_count, after.peak_block_count, after.total_block_count) == (0, 10, 10)
    assert (after.peak_allocated_bytes, after.total_allocated_bytes) == (1120, 1120)
    assert after.external_fragmentation == 0.0


@pytest.mark.parametrize("wrong", [None, 3, "heap", hw.AnonymousSpace(1)], ids=repr)
def test_what_is_no_resource_is_refused_when_a_pool_is_made(wrong):
    for make in (
        hw.TieredPool,
        lambda upstream: hw.FixedPool(upstream, 64),
        lambda upstream: hw.ConcurrentPool(upstream, 64),
    ):
        with pytest.raises(hw.UnsuitableUpstream, match="it is no memory resource and"):
            make(wrong)


@pytest.mark.parametrize("make", [hw.FixedPool, hw.ConcurrentPool])
@pytest.mark.parametrize("keep_bytes", [2**63, 2**64 - 1, 2**70])
def test_to_keep_more_than_there_is_keeps_all(heap: hw.Heap[Any], make: Any, keep_bytes: int) -> None:
    pool = make(heap, 4096)
    pool.release(pool.acquire())
    assert pool.trim(keep_bytes=keep_bytes) == 0


@pytest.mark.parametrize("kind", [hw.FixedPool, hw.ConcurrentPool])
def test_blocks_that_no_machine_has_addresses_for_are_refused_with_the_figure(heap: hw.Heap[Any], kind: Any) -> None:
    for arguments in ({"block_bytes": 2**70}, {"block_bytes": 64, "alignment": 2**70}):
        with pytest.raises(hw.InvalidSize, match=f"{2**70} is not a size: no machine has addresses") as refused:
            kind(heap, **arguments)
        assert refused.value.size == 2**70
