"""Retained: which classes, and which records, keep the memory of a record heap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heapwright.gc.dominators import ClassRetained, Dominators, Retainer
from heapwright.gc.tabulate import tabulate
from heapwright.model.sizes import format_size

if TYPE_CHECKING:
    from heapwright.gc.reports import Reports


@dataclass(frozen=True, slots=True)
class Retained:
    """What is kept, by class and by record; printed, a table of each."""

    total_bytes: int  #: of all reachable records, with their texts and arrays
    classes: Mapping[type, ClassRetained]
    largest: tuple[Retainer, ...]  #: the records that retain most

    def __str__(self) -> str:
        by_size = sorted(self.classes.items(), key=lambda item: (-item[1].retained_bytes, item[0].__name__))
        rows = [
            (cls.__name__, f"{c.records:,}", format_size(c.own_bytes), format_size(c.retained_bytes))
            for cls, c in by_size
        ]
        table = tabulate(("class", "records", "own", "retained"), rows)
        return "\n".join([f"{format_size(self.total_bytes)} reachable", *table, *map(str, self.largest)])


def retained(heap: Reports, top: int) -> Retained:
    """Return what is kept, with so many of the largest records."""
    tree = Dominators(heap)
    largest = tuple(map(tree.retainer, tree.largest(top)))
    return Retained(int(tree.retained_bytes[0]), tree.by_class(), largest)
