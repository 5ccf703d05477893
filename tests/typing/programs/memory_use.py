"""Programs that must pass both checkers, with the types that are written here."""

from typing import assert_type

import heapwright as hw

heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))


def a_whole_life() -> None:
    fresh: hw.Memory[hw.Unallocated] = hw.Memory(heap)
    mine: hw.Memory[hw.Allocated] = fresh.allocate(64)
    mine.write(0, b"hello")
    assert_type(mine.read(0, 5), bytes)
    with mine.view() as view:
        view[0] = 7
    sealed = assert_type(mine.reallocate("1KiB").seal(), hw.Memory[hw.Sealed])
    assert_type(sealed.address, int)
    gone: hw.Memory[hw.Freed] = sealed.unseal().free()
    again = assert_type(gone.reuse(), hw.Memory[hw.Unallocated])
    maybe = again.try_allocate("1TiB")
    if maybe is not None:
        assert_type(maybe.free(), hw.Memory[hw.Freed])


def asks_what_it_is(mine: hw.Memory[hw.Allocated]) -> bytes:
    seen = mine.verify()
    if hw.is_corrupted(seen):
        assert_type(seen.damage(), hw.Damage)
        return seen.salvage() or b""
    assert_type(seen, hw.Memory[hw.Allocated])
    return seen.read(0, 1)


def of_two_states(mine: hw.Memory[hw.Allocated | hw.Sealed]) -> bytes:
    return mine.read(0, mine.size_bytes)


def catches(mine: hw.Memory[hw.Allocated]) -> str:
    try:
        mine.free()
    except hw.CorruptedMemory as error:
        return "" if error.memory is None else str(error.memory.damage())
    return ""


def over_any_resource() -> None:
    hw.Memory(hw.Limiting(heap, "64KiB"), red_zone_bytes=64).allocate(8)
    hw.Memory(hw.HeapBuilder().capacity("1MiB").build(), quarantine=hw.Quarantine()).allocate(8)
