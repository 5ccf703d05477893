"""Prove: theorems about memory as data, the provers that check them, and the faults that each check has to find.

    >>> from heapwright.prove import Effort, examine, theorem_named
    >>> print(theorem_named("life-dead-stays-dead").statement)
    Once freed, a handle never becomes live again: nothing that can happen to it leads back.
    >>> examine(theorem_named("life-dead-stays-dead"), Effort.SHORT).verdict
    'PROVED'

This is the formal theory's own room: `theorem` and `examination` are the frame, `catalogue` names every theorem, and
the rest are provers, each with the theorems that it checks. It stands above the other rooms, because the theorems
speak of what these do together. `heapwright prove` prints the table.
"""

from heapwright.prove.catalogue import THEOREMS, theorem_named
from heapwright.prove.examination import Examination, MutantSeen, examine, examine_all
from heapwright.prove.theorem import (
    Counterexample,
    Effort,
    Finding,
    Grade,
    Held,
    Mutant,
    Scope,
    Subject,
    Theorem,
    ToolMissing,
    Undecided,
)

__all__ = [
    "THEOREMS",
    "Counterexample",
    "Effort",
    "Examination",
    "Finding",
    "Grade",
    "Held",
    "Mutant",
    "MutantSeen",
    "Scope",
    "Subject",
    "Theorem",
    "ToolMissing",
    "Undecided",
    "examine",
    "examine_all",
    "theorem_named",
]
