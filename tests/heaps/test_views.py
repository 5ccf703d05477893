"""Views keep their owner: whatever has an address of a block, the block is neither freed nor moved, and its error says
where it was allocated."""

import contextlib
import ctypes
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import heapwright as hw

CONSUMERS: dict[str, Callable[[Any], Any]] = {
    "memoryview": lambda block: memoryview(block),
    "view()": lambda block: block.view(),
    "a slice of a view": lambda block: block.view()[10:20],
    "np.frombuffer": lambda block: np.frombuffer(block, "u1"),
    "np.frombuffer of a view": lambda block: np.frombuffer(block.view(), "u1"),
    "np.asarray": lambda block: np.asarray(block.view()),
    "np.ndarray of a view": lambda block: np.ndarray(block.size_bytes, "u1", buffer=block.view()),
    "np.from_dlpack": lambda block: np.from_dlpack(block),
    "np.from_dlpack of an array": lambda block: np.from_dlpack(np.from_dlpack(block)),
    "a capsule": lambda block: block.__dlpack__(max_version=(1, 0)),
    "a capsule without a version": lambda block: block.__dlpack__(),
    "ctypes": lambda block: (ctypes.c_ubyte * block.size_bytes).from_buffer(block),
    "torch.frombuffer": lambda block: torch().frombuffer(block, dtype=torch().uint8),
    "torch.frombuffer of a view": lambda block: torch().frombuffer(block.view(), dtype=torch().uint8),
    "torch.from_dlpack": lambda block: torch().from_dlpack(block),
    "pyarrow.py_buffer": lambda block: pytest.importorskip("pyarrow").py_buffer(block),
}


def torch() -> Any:
    return pytest.importorskip("torch")


class Source:
    """A resource under `Tracking`, a block of it, and all ways in which it could be taken away."""

    def __init__(self, kind: str) -> None:
        self.heap = hw.Heap(hw.AnonymousSpace("1MiB"), strategy=hw.Bump() if kind == "bump" else hw.BestFit())
        below: Any = (
            hw.TieredPool(self.heap) if kind == "pool" else hw.Arena(self.heap) if kind == "arena" else self.heap
        )
        self.resource: Any = hw.Tracking(below)
        mark = self.heap.mark() if kind == "bump" else None
        self.block = self.resource.allocate(64)
        self.takings: list[Callable[[], object]] = [
            lambda: self.resource.deallocate(self.block),
            lambda: below.deallocate(self.block),
        ]
        if kind != "arena":
            self.takings.append(lambda: self.resource.reallocate(self.block, 100_000))
        if kind in ("heap", "bump"):
            self.takings.append(lambda: hw.Unique(self.block).close())
            self.takings.append(lambda: hw.Shared(self.block).close())
        if mark is not None:
            self.takings.append(lambda: self.heap.release(mark))
        if kind == "pool":
            self.takings.append(lambda: below.release(self.block))
        if kind == "arena":
            self.takings += [below.reset, below.close]


@pytest.fixture(params=["heap", "bump", "pool", "arena"])
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    made = Source(request.param)
    yield made
    gc.collect()


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_nobody_takes_a_block_away_from_under_a_view(source: Source, consumer: str) -> None:
    block, address = source.block, source.block.address
    view = CONSUMERS[consumer](block)
    gc.collect()
    for take in source.takings:
        with pytest.raises(hw.ViewExported):
            take()
    ctypes.memset(address, 0x5A, 64)  # what whoever has the view may do at any time
    others = [source.resource.allocate(64) for _ in range(100)]
    for other in others:
        other.write(0, bytes(64))
    assert block.read(0, 64) == b"\x5a" * 64
    assert block.exports == 1
    del view
    gc.collect()
    assert block.exports == 0
    source.takings[0]()
    assert block.state.value == "freed"


def test_an_array_that_numpy_makes_without_a_view_pins_the_handle(source: Source) -> None:
    """np.ndarray(buffer=block) keeps the block and lets go of its buffer: nothing says when it ends."""
    array = np.ndarray(64, "u1", buffer=source.block)
    gc.collect()
    for take in source.takings[:2]:
        with pytest.raises(hw.ViewExported, match=r"since np.ndarray\(buffer=block\)") as refused:
            take()
        assert refused.value.pinned
    array[:] = 7
    address = source.block.address
    source.takings.clear()
    source.block = None
    others = [source.resource.allocate(64) for _ in range(100)]
    assert array.tolist() == [7] * 64
    assert address not in {other.address for other in others}
    free = source.heap.statistics().free_bytes
    del array
    assert source.heap.statistics().free_bytes >= free


def test_an_array_that_numpy_makes_of_read_only_bytes_pins_too() -> None:
    heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    block = heap.allocate(64)
    heap.space.protect(hw.Permissions.READ)
    array = np.ndarray(64, "u1", buffer=block)
    assert not array.flags.writeable
    with pytest.raises(hw.ViewExported) as refused:
        heap.deallocate(block)
    assert refused.value.pinned


def test_a_pinned_block_goes_back_with_its_handle() -> None:
    heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    block = heap.allocate(64)
    array = np.ndarray(64, "u1", buffer=block)
    again = np.ndarray(8, "f8", buffer=block)
    assert block.exports == 1
    del block, array
    assert heap.statistics().requested_bytes == 64
    del again
    assert heap.statistics().requested_bytes == 0
    heap.space.protect(hw.Permissions.READ)  # no view is counted any more


def test_the_error_says_where_the_block_was_allocated(source: Source) -> None:
    with source.block.view():
        for take in source.takings:
            with pytest.raises(hw.ViewExported) as refused:
                take()
            sites = getattr(refused.value, "sites", ())
            site = sites[0] if sites else refused.value.site
            if not isinstance(refused.value, hw.ViewsEscaped):
                assert site is not None
                assert "test_views.py" in site
                assert site.endswith("in Source.__init__")
                assert f"64 B, allocated at {site})" in str(refused.value)


def test_an_arena_that_records_sites_is_a_witness_too() -> None:
    arena = hw.Arena("1MiB", sites=True)
    block = arena.allocate(64)
    with block.view(), pytest.raises(hw.ViewExported, match=r"test_views\.py:"):
        arena.deallocate(block)


def test_a_memory_with_red_zones_names_the_site_of_its_block() -> None:
    memory = hw.Memory(hw.Tracking(hw.Heap(hw.AnonymousSpace("1MiB")))).allocate(64)
    view = memory.view()
    with pytest.raises(hw.ViewExported, match=r"test_views\.py:") as refused:
        memory.free()
    assert refused.value.site is not None
    view.release()
    memory.free()


def test_without_anybody_who_saw_it_there_is_no_site() -> None:
    heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    block = heap.allocate(64)
    with block.view(), pytest.raises(hw.ViewExported, match=r"\(64 B\)") as refused:
        heap.deallocate(block)
    assert (refused.value.site, refused.value.pinned) == (None, False)


@pytest.mark.parametrize("owner", [hw.Unique, hw.Shared])
def test_a_view_of_an_owned_value_outlives_its_owner(owner: Any) -> None:
    heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    handle = owner(heap.allocate(64))
    array = np.from_dlpack(handle.value)
    array[:] = 7
    with pytest.raises(hw.ViewExported):
        handle.close()
    del handle  # its deleter is refused, too, and nobody is there to be told
    assert array.tolist() == [7] * 64
    assert heap.statistics().requested_bytes == 64
    del array
    assert heap.statistics().requested_bytes == 0


def test_views_end_on_any_thread() -> None:
    heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    block = heap.allocate(1 << 16)

    def look() -> None:
        for _ in range(300):
            arrays = [np.from_dlpack(block), np.frombuffer(block, "u1"), block.view()]
            assert block.exports >= len(arrays)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert block.exports == 0
    heap.deallocate(block)


def test_a_buffer_that_has_a_view_of_itself_is_collected() -> None:
    class Mine(hw.Buffer):
        mine: memoryview

    pool = hw.FixedPool(hw.Heap(hw.AnonymousSpace("1MiB")), 64, buffer_type=Mine)
    buffer: Any = pool.acquire()
    buffer.mine = buffer.view()
    del buffer
    gc.collect()
    assert pool.statistics().block_count == 0


@pytest.mark.parametrize("kind", ["heap", "pool", "arena"])
def test_what_the_collector_frees_while_a_view_is_made_is_not_viewed(kind: str) -> None:
    class Freeing:
        def __init__(self, source: Source) -> None:
            self.source, self.itself = source, self

        def __del__(self) -> None:
            with contextlib.suppress(hw.ViewExported):
                self.source.takings[0]()

    thresholds = gc.get_threshold()
    held: list[memoryview] = []
    refused = 0
    for count in range(1, 12):
        source = Source(kind)
        held.clear()
        held += [source.resource.allocate(16).view() for _ in range(100)]  # more exports than are kept for reuse
        gc.collect()
        gc.disable()
        Freeing(source)
        block, views = source.block, []
        gc.set_threshold(count)
        gc.enable()
        try:
            views += [block.view(), block.view(), block.view()]
        except hw.BlockFreed:
            refused += 1
        finally:
            gc.set_threshold(*thresholds)
        assert len(held) == 100
        assert not views or all(view.tobytes() == block.read(0, 64) for view in views)
        views.clear()
        gc.collect()  # while there is a source
    assert refused > 0 or sys.version_info >= (3, 12)  # where the collector waits for the next instruction


def test_an_export_lends_the_bytes_again_and_names_its_block() -> None:
    block = hw.Heap(hw.AnonymousSpace("1MiB")).allocate(64)
    export = block.view().obj
    assert export.block is block
    assert repr(export).startswith("<Export of <Block")
    with memoryview(export) as again:
        again[:] = bytes(64)
        assert block.exports == 2
