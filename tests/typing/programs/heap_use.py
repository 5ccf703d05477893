"""Heaps, pools and arenas as programs use them must pass both checkers, with the types that are written here."""

from typing import Any, assert_type

import numpy as np

import heapwright as hw

heap = hw.Heap(hw.AnonymousSpace("1MiB"))
by_type = hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))
by_object = hw.Heap(hw.AnonymousSpace("1MiB"), strategy=hw.TLSF())


def blocks() -> None:
    assert_type(heap, hw.Heap[Any])
    assert_type(by_type, hw.Heap[hw.BestFit])
    assert_type(by_object, hw.Heap[hw.TLSF])
    block = assert_type(heap.allocate("4KiB", alignment=64), hw.Block)
    assert_type(heap.try_allocate(1), hw.Block | None)
    block.write(0, b"hello")
    assert_type(block.read(0, 5), bytes)
    heap.deallocate(heap.reallocate(block, 8192))


def marks() -> None:
    stacked = hw.Heap[hw.Bump](hw.AnonymousSpace("1MiB"))
    mark = assert_type(stacked.mark(), hw.Mark)
    assert_type(stacked.allocate(1), hw.Block)
    stacked.release(mark)
    with stacked.mark():
        stacked.allocate(1)


def adaptors() -> None:
    limited = hw.Limiting(heap, "64KiB")
    assert_type(hw.Limiting(limited, 1000).allocate(10), hw.Block)
    hw.Memory(limited).allocate(10).free()


def arenas() -> None:
    with hw.Arena("64MiB", on_escape="promote") as arena:
        array: np.ndarray[Any, Any] = arena.ndarray((3, 4), "f8", zero=True)
        arena.ndarray(10, np.dtype("i4"))
        with arena.mark() as mark:
            arena.allocate("1KiB").write(0, array.data)
        assert_type(mark.is_open, bool)
        arena.reset()
    hw.Arena(hw.Limiting(heap, "64KiB"), chunk_bytes="16KiB", sites=True).close()
    hw.FixedPool(hw.Arena(heap), block_bytes=64)
    hw.Memory(hw.Arena(heap)).allocate(1)
