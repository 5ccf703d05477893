"""The laws of buddies, from the definition."""

import random
from itertools import pairwise

import pytest

from heapwright.model.buddy import BuddyModel


@pytest.mark.parametrize("capacity", [4096, 4096 - 16, 3 * 1024 + 5 * 16 + 7])
def test_laws(capacity: int) -> None:
    choose = random.Random(capacity)
    heap, whole = BuddyModel(capacity), BuddyModel(capacity).draw()
    for _ in range(3000):
        if heap.live and choose.random() < 0.5:
            assert heap.deallocate(choose.choice(list(heap.live)))
        else:
            requested, alignment = choose.randrange(400), 1 << choose.randrange(9)
            largest = max((hole.size for hole in heap.holes()), default=0)
            offset = heap.allocate(requested, alignment)
            assert (offset is None) == (largest < max(heap.rounded(requested), alignment))  # bottom, exactly
            assert offset is None or offset % alignment == 0
        blocks = sorted([(start, block.size) for start, block in heap.live.items()] + list(heap.holes()))
        assert all(start + size == later for (start, size), (later, _) in pairwise(blocks))
        assert sum(size for _, size in blocks) == heap.capacity
        assert all(size & (size - 1) == 0 and start % size == 0 for start, size in blocks)
        holes = set(heap.holes())
        assert not any((start ^ size, size) in holes for start, size in holes)  # merged as far as can be
        assert all(block.size < 2 * max(block.requested, 16) for block in heap.live.values())
    for offset in list(heap.live):
        heap.deallocate(offset)
    assert heap.draw() == whole


def test_resize_takes_in_buddies_on_the_right_only() -> None:
    heap = BuddyModel(1024)
    a, b = heap.allocate(64), heap.allocate(64)
    assert (a, b) == (0, 64)
    assert not heap.resize(64, 100)  # its buddy is on the left
    assert not heap.resize(0, 100)  # its buddy is live
    heap.deallocate(64)
    assert heap.resize(0, 300)
    assert heap.draw() == "[512] 512"
    assert heap.resize(0, 20)
    assert heap.draw() == "[32] 32 64 128 256 512"
