"""Record heaps as a definition: a dict of dicts, and a search from what somebody holds. Collectors are held to it.

A record lives while something leads to it: a handle, a run, or a strong reference of a record that lives. Everything
else may be freed, and has to be by a cycle that begins afterwards. In between, collectors differ, and the definition
says by how much: a whole cycle frees exactly what is unreachable when it is done; a cycle in slices, or beside the
program, keeps besides what was reachable when it began, what was made since, and what somebody came to since by a
weak reference.

The end of a record that has a finalizer comes in this order:

1. it is unreachable, and a cycle finds that out
2. weak references to it, and to whatever else is unreachable, become none
3. its finalizer is called, once in its life, with all that it refers to still there
4. if it is reachable then, it goes on to live: nothing is undone, and its finalizer is not called again
5. otherwise the next cycle frees it
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class FieldKind(Enum):
    """What a field is to a collector."""

    VALUE = "value"
    STRONG = "strong"  #: a record's number, or None: keeps it alive
    ARRAY = "array"  #: a list of numbers, which it keeps alive
    WEAK = "weak"  #: a number, or None: keeps nothing alive


@dataclass
class RecordsModel:
    """Records by number, each a dict of its fields.

    Parameters
    ----------
    schema
        Class to the kinds of its fields.
    with_finalizer
        Classes whose records have one.

    Examples
    --------
    >>> heap = RecordsModel({"Node": {"next": FieldKind.STRONG}})
    >>> heap.make("Node", 1, next=None)
    >>> heap.make("Node", 2, next=1)
    >>> heap.records[1]["next"] = 2
    >>> heap.held.add(2)
    >>> sorted(heap.reachable())
    [1, 2]
    >>> heap.held.clear()
    >>> sorted(heap.collect())
    [1, 2]
    """

    schema: Mapping[str, Mapping[str, FieldKind]]
    with_finalizer: Collection[str] = ()
    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    classes: dict[int, str] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)  #: with a handle
    runs: list[Sequence[int]] = field(default_factory=list)  #: kept by one root each
    finalized: set[int] = field(default_factory=set)  #: the finalizer has been called, or is about to be
    waiting: set[int] = field(default_factory=set)  #: ... is about to be: until then they are kept
    promised: set[int] | None = None  #: what the cycle in slices that is under way keeps; None: there is none

    def make(self, cls: str, number: int, /, **fields: Any) -> None:
        """Add a record: while a cycle is under way it is kept by that."""
        self.records[number] = fields
        self.classes[number] = cls
        if self.promised is not None:
            self.promised.add(number)

    # -- what leads where

    def targets(self, number: int) -> list[int]:
        """Return what a record keeps alive."""
        found: list[int] = []
        for name, kind in self.schema[self.classes[number]].items():
            value = self.records[number].get(name)
            if kind is FieldKind.STRONG and value is not None:
                found.append(value)
            elif kind is FieldKind.ARRAY:
                found += value or ()
        return found

    def reached_from(self, numbers: Iterable[int]) -> set[int]:
        """Return these records and all that they lead to. O(records and references)."""
        seen = set(numbers)
        waiting = list(seen)
        while waiting:
            for target in self.targets(waiting.pop()):
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
        return seen

    def reachable(self) -> set[int]:
        """Return what somebody can come to, without weak references."""
        return self.reached_from(self.held.union(*self.runs))

    def kept(self) -> set[int]:
        """Return what no collector may free now."""
        return self.reached_from(self.held.union(self.waiting, *self.runs)) | (self.promised or set())

    # -- the end of records

    def lose(self, numbers: Collection[int]) -> list[int]:
        """Find records unreachable: weak references to them are none from now on; return whose finalizer is now due."""
        for number, fields in self.records.items():
            for name, kind in self.schema[self.classes[number]].items():
                if kind is FieldKind.WEAK and fields.get(name) in numbers:
                    fields[name] = None
        due = [n for n in sorted(numbers) if self.classes[n] in self.with_finalizer and n not in self.finalized]
        self.finalized.update(due)
        self.waiting.update(due)
        return due

    def free(self, numbers: Collection[int]) -> None:
        """Forget records.

        Raises
        ------
        AssertionError
            One of them has to be kept, or finalized first: whoever freed it is wrong.
        """
        wrong = self.kept().intersection(numbers)
        assert not wrong, f"freed, and not to be: {sorted(wrong)}"
        due = self.lose(numbers)
        assert not due, f"freed without being finalized: {due}"
        for number in numbers:
            del self.records[number], self.classes[number]
            self.finalized.discard(number)

    def collect(self) -> set[int]:
        """Do a whole cycle; return what it frees: all that is unreachable, but for what is to be finalized first."""
        self.promised = None
        self.lose(self.records.keys() - self.reached_from(self.held.union(self.waiting, *self.runs)))
        freed = self.records.keys() - self.kept()
        self.free(freed)
        return freed

    # -- a cycle in slices

    def begin(self) -> None:
        """Begin a cycle: what can be reached now is kept to its end, whatever becomes of it."""
        self.promised = self.reached_from(self.held.union(self.waiting, *self.runs))

    def come_to(self, number: int) -> None:
        """Note that somebody came to a record by a weak reference, which the beginning of a cycle does not follow."""
        if self.promised is not None:
            self.promised |= self.reached_from([number])

    # -- compaction

    @staticmethod
    def compacted(places: Mapping[int, int]) -> dict[int, int]:
        """Return the places of the records of a class after compaction: no holes, and the order kept.

        Examples
        --------
        >>> RecordsModel.compacted({7: 0, 8: 5, 9: 3})
        {7: 0, 9: 1, 8: 2}
        """
        return {number: place for place, number in enumerate(sorted(places, key=places.__getitem__))}


def bound_bytes(growth: float, minimum: int, reachable: int, request: int, *, sliced: bool) -> float:
    """Return what a heap has in use at most, of a program that never has more than `reachable` bytes reachable.

    A cycle that is done at once leaves L <= R, and the next is done before T = max(minimum, growth L) more is in use.
    In slices the last part of T, C = min(T, max(minimum, L)) / 4, is for the cycle, which leaves besides what died or
    was made during it: L <= R + C.

    Parameters
    ----------
    growth, minimum
        Of the collector.
    reachable
        Bytes, what is to be finalized included.
    request
        The largest, in bytes.
    sliced
        Whether cycles are done in slices, or beside the program.

    Examples
    --------
    >>> bound_bytes(1.0, 4 << 20, 100 << 20, 64, sliced=False) / (1 << 20) < 200.001
    True
    """
    left: float = reachable
    if sliced:
        left += 2 * request  # at the beginning of a cycle, and at its end
        left = max(left + minimum / 4, left / (1 - min(growth, 1) / 4))
    return left + max(minimum, growth * left) + request
