"""Pictures: where the records of each class lie, and what refers to what."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heapwright.gc.reports import Reports

#: A part of a class, from without records to full of them.
_SHADES = "·░▒▓█"


def draw(heap: Reports, width: int) -> str:
    """Return a line for each class: its places from the first to the last."""
    import numpy as np

    if width < 1:
        raise ValueError(f"a picture is 1 character wide at least, not {width}")
    lines = []
    longest = max((len(cls.__name__) for cls in heap._numbers), default=0)
    for cls, number in heap._numbers.items():
        counters = heap._pool_counters(number)
        live, places = counters["live"], counters["used"]
        bits = np.unpackbits(np.frombuffer(heap._live_bits(number), np.uint8), bitorder="little")[:places]
        edges = np.linspace(0, places, min(width, places) + 1).astype(np.int64)
        filled = np.add.reduceat(bits, edges[:-1], dtype=np.int64) / np.diff(edges) if places else np.empty(0)
        bar = "".join(_SHADES[0 if part == 0 else 1 + int(part * 3)] for part in filled)
        share = f"{live / places:.0%} of {places:,} places" if places else "no places"
        lines.append(f"{cls.__name__:<{longest}}  {bar:<{width}}  {share}")
    return "\n".join(lines)


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
            root = f"handle of {names[pool]}#{first}" if kind == "handle" else f"run of {count} {names[pool]}"
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
