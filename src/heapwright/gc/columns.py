"""Columns: many records at once, filled field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heapwright.gc.layout import Layout
from heapwright.gc.run import Run

if TYPE_CHECKING:
    from heapwright.gc.heap import RecordHeap


def length_of(columns: dict[str, Any]) -> int:
    """Return how many values the columns have.

    Raises
    ------
    ValueError
        Their lengths differ, or none has one.
    """
    lengths = {name: n for name, values in columns.items() if (n := _length(values)) is not None}
    if len(set(lengths.values())) != 1:
        raise ValueError(
            f"columns differ in length: {lengths}" if lengths else "give a column, so that it is known how many"
        )
    (n,) = set(lengths.values())
    if n == 0:
        raise ValueError("columns are empty: a run has one record at least")
    return n


def _length(values: Any) -> int | None:
    if isinstance(values, tuple) and len(values) == 2 and isinstance(values[0], Run):
        values = values[1]
    return None if np.ndim(values) == 0 or isinstance(values, str | bytes) else len(values)


def fill(heap: RecordHeap, number: int, layout: Layout, run: Run[Any], columns: dict[str, Any]) -> None:
    """Store the columns into a run of blank records."""
    for field in layout.fields:
        if field.name not in columns:
            continue
        values = columns[field.name]
        if field.code in "rw":
            _references(heap, number, field.name, run, values)
        elif field.code in "RWasy":
            for record, value in zip(run, _each(values, len(run)), strict=True):
                setattr(record, field.name, value)
        else:
            _numbers(run.column(field.name), field.name, values)


def _each(values: Any, n: int) -> Any:
    return values if _length(values) is not None else [values] * n


def _numbers(column: Any, name: str, values: Any) -> None:
    given = np.asarray(values)
    kind = column.dtype.kind
    if kind in "iu" and given.dtype.kind in "iu" and not np.can_cast(given.dtype, column.dtype) and given.size:
        limits = np.iinfo(column.dtype)
        lowest, highest = int(given.min()), int(given.max())
        if lowest < limits.min or highest > limits.max:
            raise ValueError(f"{name} holds {limits.min} to {limits.max}, and was given {lowest} to {highest}")
    casting = "unsafe" if kind in "iu" and given.dtype.kind in "iu" else "same_kind"
    try:
        np.copyto(column, given, casting=casting)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def _references(heap: RecordHeap, number: int, name: str, run: Run[Any], values: Any) -> None:
    target = run
    if isinstance(values, tuple) and len(values) == 2 and isinstance(values[0], Run):
        target, values = values
    given = np.asarray(values)
    if given.dtype.kind not in "iu":
        for record, value in zip(run, _each(values, len(run)), strict=True):
            setattr(record, name, value)
        return
    indices = np.ascontiguousarray(np.broadcast_to(given, (len(run),)), np.int64)
    field = vars(run.record_class)[name]
    if target.record_class not in field.targets:
        raise ValueError(f"{name} refers to {field.targets[0].__name__}, and was given indices of {target!r}")
    heap._fill_references(number, run.first, field, indices.data, target.first, len(target))
