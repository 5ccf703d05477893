"""Dominators: which record alone keeps which, and so how many bytes would go with it.

A record d dominates another if every path from a handle or a run to that one leads through d. What d retains is what it
has itself, and what all that it dominates has: exactly what the next collection would free if d went.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from heapwright.model.sizes import format_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heapwright.gc.reports import Reports


@dataclass(frozen=True, slots=True)
class Retainer:
    """A record, or a run, with what it keeps."""

    name: str  #: ``Order#17``: class and place; ``run of 100 Order from #0``
    own_bytes: int  #: of the record, with its texts and arrays; of a run 0
    retained_bytes: int  #: that would be freed without it
    dominators: tuple[str, ...]  #: what dominates it, the nearest first: some of them, where there are many

    def __str__(self) -> str:
        below = f", only by way of {' in '.join(self.dominators)}" if self.dominators else ""
        return f"{self.name} retains {format_size(self.retained_bytes)}, {format_size(self.own_bytes)} its own{below}"


@dataclass(frozen=True, slots=True)
class ClassRetained:
    """The reachable records of a class."""

    records: int
    unreachable: int  #: records beside them, which the next collection frees
    own_bytes: int
    retained_bytes: int  #: that one or another of them retains, each byte once


@dataclass(frozen=True, slots=True)
class DominatorNode:
    """A record, or a run, with the largest of those that it dominates at once."""

    name: str
    retained_bytes: int
    children: tuple[DominatorNode, ...]
    others: int  #: dominated at once too, and not in `children`
    others_bytes: int  #: that those retain

    def __str__(self) -> str:
        return "\n".join(self._lines(0))

    def _lines(self, depth: int) -> list[str]:
        lines = [f"{'  ' * depth}{self.name}  {format_size(self.retained_bytes)}"]
        for child in self.children:
            lines += child._lines(depth + 1)
        if self.others:
            lines.append(f"{'  ' * (depth + 1)}{self.others} more  {format_size(self.others_bytes)}")
        return lines


class Dominators:
    """The dominator tree of a record heap, as it was when this was made.

    Node 0 is above all. A parent has a smaller number than its children.
    """

    def __init__(self, heap: Reports) -> None:
        import numpy as np

        told = heap._dominators()
        self._classes: list[tuple[type, int, int]] = told["classes"]
        self._starts = [start for _, start, _ in self._classes]
        self._runs: list[tuple[type, int, int]] = told["runs"]
        self._places = np.frombuffer(told["places"], np.uint32)
        self._order = np.frombuffer(told["order"], np.uint32)
        self._above = np.frombuffer(told["above"], np.uint32)
        self.retained_bytes: NDArray[np.uint64] = np.frombuffer(told["retained_bytes"], np.uint64)

    def name(self, node: int) -> str:
        """Return what a node is called."""
        number = int(self._order[node])
        if number < len(self._places):
            cls = self._classes[bisect_right(self._starts, number) - 1][0]
            return f"{cls.__name__}#{self._places[number]}"
        if number == len(self._places) + len(self._runs):
            return "everything reachable"
        cls, first, count = self._runs[number - len(self._places)]
        return f"run of {count} {cls.__name__} from #{first}"

    def _ranges(self) -> Iterator[tuple[type, int, int]]:
        """Yield each class, and its numbers: from, and up to."""
        ends = [*self._starts, len(self._places)][1:]
        for (cls, start, _), end in zip(self._classes, ends, strict=True):
            yield cls, start, end

    @cached_property
    def own_bytes(self) -> NDArray[np.uint64]:
        """What each node has itself: what it retains, less what its children do."""
        import numpy as np

        own = self.retained_bytes.copy()
        np.subtract.at(own, self._above[1:], self.retained_bytes[1:])
        return own

    def dominators(self, node: int, most: int = 8) -> list[int]:
        """Return what dominates a node, the nearest first, without node 0: so many at most."""
        path: list[int] = []
        while len(path) < most and (node := int(self._above[node])) != 0:
            path.append(node)
        return path

    def largest(self, most: int) -> list[int]:
        """Return the records that retain most, the largest first."""
        import numpy as np

        sizes = np.where(self._order < len(self._places), self.retained_bytes, 0)
        most = min(most, int(np.count_nonzero(sizes)))
        best = np.argpartition(sizes, len(sizes) - most)[len(sizes) - most :] if most else np.empty(0, np.int64)
        return sorted(map(int, best), key=lambda node: (-int(sizes[node]), node))

    def largest_of(self, classes: Collection[type]) -> dict[type, int]:
        """Return the place of the record of each class that retains most; without classes that have none."""
        import numpy as np

        found = {}
        for cls, start, end in self._ranges():
            its = np.flatnonzero((self._order >= start) & (self._order < end)) if cls in classes else ()
            if len(its):
                node = its[np.argmax(self.retained_bytes[its])]
                found[cls] = int(self._places[self._order[node]])
        return found

    def retainer(self, node: int) -> Retainer:
        """Describe a node."""
        return Retainer(
            self.name(node),
            int(self.own_bytes[node]),
            int(self.retained_bytes[node]),
            tuple(map(self.name, self.dominators(node))),
        )

    def by_class(self) -> dict[type, ClassRetained]:
        """Return figures of each class."""
        import numpy as np

        found = {}
        for (cls, start, end), (_, _, retained) in zip(self._ranges(), self._classes, strict=True):
            its = (self._order >= start) & (self._order < end)
            records = int(np.count_nonzero(its))
            own = int(self.own_bytes[its].sum())
            found[cls] = ClassRetained(records, end - start - records, own, retained)
        return found

    def tree(self, depth: int, most: int, node: int = 0) -> DominatorNode:
        """Return the tree below a node, so deep, and with so many children of each node."""
        import numpy as np

        children: Any = np.flatnonzero(self._above == node)
        children = children[children != 0]
        by_size = children[np.argsort(-self.retained_bytes[children].astype(np.int64), kind="stable")]
        shown = by_size[:most] if depth > 0 else by_size[:0]
        others = by_size[len(shown) :]
        return DominatorNode(
            self.name(node),
            int(self.retained_bytes[node]),
            tuple(self.tree(depth - 1, most, int(child)) for child in shown),
            len(others),
            int(self.retained_bytes[others].sum()),
        )
