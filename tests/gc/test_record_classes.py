"""What a class of records can be, what its fields take, and what columns of it show."""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import pytest

import heapwright as hw


@hw.record
class Leaf:
    small: hw.u8 = 0
    signed: hw.i16 = -1
    number: hw.f32 = 0.5
    flag: bool = True
    tag: Annotated[bytes, hw.Fixed(4)] = b"ab"
    name: str = "?"
    body: bytes = b""


@hw.record
class Node:
    key: hw.i64
    leaf: hw.Ref["Leaf"]
    next: hw.Ref["Node"]
    either: hw.Ref["Node | Leaf"]
    seen: hw.WeakRef["Node"]
    all: hw.Refs["Node"]


@pytest.fixture
def heap() -> hw.RecordHeap:
    return hw.RecordHeap(hw.MarkSweep(automatic=False))


def test_fields_hold_what_was_stored(heap: hw.RecordHeap) -> None:
    leaf = heap.new(Leaf)
    assert (leaf.small, leaf.signed, leaf.number, leaf.flag) == (0, -1, 0.5, True)
    assert (leaf.tag, leaf.name, leaf.body) == (b"ab\0\0", "?", b"")
    leaf.small, leaf.signed, leaf.flag, leaf.tag, leaf.name, leaf.body = 255, -32768, False, b"wxyz", "ünï", b"\0" * 9
    assert (leaf.small, leaf.signed, leaf.flag, leaf.tag, leaf.name, leaf.body) == (
        255,
        -32768,
        False,
        b"wxyz",
        "ünï",
        b"\0" * 9,
    )


@pytest.mark.parametrize(("field", "value", "lowest", "highest"), [("small", 256, 0, 255), ("small", -1, 0, 255)])
def test_a_value_out_of_range_leaves_the_record_as_it_was(
    heap: hw.RecordHeap, field: str, value: int, lowest: int, highest: int
) -> None:
    leaf = heap.new(Leaf, small=7)
    with pytest.raises(hw.ValueOutOfRange) as raised:
        setattr(leaf, field, value)
    error = raised.value
    assert (error.owner, error.field, error.value) == ("Leaf", field, value)
    assert (error.lowest, error.highest) == (lowest, highest)
    assert leaf.small == 7


@pytest.mark.parametrize("field", ["leaf", "next", "seen"])
def test_references_are_to_their_class_and_heap(heap: hw.RecordHeap, field: str) -> None:
    node, wrong = (
        heap.new(Node, key=1),
        heap.new(Node if field == "leaf" else Leaf, **{"key": 2} if field == "leaf" else {}),
    )
    with pytest.raises(hw.WrongRecord, match=f"Node.{field} refers to a"):
        setattr(node, field, wrong)
    elsewhere = hw.RecordHeap()
    foreign: Any = elsewhere.new(Leaf) if field == "leaf" else elsewhere.new(Node, key=3)
    with pytest.raises(hw.ForeignRecord, match="of another heap"):
        setattr(node, field, foreign)
    assert getattr(node, field) is None


def test_a_reference_to_several_classes_takes_each_of_them(heap: hw.RecordHeap) -> None:
    node, leaf = heap.new(Node, key=1), heap.new(Leaf)
    for target in (leaf, node, None):
        node.either = target
        assert node.either is target


def test_weak_references_keep_nothing(heap: hw.RecordHeap) -> None:
    node, seen = heap.new(Node, key=1), heap.new(Node, key=2)
    node.seen = seen
    assert heap.collect() == 0
    del seen
    assert heap.collect() == 1
    assert node.seen is None


def base() -> None:
    class Base:
        pass

    @hw.record
    class Derived(Base):
        key: hw.i64


def subclass() -> None:
    class Derived(Leaf):  # type: ignore[misc]
        pass


def no_meaning() -> None:
    @hw.record
    class Odd:
        anything: list[int]


def no_fields() -> None:
    @hw.record
    class Empty:
        pass


def default_too_large() -> None:
    @hw.record
    class Large:
        small: hw.u8 = 256


@pytest.mark.parametrize(
    ("define", "why"),
    [
        (base, "has base classes"),
        (subclass, "has no subclasses"),
        (no_meaning, "is none of what it can be"),
        (no_fields, "has no fields"),
        (default_too_large, "does not fit"),
    ],
)
def test_a_class_that_cannot_be_one_of_records_is_refused(define: Callable[[], None], why: str) -> None:
    with pytest.raises(hw.InvalidRecord, match=why):
        define()


def test_columns_are_the_records(heap: hw.RecordHeap) -> None:
    run = heap.extend(Node, key=np.arange(100), next=np.arange(100) - 1)
    keys, links = run.column("key"), run.column("next")
    keys *= 2
    assert run[50].key == 100
    assert run[50].next is run[49]
    assert links[50] == 49
    assert links[0] == 2**32 - 1
    with pytest.raises(ValueError, match="read-only"):
        links[0] = 1
    with pytest.raises(KeyError, match="no field 'nothing'"):
        run.column("nothing")
    with pytest.raises(KeyError, match="variable size"):
        heap[Node].column("all")


@pytest.mark.parametrize(
    ("columns", "error", "why"),
    [
        ({"key": [1, 2], "leaf": [0]}, ValueError, "differ in length"),
        ({"key": []}, ValueError, "empty"),
        ({}, TypeError, "no default for 'key'"),
        ({"key": [1], "nothing": [1]}, TypeError, "no field 'nothing'"),
        ({"key": [1, 2], "next": [0, 2]}, IndexError, "2"),
        ({"key": [1.5]}, ValueError, "key"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    heap: hw.RecordHeap, columns: dict[str, Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        heap.extend(Node, **columns)


def test_a_column_in_use_keeps_its_class_where_it_is(heap: hw.RecordHeap) -> None:
    run = heap.extend(Node, key=np.arange(1000))
    kept, column = run[999], heap[Node].column("key")
    del run
    assert heap.collect() == 999
    assert heap.compact().pinned_classes == 1
    assert column[999] == kept.key == 999
    with pytest.raises(hw.ViewExported):
        heap[Node].column("key")
    del column
    assert heap.compact().moved == 1
    assert heap[Node].column("key").tolist() == [999]


def test_a_heap_that_is_full_says_so_with_the_figures() -> None:
    heap = hw.RecordHeap(capacity="64KiB")
    with pytest.raises(hw.RecordHeapFull) as raised:
        heap.extend(Node, key=np.arange(100_000))
    assert raised.value.capacity_bytes == 64 << 10
    assert raised.value.size_bytes == 100_000 * hw.record_bytes(Node)
