"""Leases: while a block is lent nobody frees it, moves it or looks at it; and the borrower is named."""

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heapwright as hw
from heapwright import _native
from heapwright.observe.births import birthplace

KERNEL = "the kernel, read 7"


def of_heap() -> tuple[Any, Callable[[Any], None]]:
    heap = hw.Heap(hw.AnonymousSpace("64KiB"))
    return heap.allocate(1000), heap.deallocate


def of_pool(kind: Any = hw.TieredPool, *args: Any) -> tuple[Any, Callable[[Any], None]]:
    pool = kind(hw.Heap(hw.AnonymousSpace("16MiB")), *args)
    return pool.acquire(*(() if args else (1000,))), pool.release


def of_typed_pool() -> tuple[Any, Callable[[Any], None]]:
    pool = hw.TypedPool([("x", "f8")], hw.Heap(hw.AnonymousSpace("16MiB")))
    return pool.acquire(), pool.release


def of_arena() -> tuple[Any, Callable[[Any], None]]:
    arena = hw.Arena("1MiB")
    return arena.allocate(1000), arena.deallocate


KINDS: dict[str, Callable[[], tuple[Any, Callable[[Any], None]]]] = {
    "heap": of_heap,
    "tiered": of_pool,
    "fixed": lambda: of_pool(hw.FixedPool, 1024),
    "concurrent": lambda: of_pool(hw.ConcurrentPool, 1024),
    "typed": of_typed_pool,
    "arena": of_arena,
}


@pytest.fixture(params=KINDS)
def lendable(request: pytest.FixtureRequest) -> tuple[Any, Callable[[Any], None]]:
    return KINDS[request.param]()


def test_what_is_lent_is_not_freed_seen_or_lent_again(lendable: tuple[Any, Callable[[Any], None]]) -> None:
    block, free = lendable
    with hw.lease(block, KERNEL) as lent:
        assert block.state is hw.State.LEASED
        assert "leased" in repr(block)
        for refused in (free, memoryview, np.frombuffer, lambda b: b.read(0, 1), lambda b: b.write(0, b"x"),
                        lambda b: np.ndarray(1, "u1", b), lambda b: b.__dlpack__()):  # fmt: skip
            with pytest.raises(hw.BlockLeased, match="is lent to the kernel, read 7") as caught:
                refused(block)
            assert caught.value.borrower == KERNEL
            assert caught.value.address == block.address
            assert isinstance(caught.value, hw.ViewExported)
        with pytest.raises(hw.InvalidTransition, match="leased cannot lease"):
            hw.lease(block, "another")
        lent.view()[:3] = b"abc"
        assert (lent.size_bytes, lent.borrower, lent.block) == (len(block), KERNEL, block)
        assert lent in hw.leases()
    assert lent.closed
    assert lent not in hw.leases()
    assert block.state is hw.State.ALLOCATED
    assert block.exports == 0
    assert block.read(0, 3) == b"abc"
    lent.close()
    with pytest.raises(hw.HandleReleased, match="the lease was closed"):
        lent.view()
    free(block)
    assert block.state is hw.State.FREED


def test_what_cannot_be_lent_says_why(lendable: tuple[Any, Callable[[Any], None]]) -> None:
    block, free = lendable
    view = memoryview(block)
    with pytest.raises(hw.InvalidTransition, match="exposed cannot lease"):
        hw.lease(block, KERNEL)
    view.release()
    del view
    free(block)
    with pytest.raises(hw.BlockFreed):
        hw.lease(block, KERNEL)
    with pytest.raises(TypeError, match="can be lent, not bytearray"):
        hw.lease(bytearray(8), KERNEL)  # type: ignore[arg-type]
    assert hw.leases() == []


def test_a_lease_with_views_left_is_not_over(lendable: tuple[Any, Callable[[Any], None]]) -> None:
    block, free = lendable
    lent = hw.lease(block, KERNEL)
    array = np.frombuffer(lent.view(), "u1")
    with pytest.raises(hw.ViewExported, match="cannot take back from the kernel, read 7 the block") as caught:
        lent.close()
    assert caught.value.exports == 1
    assert block.state is hw.State.LEASED
    assert not lent.closed
    with pytest.raises(hw.BlockLeased):
        free(block)
    del array
    with pytest.raises(hw.BlockLeased):  # although nobody looks any more: it is lent until the lease is closed
        free(block)
    lent.close()
    free(block)


def test_an_error_of_the_body_counts() -> None:
    block, free = of_heap()
    views = []

    def work() -> None:
        with hw.lease(block, KERNEL) as lent:
            views.append(np.frombuffer(lent.view(), "u1"))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        work()
    assert any("is not closed" in note for note in caught.value.__notes__)
    views.clear()
    for lent in hw.leases():
        lent.close()
    free(block)


def test_a_lease_that_is_forgotten_is_out_still() -> None:
    heap = hw.Heap(hw.AnonymousSpace("64KiB"))
    hw.lease(heap.allocate(1000), KERNEL)
    gc.collect()
    (lent,) = hw.leases()
    assert heap.statistics().requested_bytes == 1000
    assert lent.age_s >= 0
    lent.close()
    del lent
    assert heap.statistics().requested_bytes == 0


def test_a_heap_neither_moves_it_nor_ends_it_with_a_mark() -> None:
    heap = hw.Heap(hw.AnonymousSpace("64KiB"), strategy=hw.Bump())
    mark = heap.mark()
    block = heap.allocate(100)
    with hw.lease(block, KERNEL):
        with pytest.raises(hw.BlockLeased, match="reallocate"):
            heap.reallocate(block, 200)
        with pytest.raises(hw.BlockLeased, match="release the mark"):
            heap.release(mark)
    heap.release(mark)


def test_an_arena_does_not_end_under_it() -> None:
    arena = hw.Arena("1MiB")
    with hw.lease(arena.allocate(100), KERNEL), pytest.raises(hw.ViewsEscaped):
        arena.close()
    arena.close()
    promoting = hw.Arena("1MiB", on_escape="promote")
    block = promoting.allocate(100)
    with hw.lease(block, KERNEL) as lent:
        promoting.close()
        lent.view()[:] = b"x" * 100  # its chunk stays
    assert block.exports == 0


def test_only_one_of_many_threads_gets_it_and_closing_it_twice_ends_it_once() -> None:
    block, free = of_heap()
    got: list[hw.BlockLease] = []
    refused: list[Exception] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(200):
            try:
                lent = hw.lease(block, "me")
            except hw.InvalidTransition as error:
                refused.append(error)
            else:
                got.append(lent)
                assert block.state is hw.State.LEASED
                lent.close()
                lent.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) + len(refused) == 1600
    assert hw.leases() == []
    free(block)


def test_no_leaks_tells_who_has_it() -> None:
    heap = hw.Heap(hw.AnonymousSpace("64KiB"))
    before = heap.allocate(2000)

    def plant() -> None:
        hw.lease(heap.allocate(1000), KERNEL)
        hw.lease(before, "a thread")

    with pytest.raises(hw.Leaked) as caught, hw.no_leaks():
        plant()
    for lent in hw.leases():
        lent.close()
    block, lease = caught.value.survivors
    assert (block.what, block.size_bytes, block.borrower) == ("Block", 1000, KERNEL)
    assert block.path.endswith("BlockLease.block -> Block")
    assert (lease.what, lease.size_bytes, lease.borrower) == ("BlockLease", 2000, "a thread")
    assert lease.stack[0].function.endswith("plant")
    assert "lent to the kernel, read 7, kept by module heapwright.owners.lease." in str(caught.value)
    assert birthplace(lent) is None


def test_if_it_cannot_be_noted_nothing_is_lent() -> None:
    block, free = of_heap()

    def refuse(new: object, old: object) -> None:
        raise MemoryError("no note")

    _native.watch_births(refuse)
    try:
        with pytest.raises(MemoryError, match="no note"):
            hw.lease(block, KERNEL)
    finally:
        _native.watch_births(None)
    assert hw.leases() == []
    free(block)
