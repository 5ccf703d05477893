"""Tables of text: the first column to the left, figures to the right."""

from __future__ import annotations

from collections.abc import Sequence


def tabulate(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines, each column as wide as its widest entry.

    Examples
    --------
    >>> print(*tabulate(("class", "bytes"), [("Order", "120"), ("Item", "8")]), sep=chr(10))
    class  bytes
    Order    120
    Item       8
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(
            entry.ljust(width) if number == 0 else entry.rjust(width)
            for number, (entry, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
