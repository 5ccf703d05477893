"""Paths: why a record is alive, and which records keep each other, told by the names of fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heapwright.gc.reports import Reports


@dataclass(frozen=True, slots=True)
class Step:
    """A record on a path, and what leads on from it."""

    record_class: type
    place: int  #: of the record, in its class
    field: str | None  #: None: the path ends here
    entry: int | None  #: of an array of references

    def __str__(self) -> str:
        name = f"{self.record_class.__name__}#{self.place}"
        if self.field is None:
            return name
        return f"{name}.{self.field}" if self.entry is None else f"{name}.{self.field}[{self.entry}]"


@dataclass(frozen=True, slots=True)
class Path:
    """The shortest path from a root to a record.

    Examples
    --------
    >>> class Order: ...
    >>> class Item: ...
    >>> print(Path("handle", (Step(Order, 17, "items", 3), Step(Item, 90, None, None))))
    handle -> Order#17.items[3] -> Item#90
    """

    root: str  #: "handle": one in Python; "run"; "finalizer": it waits for its own to be called
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return " -> ".join([self.root, *map(str, self.steps)])


@dataclass(frozen=True, slots=True)
class RecordCycle:
    """The shortest cycle among records that all reach each other.

    Examples
    --------
    >>> class Order: ...
    >>> class Item: ...
    >>> print(RecordCycle((Step(Order, 0, "items", 0), Step(Item, 3, "order", None)), 5, 2, True, True))
    Order#0.items[0] -> Item#3.order -> Order#0 (one way through 5 records that reach each other), with 2 owners outside
    """

    steps: tuple[Step, ...]  #: around once
    records: int  #: that reach each other, on this cycle or not
    owners_outside: int  #: handles, runs, and references from records that it cannot reach
    reachable: bool  #: False: nothing leads to it, the next collection frees it
    exact: bool  #: whether it was proved that no shorter one exists; see `Reports.cycles`

    def __str__(self) -> str:
        around = " -> ".join(map(str, self.steps))
        first = self.steps[0]
        others = self.records > len(self.steps)
        group = f" (one way through {self.records} records that reach each other)" if others else ""
        owned = f"with {self.owners_outside} owner{'s' * (self.owners_outside != 1)} outside"
        end = owned if self.reachable else "and nothing leads to it"
        return f"{around} -> {first.record_class.__name__}#{first.place}{group}, {end}"


def why_alive(heap: Reports, record: Any) -> Path | None:
    """Return the shortest path to a record that does not begin with its own handle."""
    told = heap._why_alive(record)
    return None if told is None else Path(told[0], _steps(told[1]))


def cycles(heap: Reports, most: int, budget: int) -> list[RecordCycle]:
    """Return the shortest cycle of each group of records that reach each other."""
    if most < 0 or budget < 0:
        raise ValueError(f"cycles() tells so many cycles, and looks at so many references: not {min(most, budget)}")
    records = sum(heap._pool_counters(number)["live"] for number in heap._numbers.values())
    told, *_ = heap._cycles(min(most, records), min(budget, 2**64 - 1))
    return [RecordCycle(_steps(steps), size, outside, live, exact) for steps, size, outside, live, exact in told]


def _steps(told: Iterable[tuple[type, int, str | None, int]]) -> tuple[Step, ...]:
    return tuple(Step(cls, place, field, None if entry < 0 else entry) for cls, place, field, entry in told)
