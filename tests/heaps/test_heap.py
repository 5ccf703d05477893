import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

import heapwright as hw
from heapwright import _native
from heapwright.model.protocols import StackingStrategy, Strategy

STRATEGIES = [hw.FirstFit, hw.BestFit, hw.WorstFit, hw.NextFit, hw.TLSF, hw.Buddy, hw.Slab, hw.Bump]
PAGE = os.sysconf("SC_PAGESIZE")


@pytest.fixture
def heap() -> hw.Heap[hw.BestFit]:
    return hw.Heap(hw.AnonymousSpace("16MiB"), name="frames")


@pytest.fixture
def no_injection() -> Iterator[None]:
    yield
    _native.pages_fail_nth(0)


def test_out_of_memory_says_what_why_and_how_to_fix() -> None:
    heap = hw.Heap(hw.AnonymousSpace(PAGE), name="frames")
    blocks = [heap.allocate(512) for _ in range(PAGE // 512)]
    for block in blocks[::2]:
        heap.deallocate(block)
    with pytest.raises(MemoryError) as caught:
        heap.allocate(1024, alignment=64)
    error = caught.value
    assert isinstance(error, hw.OutOfMemory)
    assert str(error) == (
        "cannot allocate 1024 B (align 64) in Heap('frames'): largest free run is 512 B of 2048 B free. "
        "Free a neighbouring block, create the space larger, or ask for less alignment"
    )
    assert (error.size_bytes, error.alignment, error.capacity_bytes) == (1024, 64, PAGE)
    assert (error.free_bytes, error.largest_free_bytes, error.errno) == (2048, 512, 0)
    assert heap.try_allocate(1024) is None
    assert heap.statistics().failed_count == 2


def test_sizes_and_alignments(heap: hw.Heap[hw.BestFit]) -> None:
    empty, other = heap.allocate(0), heap.allocate(0)
    assert empty.address != other.address
    assert len(empty.view()) == 0
    assert heap.allocate("64KiB", alignment="2MiB").address % (2 << 20) == 0
    assert heap.allocate(size_bytes=1, alignment=1).size_bytes == 1
    assert heap.try_allocate(2**63) is None
    assert heap.try_allocate(2**200) is None
    with pytest.raises(hw.OutOfMemory, match=f"cannot allocate {2**200} B"):
        heap.allocate(2**200)
    for bad in (-1, "lots"):
        with pytest.raises(hw.InvalidSize):
            heap.allocate(bad)
    for alignment in (0, 24):
        with pytest.raises(hw.InvalidAlignment, match="not a power of two"):
            heap.try_allocate(1, alignment)
    with pytest.raises(hw.InvalidAlignment, match="Create it with alignment=4194304"):
        heap.allocate(1, 4 << 20)
    for arguments, keywords in (((), {}), ((1, 2, 3), {}), ((1,), {"size_bytes": 1}), ((1,), {"align": 1})):
        with pytest.raises(TypeError):
            heap.allocate(*arguments, **keywords)
    with pytest.raises(TypeError):
        heap.allocate(1.5)  # type: ignore[arg-type]
    heap.check()


def test_a_space_has_one_heap(heap: hw.Heap[hw.BestFit]) -> None:
    space = heap.space
    with pytest.raises(hw.SpaceInUse):
        hw.Heap(space)
    del heap
    assert space.size_bytes == 16 << 20


def test_a_space_is_free_again_when_its_heap_is_gone() -> None:
    space = hw.AnonymousSpace("1MiB")
    block = hw.Heap(space).allocate(64)
    with pytest.raises(hw.SpaceInUse):
        hw.Heap(space)
    del block
    hw.Heap(space).allocate(64)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_by_type_and_by_object_are_one_heap_with_two_faces(strategy: type[hw.BestFit]) -> None:
    by_type = hw.Heap[strategy](hw.AnonymousSpace("1MiB"))
    by_object = hw.Heap(hw.AnonymousSpace("1MiB"), strategy=strategy())
    assert hw.Heap[strategy] is hw.Heap[strategy]
    assert isinstance(by_type, hw.Heap)
    assert by_type.strategy_name == by_object.strategy_name == strategy.name
    assert type(by_type).__name__ == f"Heap[{strategy.__name__}]"
    assert type(by_type).allocate is not type(by_object).allocate  # compiled for it
    assert by_type.allocate(64).offset_bytes == by_object.allocate(64).offset_bytes


def test_a_compiled_heap_refuses_another_strategy() -> None:
    with pytest.raises(ValueError, match="cannot use the strategy 'first-fit'"):
        hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"), strategy=hw.FirstFit())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="compiled for another strategy"):
        _native.BestFitHeap(hw.AnonymousSpace("1MiB"), _native.STRATEGIES.index("first-fit"), 16)

    class Odd:
        name = "odd-fit"

    with pytest.raises(ValueError, match="one of: first-fit, best-fit"):
        hw.Heap(hw.AnonymousSpace("1MiB"), strategy=Odd())


def test_what_is_no_strategy_is_refused_and_never_taken_for_the_default() -> None:
    class Odd:
        name = "odd-fit"

    for wrong in ("tlsf", 5, object()):
        with pytest.raises(TypeError, match=r"is not a strategy. Give one, such as BestFit\(\), of: first-fit"):
            hw.Heap(hw.AnonymousSpace("1MiB"), strategy=wrong)  # type: ignore[type-var]
    for wrong in ("tlsf", int, Odd):
        with pytest.raises(TypeError, match="names no strategy"):
            hw.Heap[wrong]
    for annotation in (Any, Strategy, StackingStrategy, TypeVar("AnyStrategy"), hw.Bump | hw.BestFit):
        assert hw.Heap[annotation](hw.AnonymousSpace("1MiB")).strategy_name == "best-fit"


def test_blocks_draw_and_check(heap: hw.Heap[hw.BestFit]) -> None:
    a, b, c = heap.allocate(90), heap.allocate(32), heap.allocate(64)
    heap.deallocate(b)
    seen = list(heap.blocks())
    assert heap.draw() == f"[96] 32 [64] {heap.capacity_bytes - 192}"
    assert [s.size_bytes for s in seen if s.state is hw.State.ALLOCATED] == [96, 64]
    assert [s.requested_bytes for s in seen] == [90, 0, 64, 0]
    assert [s.address for s in seen if s.state is hw.State.ALLOCATED] == [a.address, c.address]
    assert sum(s.size_bytes for s in seen) == heap.capacity_bytes
    heap.check()


def test_statistics_by_hand() -> None:
    heap = hw.Heap(hw.AnonymousSpace("16MiB"), strategy=hw.FirstFit())
    zero = heap.statistics()
    assert (zero.reserved_bytes, zero.committed_bytes, zero.resident_bytes) == (16 << 20, 0, 0)
    a, b, c = heap.allocate(100), heap.allocate(20), heap.allocate(1)
    heap.deallocate(b)
    a.view()[:] = bytes(100)
    now = heap.statistics()
    assert (now.requested_bytes, now.allocated_bytes) == (101, 112 + 16)
    assert (now.peak_requested_bytes, now.peak_allocated_bytes) == (121, 112 + 32 + 16)
    assert (now.total_requested_bytes, now.total_block_count) == (121, 3)
    assert (now.block_count, now.peak_block_count, now.free_count) == (2, 3, 2)
    assert now.resident_bytes == PAGE
    assert now.internal_fragmentation == (128 - 101) / 128
    assert now.external_fragmentation == 1 - (now.free_bytes - 32) / now.free_bytes
    heap.deallocate(a)
    heap.deallocate(c)
    assert heap.statistics().requested_bytes == 0


def test_memory_is_committed_as_it_is_used_and_given_back_by_trim() -> None:
    space = hw.AnonymousSpace("1GiB")
    heap = hw.Heap(space, strategy=hw.FirstFit())
    blocks = [heap.allocate("1MiB") for _ in range(32)]
    assert 32 << 20 <= space.committed_bytes < 33 << 20
    for block in blocks:
        block.view()[::PAGE] = bytes(len(block.view()[::PAGE]))
    assert heap.statistics().resident_bytes == 32 << 20
    for block in blocks[1::2]:
        heap.deallocate(block)
    returned = heap.trim(keep_bytes="4MiB")
    assert returned >= 12 << 20
    assert heap.statistics().resident_bytes == 20 << 20
    assert heap.trim() >= 4 << 20
    assert heap.trim() == 0
    now = heap.statistics()
    assert now.resident_bytes == now.committed_bytes == 16 << 20
    again = heap.allocate("1MiB")
    assert bytes(again.view()[:PAGE]) == bytes(PAGE)  # given back, so zero again
    heap.check()


def test_huge_pages_commit_in_huge_units() -> None:
    space = hw.AnonymousSpace("64MiB", huge_pages=True)
    heap = hw.Heap(space)
    block = heap.allocate(1)
    assert space.unit_bytes == space.committed_bytes == 2 << 20
    heap.deallocate(block)
    assert heap.trim() == 2 << 20


@pytest.mark.usefixtures("no_injection")
def test_every_system_call_can_fail_and_leaves_the_heap_whole() -> None:
    def program(heap: hw.Heap[hw.BestFit]) -> None:
        blocks = [heap.allocate(20_000) for _ in range(300)]
        for block in blocks[::3]:
            heap.deallocate(block)
        heap.reallocate(blocks[1], 100_000)
        heap.trim()

    failures: list[hw.OutOfMemory | hw.SystemCallFailed] = []
    for n in range(1, 200):
        _native.pages_fail_nth(n)
        heap = None
        try:
            heap = hw.Heap(hw.AnonymousSpace("16MiB"))
            program(heap)
        except (hw.OutOfMemory, hw.SystemCallFailed) as error:
            failures.append(error)
        if _native.pages_fail_nth(0) > 0:
            break  # the program has fewer calls than n
        if heap is not None:
            heap.check()
        program(hw.Heap(hw.AnonymousSpace("16MiB")))
    assert 20 < n < 199
    assert {error.errno for error in failures} == {12}
    assert {type(error) for error in failures} == {hw.OutOfMemory, hw.SystemCallFailed}
    assert any("operating system gives no memory" in str(error) for error in failures)


def test_every_allocation_of_python_can_fail_and_leaves_the_heap_whole() -> None:
    testcapi = pytest.importorskip("_testcapi")
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))
    held = [heap.allocate(16) for _ in range(300)]  # more than the handles that are kept for reuse

    def attempt(operation: Callable[[], object], n: int) -> object:
        testcapi.set_nomemory(n, n + 1)
        try:
            return operation()
        except MemoryError:
            return MemoryError
        finally:
            testcapi.remove_mem_hooks()

    refused = 0
    for n in range(30):
        for operation in (lambda: heap.allocate(1000), heap.walk, heap.counters, held[1].view):
            result = attempt(operation, n)
            refused += result is MemoryError
            heap.check()
        moved = attempt(lambda: heap.reallocate(held[0], 1000), n)
        if moved is MemoryError:
            assert held[0].state is hw.State.ALLOCATED
        else:
            assert isinstance(moved, hw.Block)
            held[0] = heap.reallocate(moved, 16)
        heap.check()
    assert refused > 4
    assert heap.statistics().block_count == 300
    result = moved = operation = None
    held.clear()
    assert heap.draw() == str(heap.capacity_bytes)


def test_many_blocks_outgrow_the_first_control_region() -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("64MiB"))
    before = heap.statistics().control_bytes
    blocks = [heap.allocate(16) for _ in range(50_000)]
    assert heap.statistics().control_bytes > before
    for block in blocks[::2]:
        heap.deallocate(block)
    heap.check()
    assert heap.statistics().free_count == 25_000 + 1
    blocks.clear()
    del block
    heap.check()
    assert heap.draw() == str(heap.capacity_bytes)


def test_threads_share_a_heap() -> None:
    heap = hw.Heap[hw.FirstFit](hw.AnonymousSpace("64MiB"))

    def work(seed: int) -> None:
        blocks = []
        for i in range(3000):
            block = heap.allocate((seed * 37 + i * 101) % 2000)
            block.view()[:] = bytes([seed]) * block.size_bytes
            blocks.append(block)
            if i % 3 == 0:
                heap.deallocate(blocks.pop(0))
            if i % 500 == 0:
                heap.trim()
                heap.check()
                heap.statistics()
        assert all(bytes(block.view()) == bytes([seed]) * block.size_bytes for block in blocks)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heap.check()
    assert heap.draw() == str(heap.capacity_bytes)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_a_heap_of_its_own(heap: hw.Heap[hw.BestFit]) -> None:
    stop = threading.Event()

    def long_operations() -> None:
        while not stop.is_set():
            heap.check()
            heap.trim()

    kept = [heap.allocate(1000) for _ in range(100)]
    kept[0].view()[:] = b"p" * 1000
    thread = threading.Thread(target=long_operations)
    thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:  # perhaps in the middle of a check by a thread that does not exist here
            kept[0].view()[:] = b"c" * 1000
            heap.deallocate(heap.allocate(100))
            heap.check()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    stop.set()
    thread.join()
    assert bytes(kept[0].view()) == b"p" * 1000


def control_region(heap: hw.Heap[hw.BestFit]) -> int:
    """Find the address of the heap's control data: it begins with the capacity, in a mapping of a few pages."""
    capacity = heap.capacity_bytes.to_bytes(8, sys.byteorder)
    with Path("/proc/self/mem").open("rb", buffering=0) as memory:  # not by pointer: mappings come and go meanwhile
        for line in Path("/proc/self/maps").read_text().splitlines():
            bounds, access, _, _, inode, *_ = line.split()
            low, high = (int(bound, 16) for bound in bounds.split("-"))
            if access != "rw-p" or inode != "0" or "[" in line:
                continue
            for page in range(low, min(high, low + (1 << 20)), PAGE):
                with contextlib.suppress(OSError):
                    memory.seek(page)
                    if memory.read(8) == capacity:
                        return page
    raise AssertionError("no mapping begins with the capacity")


def test_check_finds_damage_and_says_where() -> None:
    heap = hw.Heap(hw.AnonymousSpace(77 * PAGE), strategy=hw.BestFit())
    blocks = [heap.allocate(size) for size in (100, 200, 300)]
    heap.check()
    first_block = control_region(heap) + 320  # past the header of native/core/fit.h
    size = ctypes.c_uint32.from_address(first_block + 4)
    damaged, size.value = size.value, 5
    with pytest.raises(hw.CorruptedHeap) as caught:
        heap.check()
    assert caught.value.invariant.startswith("I")
    size.value = damaged
    heap.check()
    assert len(blocks) == 3
