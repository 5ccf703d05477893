"""Reports: what a record heap says of itself. All are of one moment: a cycle under way is ended first.

The searches run on a copy of the references, in compiled code, without the GIL; whoever touches the heap meanwhile
waits. They take 44 bytes a record and 8 a reference while they run, and no stack: a chain of ten million records is as
good as any.
"""

from __future__ import annotations

from typing import Any

from heapwright import _native
from heapwright.gc import graph, paths, picture, snapshot, timeline
from heapwright.gc.collectors import Collecting
from heapwright.gc.dominators import DominatorNode, Dominators
from heapwright.gc.report import report
from heapwright.gc.retained import Retained, retained
from heapwright.gc.statistics import RecordStatistics, read_statistics


class Reports(_native.RecordHeap):
    """The methods of `RecordHeap` that tell what is in it, and why."""

    collector: Collecting
    _numbers: dict[type, int]

    def statistics(self) -> RecordStatistics:
        """Return the figures of now: bytes, records, cycles, and how long the program waited."""
        return read_statistics(self, self._numbers)

    def why_alive(self, record: Any) -> paths.Path | None:
        """Return the shortest path that keeps a record alive, but for the handle that it is asked with.

        Parameters
        ----------
        record
            The handle of a record of this heap.

        Returns
        -------
        Path or None
            From a handle, a run, or a record that waits for its finalizer; None: only its own handle keeps it.
            What holds a handle in Python is known to Python: ``gc.get_referrers``.

        Raises
        ------
        ValueError
            The record is in another heap.

        Notes
        -----
        A breadth-first search from all roots: O(reachable records and their references), 0.02 s at a million.

        Examples
        --------
        >>> import heapwright as hw
        >>> @hw.record
        ... class Item:
        ...     order: hw.Ref["Order"]
        >>> @hw.record
        ... class Order:
        ...     items: hw.Refs[Item]
        >>> heap = hw.RecordHeap()
        >>> order = heap.new(Order)
        >>> for _ in range(4):
        ...     order.items.append(heap.new(Item, order=order))
        >>> print(heap.why_alive(order.items[3]))
        handle -> Order#0.items[3] -> Item#3
        >>> item = order.items[3]
        >>> print(heap.why_alive(order))
        handle -> Item#3.order -> Order#0
        >>> print(heap.why_alive(heap.new(Item)))
        None
        """
        return paths.why_alive(self, record)

    def cycles(self, most: int = 100, budget: int = 100_000_000) -> list[paths.RecordCycle]:
        """Return the shortest cycle of each group of records that reach each other, garbage or not.

        Those that nothing leads to come first, then by size of the group.

        Parameters
        ----------
        most
            Cycles at most.
        budget
            References to look at in the search within one group before its best so far is taken, `RecordCycle.exact`
            False.

        Notes
        -----
        O(records + references) for the groups (Pearce, 2016), and a sort of them. The shortest cycle takes a search
        from each record of its group in the worst case; a single ring, or a group with a short cycle, takes little more
        than one.

        Examples
        --------
        >>> import heapwright as hw
        >>> @hw.record
        ... class Node:
        ...     next: hw.Ref["Node"]
        >>> heap = hw.RecordHeap()
        >>> first = heap.new(Node)
        >>> first.next = heap.new(Node, next=first)
        >>> print(*heap.cycles())
        Node#0.next -> Node#1.next -> Node#0, with 1 owner outside
        >>> del first
        >>> print(*heap.cycles())
        Node#0.next -> Node#1.next -> Node#0, and nothing leads to it
        """
        return paths.cycles(self, most, budget)

    def retained(self, top: int = 20) -> Retained:
        """Return which classes and which records keep the memory: what would be freed without each.

        Parameters
        ----------
        top
            How many of the records that retain most.

        Notes
        -----
        O(records + references) in practice: by dominators (semi-NCA; Georgiadis, Tarjan and Werneck, 2006).

        Examples
        --------
        >>> import heapwright as hw
        >>> @hw.record
        ... class Page:
        ...     body: hw.blob
        >>> @hw.record
        ... class Session:
        ...     page: hw.Ref[Page]
        >>> heap = hw.RecordHeap()
        >>> session = heap.new(Session, page=heap.new(Page, body=bytes(1000)))
        >>> print(heap.retained())
        1.01 KiB reachable
        class    records       own  retained
        Session        1       4 B  1.01 KiB
        Page           1  1.01 KiB  1.01 KiB
        Session#0 retains 1.01 KiB, 4 B its own
        Page#0 retains 1.01 KiB, 1.01 KiB its own, only by way of Session#0
        """
        return retained(self, top)

    def dominator_tree(self, depth: int = 3, most: int = 5) -> DominatorNode:
        """Return the largest records by what they retain, and below each those that it alone keeps; printed, a tree.

        Parameters
        ----------
        depth
            Levels below the whole heap.
        most
            Records below each other record; the rest is summed up.
        """
        return Dominators(self).tree(depth, most)

    def report(self) -> str:
        """Return a page about the heap: memory, classes, their picture, cycles, pauses, the largest records.

        O(records + references), as `retained` and `cycles`.
        """
        return report(self)

    def snapshot(self, paths: int = 5) -> snapshot.RecordSnapshot:
        """Return the figures of each class, to be saved, or compared with those of another moment.

        Parameters
        ----------
        paths
            Classes of which it is said what keeps the largest record: those that retain most. Each takes a search.

        Examples
        --------
        >>> import heapwright as hw
        >>> @hw.record
        ... class Session:
        ...     user: hw.i64
        >>> @hw.record
        ... class Cache:
        ...     sessions: hw.Refs[Session]
        >>> heap = hw.RecordHeap()
        >>> cache = heap.new(Cache)
        >>> before = heap.snapshot()
        >>> for user in range(100):
        ...     cache.sessions.append(heap.new(Session, user=user))
        >>> print(heap.snapshot().diff(before))
        +1.19 KiB reachable, +0 handles, +0 runs
        class                          records     own   retained
        heapwright.gc.reports.Session     +100  +800 B     +800 B
        heapwright.gc.reports.Cache         +0  +416 B  +1.19 KiB
        heapwright.gc.reports.Session: handle -> Cache#0.sessions[0] -> Session#0
        """
        return snapshot.take(self, paths)

    def draw(self, width: int = 60) -> str:
        """Return a picture of where records are: a line for each class, from its first place to its last.

        Examples
        --------
        >>> import heapwright as hw
        >>> @hw.record
        ... class Cell:
        ...     value: hw.i64
        >>> heap = hw.RecordHeap()
        >>> cells = [heap.new(Cell, value=i) for i in range(64)]
        >>> del cells[10:40]
        >>> _ = heap.collect()
        >>> print(heap.draw(16))
        Cell  ██▒·······██████  53% of 64 places
        >>> _ = heap.compact()
        >>> print(heap.draw(16))
        Cell  ████████████████  100% of 34 places
        """
        return picture.draw(self, width)

    def to_graphviz(self, most: int = 100) -> str:
        """Return the records nearest to the roots as a graph in the DOT language: ``dot -Tsvg``.

        Parameters
        ----------
        most
            Records at most.
        """
        return graph.to_graphviz(self, most)

    def timeline(self) -> tuple[timeline.Pause, ...]:
        """Return the last 1,024 pauses, the oldest first."""
        return timeline.timeline(self)

    def to_perfetto(self) -> str:
        """Return them as JSON that https://ui.perfetto.dev and chrome://tracing open: pauses, and memory in use."""
        return timeline.to_perfetto(self)
