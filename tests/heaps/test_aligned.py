import pytest

import heapwright as hw


def test_the_minimum_holds_and_more_is_given() -> None:
    aligned = hw.Aligned(hw.Heap(hw.AnonymousSpace("1MiB")), 256)
    fences = []
    for alignment, at_least in ((None, 256), (1, 256), (256, 256), (4096, 4096)):
        fences.append(aligned.allocate(1, alignment))
        assert fences[-1].address % at_least == 0
        block = aligned.try_allocate(1, alignment)
        assert block is not None
        assert block.address % at_least == 0
        fences.append(block)
        fences.append(aligned.reallocate(aligned.allocate(1, alignment), 5000))
        assert fences[-1].address % at_least == 0


def test_it_never_lowers_what_the_upstream_promises() -> None:
    heap = hw.Heap(hw.AnonymousSpace("1MiB"), alignment=64)
    aligned = hw.Aligned(hw.Limiting(heap, 1000), 8)
    assert aligned.alignment == 64
    blocks = [aligned.allocate(1) for _ in range(3)]
    assert [block.address % 64 for block in blocks] == [0, 0, 0]
    assert aligned.allocate(1, 1).address % 8 == 0
    assert hw.Aligned(heap, "4KiB").alignment == 4096


def test_what_is_no_alignment_is_refused() -> None:
    with pytest.raises(hw.InvalidAlignment):
        hw.Aligned(hw.Heap(hw.AnonymousSpace("1MiB")), 48)
    for adaptor in (hw.Aligned(hw.Heap(hw.AnonymousSpace("1MiB")), 64),):
        with pytest.raises(hw.InvalidAlignment):
            adaptor.allocate(1, 3)
