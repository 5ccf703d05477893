"""The catalogue: every theorem, tools first, then the model, the code, and the bridge between the two."""

from __future__ import annotations

from heapwright.prove import (
    any_heap,
    bounded,
    calibration,
    collecting,
    conformance,
    games,
    life,
    live,
    ownership,
    records,
    schedules,
    sharing,
    smt,
    words,
)
from heapwright.prove.theorem import Subject, Theorem

_GROUPS = (
    (smt.CALIBRATION,),
    calibration.THEOREMS,
    any_heap.THEOREMS,
    words.THEOREMS,
    life.THEOREMS,
    schedules.THEOREMS,
    collecting.THEOREMS,
    games.THEOREMS,
    bounded.THEOREMS,
    live.THEOREMS,
    ownership.THEOREMS,
    sharing.THEOREMS,
    records.THEOREMS,
    conformance.THEOREMS,
)
_ORDER = list(Subject)

THEOREMS: tuple[Theorem, ...] = tuple(
    sorted((theorem for group in _GROUPS for theorem in group), key=lambda theorem: _ORDER.index(theorem.subject))
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
