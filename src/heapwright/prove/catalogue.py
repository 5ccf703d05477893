"""The catalogue: every theorem, tools first, then the model, the code, and the bridge between the two."""

from __future__ import annotations

from heapwright.prove import conformance, games, life, ownership, schedules, smt, tiled_heap, words
from heapwright.prove.theorem import Theorem

THEOREMS: tuple[Theorem, ...] = (
    smt.CALIBRATION,
    *tiled_heap.THEOREMS,
    *words.THEOREMS,
    *life.THEOREMS,
    *schedules.THEOREMS,
    *games.THEOREMS,
    *ownership.THEOREMS,
    *conformance.THEOREMS,
)


def theorem_named(name: str) -> Theorem:
    """Return a theorem by its name.

    Raises
    ------
    KeyError
        There is none of that name; the message lists those that there are.
    """
    for theorem in THEOREMS:
        if theorem.name == name:
            return theorem
    raise KeyError(f"no theorem {name!r}; there are: {', '.join(theorem.name for theorem in THEOREMS)}")
