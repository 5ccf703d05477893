"""Every collector and the definition (model/records.py), step by step: the same records, and only the dead are freed.

What is in the heap is read from columns: reading it through handles would shade it, and hide what a barrier forgot.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import heapwright as hw
from heapwright.model.records import FieldKind, RecordsModel


@hw.record
class Node:
    number: hw.i64
    left: hw.Ref[Node]
    right: hw.Ref[Node]
    weak: hw.WeakRef[Node]


@hw.record
class Hub:
    number: hw.i64
    any: hw.Ref[Node | Hub]
    weak: hw.WeakRef[Node | Hub]
    spokes: hw.Refs[Node]
    name: str = ""


@hw.record
class Ender:
    number: hw.i64
    node: hw.Ref[Node]
    next: hw.Ref[Ender]
    raw: bytes = b""

    def __finalize__(self) -> None:
        self.__record_heap__.world.finalized(self)  # type: ignore[attr-defined]


CLASSES: dict[str, type[Any]] = {"Node": Node, "Hub": Hub, "Ender": Ender}
VALUE, STRONG, ARRAY, WEAK = FieldKind
SCHEMA = {
    "Node": {"left": STRONG, "right": STRONG, "weak": WEAK},
    "Hub": {"any": STRONG, "weak": WEAK, "spokes": ARRAY, "name": VALUE},
    "Ender": {"node": STRONG, "next": STRONG, "raw": VALUE},
}
#: Field to the classes that it may refer to.
TARGETS = {
    ("Node", "left"): ["Node"],
    ("Node", "right"): ["Node"],
    ("Node", "weak"): ["Node"],
    ("Hub", "any"): ["Node", "Hub"],
    ("Hub", "weak"): ["Node", "Hub"],
    ("Ender", "node"): ["Node"],
    ("Ender", "next"): ["Ender"],
}

COLLECTORS = {
    "mark-sweep": hw.MarkSweep(),
    "mark-sweep, each time": hw.MarkSweep(every=1),
    "generational": hw.Generational(promote_after=1),
    "generational, 2": hw.Generational(promote_after=2, every=3),
    "generational, 3": hw.Generational(promote_after=3, every=1),
    "generational, 4": hw.Generational(promote_after=4),
    "incremental": hw.Incremental(),
    "incremental, each time": hw.Incremental(every=1),
    "concurrent": hw.Concurrent(),
    "concurrent, each time": hw.Concurrent(every=2),
}


@contextmanager
def reported() -> Iterator[None]:
    """What a finalizer raises is reported to sys.unraisablehook, and to nobody else: here, if it is none of ours."""
    caught: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda report: caught.append(report.exc_value))
        yield
    for error in caught:
        if not isinstance(error, FinalizerFails):
            raise error


class FinalizerFails(Exception):
    """Raised by finalizers of records with a number that 3 divides."""


class WatchedHeap(hw.RecordHeap):
    world: Lockstep


class Lockstep(RuleBasedStateMachine):
    collector: hw.MarkSweep | hw.Generational | hw.Incremental | hw.Concurrent

    @initialize()
    def begin(self) -> None:
        self.heap = WatchedHeap(self.collector, poison=True, capacity="64MiB")
        self.heap.world = self
        self.model = RecordsModel(SCHEMA, with_finalizer={"Ender"})
        self.handles: dict[int, Any] = {}
        self.runs: list[hw.Run[Any]] = []
        self.weakly: dict[int, Any] = {}
        self.last = 0
        self.ended: list[int] = []
        self.may_be_none: set[int] = set()  #: was unreachable when a finalizer was called: weak knowledge of it is gone
        self.keep_what_ends = False
        self.cycles = 0  #: whole ones that had ended when the last in slices was begun by step()

    def teardown(self) -> None:
        if hasattr(self, "heap"):
            self.handles.clear()
            self.runs.clear()
            del self.heap.world

    # -- both sides of an operation

    def next_number(self) -> int:
        self.last += 1
        return self.last

    def pick(self, data: Any, *classes: str) -> int | None:
        """A record with a handle."""
        found = sorted(number for number in self.handles if not classes or self.model.classes[number] in classes)
        return data.draw(st.sampled_from(found)) if found else None

    def hold(self, number: int, handle: Any) -> None:
        assert handle.number == number
        self.handles[number] = handle
        self.model.held.add(number)

    def finalized(self, record: Any) -> None:
        """The heap calls a finalizer: once, of what nobody else can reach, and after weak references to it are none."""
        number = record.number
        assert number not in self.ended
        assert number not in self.model.reachable()
        assert record.node is None or record.node.number in self.model.records
        lost = self.model.records.keys() - self.model.kept() | {number}
        self.may_be_none |= lost
        self.model.lose(lost)
        self.model.waiting.discard(number)
        self.ended.append(number)
        if self.keep_what_ends:
            self.hold(number, record)
        elif number % 3 == 0:
            raise FinalizerFails

    # -- making and dropping

    @rule(data=st.data(), cls=st.sampled_from(sorted(CLASSES)))
    def new(self, data: Any, cls: str) -> None:
        number = self.next_number()
        values: dict[str, Any] = {}
        for field, kind in SCHEMA[cls].items():
            if kind in (STRONG, WEAK) and data.draw(st.booleans()):
                values[field] = self.pick(data, *TARGETS[cls, field])
        given = {field: self.handles[target] for field, target in values.items() if target is not None}
        with reported():
            record = self.heap.new(CLASSES[cls], number=number, **given)
        self.model.make(cls, number, **values)
        self.hold(number, record)

    @rule(data=st.data(), field=st.sampled_from(["left", "right"]))
    def attach(self, data: Any, field: str) -> None:
        """A record that nothing but another leads to: no handle stands in for a barrier that forgot it."""
        parent, number = self.pick(data, "Node"), self.next_number()
        if parent is None:
            return
        before = self.model.records[parent].get(field)
        with reported():
            setattr(
                self.handles[parent],
                field,
                self.heap.new(Node, number=number, left=getattr(self.handles[parent], field)),
            )
        self.model.make("Node", number, left=before)
        self.model.records[parent][field] = number

    @rule(count=st.sampled_from([1, 3, 3, 70, 300]))
    def extend(self, count: int) -> None:
        numbers = [self.next_number() for _ in range(count)]
        with reported():
            run = self.heap.extend(Node, number=numbers, left=range(-1, count - 1), weak=[*range(1, count), -1])
        for i, number in enumerate(numbers):
            self.model.make("Node", number, left=numbers[i - 1] if i else None, weak=([*numbers, None])[i + 1])
        self.runs.append(run)
        self.model.runs.append(numbers)

    @rule(data=st.data())
    def drop(self, data: Any) -> None:
        number = self.pick(data)
        if number is not None:
            del self.handles[number]
            self.model.held.discard(number)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def drop_run_but_a_record(self, data: Any) -> None:
        i = data.draw(st.integers(0, len(self.runs) - 1))
        place = data.draw(st.integers(0, len(self.runs[i]) - 1))
        number = self.model.runs[i][place]
        self.hold(number, self.runs[i][place])
        del self.runs[i], self.model.runs[i]

    # -- stores and loads

    @rule(data=st.data(), where=st.sampled_from(sorted(TARGETS)), none=st.booleans())
    def store(self, data: Any, where: tuple[str, str], none: bool) -> None:
        cls, field = where
        number, target = self.pick(data, cls), None if none else self.pick(data, *TARGETS[where])
        if number is None:
            return
        setattr(self.handles[number], field, None if target is None else self.handles[target])
        self.model.records[number][field] = target

    @rule(data=st.data(), where=st.sampled_from(sorted(TARGETS)))
    def load(self, data: Any, where: tuple[str, str]) -> None:
        cls, field = where
        number = self.pick(data, cls)
        if number is None:
            return
        expected, found = self.model.records[number].get(field), getattr(self.handles[number], field)
        if SCHEMA[cls][field] is WEAK and found is None:
            assert expected in self.may_be_none or expected not in self.model.reachable()
            self.model.records[number][field] = None
            return
        assert (None if found is None else found.number) == expected
        if expected is not None:
            if SCHEMA[cls][field] is WEAK:
                self.model.come_to(expected)
            self.hold(expected, found)

    @rule(data=st.data(), size=st.sampled_from([0, 1, 5, 300]))
    def values(self, data: Any, size: int) -> None:
        number = self.pick(data, "Hub", "Ender")
        if number is None:
            return
        field, value = ("name", "é" * size) if self.model.classes[number] == "Hub" else ("raw", b"\xdb" * size)
        with reported():
            setattr(self.handles[number], field, value)
        self.model.records[number][field] = value

    @rule(data=st.data(), how=st.sampled_from(["append", "insert", "delete", "replace", "entry", "clear"]))
    def array(self, data: Any, how: str) -> None:
        number, target = self.pick(data, "Hub"), self.pick(data, "Node")
        if number is None or target is None:
            return
        entries: list[int] = self.model.records[number].setdefault("spokes", [])
        spokes, at = self.handles[number].spokes, data.draw(st.integers(0, len(entries)))
        with reported():
            if how == "append":
                spokes.append(self.handles[target]), entries.append(target)
            elif how == "insert":
                spokes.insert(at, self.handles[target]), entries.insert(at, target)
            elif how == "clear":
                spokes.clear(), entries.clear()
            elif how == "replace":
                spokes[at:] = [self.handles[target]] * 40
                entries[at:] = [target] * 40
            elif at < len(entries) and how == "delete":
                del spokes[at], entries[at]
            elif at < len(entries):
                spokes[at], entries[at] = self.handles[target], target

    @rule(data=st.data())
    def know_weakly(self, data: Any) -> None:
        number = self.pick(data)
        if number is not None:
            self.weakly[number] = hw.WeakRecord(self.handles[number])

    @precondition(lambda self: self.weakly)
    @rule(data=st.data())
    def ask_weakly(self, data: Any) -> None:
        number = data.draw(st.sampled_from(sorted(self.weakly)))
        found = self.weakly[number].upgrade()
        if found is None:
            assert number in self.may_be_none or number not in self.model.reachable()
            del self.weakly[number]
        else:
            self.model.come_to(number)
            self.hold(number, found)

    # -- collecting

    @rule(minor=st.booleans())
    def collect(self, minor: bool) -> None:
        before = set(self.model.records)
        with reported():
            freed = self.heap.collect(minor=minor)
        gone = before - self.seen()
        assert len(gone) <= freed
        if not (minor and isinstance(self.collector, hw.Generational)):
            self.model.promised = None
            assert self.heap.check() == len(self.dead())

    @precondition(lambda self: isinstance(self.collector, hw.Incremental | hw.Concurrent))
    @rule()
    def step(self) -> None:
        if self.heap.statistics().phase == "idle":
            self.model.begin()
            self.cycles = self.heap.statistics().whole_cycles
        with reported():
            self.heap.step(0)

    @rule(keep=st.booleans())
    def finalizers_keep(self, keep: bool) -> None:
        self.keep_what_ends = keep

    @rule()
    def compact(self) -> None:
        with reported():
            self.heap.compact()
            order = {cls: self.numbers(cls) for cls in CLASSES}
            self.heap.compact()
        assert order == {cls: self.numbers(cls) for cls in CLASSES}
        assert all(table.places == len(table) for table in map(self.heap.__getitem__, CLASSES.values()))

    # -- refused

    @rule(data=st.data())
    def refused(self, data: Any) -> None:
        number = self.pick(data, "Node")
        if number is None:
            return
        node, stranger = self.handles[number], hw.RecordHeap().new(Node, number=0)
        with pytest.raises(hw.WrongRecord):
            node.left = 5
        with pytest.raises(hw.ForeignRecord):
            node.left = stranger
        with pytest.raises(hw.ValueOutOfRange):
            node.number = 1 << 63
        with pytest.raises(hw.WrongRecord), reported():
            self.heap.new(Node, number=-1, left=self.heap)

    # -- what has to be

    def numbers(self, cls: str) -> list[int]:
        table = self.heap[CLASSES[cls]]
        return [int(n) for n in table.column("number", holes=True)[table.is_live()] if n > 0]

    def seen(self) -> set[int]:
        return {number for cls in CLASSES for number in self.numbers(cls)}

    def dead(self) -> set[int]:
        return self.seen() - self.model.reachable()

    def references(self) -> Iterator[tuple[int, str, int | None, str]]:
        """(number, field, number of what it refers to, class) of every field of every record, but arrays."""
        places = {cls: self.heap[CLASSES[cls]].column("number", holes=True) for cls in CLASSES}
        pools = {self.heap._numbers[CLASSES[cls]]: places[cls] for cls in CLASSES}
        for cls, field in TARGETS:
            table = self.heap[CLASSES[cls]]
            column = table.column(field, holes=True)
            for place in np.flatnonzero(table.is_live()):
                raw, number = int(column[place]), int(places[cls][place])
                if number <= 0:
                    continue
                if column.dtype == np.uint32:
                    target = None if raw == 0xFFFFFFFF else int(places[TARGETS[cls, field][0]][raw])
                else:
                    target = None if raw == (1 << 64) - 1 else int(pools[raw >> 32][raw & 0xFFFFFFFF])
                yield number, field, target, cls

    @invariant()
    def same_records(self) -> None:
        if not hasattr(self, "heap"):
            return
        unreachable = self.heap.check()
        phase, ended = self.heap.statistics().phase, self.heap.statistics().whole_cycles - self.cycles
        if ended > 1 or (self.model.promised is None and phase != "idle"):
            self.model.promised = set()  # another began by itself, somewhere in the last operation
        there, reachable = self.seen(), self.model.reachable()
        assert reachable <= there <= self.model.records.keys()
        gone = self.model.records.keys() - there
        self.model.lose(gone - self.model.waiting)
        self.model.waiting -= gone
        self.model.free(gone)
        if ended:
            self.model.promised = None
        if phase == "idle":
            assert unreachable >= len(there - reachable)  # besides what `new` had begun to make, and refused
        for number, field, target, cls in self.references():
            if number not in reachable:
                continue
            expected = self.model.records[number].get(field)
            if SCHEMA[cls][field] is WEAK and target is None and expected is not None:
                assert expected in self.may_be_none or expected not in reachable
                self.model.records[number][field] = None
            elif SCHEMA[cls][field] is not WEAK or expected is not None:
                assert target == expected, (number, field)

    @precondition(lambda self: self.heap.statistics().phase == "idle")
    @rule()
    def same_values(self) -> None:
        """What is of variable size has no column; handles are made for it, so only between cycles."""
        for number, handle in self.handles.items():
            fields = self.model.records[number]
            if "spokes" in SCHEMA[self.model.classes[number]]:
                assert [node.number for node in handle.spokes] == fields.get("spokes", [])
                assert handle.name == fields.get("name", "")
            elif "raw" in SCHEMA[self.model.classes[number]]:
                assert handle.raw == fields.get("raw", b"")


@pytest.mark.parametrize("name", COLLECTORS)
def test_the_heap_does_what_the_definition_says(name: str) -> None:
    machine = type("Lockstep", (Lockstep,), {"collector": COLLECTORS[name]})
    machine.TestCase.settings = settings(
        max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine.TestCase().runTest()
