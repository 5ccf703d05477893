import gc
import queue
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from tests.pools.upstreams import Failing

import heapwright as hw
from heapwright.model.pools import ConcurrentPoolModel


@pytest.fixture
def heap() -> hw.Heap[Any]:
    return hw.Heap(hw.AnonymousSpace("256MiB"))


def test_blocks_are_disjoint_aligned_and_reused(heap: hw.Heap[Any]) -> None:
    pool = hw.ConcurrentPool(heap, 100)
    buffers = [pool.acquire() for _ in range(3000)]
    assert len({buffer.address for buffer in buffers}) == 3000
    assert all(buffer.address % 64 == 0 for buffer in buffers)
    for number, buffer in enumerate(buffers):
        buffer.view()[:] = number.to_bytes(2, "little") * 50
    assert all(bytes(buffer.view()) == number.to_bytes(2, "little") * 50 for number, buffer in enumerate(buffers))
    pool.check()
    addresses = {buffer.address for buffer in buffers}
    for buffer in buffers:
        pool.release(buffer)
    again = [pool.acquire() for _ in range(3000)]
    assert {buffer.address for buffer in again} == addresses
    assert pool.owns(again[0].address)
    assert not pool.owns(0)
    pool.check()


def test_arguments(heap: hw.Heap[Any]) -> None:
    assert hw.ConcurrentPool(heap).block_bytes == 4096
    assert hw.ConcurrentPool(heap, "1KiB", cache_count=10).cache_count == 10
    assert hw.ConcurrentPool(heap, "1MiB").cache_count == 2
    assert hw.ConcurrentPool(heap, 64, capacity=100).cache_count == 12
    for capacity in (0, 1 << 31):
        with pytest.raises(ValueError, match="number of buffers"):
            hw.ConcurrentPool(heap, 64, capacity)
    for count in (1, 125):
        with pytest.raises(ValueError, match="a cache cannot hold"):
            hw.ConcurrentPool(heap, 64, cache_count=count)
    with pytest.raises(ValueError, match="more than there are addresses"):
        hw.ConcurrentPool(heap, 1 << 50)


def test_what_is_refused_has_no_effect(heap: hw.Heap[Any]) -> None:
    pool, other = hw.ConcurrentPool(heap, 64), hw.ConcurrentPool(heap, 64)
    buffer, foreign = pool.acquire(), other.acquire()
    with pytest.raises(hw.InvalidFree, match="another"):
        pool.release(foreign)
    view = buffer.view()
    with pytest.raises(hw.ViewExported):
        pool.release(buffer)
    view.release()
    pool.release(buffer)
    with pytest.raises(hw.InvalidFree, match="before"):
        pool.release(buffer)
    with pytest.raises(TypeError):
        pool.release(None)  # type: ignore[arg-type]
    assert (pool.statistics().block_count, other.statistics().block_count) == (0, 1)
    pool.check()


def test_a_dropped_buffer_goes_back_by_itself(heap: hw.Heap[Any]) -> None:
    pool = hw.ConcurrentPool(heap, 64)
    view = pool.acquire().view()
    assert pool.statistics().block_count == 1
    del view
    assert pool.statistics().block_count == 0
    with pool.lease() as buffer:
        assert buffer.state is hw.State.ALLOCATED
    assert buffer.state is hw.State.FREED


def in_thread(function: Any) -> Any:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function).result()


class TestThreads:
    def test_a_thread_has_a_cache_while_it_lives(self, heap: hw.Heap[Any]) -> None:
        pool = hw.ConcurrentPool(heap, 64)
        pool.acquire()
        assert pool.thread_count == 1
        assert in_thread(lambda: (pool.acquire(), pool.thread_count)[1]) == 2
        assert pool.thread_count == 1
        pool.check()

    def test_bottom_only_when_all_are_live(self, heap: hw.Heap[Any]) -> None:
        pool = hw.ConcurrentPool(heap, 64, capacity=20, cache_count=20)
        held: queue.Queue[Any] = queue.Queue()
        done = threading.Event()

        def hoard() -> None:
            buffers = [pool.acquire() for _ in range(20)]
            for buffer in buffers:
                pool.release(buffer)
            held.put(None)
            done.wait()  # alive: its cache holds all of them back

        thread = threading.Thread(target=hoard)
        thread.start()
        held.get()
        buffers = [pool.acquire() for _ in range(20)]
        assert pool.try_acquire() is None
        with pytest.raises(hw.PoolExhausted, match="20 of 20"):
            pool.acquire()
        pool.check()
        done.set()
        thread.join()
        assert len({buffer.address for buffer in buffers}) == 20

    def test_released_by_another(self, heap: hw.Heap[Any]) -> None:
        pool = hw.ConcurrentPool(heap, 64)
        handed: queue.Queue[Any] = queue.Queue(100)

        def consume() -> None:
            while (buffer := handed.get()) is not None:
                pool.release(buffer)

        thread = threading.Thread(target=consume)
        thread.start()
        for _ in range(3000):
            handed.put(pool.acquire())
        handed.put(None)
        thread.join()
        pool.check()
        figures = pool.statistics()
        assert (figures.block_count, figures.total_block_count) == (0, 3000)
        assert figures.committed_bytes < 3000 * 64

    def test_many_at_once(self, heap: hw.Heap[Any]) -> None:
        pool = hw.ConcurrentPool(heap, 64, cache_count=4)
        torn = []

        def work(number: int) -> None:
            held: list[hw.Buffer] = []
            for step in range(800):
                if len(held) < 20 and step % 3:
                    held.append(pool.acquire())
                    held[-1].view()[:] = bytes([number]) * 64
                elif held:
                    buffer = held.pop(step % len(held))
                    if bytes(buffer.view()) != bytes([number]) * 64:
                        torn.append(number)
                    if step % 2:
                        pool.release(buffer)

        with ThreadPoolExecutor(6) as executor:
            list(executor.map(work, range(12)))
        assert not torn
        pool.check()
        assert (pool.statistics().block_count, pool.thread_count) == (0, 0)

    def test_more_threads_than_caches(self, heap: hw.Heap[Any]) -> None:
        pool = hw.ConcurrentPool(heap, 64)
        started, go = threading.Barrier(531), threading.Event()

        def work() -> None:
            buffer = pool.acquire()
            started.wait()
            go.wait()
            pool.release(buffer)

        threads = [threading.Thread(target=work) for _ in range(530)]
        for thread in threads:
            thread.start()
        started.wait()
        assert pool.statistics().block_count == 530
        assert pool.thread_count == 511
        pool.check()
        go.set()
        for thread in threads:
            thread.join()
        pool.check()
        assert (pool.statistics().block_count, pool.thread_count) == (0, 0)

    def test_a_pool_that_ends_before_its_threads(self, heap: hw.Heap[Any]) -> None:
        for _ in range(200):  # this thread knows them all, and forgets them
            pool = hw.ConcurrentPool(heap, 64)
            pool.acquire()
        pool.check()
        assert heap.statistics().block_count == 1
        kept = [hw.ConcurrentPool(heap, 64) for _ in range(10)]
        for _ in range(3):
            assert all(pool.try_acquire() is not None for pool in kept)
        assert [pool.thread_count for pool in kept] == [1] * 10

    def test_dropped_by_an_exception_on_a_thread_without_a_cache(self, heap: hw.Heap[Any]) -> None:
        pool = hw.ConcurrentPool(heap, 64)
        handed = [pool.acquire()]

        def fail() -> None:
            buffer = handed.pop()
            raise KeyError(buffer.size_bytes)

        with pytest.raises(KeyError, match="64"):
            in_thread(fail)
        assert pool.statistics().block_count == 0
        pool.check()

    def test_a_forked_child(self) -> None:
        program = """
import os, threading
import heapwright as hw
pool = hw.ConcurrentPool(hw.Heap(hw.AnonymousSpace("1MiB")), 64, capacity=10, cache_count=10)
ready, done = threading.Event(), threading.Event()
def hoard():
    for buffer in [pool.acquire() for _ in range(10)]:
        pool.release(buffer)
    ready.set(); done.wait()
thread = threading.Thread(target=hoard); thread.start(); ready.wait()
child = os.fork()
if child == 0:
    assert pool.thread_count == 0, pool.thread_count
    buffers = [pool.acquire() for _ in range(10)]
    pool.check()
    os._exit(7)
done.set(); thread.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
pool.check()
"""
        subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)


def test_trim_and_the_end() -> None:
    upstream = Failing()
    pool = hw.ConcurrentPool(upstream, 4096)
    buffers = [pool.acquire() for _ in range(500)]
    del buffers[1:]
    figures = pool.statistics()
    assert figures.committed_bytes == upstream.out_bytes
    assert 0 < figures.releasable_bytes < figures.free_bytes
    returned = pool.trim(keep_bytes="1MiB")
    assert pool.statistics().free_bytes == figures.free_bytes - returned >= 1 << 20
    assert pool.trim() == figures.releasable_bytes - returned
    pool.check()
    assert pool.statistics().chunk_count == 1
    buffers.extend(pool.acquire() for _ in range(100))
    pool.check()
    assert pool.statistics().committed_bytes == upstream.out_bytes
    gone = weakref.ref(pool)
    del pool
    assert gone() is not None
    buffers.clear()
    assert gone() is None
    assert upstream.out_bytes == 0


def test_a_pool_in_a_cycle_is_collected() -> None:
    class Watching(Failing):
        pool: Any = None

    upstream = Watching()
    upstream.pool = hw.ConcurrentPool(upstream, 64)
    upstream.pool.acquire()
    gone, held = weakref.ref(upstream), upstream.heap
    del upstream
    gc.collect()
    assert gone() is None
    assert held.statistics().block_count == 0


@pytest.mark.parametrize("nth", range(1, 9))
def test_the_nth_request_to_the_upstream_fails(nth: int) -> None:
    upstream = Failing()
    pool = hw.ConcurrentPool(upstream, 1 << 15)
    upstream.fail_nth = nth
    buffers: list[hw.Buffer] = []
    with pytest.raises(hw.OutOfMemory):
        buffers.extend(iter(pool.acquire, None))
    pool.check()
    figures = pool.statistics()
    assert (figures.block_count, figures.failed_count, figures.chunk_count) == (len(buffers), 1, nth - 1)
    upstream.refuses = True
    assert pool.try_acquire() is None
    upstream.refuses = False
    buffers.extend(pool.acquire() for _ in range(100))
    assert len({buffer.address for buffer in buffers}) == len(buffers)
    pool.check()


def test_the_upstream_may_use_the_pool_while_it_is_asked() -> None:
    class Reentrant(Failing):
        pool: Any = None

        def allocate(self, size_bytes: Any, alignment: int = 16) -> hw.Block:
            if self.pool is not None:
                pool, self.pool = self.pool, None
                self.taken = [pool.acquire() for _ in range(3)]  # grows the very chunk that is being fetched
            return super().allocate(size_bytes, alignment)

    upstream = Reentrant()
    upstream.pool = pool = hw.ConcurrentPool(upstream, 1 << 16)
    buffer = pool.acquire()
    assert buffer.address not in {other.address for other in upstream.taken}
    pool.check()
    assert pool.statistics().block_count == 4
    assert pool.statistics().committed_bytes == upstream.out_bytes


@pytest.mark.parametrize("nth", [1, 2])
def test_the_nth_system_call_fails(heap: hw.Heap[Any], nth: int) -> None:
    hw._native.pages_fail_nth(nth)
    try:
        with pytest.raises(hw.SystemCallFailed):
            hw.ConcurrentPool(heap, 64)
    finally:
        hw._native.pages_fail_nth(0)
    hw.ConcurrentPool(heap, 64).acquire()


class ConcurrentLockstep(RuleBasedStateMachine):
    """Three threads that take turns, and end and start anew; any free slot may be acquired, no other."""

    buffers = Bundle("buffers")

    @initialize(capacity=st.sampled_from([None, 1, 7, 40]), cache_count=st.sampled_from([2, 5, 124]))
    def make(self, capacity: int | None, cache_count: int) -> None:
        self.upstream = Failing()
        self.pool = hw.ConcurrentPool(self.upstream, 1 << 14, capacity, cache_count=cache_count)
        self.model = ConcurrentPoolModel(4, capacity or 1 << 20, upstream=lambda slots: not self.upstream.refuses)
        self.threads = [ThreadPoolExecutor(1) for _ in range(3)]

    @rule(target=buffers, thread=st.integers(0, 2), count=st.integers(1, 6))
    def acquire(self, thread: int, count: int) -> Any:
        acquired = self.threads[thread].submit(lambda: [self.pool.try_acquire() for _ in range(count)]).result()
        got = [buffer for buffer in acquired if buffer is not None]
        assert self.model.acquire([buffer.slot for buffer in got], count)
        return multiple(*got)

    @rule(buffer=consumes(buffers), thread=st.integers(0, 2))
    def release(self, buffer: hw.Buffer, thread: int) -> None:
        slot = buffer.slot
        assert slot is not None
        self.threads[thread].submit(self.pool.release, buffer).result()
        assert self.model.release(slot)
        with pytest.raises(hw.InvalidFree):
            self.pool.release(buffer)

    @rule(thread=st.integers(0, 2))
    def end_thread(self, thread: int) -> None:
        self.threads[thread].shutdown()
        self.threads[thread] = ThreadPoolExecutor(1)

    @rule(keep=st.integers(0, 40))
    def trim(self, keep: int) -> None:
        assert self.pool.trim(keep << 14) == self.model.trim(keep) << 14

    @rule(refuses=st.booleans())
    def upstream_refuses(self, refuses: bool) -> None:
        self.upstream.refuses = refuses

    @invariant()
    def same_pool(self) -> None:
        self.pool.check()
        figures = self.pool.counters()
        assert figures["block_count"] == len(self.model.live)
        assert figures["free_bytes"] == len(self.model.free()) << 14
        assert figures["releasable_bytes"] == self.model.releasable() << 14
        assert figures["committed_bytes"] == self.upstream.out_bytes

    def teardown(self) -> None:
        for thread in self.threads:
            thread.shutdown()


def test_concurrent() -> None:
    ConcurrentLockstep.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
    ConcurrentLockstep.TestCase().runTest()
