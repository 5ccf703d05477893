"""Snapshots: what is in a record heap, by class, at one moment; and what came between two of them.

A snapshot is a few numbers for each class, however large the heap. It can be saved, and compared with one of another
process or another day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Self

from heapwright.gc.dominators import Dominators
from heapwright.gc.tabulate import tabulate
from heapwright.model.sizes import format_size

if TYPE_CHECKING:
    from heapwright.gc.reports import Reports

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class ClassSnapshot:
    """The records of a class."""

    records: int = 0  #: that can be reached
    unreachable: int = 0  #: that the next collection frees
    own_bytes: int = 0  #: of the reachable ones, with their texts and arrays
    retained_bytes: int = 0  #: that one or another of them retains
    path: str = ""  #: what keeps the one that retains most: "" for its own handle, or if there is none


@dataclass(frozen=True, slots=True)
class RecordSnapshot:
    """A record heap at one moment. Classes by ``module.name``, so that those of another process are the same."""

    classes: Mapping[str, ClassSnapshot]
    reachable_bytes: int
    used_bytes: int  #: with what is unreachable
    handles: int
    runs: int

    def save(self, file: str | PathLike[str]) -> None:
        """Write it to a file, as JSON."""
        FilePath(file).write_text(json.dumps({"schema_version": SCHEMA_VERSION} | asdict(self), indent=1))

    @classmethod
    def load(cls, file: str | PathLike[str]) -> Self:
        """Read a file that `save` has written.

        Raises
        ------
        ValueError
            It is something else, or of another version.
        """
        told = json.loads(FilePath(file).read_text())
        version = told.pop("schema_version", None) if isinstance(told, dict) else None
        if version != SCHEMA_VERSION:
            raise ValueError(f"{file} is not a snapshot of a record heap of version {SCHEMA_VERSION}, but {version!r}")
        classes = {name: ClassSnapshot(**figures) for name, figures in told.pop("classes").items()}
        return cls(classes=classes, **told)

    def diff(self, before: RecordSnapshot) -> SnapshotDiff:
        """Return what came since an earlier snapshot."""
        names = [*self.classes, *(name for name in before.classes if name not in self.classes)]
        changes = {name: _change(before.classes.get(name), self.classes.get(name)) for name in names}
        return SnapshotDiff(
            {name: change for name, change in changes.items() if change is not None},
            self.reachable_bytes - before.reachable_bytes,
            self.used_bytes - before.used_bytes,
            self.handles - before.handles,
            self.runs - before.runs,
        )

    def __str__(self) -> str:
        rows = [
            (name, f"{c.records:,}", f"{c.unreachable:,}", format_size(c.own_bytes), format_size(c.retained_bytes))
            for name, c in sorted(self.classes.items(), key=lambda item: -item[1].retained_bytes)
        ]
        return "\n".join(tabulate(("class", "reachable", "garbage", "own", "retained"), rows))


@dataclass(frozen=True, slots=True)
class SnapshotDiff:
    """What came between two snapshots: differences, and for each class the path of the later one."""

    classes: Mapping[str, ClassSnapshot]  #: those that changed
    reachable_bytes: int
    used_bytes: int
    handles: int
    runs: int

    def __str__(self) -> str:
        by_growth = sorted(self.classes.items(), key=lambda item: -item[1].own_bytes)
        rows = [(name, f"{c.records:+,}", _signed(c.own_bytes), _signed(c.retained_bytes)) for name, c in by_growth]
        paths = [f"{name}: {c.path}" for name, c in by_growth if c.path and c.records > 0]
        head = f"{_signed(self.reachable_bytes)} reachable, {self.handles:+,} handles, {self.runs:+,} runs"
        return "\n".join([head, *tabulate(("class", "records", "own", "retained"), rows), *paths])


def take(heap: Reports, paths: int) -> RecordSnapshot:
    """Return a snapshot, with a path for each of so many classes: those that retain most."""
    tree = Dominators(heap)
    figures = tree.by_class()
    told = sorted(figures, key=lambda cls: -figures[cls].retained_bytes)[:paths]
    largest = tree.largest_of(told)
    classes = {
        f"{cls.__module__}.{cls.__name__}": ClassSnapshot(
            c.records, c.unreachable, c.own_bytes, c.retained_bytes, _path_to(heap, cls, largest.get(cls))
        )
        for cls, c in figures.items()
    }
    counters = heap._counters()
    same = {name: counters[name] for name in ("used_bytes", "handles", "runs")}
    return RecordSnapshot(classes=classes, reachable_bytes=int(tree.retained_bytes[0]), **same)


def _path_to(heap: Reports, cls: type, place: int | None) -> str:
    if place is None:
        return ""
    try:
        path = heap.why_alive(heap._handle_at(heap._numbers[cls], place))
    except IndexError:  # another thread let go of it, and collected, since the figures were taken
        return ""
    return "" if path is None else str(path)


def _change(before: ClassSnapshot | None, after: ClassSnapshot | None) -> ClassSnapshot | None:
    if before == after:
        return None
    old, new = before or ClassSnapshot(), after or ClassSnapshot()
    names = [field.name for field in fields(ClassSnapshot) if field.name != "path"]
    differences: dict[str, Any] = {name: getattr(new, name) - getattr(old, name) for name in names}
    return ClassSnapshot(**differences, path=new.path) if any(differences.values()) else None


def _signed(size_bytes: int) -> str:
    return format_size(size_bytes) if size_bytes < 0 else f"+{format_size(size_bytes)}"
