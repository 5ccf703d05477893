"""SMT: verification conditions, and z3 asked whether their negation has a model.

Two modes, because a solver that fails to prove has not refuted:

    prove    quantifiers stay, with explicit patterns and without model-based instantiation: ``unsat`` is a proof, and
             everything else is no answer
    refute   quantifiers are expanded over small numbers: ``sat`` is a counterexample that can be printed

A mutant has to be refuted; and the theory itself has to be free of counterexamples in the refuting mode, or that mode
is lying. z3 is imported when a check runs, not before: it is optional (``pip install 'heapwright[prove]'``).

Source: de Moura and Bjørner, Z3: An Efficient SMT Solver, TACAS 2008; patterns: Detlefs, Nelson, Saxe, Simplify, JACM
52, 2005.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from heapwright.prove.theorem import (
    Check,
    Counterexample,
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

TIMEOUT_MS = 60_000


def load_z3() -> Any:
    """Return the z3 module.

    Raises
    ------
    ToolMissing
        It is not installed.
    """
    try:
        import z3
    except ImportError as error:
        raise ToolMissing("z3", f"not installed ({error})", "Get it: pip install 'heapwright[prove]'") from None
    return z3


@dataclass(frozen=True)
class Condition:
    """One verification condition: the hypotheses imply the goal."""

    name: str
    hypotheses: Sequence[Any]
    goal: Any


def is_proved(condition: Condition) -> bool:
    """Say whether z3 finds the proof, with quantifiers instantiated by their patterns only."""
    z3 = load_z3()
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    solver.set("auto_config", False)
    solver.set("smt.mbqi", False)
    solver.add(*condition.hypotheses, z3.Not(condition.goal))
    return bool(solver.check() == z3.unsat)


def find_model(condition: Condition, limits: Iterable[Any] = ()) -> Any | None:
    """Return a model of the hypotheses in which the goal fails, or None if there is none.

    Raises
    ------
    Undecided
        z3 does not know.
    """
    z3 = load_z3()
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    solver.add(*limits, *condition.hypotheses, z3.Not(condition.goal))
    answer = solver.check()
    if answer == z3.unknown:
        raise Undecided(f"z3 does not know whether {condition.name} can fail: {solver.reason_unknown()}")
    return solver.model() if answer == z3.sat else None


# ------------------------------------------------------------------------- laws of machine words: decided, not searched

#: law(z3, mutant) -> (hypotheses, goal), over bit-vectors; z3 decides those completely.
Law = Callable[[Any, "str | None"], tuple[Sequence[Any], Any]]


def decide(law: Law) -> Check:
    """Make a check of a law of machine words."""

    def check(size: int, mutant: str | None) -> Finding:
        hypotheses, goal = law(load_z3(), mutant)
        model = find_model(Condition(law.__name__, hypotheses, goal))
        if model is None:
            if mutant is None and find_model(Condition(law.__name__, hypotheses, load_z3().BoolVal(False))) is None:
                raise Undecided("its hypotheses contradict each other, so it says nothing")
            return Held("decided for all values")
        values = ((str(d), model[d]) for d in model.decls() if model[d].sort().kind() == load_z3().Z3_BV_SORT)
        return Counterexample(", ".join(f"{name} = {value}" for name, value in sorted(values)))

    return check


# ------------------------------------------------------------------------------------------------------- calibration


def _calibrate(size: int, mutant: str | None) -> Finding:
    """Ask for the truth of three statements known to be true; as mutants, of three known to be false."""
    z3 = load_z3()
    x, y = z3.BitVecs("x y", 64)
    i, f = z3.Int("i"), z3.Function("f", z3.IntSort(), z3.IntSort())
    grows = z3.ForAll([i], f(i + 1) > f(i), patterns=[f(i)])
    goals = {
        "wrap-around": Condition("x + 1 > x for machine words", [], z3.UGT(x + 1, x)),
        "signed-compare": Condition("signed and unsigned order agree", [], (x < y) == z3.ULT(x, y)),
        "strict-growth": Condition("f(2) > f(0) + 2", [f(1) > f(0), f(2) > f(1)], f(2) > f(0) + 2),
    }
    if mutant is not None:
        model = find_model(goals[mutant])
        return Held("no counterexample found") if model is None else Counterexample(_on_one_line(model))
    truths = [
        Condition("commutes", [], x + y == y + x),
        Condition("x + 1 > x below the last word", [x != z3.BitVecVal(-1, 64)], z3.UGT(x + 1, x)),
        Condition("f(2) > f(0)", [grows, f(1) > f(0), f(0 + 1 + 1) > f(1)], f(2) > f(0)),
    ]
    for truth in truths:
        if not is_proved(truth):
            return Counterexample(f"z3 does not prove that {truth.name}")
    return Held(f"z3 {z3.get_version_string()}: {len(truths)} truths proved")


def _on_one_line(model: Any) -> str:
    return ", ".join(f"{d} = {model[d]}" for d in model.decls()).replace("\n", " ")


CALIBRATION = Theorem(
    name="tool-z3",
    subject=Subject.TOOL,
    method="z3",
    grade=Grade.CALIBRATED,
    statement="The solver proves what is true, and shows a counterexample to what is false.",
    formula="⊨ φ ⇒ unsat(¬φ), and ⊭ φ ⇒ sat(¬φ)",
    scope=Scope("three truths and three falsehoods about words and functions"),
    mutants=(
        Mutant("wrap-around", "x + 1 > x, which fails at the last word"),
        Mutant("signed-compare", "signed order taken for unsigned"),
        Mutant("strict-growth", "a strictly growing function claimed to grow by more than one at each step"),
    ),
    check=_calibrate,
)
