"""The graph: what refers to what, nearest to the roots, for Graphviz."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heapwright.gc.reports import Reports


def to_graphviz(heap: Reports, most: int) -> str:
    """Return a graph of the records that are nearest to the roots, in the DOT language."""
    names = {number: cls.__name__ for cls, number in heap._numbers.items()}
    lines = ["digraph {", '  rankdir=LR; node [shape=box, fontname="monospace"];']
    seen: set[tuple[int, int]] = set()
    waiting: deque[tuple[int, int]] = deque()
    left_out = 0

    def reach(source: str, label: str, pool: int, place: int) -> None:
        nonlocal left_out
        if (pool, place) not in seen:
            if len(seen) >= most:
                left_out += 1
                return
            seen.add((pool, place))
            waiting.append((pool, place))
            lines.append(f'  "{names[pool]}#{place}";')
        lines.append(f'  "{source}" -> "{names[pool]}#{place}" [label="{label}"];')

    for kind, pool, first, count in heap._roots():
        shown = min(count, most - len(seen))
        left_out += count - shown
        if shown:
            root = (
                f"handle of {names[pool]}#{first}"
                if kind == "handle"
                else f"run of {count} {names[pool]} from #{first}"
            )
            lines.append(f'  "{root}" [shape=ellipse];')
        for place in range(first, first + shown):
            reach(root, "", pool, place)
    while waiting:
        pool, place = waiting.popleft()
        for field, entry, target_pool, target in heap._references(pool, place):
            label = field if entry < 0 else f"{field}[{entry}]"
            reach(f"{names[pool]}#{place}", label, target_pool, target)
    if left_out:
        lines.append(f'  "{left_out} more references to others" [shape=plaintext];')
    return "\n".join([*lines, "}"])
