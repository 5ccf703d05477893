"""References: an array of records in a field, as a sequence that reads and writes the record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, TypeVar, overload

from heapwright import _native

C = TypeVar("C")


class References(MutableSequence[C]):
    """The records that a field refers to, in order.

    Reading and writing an entry, `append` and taking from the end are O(1); what shifts entries is O(entries).

    Examples
    --------
    >>> import heapwright as hw
    >>> @hw.record
    ... class Tree:
    ...     name: str
    ...     children: hw.Refs["Tree"]
    >>> heap = hw.RecordHeap()
    >>> root = heap.new(Tree, name="root", children=[heap.new(Tree, name=name) for name in "abc"])
    >>> root.children.append(heap.new(Tree, name="d"))
    >>> del root.children[1]
    >>> [child.name for child in root.children]
    ['a', 'c', 'd']
    """

    __slots__ = ("_field", "_record")

    def __init__(self, record: Any, field: _native.RecordField) -> None:
        self._record = record
        self._field = field

    def __len__(self) -> int:
        return self._field._length(self._record)

    @overload
    def __getitem__(self, index: int) -> C: ...
    @overload
    def __getitem__(self, index: slice) -> MutableSequence[C]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Return the record at a place, or a list of those at several."""
        if isinstance(index, slice):
            return [self._field._get(self._record, i) for i in range(*index.indices(len(self)))]
        return self._field._get(self._record, self._place(index))

    @overload
    def __setitem__(self, index: int, value: C) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[C]) -> None: ...
    def __setitem__(self, index: int | slice, value: Any) -> None:
        """Refer to another record at a place, or at several."""
        if not isinstance(index, slice):
            self._field._set(self._record, self._place(index), value)
            return
        entries = list(self)
        entries[index] = value
        self._replace(entries)

    def __delitem__(self, index: int | slice) -> None:
        """Leave out what is at a place."""
        if not isinstance(index, slice):
            index = self._place(index)
            if index == len(self) - 1:
                self._field._shorten(self._record, index)
                return
        entries = list(self)
        del entries[index]
        self._replace(entries)

    def insert(self, index: int, value: C) -> None:
        """Put a record before a place."""
        if index >= len(self):
            self.append(value)
            return
        entries = list(self)
        entries.insert(index, value)
        self._replace(entries)

    def append(self, value: C) -> None:
        """Put a record at the end."""
        self._field._append(self._record, value)

    def clear(self) -> None:
        """Leave out all."""
        self._replace([])

    def __iter__(self) -> Iterator[C]:
        i = 0
        while i < len(self):  # it may change meanwhile, as a list may
            yield self[i]
            i += 1

    def __eq__(self, other: object) -> bool:
        if isinstance(other, References | list | tuple):
            return list(self) == list(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))

    def _place(self, index: int) -> int:
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"there is no {self._field.name}[{index}]: it has {len(self)}")
        return place

    def _replace(self, entries: list[C]) -> None:
        setattr(self._record, self._field.name, entries)
