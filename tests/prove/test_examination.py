"""What a verdict is: a mutant dies by a counterexample, and by nothing else."""

import sys
from dataclasses import replace

import pytest

from heapwright.prove import (
    THEOREMS,
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
    examine,
    theorem_named,
)

MUTANTS = (Mutant("one", "adds one"), Mutant("two", "adds two"))


def even(size: int, mutant: str | None) -> Finding:
    added = {"one": 1, "two": 2, None: 0}[mutant]
    odd = [n for n in range(0, size, 2) if (n + added) % 2]
    return Counterexample(f"{odd[0]} + {added}") if odd else Held(f"{size // 2} numbers")


def theorem(**changes: object) -> Theorem:
    made = Theorem(
        name="even",
        subject=Subject.MODEL,
        method="exhaustive",
        grade=Grade.PROVED_TO,
        statement="Even numbers are even.",
        formula="2 | 2n",
        scope=Scope("even numbers below {n}", 4, 8),
        mutants=MUTANTS[:1],
        check=even,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_theorem_whose_mutants_die_has_its_grade() -> None:
    seen = examine(theorem())
    assert (seen.verdict, seen.detail, seen.failed) == ("PROVED≤4", "2 numbers", False)
    assert [(m.mutant.name, m.refuted_by) for m in seen.mutants] == [("one", "0 + 1")]
    assert examine(theorem(), Effort.FULL).verdict == "PROVED≤8"


def test_a_mutant_that_lives_makes_it_hollow() -> None:
    seen = examine(theorem(mutants=MUTANTS))
    assert (seen.verdict, seen.failed, seen.refuted_mutants) == ("HOLLOW", True, 1)
    assert "two" in seen.detail
    assert seen.mutants[1].survived_because == "the check passes it"


def test_without_mutants_it_is_hollow() -> None:
    assert examine(theorem(mutants=())).verdict == "HOLLOW"


def test_a_counterexample_refutes_it() -> None:
    seen = examine(theorem(check=lambda size, mutant: even(size, "one")))
    assert (seen.verdict, seen.detail, seen.mutants, seen.failed) == ("REFUTED", "0 + 1", (), True)


@pytest.mark.parametrize("how", [Undecided("out of time"), RuntimeError("the compiler broke")])
def test_giving_up_on_a_mutant_is_no_kill(how: Exception) -> None:
    def check(size: int, mutant: str | None) -> Finding:
        if mutant is not None:
            raise how
        return Held("all")

    seen = examine(theorem(check=check))
    assert seen.verdict == "HOLLOW"
    assert str(how) in seen.mutants[0].survived_because


def test_giving_up_on_the_theorem_is_no_proof() -> None:
    def check(size: int, mutant: str | None) -> Finding:
        raise ZeroDivisionError("in the prover")

    seen = examine(theorem(check=check))
    assert (seen.verdict, seen.failed) == ("UNDECIDED", True)
    assert "ZeroDivisionError" in seen.detail


def test_a_missing_tool_is_said_and_is_no_failure() -> None:
    def check(size: int, mutant: str | None) -> Finding:
        raise ToolMissing("prover", "not installed", "Get it: somewhere")

    seen = examine(theorem(check=check))
    assert (seen.verdict, seen.failed) == ("NOT RUN", False)
    assert seen.detail == "prover: not installed. Get it: somewhere"


def test_without_z3_its_theorems_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)
    seen = examine(theorem_named("heap-disjoint"))
    assert seen.verdict == "NOT RUN"
    assert "pip install 'heapwright[prove]'" in seen.detail


QUICK = [t for t in THEOREMS if t.method in ("closure", "exhaustive", "schedules") and t.subject is Subject.MODEL]
QUICK += [t for t in THEOREMS if t.method == "z3" and t.name != "heap-invariant"]


@pytest.mark.parametrize("theorem", QUICK, ids=lambda theorem: theorem.name)
def test_what_is_checked_quickly_is_checked_here(theorem: Theorem) -> None:
    if theorem.method == "z3":
        pytest.importorskip("z3")
    seen = examine(theorem)
    assert seen.verdict == theorem.grade_in(Effort.SHORT), seen.detail
    assert seen.refuted_mutants == len(theorem.mutants)
