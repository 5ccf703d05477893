"""Reading and writing through the handle: bounds and permissions are checked, and a refused access does nothing."""

import contextlib
import threading
from typing import Any

import numpy as np
import pytest

import heapwright as hw

SIZE = 64


@pytest.fixture
def block() -> hw.Block:
    return hw.Heap(hw.AnonymousSpace("16MiB")).allocate(SIZE)


@pytest.fixture(params=["heap", "pool", "tiered pool", "arena"])
def any_block(request: pytest.FixtureRequest) -> Any:
    """Return a block of each kind: what they share is one piece of code, that they have it is not."""
    heap: hw.Heap[Any] = hw.Heap(hw.AnonymousSpace("16MiB"))
    block: Any
    if request.param == "heap":
        block = heap.allocate(SIZE)
    elif request.param == "pool":
        block = hw.FixedPool(heap, block_bytes=SIZE).acquire()
    elif request.param == "tiered pool":
        block = hw.TieredPool(heap).allocate(SIZE)
    else:
        block = hw.Arena(heap).allocate(SIZE)
    assert isinstance(block, hw.model.block.AccessibleBlock)
    return block


def test_what_is_written_is_read(any_block: Any) -> None:
    block = any_block
    block.write(0, b"hello")
    block.write(SIZE - 8, np.array([1.5]))
    assert block.read(0, 5) == b"hello"
    assert np.frombuffer(block.read(SIZE - 8, 8))[0] == 1.5
    assert block.read(SIZE, 0) == b""
    block.write(SIZE, b"")
    assert block.exports == 0


@pytest.mark.parametrize(
    ("offset", "size"), [(-1, 1), (0, SIZE + 1), (SIZE, 1), (SIZE + 1, 0), (SIZE - 3, 4), (2**63 - 1, 2), (2**80, 1)]
)
def test_every_access_that_leaves_the_block_is_refused(any_block: Any, offset: int, size: int) -> None:
    block = any_block
    with pytest.raises(hw.OutOfBounds) as caught:
        block.read(offset, size)
    assert isinstance(caught.value, IndexError)
    clipped = min(offset, 2**63 - 1)
    assert (caught.value.access, caught.value.offset_bytes, caught.value.size_bytes) == ("read", clipped, size)
    assert caught.value.block_bytes == SIZE
    before = block.read(0, SIZE)
    with pytest.raises(hw.OutOfBounds, match="cannot write"):
        block.write(offset, b"x" * size)
    assert block.read(0, SIZE) == before


def test_a_negative_size_is_refused(block: hw.Block) -> None:
    with pytest.raises(hw.OutOfBounds):
        block.read(8, -4)


def test_only_contiguous_buffers_are_written(block: hw.Block) -> None:
    with pytest.raises(TypeError):
        block.write(0, "text")  # type: ignore[arg-type]
    with pytest.raises((ValueError, BufferError)):
        block.write(0, np.arange(8, dtype="u1")[::2])
    with pytest.raises(TypeError):
        block.read("0", 1)  # type: ignore[arg-type]
    for call in (block.read, block.write):
        with pytest.raises(TypeError, match="takes"):
            call(0)  # type: ignore[call-arg]


def test_a_block_may_be_written_from_itself(any_block: Any) -> None:
    block = any_block
    block.write(0, bytes(range(SIZE)))
    with block.view() as view:
        block.write(8, view[: SIZE - 8])
    assert block.read(0, SIZE) == bytes(range(8)) + bytes(range(SIZE - 8))


def test_permissions_of_the_space_are_those_of_the_access(block: hw.Block) -> None:
    assert block.heap is not None
    space = block.heap.space
    block.write(0, b"kept")
    space.protect(hw.Permissions.READ)
    assert block.read(0, 4) == b"kept"
    with pytest.raises(hw.PermissionDenied) as caught:
        block.write(0, b"lost")
    assert (caught.value.wanted, caught.value.permissions) == ("W", "R")
    space.protect(hw.Permissions.NONE)
    with pytest.raises(hw.PermissionDenied):
        block.read(0, 4)
    space.protect(hw.Permissions.READ | hw.Permissions.WRITE)
    assert block.read(0, 4) == b"kept"


def test_a_freed_block_is_not_accessed(block: hw.Block) -> None:
    assert block.heap is not None
    block.heap.deallocate(block)
    with pytest.raises(hw.BlockFreed):
        block.read(0, 1)
    with pytest.raises(hw.BlockFreed):
        block.write(0, b"x")


def test_a_large_copy_pins_the_block() -> None:
    heap = hw.Heap(hw.AnonymousSpace("64MiB"))
    data = bytes(range(256)) * (32 << 12)
    block = heap.allocate(len(data))
    block.write(0, data)
    done = threading.Event()

    def tries_to_protect() -> None:
        while not done.is_set():
            with contextlib.suppress(hw.ViewExported):  # a copy is under way
                heap.space.protect(hw.Permissions.NONE)
                heap.space.protect(hw.Permissions.READ | hw.Permissions.WRITE)

    thread = threading.Thread(target=tries_to_protect)
    thread.start()
    for _ in range(3):
        with contextlib.suppress(hw.PermissionDenied):  # the other thread was between its two calls
            assert block.read(0, len(data)) == data
    done.set()
    thread.join()
    assert block.exports == 0
