"""The tensors that blocks lend: laid out as DLPack 1.0 says, kept until the consumer is done, or refused."""

import ctypes
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import heapwright as hw

CPU, CUDA = 1, 2
READ_ONLY, IS_COPIED = 1, 2

capsule_name = ctypes.pythonapi.PyCapsule_GetName
capsule_name.restype, capsule_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
capsule_pointer.restype, capsule_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
capsule_rename = ctypes.pythonapi.PyCapsule_SetName
capsule_rename.restype, capsule_rename.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]

DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # called without the GIL


class Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Managed(ctypes.Structure):
    _fields_ = (("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", DELETER))


class ManagedVersioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", DELETER),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    )


LAYOUTS: dict[str, Any] = {"dltensor": Managed, "dltensor_versioned": ManagedVersioned}


def inside(capsule: object) -> Any:
    name = capsule_name(capsule)
    return LAYOUTS[name.decode()].from_address(capsule_pointer(capsule, name))


@pytest.fixture
def block() -> Iterator[Any]:
    block = hw.Heap(hw.AnonymousSpace("1MiB")).allocate(100)
    yield block
    assert block.exports == 0


@pytest.mark.parametrize(
    ("version", "name"),
    [
        (None, "dltensor"),
        ((0, 8), "dltensor"),
        ((1, 0), "dltensor_versioned"),
        ((1, 3), "dltensor_versioned"),
        ((2, 0), "dltensor_versioned"),
    ],
)
def test_the_tensor_is_the_block(block: Any, version: Any, name: str) -> None:
    capsule = block.__dlpack__(max_version=version)
    assert capsule_name(capsule).decode() == name
    managed = inside(capsule)
    tensor = managed.tensor
    assert (tensor.data, tensor.byte_offset) == (block.address, 0)
    assert (tensor.device_type, tensor.device_id) == block.__dlpack_device__() == (CPU, 0)
    assert (tensor.ndim, tensor.shape[0], tensor.strides[0]) == (1, 100, 1)
    assert (tensor.code, tensor.bits, tensor.lanes) == (1, 8, 1)  # uint8
    if name == "dltensor_versioned":
        assert (managed.major, managed.minor, managed.flags) == (1, 0, 0)
    assert block.exports == 1
    del capsule  # nobody consumed it
    assert block.exports == 0


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_a_consumer_may_be_done_on_a_thread_that_python_does_not_know(block: Any, version: Any) -> None:
    capsule = block.__dlpack__(max_version=version)
    name = capsule_name(capsule)
    managed, address = inside(capsule), capsule_pointer(capsule, name)
    used = b"used_" + name
    capsule_rename(capsule, used)
    del capsule
    assert block.exports == 1
    libc = ctypes.CDLL(None)
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, managed.deleter, ctypes.c_void_p(address)) == 0
    assert libc.pthread_join(thread, None) == 0
    assert block.exports == 0


def test_a_copy_is_somebody_elses(block: Any) -> None:
    block.write(0, b"before")
    capsule = block.__dlpack__(max_version=(1, 0), copy=True)
    managed = inside(capsule)
    assert managed.flags == IS_COPIED
    assert managed.tensor.data != block.address
    assert block.exports == 0
    array = np.from_dlpack(block, copy=True)
    block.write(0, b"after!")
    assert array[:6].tobytes() == b"before"
    assert ctypes.string_at(managed.tensor.data, 6) == b"before"
    block.heap.deallocate(block)
    assert array.sum() == sum(b"before")


def test_large_blocks_are_copied_whole(block: Any) -> None:
    large = block.heap.allocate(300_000)
    large.write(0, bytes(range(250)) * 1200)
    assert np.from_dlpack(large, copy=True).tobytes() == bytes(range(250)) * 1200


def test_read_only_bytes_say_so(block: Any) -> None:
    block.heap.space.protect(hw.Permissions.READ)
    assert inside(block.__dlpack__(max_version=(1, 0))).flags == READ_ONLY
    assert not np.from_dlpack(block).flags.writeable
    with pytest.raises(BufferError, match=r"read-only.*copy=True"):
        block.__dlpack__()
    assert inside(block.__dlpack__(copy=True)).tensor.shape[0] == 100
    assert inside(block.__dlpack__(max_version=(1, 0), copy=True)).flags == IS_COPIED


@pytest.mark.parametrize("asked", [{"dl_device": (CUDA, 0)}, {"dl_device": (CPU, 1)}, {"stream": 1}])
def test_another_device_is_refused(block: Any, asked: Any) -> None:
    with pytest.raises(BufferError, match="host memory"):
        block.__dlpack__(max_version=(1, 0), **asked)


def test_the_same_device_may_be_named(block: Any) -> None:
    assert np.from_dlpack(block, device="cpu").size == 100
    block.__dlpack__(dl_device=(CPU, 0), copy=False, stream=None)


@pytest.mark.parametrize(
    "asked",
    [{"max_version": 1}, {"max_version": (1,)}, {"max_version": ("a", 0)}, {"dl_device": 1}, {"dl_device": (1,)}],
)
def test_what_is_no_answer_is_a_type_error(block: Any, asked: Any) -> None:
    with pytest.raises(TypeError):
        block.__dlpack__(**asked)
    with pytest.raises(TypeError):
        block.__dlpack__((1, 0))


def test_every_kind_of_block_lends_and_a_freed_one_does_not() -> None:
    heap = hw.Heap(hw.AnonymousSpace("4MiB"))
    pool, arena = hw.FixedPool(heap, 64), hw.Arena(heap)
    for resource, lender in ((heap, heap.allocate(64)), (pool, pool.acquire()), (arena, arena.allocate(64))):
        array: Any = np.from_dlpack(lender)  # type: ignore[arg-type]  # any of them
        array[:] = 3
        assert lender.read(0, 64) == b"\x03" * 64
        del array
        resource.deallocate(lender)  # type: ignore[attr-defined]
        with pytest.raises(hw.BlockFreed):
            np.from_dlpack(lender)  # type: ignore[arg-type]


def test_an_empty_block_is_an_empty_tensor(block: Any) -> None:
    assert np.from_dlpack(block.heap.allocate(0)).shape == (0,)


def test_without_memory_nothing_is_left_exported(block: Any) -> None:
    testcapi = pytest.importorskip("_testcapi")
    for copy in (False, True):
        for n in range(50):
            testcapi.set_nomemory(n, n + 1)
            try:
                capsule = block.__dlpack__(max_version=(1, 0), copy=copy)
            except MemoryError:
                capsule = None
            finally:
                testcapi.remove_mem_hooks()
            assert block.exports == (capsule is not None and not copy)
            if capsule is not None:
                break
        assert n > 0
        del capsule


def test_threads_lend_at_once(block: Any) -> None:
    def lend() -> None:
        for _ in range(200):
            assert np.from_dlpack(block).size == 100

    threads = [threading.Thread(target=lend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
