"""The record heap: makes records, finds them, and frees those that nothing leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

from heapwright import _native
from heapwright.gc.collectors import Collecting, MarkSweep, policy
from heapwright.gc.record import layout_of, settle
from heapwright.gc.reports import Reports
from heapwright.gc.run import Run
from heapwright.gc.table import Table
from heapwright.model.errors import ViewExported
from heapwright.model.record_errors import InvalidRecord
from heapwright.model.sizes import Size, parse_size

C = TypeVar("C")

_READ_WRITE = 3
_PAGE = 4096
_HUGE_PAGE = 2 << 20


def _anonymous(size_bytes: int) -> _native.Space:
    return _native.Space(size_bytes, _HUGE_PAGE, False, _READ_WRITE)


class RecordHeap(Reports):
    """Records of any number of classes, garbage-collected.

    A record is reachable through a handle in Python, a run, or a reference from a reachable record. All else is freed
    by the collector, cycles too. Records lie side by side without headers, off the Python heap: what CPython's own
    collector costs does not depend on them.

    Parameters
    ----------
    collector
        `MarkSweep`, `Generational`, `Incremental` or `Concurrent`, with their figures.
    capacity
        Bytes of records, texts and arrays at most. Address space is reserved for each class, memory is not.
    space
        Called with a size in bytes for each class: where its records lie. For example ``hw.AnonymousSpace``.
    poison
        For tests: fill what is freed with 0xDB.

    Examples
    --------
    >>> import heapwright as hw
    >>> @hw.record
    ... class Node:
    ...     key: hw.i64
    ...     next: hw.Ref["Node"]
    >>> heap = hw.RecordHeap()
    >>> ring = heap.new(Node, key=1)
    >>> ring.next = heap.new(Node, key=2, next=ring)
    >>> heap.collect()
    0
    >>> del ring
    >>> heap.collect()
    2
    """

    def __new__(  # noqa: D102  # the class says it
        cls,
        collector: Collecting | None = None,
        *,
        capacity: Size = "64GiB",
        space: Callable[[int], _native.Space] = _anonymous,
        poison: bool = False,
    ) -> Self:
        self = super().__new__(cls, parse_size(capacity), poison, *policy(collector or MarkSweep()))
        self.collector = collector or MarkSweep()
        self.capacity_bytes = parse_size(capacity)
        self._space = space
        self._numbers = {}
        return self

    capacity_bytes: int
    _space: Callable[[int], _native.Space]

    def __getitem__(self, cls: type[C]) -> Table[C]:
        """Return all records of a class: its columns, and its records by place."""
        return Table(self, cls, self._number(cls))

    def extend(self, cls: type[C], **columns: Any) -> Run[C]:
        """Make many records at once, from a column for each field.

        Parameters
        ----------
        cls
            Their class.
        **columns
            For each field as many values as there are records. Numbers: whatever NumPy makes an array of; one value
            for all is a column too. References to the same class: integers that say which of the new records, and less
            than 0 for none; or ``(run, integers)`` for the records of another run. Fields that are left out have their
            defaults.

        Returns
        -------
        Run
            Keeps all of them alive.

        Raises
        ------
        ValueError
            Columns differ in length, or a value does not fit its field.
        IndexError
            A reference is to no record.
        """
        from heapwright.gc.columns import fill, length_of

        layout = layout_of(cls)
        unknown = set(columns) - {field.name for field in layout.fields}
        missing = [field.name for field in layout.fields if field.default is ... and field.name not in columns]
        if unknown or missing:
            what = (
                f"has no field {min(unknown)!r}" if unknown else f"has no default for {missing[0]!r}: give its column"
            )
            raise TypeError(f"{cls.__name__} {what}")
        run = Run(self[cls], self._make_run(cls, length_of(columns)))
        fill(self, self._number(cls), layout, run, columns)
        return run

    def _number(self, cls: type) -> int:
        if cls not in self._numbers:
            self._admit(cls)
        return self._numbers[cls]

    def _admit(self, cls: type) -> None:
        """Make pools for a class and all that it refers to. Called by the binding with one that it does not know."""
        waiting, found = [cls], []
        while waiting:
            here = waiting.pop()
            if here in self._numbers or here in found:
                continue
            layout_of(here)
            found.append(here)
            waiting += settle(here)
        if len(found) + len(self._numbers) > 256:
            raise InvalidRecord(cls.__name__, "", "a record heap has at most 256 classes")
        numbers = self._numbers | {here: len(self._numbers) + i for i, here in enumerate(found)}
        for here in found:
            space = self._space(max(self.capacity_bytes, _PAGE))
            strong, weak = (_edge_pools(here, codes, numbers) for codes in ("rRa", "wW"))
            self._add(here, vars(here)["__record_kind__"], space, strong, weak)
        self._numbers = numbers

    def _close_holes(self, cls: type, number: int) -> None:
        """Compact, so that a class has no holes."""
        self.compact()
        pool = self._pool_counters(number)
        if pool["live"] != pool["used"]:
            raise ViewExported(
                address=0,
                size_bytes=pool["used"] * pool["stride_bytes"],
                exports=pool["pins"],
                what=f"compact {cls.__name__}",
            )

    def __repr__(self) -> str:
        live = sum(len(self[cls]) for cls in self._numbers)
        return f"<{type(self).__name__} {live} records of {len(self._numbers)} classes, {self.collector!r}>"


def _edge_pools(cls: type, codes: str, numbers: dict[type, int]) -> bytes:
    """Return the number of the pool that each edge refers to; of one to several classes 0, which nobody reads."""
    edges = sorted((field for field in layout_of(cls).fields if field.code in codes), key=lambda field: field.edge)
    return bytes(0 if field.code in "RW" else numbers[vars(cls)[field.name].targets[0]] for field in edges)
