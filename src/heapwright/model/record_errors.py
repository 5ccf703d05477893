"""Errors of records: what a class, a value or a reference was refused for."""

from __future__ import annotations

import os
from typing import Any

from heapwright.model.errors import HeapwrightError
from heapwright.model.sizes import format_size


class InvalidRecord(HeapwrightError, TypeError):
    """A class that cannot be a class of records.

    Attributes
    ----------
    owner : str; the class
    field : str; the field, or "" where it is about the class
    """

    owner: str
    field: str

    def __init__(self, owner: str, field: str, why: str) -> None:
        where = f"{owner}.{field}" if field else owner
        super().__init__(f"{where}: {why}", owner=owner, field=field)


class ValueOutOfRange(HeapwrightError, OverflowError):
    """An integer that the field has no room for. The record is as it was.

    Attributes
    ----------
    owner, field : str
    value : int
    lowest, highest : int; what the field holds
    """

    owner: str
    field: str
    value: int
    lowest: int
    highest: int

    def __init__(self, *, owner: str, field: str, value: int, lowest: int, highest: int) -> None:
        super().__init__(
            f"{owner}.{field} holds {lowest} to {highest}, and was given {value}. Give the field a wider type",
            owner=owner,
            field=field,
            value=value,
            lowest=lowest,
            highest=highest,
        )


class WrongRecord(HeapwrightError, TypeError):
    """A reference was given something that its annotation does not name.

    Attributes
    ----------
    owner, field : str
    wanted : tuple of str; the classes that it may refer to
    """

    owner: str
    field: str
    wanted: tuple[str, ...]

    def __init__(self, *, owner: str, field: str, targets: tuple[type, ...] | None, value: Any) -> None:
        wanted = tuple(target.__name__ for target in targets or ())
        super().__init__(
            f"{owner}.{field} refers to a {' or a '.join(wanted) or 'record'}, not to "
            f"{type(value).__name__} {value!r:.80}",
            owner=owner,
            field=field,
            wanted=wanted,
        )


class ForeignRecord(HeapwrightError, ValueError):
    """A reference was given a record of another heap.

    Attributes
    ----------
    owner, field : str
    """

    owner: str
    field: str

    def __init__(self, *, owner: str, field: str) -> None:
        super().__init__(
            f"{owner}.{field} cannot refer to a record of another heap: neither heap would know that it is used. "
            "Make it in the same heap, or keep a handle of it in Python",
            owner=owner,
            field=field,
        )


class RecordHeapFull(HeapwrightError, MemoryError):
    """There is no room for what was asked, after everything unreachable was freed.

    Attributes
    ----------
    size_bytes : int; the request
    used_bytes, capacity_bytes : int; of the heap
    errno : int; what the operating system said, or 0 where the heap itself is full
    """

    size_bytes: int
    used_bytes: int
    capacity_bytes: int
    errno: int

    def __init__(self, *, size_bytes: int, used_bytes: int, capacity_bytes: int, errno: int = 0) -> None:
        if errno:
            why = f"the operating system gives no memory ({os.strerror(errno)})"
            fix = "Free memory elsewhere, or raise the limit (ulimit -v, cgroup, vm.overcommit_memory)"
        else:
            why = f"{format_size(used_bytes)} of {format_size(capacity_bytes)} are reachable"
            fix = "Drop handles of what is not needed, or create the heap with a larger capacity"
        super().__init__(
            f"cannot make {size_bytes} B in the record heap: {why}. {fix}",
            size_bytes=size_bytes,
            used_bytes=used_bytes,
            capacity_bytes=capacity_bytes,
            errno=errno,
        )
