"""Records as programs use them must pass both checkers, with the types that are written here."""

from collections.abc import MutableSequence
from typing import assert_type

import heapwright as hw


@hw.record
class Station:
    name: str
    lines: hw.u8
    passengers: hw.f64 = 0.0
    next: hw.Ref["Station"]
    seen: hw.WeakRef["Station"]
    near: hw.Refs["Station"]


heap = hw.RecordHeap(hw.Incremental(budget_us=500))


def fields() -> None:
    station = assert_type(heap.new(Station, name="Aldgate", lines=2), Station)
    assert_type(station.name, str)
    assert_type(station.lines, int)
    assert_type(station.passengers, float)
    assert_type(station.next, Station | None)
    assert_type(station.seen, Station | None)
    assert_type(station.near, MutableSequence[Station])
    station.next = station
    station.next = None
    station.near.append(station)


def many() -> None:
    run = heap.extend(Station, name="x", lines=[1, 2])
    assert_type(run[0], Station)
    assert_type(heap[Station][0], Station)
    assert_type(heap.collect(), int)
    assert_type(heap.step(500), bool)
