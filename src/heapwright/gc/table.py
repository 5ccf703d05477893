"""Tables: all records of a class in a heap, as columns, by place, and one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from heapwright.gc.record import layout_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heapwright.gc.heap import RecordHeap

C = TypeVar("C")

_NUMBERS = "bBhHiIqQfd?"
_DTYPES = {"?": "?", "r": "u4", "w": "u4", "R": "u8", "W": "u8"} | {
    code: {
        "b": "i1",
        "B": "u1",
        "h": "i2",
        "H": "u2",
        "i": "i4",
        "I": "u4",
        "q": "i8",
        "Q": "u8",
        "f": "f4",
        "d": "f8",
    }[code]
    for code in "bBhHiIqQfd"
}


class Table(Generic[C]):
    """The records of one class in one heap: ``heap[Node]``.

    A record has a place, which is its index in every column. Places of dead records are holes until others are made
    there, or until `RecordHeap.compact` closes them.
    """

    def __init__(self, heap: RecordHeap, cls: type[C], number: int) -> None:
        self._heap = heap
        self.record_class = cls
        self._number = number

    def __len__(self) -> int:
        """How many there are, reachable or not collected yet."""
        return int(self._heap._pool_counters(self._number)["live"])

    @property
    def places(self) -> int:
        """How long a column is: the records, and the holes between them."""
        return int(self._heap._pool_counters(self._number)["used"])

    def __getitem__(self, place: int) -> C:
        """Return the handle of the record at a place.

        Raises
        ------
        IndexError
            There is none.
        """
        record: C = self._heap._handle_at(self._number, place)
        return record

    def __iter__(self) -> Iterator[C]:
        place = self._heap._next_live(self._number, 0)
        while place is not None:
            yield self[place]
            place = self._heap._next_live(self._number, place + 1)

    def column(self, name: str, *, holes: bool = False) -> NDArray[Any]:
        """Return a field of all records as an array, without a copy.

        Numbers can be written through it. References are read-only, as the places that they refer to, and 2**32 - 1 for
        none (ids and 2**64 - 1 where the field refers to several classes). While the array is in use the class is not
        compacted.

        Parameters
        ----------
        holes
            True: whatever is between the records may be in it; see `is_live`. False: the records are moved together
            first where there are holes, which takes some milliseconds per million.

        Raises
        ------
        ViewExported
            There are holes, and another column is in use: let go of it, or ask for holes.
        KeyError
            There is no such field, or its values are not of fixed size.

        Examples
        --------
        >>> import heapwright as hw
        >>> @hw.record
        ... class Point:
        ...     x: hw.f64
        ...     y: hw.f64
        >>> heap = hw.RecordHeap()
        >>> kept = [heap.new(Point, x=i, y=0.0) for i in range(4)]
        >>> heap[Point].column("x").sum()
        np.float64(6.0)
        """
        import numpy as np

        field = next((field for field in layout_of(self.record_class).fields if field.name == name), None)
        if field is None:
            raise KeyError(f"{self.record_class.__name__} has no field {name!r}")
        if field.code in "asy":
            raise KeyError(
                f"{self.record_class.__name__}.{name} is of variable size and has no column: read it record by record"
            )
        if not holes and len(self) != self.places:
            self._heap._close_holes(self.record_class, self._number)
        table = self._heap._table(self._number, field.code in _NUMBERS or field.code == "x")
        dtype = np.dtype(f"S{field.size_bytes}") if field.code == "x" else np.dtype(_DTYPES[field.code])
        stride = layout_of(self.record_class).stride_bytes
        if not self.places:
            return np.empty(0, dtype)
        # not np.ndarray(buffer=table), which would end the export, and with it the pin, before it returned
        alone = {"names": [name], "formats": [dtype], "offsets": [field.offset_bytes], "itemsize": stride}
        column: NDArray[Any] = np.frombuffer(table, np.dtype(alone))[name]  # type: ignore[call-overload]
        return column

    def is_live(self) -> NDArray[np.bool_]:
        """Return for each place whether a record is there now: a copy. O(places)."""
        import numpy as np

        bits = np.frombuffer(self._heap._live_bits(self._number), np.uint8)
        return np.unpackbits(bits, bitorder="little")[: self.places].view(np.bool_)

    def __repr__(self) -> str:
        return f"<{len(self)} records of {self.record_class.__name__}>"
