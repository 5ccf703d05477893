"""The laws of good fit, from the definition."""

from hypothesis import given
from hypothesis import strategies as st

from heapwright.model.tlsf import SECOND_LEVEL, TlsfModel, search_class, size_class

GRANULES = st.integers(1, 2**32 - 1)


def test_search_is_the_first_class_whose_smallest_member_is_large_enough() -> None:
    smallest: dict[int, int] = {}
    for size in range(1, 5000):
        smallest.setdefault(size_class(size), size)
    for size in range(1, 4000):
        assert search_class(size) == min(number for number, least in smallest.items() if least >= size)


@given(GRANULES, GRANULES)
def test_classes_grow_with_size(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert size_class(low) <= size_class(high)


@given(GRANULES, GRANULES)
def test_a_hole_of_the_class_fits_and_a_32nd_more_is_enough(size: int, hole: int) -> None:
    if size_class(hole) >= search_class(size):
        assert hole >= size
    if hole >= size + size / 2**SECOND_LEVEL:
        assert size_class(hole) >= search_class(size)


def test_a_space_of_any_size_has_room_for_a_block_of_that_size() -> None:
    for granules in (1000, 1001, 1023, 1024, 1025):
        assert TlsfModel(granules * 16).allocate(granules * 16) == 0


def test_bottom_only_where_no_hole_is_larger_by_a_32nd() -> None:
    heap = TlsfModel(2 << 20)
    blocks = [heap.allocate(size) for size in range(4000, 6000, 16) for _ in (0, 1)]
    for offset in blocks[::2]:
        assert offset is not None
        heap.deallocate(offset)
    heap.allocate(max(hole.size for hole in heap.holes()))
    for requested in range(4000, 8000, 16):
        granules, holes = requested // 16, [hole.size for hole in heap.holes()]
        bottom = heap.allocate(requested) is None
        assert not bottom or max(holes) < (granules + granules // 32) * 16
