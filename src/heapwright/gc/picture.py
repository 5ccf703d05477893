"""The picture: where the records of each class lie, and where holes are."""

from __future__ import annotations

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
        places = heap._pool_counters(number)["used"]
        bits = np.unpackbits(np.frombuffer(heap._live_bits(number), np.uint8), bitorder="little")[:places]
        live, places = int(np.count_nonzero(bits)), len(bits)  # another thread may have changed it in between
        edges = np.linspace(0, places, min(width, places) + 1).astype(np.int64)
        filled = np.add.reduceat(bits, edges[:-1], dtype=np.int64) / np.diff(edges) if places else np.empty(0)
        bar = "".join(_SHADES[0 if part == 0 else 1 + int(part * 3)] for part in filled)
        share = f"{live / places:.0%} of {places:,} places" if places else "no places"
        lines.append(f"{cls.__name__:<{longest}}  {bar:<{width}}  {share}")
    return "\n".join(lines)
