"""Examination: one theorem and all its mutants, and the verdict on them.

    PROVED, PROVED≤k, TESTED, MEASURED, CALIBRATED    it holds, and every mutant was refuted by a counterexample
    REFUTED      a counterexample to the theorem itself
    HOLLOW       it holds, and so does a mutant of it: the check sees nothing
    UNDECIDED    the prover gave up
    NOT RUN      a tool is missing

A mutant dies by a counterexample only. A time-out, an unknown, a compiler that refuses it is not a kill: a broken
prover would kill everything that way.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from heapwright.prove.theorem import Counterexample, Effort, Finding, Held, Mutant, Theorem, ToolMissing, Undecided

FAILURES = frozenset({"REFUTED", "HOLLOW", "UNDECIDED"})


@dataclass(frozen=True)
class MutantSeen:
    """What became of a mutant."""

    mutant: Mutant
    refuted_by: str | None  #: the counterexample; None if it lives
    survived_because: str = ""


@dataclass(frozen=True)
class Examination:
    """A theorem with its verdict."""

    theorem: Theorem
    effort: Effort
    verdict: str
    detail: str
    seconds: float
    mutants: tuple[MutantSeen, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the command fails because of it. A check that could not be run is no failure, and no proof."""
        return self.verdict in FAILURES

    @property
    def refuted_mutants(self) -> int:
        """How many mutants died."""
        return sum(seen.refuted_by is not None for seen in self.mutants)


def examine(theorem: Theorem, effort: Effort = Effort.SHORT) -> Examination:
    """Check a theorem, then each of its mutants.

    Examples
    --------
    >>> from heapwright.prove import theorem_named
    >>> seen = examine(theorem_named("limit-schedules"))
    >>> seen.verdict, seen.refuted_mutants == len(seen.mutants)
    ('PROVED≤3', True)
    """
    started = time.perf_counter()
    size = theorem.scope.size(effort)
    mutants: list[MutantSeen] = []
    try:
        found = _ask(theorem, size, None)
        if isinstance(found, Counterexample):
            verdict, detail = "REFUTED", found.shown
        else:
            mutants += _examine_mutants(theorem, size)
            alive = [seen.mutant.name for seen in mutants if seen.refuted_by is None]
            hollow = bool(alive) or not mutants
            verdict, detail = "HOLLOW" if hollow else theorem.grade_in(effort), found.detail
            if hollow:
                detail = f"survived: {', '.join(alive) or 'no mutant to refute'}"
    except ToolMissing as missing:
        verdict, detail = "NOT RUN", str(missing)
    except Undecided as reason:
        verdict, detail = "UNDECIDED", str(reason)
    return Examination(theorem, effort, verdict, detail, time.perf_counter() - started, tuple(mutants))


def examine_all(theorems: Iterable[Theorem], effort: Effort = Effort.SHORT) -> Iterator[Examination]:
    """Examine one after the other, lazily."""
    return (examine(theorem, effort) for theorem in theorems)


def _ask(theorem: Theorem, size: int, mutant: str | None) -> Finding:
    """Ask the check; a check that breaks has decided nothing."""
    try:
        return theorem.check(size, mutant)
    except (ToolMissing, Undecided, KeyboardInterrupt):
        raise
    except Exception as error:
        raise Undecided(f"the check itself broke: {type(error).__name__}: {error}") from error


def _examine_mutants(theorem: Theorem, size: int) -> Iterator[MutantSeen]:
    for mutant in theorem.mutants:
        try:
            found = _ask(theorem, size, mutant.name)
        except Undecided as reason:
            yield MutantSeen(mutant, None, str(reason))
            continue
        if isinstance(found, Held):
            yield MutantSeen(mutant, None, "the check passes it")
        else:
            yield MutantSeen(mutant, found.shown)
