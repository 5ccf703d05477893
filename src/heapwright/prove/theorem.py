"""Theorem: a statement, and the check that could refute it, as data.

A check is asked two questions. Of the thing itself: does the statement hold? Of each *mutant*, the thing with one
planted fault: does it fail, and by which counterexample? A check that lets a mutant pass says nothing when it passes
the original, so a theorem without a mutant does not count.

The four grades are never mixed, and neither are the four subjects: what was proved of the model was not proved of the
code. Method and bounds after Bornholt et al., Using Lightweight Formal Methods to Validate a Key-Value Storage Node
in Amazon S3, SOSP 2021 (an executable model, and conformance to it), with the bounded proofs of the C beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias


class Grade(Enum):
    """What a check that passes has shown."""

    PROVED = "PROVED"  #: every case, without a bound
    PROVED_TO = "PROVED≤"  #: every case up to a bound, which is printed with it
    TESTED = "TESTED"  #: the cases that were drawn; how many is printed
    MEASURED = "MEASURED"  #: figures of this machine on this day
    CALIBRATED = "CALIBRATED"  #: a tool found the faults that were planted for it


class Subject(Enum):
    """What a theorem is about."""

    TOOL = "tool"  #: a prover itself
    MODEL = "model"  #: the theory
    CODE = "code"  #: the C that ships
    BRIDGE = "bridge"  #: that code and model do the same


class Effort(Enum):
    """How far a check goes: as far as a push to the repository can wait for, or as far as a night can."""

    SHORT = "short"
    FULL = "full"


class Held(NamedTuple):
    """The statement holds in the whole scope."""

    detail: str  #: what was done, with figures: "35 of 35 conditions", "1,000,000 operations"


class Counterexample(NamedTuple):
    """The statement is false."""

    shown: str  #: the case, on one line


Finding: TypeAlias = "Held | Counterexample"


class Undecided(Exception):
    """A prover gave up: out of time, unknown, or broken. Neither a proof nor a counterexample."""


class ToolMissing(Exception):
    """A check could not be run here."""

    def __init__(self, tool: str, why: str, remedy: str) -> None:
        super().__init__(f"{tool}: {why}. {remedy}")
        self.tool = tool
        self.why = why
        self.remedy = remedy


@dataclass(frozen=True)
class Scope:
    """What a theorem quantifies over, and how large that is in each form.

    Parameters
    ----------
    over
        In words; ``{n}`` stands for the size.
    short, full
        The size: a bound, or a number of cases. 0 where there is none.

    Examples
    --------
    >>> Scope("every heap of at most {n} granules", short=3, full=4).says(Effort.SHORT)
    'every heap of at most 3 granules'
    """

    over: str
    short: int = 0
    full: int = 0

    def size(self, effort: Effort) -> int:
        """Return the size in one form."""
        return self.short if effort is Effort.SHORT else self.full

    def says(self, effort: Effort) -> str:
        """Return the scope in one form, in words."""
        return self.over.format(n=f"{self.size(effort):,}")


@dataclass(frozen=True)
class Mutant:
    """One planted fault, which the check has to refute.

    Parameters
    ----------
    name
        What the check knows it by.
    fault
        What is wrong with it, for people.
    sketch
        Where the sketches behind the project had this very fault or claim: a section of docs/seed-corrections.md.
    """

    name: str
    fault: str
    sketch: str = ""


#: check(size of the scope, name of a mutant or None) -> what was found. Raises Undecided or ToolMissing.
Check: TypeAlias = Callable[[int, str | None], Finding]


@dataclass(frozen=True, kw_only=True)
class Theorem:
    """A named statement with its check and its mutants.

    Parameters
    ----------
    name
        Short, unique, lower case: ``"heap-exact"``.
    subject, method, grade
        What it is about, which prover checks it, and what it has shown when it passes.
    statement, formula
        In words and in symbols.
    scope
        What it quantifies over.
    assumptions
        What it takes for granted; each a sentence.
    mutants
        At least three.
    check
        See `Check`.
    source
        Where the theorem comes from, if from elsewhere.
    full_only
        Takes too long for the short form, which leaves it out and says so.
    """

    name: str
    subject: Subject
    method: str
    grade: Grade
    statement: str
    formula: str
    scope: Scope
    mutants: tuple[Mutant, ...]
    check: Check
    assumptions: tuple[str, ...] = ()
    source: str = ""
    full_only: bool = False

    def grade_in(self, effort: Effort) -> str:
        """Return the grade as it is printed: with its bound, where there is one.

        Examples
        --------
        >>> from heapwright.prove import theorem_named
        >>> theorem_named("game-robson").grade_in(Effort.SHORT)
        'PROVED≤6'
        """
        if self.grade is Grade.PROVED_TO:
            return f"{self.grade.value}{self.scope.size(effort)}"
        return str(self.grade.value)
