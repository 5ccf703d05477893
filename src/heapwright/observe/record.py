"""Reads the record that every process of a run keeps; native/process/record.h is its format."""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from heapwright import _native

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZE_CLASSES = _native.RECORD_SIZE_CLASSES
HEAPS = _native.RECORD_HEAPS


class SizeClass(NamedTuple):
    """Requests of at least `low_bytes` and less than twice that."""

    low_bytes: int
    requests: int
    total_bytes: int


class ArrayHeap(NamedTuple):
    """A heap of the program's own with arrays in it: its space, and the bytes that arrays asked it for."""

    start: int
    size_bytes: int
    array_bytes: int


class Record:
    """What one process wrote down, as it stood when the file was read.

    Parameters
    ----------
    fields
        Name -> value, under the names of native/process/record.h.
    size_classes
        How many requests there were of each size; only classes that occurred.
    array_heaps
        The heaps of the program's own that have arrays; at most `HEAPS` of them.
    """

    __slots__ = ("array_heaps", "fields", "size_classes")

    def __init__(
        self,
        fields: Mapping[str, int],
        size_classes: tuple[SizeClass, ...],
        array_heaps: tuple[ArrayHeap, ...] = (),
    ) -> None:
        self.fields = fields
        self.size_classes = size_classes
        self.array_heaps = array_heaps

    def __getitem__(self, name: str) -> int:
        return self.fields[name]

    @property
    def allocator(self) -> str:
        """Return ``"pooled"`` or ``"system"``."""
        return "pooled" if self.fields["allocator"] else "system"

    @property
    def hook_is_raw(self) -> bool:
        """Whether the hook is in CPython's raw domain, which also serves CPython's blocks of more than 512 bytes."""
        return self.fields["hook"] == 2

    @property
    def hook(self) -> str | None:
        """Return how array memory is reached, or None if NumPy was never imported."""
        return (None, "NumPy's default handler", "the raw domain")[max(0, min(2, self.fields["hook"]))]


def read_record(path: str) -> Record | None:
    """Read one record; None if it is absent, torn short, or of another version.

    The writer keeps counting while we read: each field is whole, but two fields may be some nanoseconds
    apart.

    Examples
    --------
    >>> read_record("/nonexistent") is None
    True
    """
    names = _native.RECORD_FIELDS
    layout = struct.Struct(f"<{len(names) + 2 * SIZE_CLASSES + 3 * HEAPS}q")
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            content = file.read()
    except OSError:
        return None
    if len(content) < layout.size:
        return None
    values = layout.unpack_from(content)
    fields = dict(zip(names, values, strict=False))
    if fields["magic"] != _native.RECORD_MAGIC or fields["version"] != _native.RECORD_VERSION:
        return None
    counts = values[len(names) : len(names) + SIZE_CLASSES]
    totals = values[len(names) + SIZE_CLASSES : len(names) + 2 * SIZE_CLASSES]
    heaps = (ArrayHeap(*values[at : at + 3]) for at in range(len(names) + 2 * SIZE_CLASSES, len(values), 3))
    classes = tuple(
        SizeClass(1 << power, count, total)
        for power, (count, total) in enumerate(zip(counts, totals, strict=True))
        if count
    )
    return Record(MappingProxyType(fields), classes, tuple(heap for heap in heaps if heap.size_bytes > 0))
