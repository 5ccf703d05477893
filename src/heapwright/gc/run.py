"""Runs: records that were made together from columns, kept alive by one object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from heapwright import _native

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heapwright.gc.table import Table

C = TypeVar("C")


class Run(Sequence[C], Generic[C]):
    """Records one behind the other: ``heap.extend(...)`` makes them. It keeps all of them alive.

    Drop it when handles, or references from records that are kept, lead to those that are wanted.
    """

    def __init__(self, table: Table[C], root: _native.RecordRun) -> None:
        self._table = table
        self._root = root

    def __len__(self) -> int:
        return self._root.count

    @property
    def record_class(self) -> type[C]:
        """The class of its records."""
        return self._table.record_class

    @property
    def first(self) -> int:
        """Its first place in the table, now."""
        return self._root.first

    @overload
    def __getitem__(self, index: int) -> C: ...
    @overload
    def __getitem__(self, index: slice) -> list[C]: ...
    def __getitem__(self, index: int | slice) -> C | list[C]:
        """Return the handle of a record, or a list of handles."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"there is no record {index}: the run has {len(self)}")
        return self._table[self.first + place]

    def __iter__(self) -> Iterator[C]:
        for i in range(len(self)):
            yield self[i]

    def column(self, name: str) -> NDArray[Any]:
        """Return a field of its records as an array, without a copy; see `Table.column`."""
        whole = self._table.column(name, holes=True)
        return whole[self.first : self.first + len(self)]

    def __repr__(self) -> str:
        return f"<run of {len(self)} in {self._table!r}>"
