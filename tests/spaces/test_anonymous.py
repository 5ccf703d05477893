import os
import resource
from pathlib import Path

import pytest

import heapwright as hw

PAGE = os.sysconf("SC_PAGESIZE")


def test_a_space_is_the_triple_of_the_model() -> None:
    space = hw.AnonymousSpace("1GiB")
    assert isinstance(space, hw.model.space.Space)
    assert space.address % space.alignment == 0
    assert (space.size_bytes, space.alignment) == (1 << 30, 2 << 20)
    assert space.permissions == hw.Permissions.READ | hw.Permissions.WRITE
    assert "1 GiB" in repr(space)


def test_reserving_costs_no_memory() -> None:
    space = hw.AnonymousSpace("1TiB")
    assert (space.committed_bytes, space.resident_bytes()) == (0, 0)
    heap = hw.Heap(space)
    heap.allocate("1MiB").view()[:] = bytes(1 << 20)
    assert heap.granule_bytes == 512  # 32-bit numbers for 2**40 bytes
    assert heap.capacity_bytes == 1 << 40


@pytest.mark.parametrize("size", [0, 1, PAGE - 1, PAGE, PAGE + 1])
def test_sizes_are_whole_pages(size: int) -> None:
    assert hw.AnonymousSpace(size).size_bytes == max(1, -(-size // PAGE)) * PAGE


@pytest.mark.parametrize("alignment", [1, PAGE, "64KiB", "2MiB", "1GiB"])
def test_alignment(alignment: int | str) -> None:
    assert hw.AnonymousSpace(PAGE, alignment=alignment).address % max(PAGE, hw.parse_size(alignment)) == 0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(
        hw.SystemCallFailed, match=f"reserving {2**62} B of address space failed: Cannot allocate memory"
    ):
        hw.AnonymousSpace(2**62)
    with pytest.raises(OSError, match="reserving"):
        hw.AnonymousSpace(2**100)
    with pytest.raises(hw.InvalidAlignment):
        hw.AnonymousSpace(1, alignment=3)
    with pytest.raises(ValueError, match="0 to 7"):
        hw.AnonymousSpace(1).protect(8)


def test_the_address_space_goes_when_the_last_user_goes() -> None:
    def mapped(address: int) -> bool:
        with Path("/proc/self/maps").open() as maps:
            return any(
                int(low, 16) <= address < int(high, 16)
                for low, _, high in (line.split()[0].partition("-") for line in maps)
            )

    block = hw.Heap(hw.AnonymousSpace("32MiB")).allocate(10)
    view, address = block.view(), block.address
    del block
    assert mapped(address)
    del view
    assert not mapped(address)


def test_a_first_block_costs_the_same_in_a_space_of_any_size() -> None:
    def faults(size: str) -> int:
        heap = hw.Heap(hw.AnonymousSpace(size))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        heap.allocate(10)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert faults("256GiB") < faults("1GiB") + 64  # the map of its pages has 2,048, and is not looked through
