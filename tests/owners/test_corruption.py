"""Real stray writes, through ctypes and NumPy, and what becomes of the memory."""

import copy
import ctypes
import gc
import os
import pickle
import sys
import threading
from typing import Any

import numpy as np
import pytest

import heapwright as hw
from heapwright.owners.canary import canary

SIZE = 61  # no multiple of anything: the red zone begins at the very next byte


@pytest.fixture
def heap() -> hw.Heap[hw.BestFit]:
    return hw.Heap[hw.BestFit](hw.AnonymousSpace("64MiB"))


@pytest.fixture
def quarantine() -> hw.Quarantine:
    return hw.Quarantine()


@pytest.fixture
def mine(heap: hw.Heap[hw.BestFit], quarantine: hw.Quarantine) -> hw.Memory[hw.Allocated]:
    return hw.Memory(heap, quarantine=quarantine).allocate(SIZE)


def spoil(address: int) -> None:
    ctypes.c_ubyte.from_address(address).value ^= 0x40


@pytest.mark.parametrize("offset", [*range(-16, 0), *range(SIZE, SIZE + 16)])
def test_one_changed_byte_of_either_zone_is_found(
    mine: hw.Memory[hw.Allocated], quarantine: hw.Quarantine, offset: int
) -> None:
    mine.write(0, b"precious")
    spoil(mine.address + offset)
    seen = mine.verify()
    assert hw.is_corrupted(seen)
    (mismatch,) = seen.damage().mismatches
    assert mismatch.offset_bytes == offset
    assert mismatch.where == ("red zone before" if offset < 0 else "red zone after")
    assert mismatch.expected[0] ^ mismatch.found[0] == 0x40
    assert seen.damage().damaged_bytes == 1
    salvaged = seen.salvage()
    assert salvaged is not None
    assert salvaged[:8] == b"precious"
    assert list(quarantine) == [seen.damage()]
    with pytest.raises(hw.InvalidTransition, match="verify"):
        mine.read(0, 1)


def test_a_loop_that_goes_one_too_far_in_numpy(mine: hw.Memory[hw.Allocated]) -> None:
    array = np.frombuffer(mine.view(), "u1")
    longer = np.lib.stride_tricks.as_strided(array, (SIZE + 3,))
    longer[:] = 0
    del longer, array
    with pytest.raises(hw.CorruptedMemory, match=r"cannot free the memory at 0x.* red zone after, offset 61") as caught:
        mine.free()
    error = caught.value
    assert error.during == "free"
    assert error.memory is not None
    assert error.memory.state is hw.State.CORRUPTED
    assert error.damage.damaged_bytes == 3  # no byte of a canary is zero, so zeros never go unnoticed


@pytest.mark.parametrize("step", ["free", "reallocate", "seal"])
def test_every_step_looks_first(mine: Any, quarantine: hw.Quarantine, step: str) -> None:
    spoil(mine.address - 1)
    with pytest.raises(hw.CorruptedMemory) as caught:
        getattr(mine, step)(*([128] if step == "reallocate" else []))
    assert caught.value.during == step
    assert len(quarantine) == 1
    with pytest.raises(hw.InvalidTransition, match=step):
        mine.free()


def test_a_block_in_quarantine_is_nobodys(heap: hw.Heap[hw.BestFit], quarantine: hw.Quarantine) -> None:
    mine = hw.Memory(heap, quarantine=quarantine).allocate(SIZE)
    address, before = mine.address, heap.draw()
    spoil(address + SIZE)
    seen = mine.verify()
    del mine, seen
    gc.collect()
    assert heap.draw() == before
    others = [heap.allocate(SIZE) for _ in range(100)]
    assert not any(other.address <= address < other.address + SIZE for other in others)
    assert quarantine.held_bytes == SIZE + 32
    del others
    quarantine.__init__()  # type: ignore[misc]  # who holds the quarantine may end it: then the block goes back
    assert heap.draw() == str(heap.capacity_bytes)


def test_a_dropped_handle_is_checked_too(
    heap: hw.Heap[hw.BestFit], quarantine: hw.Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = hw.Memory(heap, quarantine=quarantine).allocate(SIZE)
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    spoil(mine.address + SIZE)
    del mine
    gc.collect()
    assert len(quarantine) == 1
    assert isinstance(told[0].exc_value, hw.CorruptedMemory)
    assert told[0].exc_value.memory is None


def test_a_dropped_handle_that_is_whole_frees(heap: hw.Heap[hw.BestFit]) -> None:
    mine = hw.Memory(heap).allocate(SIZE)
    kept = hw.Memory(heap)
    also = kept.allocate(SIZE)
    del mine, also  # `kept` was moved from, and keeps nothing
    assert heap.draw() == str(heap.capacity_bytes)


def test_a_view_keeps_its_memory_and_the_check(
    heap: hw.Heap[hw.BestFit], quarantine: hw.Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    array = np.frombuffer(hw.Memory(heap, quarantine=quarantine).allocate(800).view(), "f8")
    array[:] = 1.5
    assert array.sum() == 150
    np.lib.stride_tricks.as_strided(array, (101,))[100] = 2.5
    assert not told
    del array
    assert len(told) == len(quarantine) == 1


def test_check_every_access_finds_it_at_once(heap: hw.Heap[hw.BestFit], quarantine: hw.Quarantine) -> None:
    for access in ("read", "write"):
        mine: Any = hw.Memory(heap, check_every_access=True, quarantine=quarantine).allocate(SIZE)
        mine.write(0, b"x")
        spoil(mine.address + SIZE + 7)
        with pytest.raises(hw.CorruptedMemory) as caught:
            mine.read(0, 1) if access == "read" else mine.write(0, b"y")
        assert caught.value.during == access


def test_sealed_bytes_cannot_change_unseen(heap: hw.Heap[hw.BestFit], quarantine: hw.Quarantine) -> None:
    memory = hw.Memory(heap, quarantine=quarantine)
    mine = memory.allocate(SIZE)
    mine.write(0, b"law")
    sealed = mine.seal()
    assert sealed.verify() is sealed
    mine = sealed.unseal()
    mine.write(3, b"!")
    sealed = mine.seal()
    spoil(sealed.address + 30)
    with pytest.raises(hw.CorruptedMemory, match="checksum") as caught:
        sealed.unseal()
    assert caught.value.damage.mismatches[0].where == "checksum"
    assert caught.value.damage.damaged_bytes == 0
    assert caught.value.memory is not None
    salvaged = caught.value.memory.salvage()
    assert salvaged is not None
    assert salvaged[:4] == b"law!"


def test_a_zone_copied_over_another_one_is_damage(mine: hw.Memory[hw.Allocated]) -> None:
    ctypes.memmove(mine.address + SIZE, mine.address - 16, 16)
    assert hw.is_corrupted(mine.verify())


def test_the_evidence_crosses_processes(mine: hw.Memory[hw.Allocated]) -> None:
    spoil(mine.address + SIZE)
    with pytest.raises(hw.CorruptedMemory) as caught:
        mine.free()
    sent = pickle.loads(pickle.dumps(caught.value))
    assert (sent.damage, sent.memory, str(sent)) == (caught.value.damage, None, str(caught.value))


def test_without_red_zones_nothing_is_added_and_nothing_found(heap: hw.Heap[hw.BestFit]) -> None:
    mine = hw.Memory(heap, red_zone_bytes=0).allocate(64)
    assert heap.draw() == f"[64] {heap.capacity_bytes - 64}"
    assert mine.verify() is mine


def test_a_space_that_cannot_be_written_gives_no_guarded_memory() -> None:
    space = hw.AnonymousSpace("1MiB")
    heap = hw.Heap[hw.BestFit](space)
    mine = hw.Memory(heap).allocate(64)
    mine.write(0, b"kept")
    space.protect(hw.Permissions.READ)
    assert mine.read(0, 4) == b"kept"
    assert mine.view().readonly
    with pytest.raises(hw.PermissionDenied):
        mine.write(0, b"lost")
    with pytest.raises(hw.PermissionDenied):
        hw.Memory(heap).allocate(64)
    assert heap.statistics().block_count == 1
    space.protect(hw.Permissions.NONE)
    with pytest.raises(hw.PermissionDenied):
        mine.free()
    space.protect(hw.Permissions.READ | hw.Permissions.WRITE)
    mine.free()


def test_of_many_threads_one_frees(heap: hw.Heap[hw.BestFit]) -> None:
    for _ in range(20):
        mine = hw.Memory(heap).allocate(SIZE)
        start, freed, refused = threading.Barrier(4), [], []

        def compete(mine: Any = mine, start: Any = start, freed: Any = freed, refused: Any = refused) -> None:
            start.wait()
            try:
                freed.append(mine.free())
            except hw.InvalidTransition as error:
                refused.append(error)

        threads = [threading.Thread(target=compete) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(freed), len(refused)) == (1, 3)


@pytest.mark.parametrize("check_every_access", [False, True])
def test_reading_while_another_thread_frees_is_refused_in_a_word(
    heap: hw.Heap[hw.BestFit], check_every_access: bool
) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    errors: set[type] = set()
    try:
        for _ in range(100):
            mine: Any = hw.Memory(heap, check_every_access=check_every_access).allocate(SIZE)

            def read(mine: Any = mine) -> None:
                try:
                    while True:
                        mine.read(0, 8)
                except Exception as error:
                    errors.add(type(error))

            thread = threading.Thread(target=read)
            thread.start()
            while True:
                try:
                    mine.free()
                    break
                except hw.ViewExported:
                    continue
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors <= {hw.InvalidTransition, hw.BlockFreed}


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_in_the_middle_of_a_step_leaves_the_child_its_memory(mine: Any) -> None:
    taken, done = threading.Event(), threading.Event()

    def in_a_step() -> None:
        with mine._turn():
            taken.set()
            done.wait()

    thread = threading.Thread(target=in_a_step)
    thread.start()
    taken.wait()
    child = os.fork()
    if child == 0:
        mine.write(0, b"child")
        mine.free()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    done.set()
    thread.join()
    mine.free()


def test_a_handle_is_not_copied(mine: hw.Memory[hw.Allocated]) -> None:
    for twice in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="two handles would own one block"):
            twice(mine)


def test_bottom_leaves_the_handle_good(heap: hw.Heap[hw.BestFit]) -> None:
    memory = hw.Memory(heap)
    assert memory.try_allocate("1TiB") is None
    with pytest.raises(hw.OutOfMemory):
        memory.allocate("1TiB")
    mine = memory.allocate(8)
    with pytest.raises(hw.OutOfMemory):
        mine.reallocate("1TiB")
    mine.write(0, b"12345678")
    assert mine.read(0, 8) == b"12345678"


@pytest.mark.parametrize("alignment", [1, 16, 64, 4096])
def test_the_memory_is_aligned_not_its_red_zone(heap: hw.Heap[hw.BestFit], alignment: int) -> None:
    mine = hw.Memory(heap, red_zone_bytes=24).allocate(100, alignment=alignment)
    assert mine.address % alignment == 0
    fence = heap.allocate(16)
    moved = mine.reallocate(100_000)
    assert moved.address % alignment == 0
    assert moved.verify() is moved
    del fence


def test_a_memory_over_an_adaptor_counts_there(heap: hw.Heap[hw.BestFit]) -> None:
    limited = hw.Limiting(heap, 128)
    memory = hw.Memory(limited)
    mine = memory.allocate(96)
    assert limited.statistics().current_bytes == 96 + 32
    assert hw.Memory(limited).try_allocate(1) is None
    mine.free()
    assert limited.statistics().current_bytes == 0


def test_a_memory_may_lie_in_an_arena_or_a_pool(heap: hw.Heap[hw.BestFit]) -> None:
    for resource in (hw.Arena(heap), hw.TieredPool(heap)):
        quarantine = hw.Quarantine()
        memory = hw.Memory(resource, quarantine=quarantine)
        mine = memory.allocate(SIZE)
        mine.write(0, b"hello")
        mine = mine.reallocate(2 * SIZE)
        assert mine.read(0, 5) == b"hello"
        again = mine.free().reuse().allocate(SIZE)
        spoil(again.address + SIZE)
        assert hw.is_corrupted(again.verify())
        assert quarantine.held_bytes == SIZE + 32
        if isinstance(resource, hw.Arena):
            with pytest.raises(hw.ViewsEscaped):
                resource.reset()
        quarantine.__init__()  # type: ignore[misc]


def test_canaries_have_no_zero_and_differ_by_address() -> None:
    zones = [canary(address, 16) for address in range(0, 1 << 16, 16)]
    assert not any(0 in zone for zone in zones)
    assert len(set(zones)) > len(zones) - 64  # all but those that a stand-in makes alike
    whole = canary(1000, 64)
    assert all(canary(1000 + i, 5) == whole[i : i + 5] for i in range(59))
