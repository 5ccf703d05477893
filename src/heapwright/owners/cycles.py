"""Cycles: what counting alone cannot free; shown by the names of the fields that close them, and collected."""

from __future__ import annotations

import gc
from dataclasses import dataclass

from heapwright import _native
from heapwright.model.witnesses import sites_of


@dataclass(frozen=True, slots=True)
class Cycle:
    """The shortest cycle among nodes that all reach each other.

    Examples
    --------
    >>> print(Cycle((("Order#0", "customer"), ("Customer#1", "orders")), 2, 0, True))
    Order#0.customer -> Customer#1.orders -> Order#0, and nothing else owns it
    """

    path: tuple[tuple[str, str], ...]  #: (node, the field that leads on) each, around once
    nodes: int  #: that reach each other, on this cycle or not
    owners_outside: int  #: handles, and references from nodes that it cannot reach; 0: only it keeps itself alive
    exact: bool  #: whether it was proved that no shorter one exists; see `cycles`
    sites: tuple[str | None, ...] = ()  #: where each node of the path was made; empty if nobody watched

    def __str__(self) -> str:
        around = " -> ".join(f"{name}.{field}" for name, field in self.path)
        others = f" (one way through {self.nodes} nodes that reach each other)" if self.nodes > len(self.path) else ""
        count = self.owners_outside
        owned = f"with {count} owner{'s' * (count != 1)} outside" if count else "and nothing else owns it"
        made = zip(self.path, self.sites, strict=False)
        where = "".join(f"\n    {name} was made at {site}" for (name, _), site in made if site is not None)
        return f"{around} -> {self.path[0][0]}{others}, {owned}{where}"


def cycles(budget: int = 100_000_000) -> list[Cycle]:
    """Return the shortest cycle in each strongly connected component of the nodes that are alive, garbage or not.

    Those that only themselves keep alive come first, then by size. Takes 36 bytes a node and 4 a reference meanwhile.

    Parameters
    ----------
    budget
        References to look at in the search within one component before its best so far is taken, `Cycle.exact` False.

    Notes
    -----
    O(nodes + references) for the components (Pearce, 2016). The shortest cycle takes a search from each node of its
    component in the worst case; a single ring, or a component with a short cycle, takes little more than one.
    Cycles through plain Python objects are not here: `gc.get_referents` sees through handles to them.
    Where a node was made is known of those that were made while somebody watched: `heapwright.Watch`.
    """
    found = [
        Cycle(
            tuple((_name(node), _field(node, index)) for node, index in path),
            size,
            outside,
            exact,
            sites_of(node for node, _ in path),
        )
        for path, size, outside, exact in _native.nodes_cycles(budget)
    ]
    return sorted(found, key=lambda cycle: (cycle.owners_outside > 0, -cycle.nodes))


def collect_cycles(*, python: bool = True) -> int:
    """Free what only cycles keep alive; return how many nodes that were.

    Cycles of nodes are found by trial deletion (Bacon and Rajan, ECOOP 2001) from the nodes that lost an owner and
    lived, or, where that would be most of them, by one sweep over all. This happens by itself as nodes are made;
    call it to have it now.

    Parameters
    ----------
    python
        Whether CPython's collector runs first, for the cycles that lead through plain objects: handles in them die.
    """
    if python:
        gc.collect()
    return _native.nodes_collect()


def _name(node: _native.Node) -> str:
    return repr(node).strip("<>")


def _field(node: _native.Node, index: int) -> str:
    shared = [field.name for field in node.__node_fields__ if field.kind == "s"]
    return str(shared[index])
