"""Handles beside CPython's own collector, which has no business with them."""

import gc
import sys

import pytest

import heapwright as hw


@hw.record
class Leaf:
    number: hw.i64
    other: hw.Ref["Leaf"]


def test_are_no_objects_for_the_cyclic_collector() -> None:
    """They have no header for it: it would read, and write, in front of them."""
    assert not Leaf.__flags__ & (1 << 9 + 5)  # Py_TPFLAGS_HAVE_GC
    heap = hw.RecordHeap()
    leaf = heap.new(Leaf, number=1)
    assert not gc.is_tracked(leaf)
    assert sys.getsizeof(leaf) <= 48


def test_lie_among_objects_of_all_kinds_while_it_runs() -> None:
    heap = hw.RecordHeap()
    for _ in range(50):
        mixed = [(heap.new(Leaf, number=i), [i], {i: i}) for i in range(500)]
        del mixed[::2]
        gc.collect(0)
    gc.collect()
    assert [leaf.number for leaf, _, _ in mixed] == list(range(1, 500, 2))


def test_a_heap_that_only_a_cycle_of_python_keeps_is_collected() -> None:
    before = sum(isinstance(thing, hw.RecordHeap) for thing in gc.get_objects())
    loop: list[object] = [hw.RecordHeap()]
    heap = loop[0]
    assert isinstance(heap, hw.RecordHeap)
    loop += [heap.new(Leaf, number=1), loop]
    del loop, heap
    gc.collect()
    assert sum(isinstance(thing, hw.RecordHeap) for thing in gc.get_objects()) == before


def test_are_made_by_heaps_only() -> None:
    with pytest.raises(TypeError):
        Leaf()
