"""Handles: never rebound, never dangling; what depends on a resource keeps it."""

import gc
import io
import pickle
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import heapwright as hw


@pytest.fixture
def heap() -> hw.Heap[hw.BestFit]:
    return hw.Heap[hw.BestFit](hw.AnonymousSpace("16MiB"))


def test_a_block_has_the_four_fields_of_the_model(heap: hw.Heap[hw.BestFit]) -> None:
    block = heap.allocate(100, alignment=4096)
    assert isinstance(block, hw.model.block.Block)
    assert (block.size_bytes, block.state) == (100, hw.State.ALLOCATED)
    assert block.permissions == hw.Permissions.READ | hw.Permissions.WRITE
    assert block.address % 4096 == 0
    assert heap.owns(block.address)
    assert not heap.owns(heap.space.address - 1)
    assert not heap.owns(heap.space.address + heap.space.size_bytes)
    assert not heap.owns(2**80)
    assert repr(block) == f"<Block {block.address:#x} 100 B allocated>"


def test_deallocate_with_a_view_exported_frees_nothing(heap: hw.Heap[hw.BestFit]) -> None:
    block = heap.allocate(64)
    view = block.view()
    part = view[8:16]
    assert block.state is hw.State.EXPOSED
    with pytest.raises(BufferError, match="1 view is exported") as caught:
        heap.deallocate(block)
    assert isinstance(caught.value, hw.ViewExported)
    assert caught.value.exports == 1
    with pytest.raises(hw.ViewExported, match="cannot reallocate"):
        heap.reallocate(block, 128)
    part[:] = b"12345678"
    assert heap.statistics().block_count == 1
    part.release()
    view.release()
    assert block.state is hw.State.ALLOCATED
    heap.deallocate(block)


def test_a_view_keeps_block_heap_and_space() -> None:
    heap = hw.Heap(hw.AnonymousSpace("16MiB"))
    array = np.frombuffer(heap.allocate(8000).view(), dtype="f8")
    freed = weakref.ref(array.base.obj.block)
    array[:] = 7.0
    del heap
    gc.collect()
    assert array.sum() == 7000.0  # else this line would end the process
    assert freed() is not None
    del array
    assert freed() is None


def test_a_freed_block_has_no_bytes(heap: hw.Heap[hw.BestFit]) -> None:
    block = heap.allocate(64)
    address = block.address
    heap.deallocate(block)
    assert block.state is hw.State.FREED
    assert block.permissions == hw.Permissions.NONE
    assert block.address == address
    assert block.heap is None
    for use in (block.view, lambda: len(block), lambda: block.offset_bytes, lambda: memoryview(block)):
        with pytest.raises(hw.BlockFreed):
            use()
    with pytest.raises(hw.InvalidFree) as caught:
        heap.deallocate(block)
    assert (caught.value.reason, caught.value.address) == ("double", address)


def test_a_foreign_block_is_refused(heap: hw.Heap[hw.BestFit]) -> None:
    block = hw.Heap(hw.AnonymousSpace("1MiB")).allocate(64)
    for refuse in (lambda: heap.deallocate(block), lambda: heap.reallocate(block, 1)):
        with pytest.raises(hw.InvalidFree) as caught:
            refuse()
        assert caught.value.reason == "foreign"
    assert block.state is hw.State.ALLOCATED
    with pytest.raises(TypeError):
        heap.deallocate(object())  # type: ignore[arg-type]


def test_a_block_whose_last_handle_goes_is_freed(heap: hw.Heap[hw.BestFit]) -> None:
    block = heap.allocate(64)
    gone = weakref.ref(block)
    del block
    assert gone() is None
    assert heap.draw() == f"{heap.capacity_bytes}"
    heap.check()


def test_whoever_is_told_that_a_handle_died_finds_its_memory_free(heap: hw.Heap[hw.BestFit]) -> None:
    seen = []
    block = heap.allocate(64)
    reference = weakref.ref(block, lambda _: seen.append(heap.counters()["requested_bytes"]))
    del block
    assert seen == [0]
    assert reference() is None


def test_reallocate_kills_the_old_handle_and_keeps_bytes_and_alignment(heap: hw.Heap[hw.BestFit]) -> None:
    block = heap.allocate(100, alignment=4096)
    block.view()[:] = bytes(range(100))
    fence = heap.allocate(16)
    moved = heap.reallocate(block, "1MiB")
    assert block.state is hw.State.FREED
    assert moved.address != block.address
    assert moved.address % 4096 == 0
    assert bytes(moved.view()[:100]) == bytes(range(100))
    smaller = heap.reallocate(moved, 50)
    assert smaller.address == moved.address
    assert bytes(smaller.view()) == bytes(range(50))
    larger = heap.reallocate(smaller, 4000)
    assert larger.address == smaller.address
    with pytest.raises(hw.OutOfMemory):
        heap.reallocate(larger, "1GiB")
    assert bytes(larger.view()[:50]) == bytes(range(50))
    heap.deallocate(larger)
    heap.deallocate(fence)
    heap.check()


def test_a_block_cannot_be_made_or_pickled(heap: hw.Heap[hw.BestFit]) -> None:
    with pytest.raises(TypeError):
        hw.Block()
    with pytest.raises(TypeError):
        pickle.dumps(heap.allocate(1))


def test_large_copies_let_other_threads_at_the_heap(heap: hw.Heap[hw.BestFit]) -> None:
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            heap.deallocate(heap.allocate(100))
            heap.trim()

    thread = threading.Thread(target=churn)
    thread.start()
    block = heap.allocate(100_000)
    block.view()[:] = b"x" * 100_000
    for _ in range(10):
        fence = heap.allocate(16)
        block = heap.reallocate(block, block.size_bytes + 100_000)
        heap.deallocate(fence)
    done.set()
    thread.join()
    assert bytes(block.view()[:100_000]) == b"x" * 100_000
    heap.check()


@pytest.mark.parametrize("permissions", ["NONE", "READ"])
def test_the_hardware_enforces_permissions(permissions: str) -> None:
    program = f"""
import ctypes, heapwright as hw
space = hw.AnonymousSpace("1MiB")
block = hw.Heap(space).allocate(64)
ctypes.memset(block.address, 1, 64)
space.protect(hw.Permissions.{permissions})
assert bytes(block.view()) == bytes([1]) * 64 if space.permissions else True
print("before", flush=True)
ctypes.memset(block.address, 2, 64)
print("after", flush=True)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert finished.stdout == "before\n"
    assert finished.returncode == -11  # SIGSEGV


def test_views_respect_permissions() -> None:
    space = hw.AnonymousSpace("1MiB")
    block = hw.Heap(space).allocate(64)
    view = block.view()
    with pytest.raises(hw.ViewExported, match="take access away"):
        space.protect(hw.Permissions.READ)
    view.release()
    space.protect(hw.Permissions.READ)
    assert block.view().readonly
    with pytest.raises(TypeError, match="read-write"):
        io.BytesIO(b"abc").readinto(block)
    space.protect(hw.Permissions.NONE)
    with pytest.raises(PermissionError):
        block.view()
    space.protect(hw.Permissions.READ | hw.Permissions.WRITE)
    block.view()[0] = 1
