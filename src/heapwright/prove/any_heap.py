"""Any heap: the theorems of the coalescing heap, for every capacity, every number of blocks, every program (z3).

The theory is `tiled_heap`. A theorem is proved with quantifiers; a mutant has to have a counterexample in a small heap,
and the theory itself none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from heapwright.prove.smt import Condition, find_model, is_proved
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
    Undecided,
)
from heapwright.prove.tiled_heap import Theory

#: Capacity in granules of the heaps in which counterexamples are looked for: room for both neighbours and a rest.
REFUTING_CAPACITY = 5

Conditions = Callable[[Theory], Iterator[Condition]]


def _check(conditions: Conditions) -> Check:
    """Make a check: every condition is proved; a mutant must have a counterexample in a small heap."""

    def check(size: int, mutant: str | None) -> Finding:
        if mutant is None:
            unproved = [c.name for c in conditions(Theory()) if not is_proved(c)]
            shown = _refute(conditions, None)
            if shown is not None:
                return Counterexample(shown)
            if unproved:
                raise Undecided(f"z3 finds neither a proof nor a small counterexample: {'; '.join(unproved)}")
            small = Theory(capacity=REFUTING_CAPACITY)
            for condition in small.satisfiable():
                if find_model(condition, small.limits()) is None:
                    raise Undecided(f"the theory is vacuous: not so that {condition.name}")
            return Held(f"{len(list(conditions(Theory())))} conditions proved")
        shown = _refute(conditions, mutant)
        return Held("no counterexample in small heaps") if shown is None else Counterexample(shown)

    return check


def _refute(conditions: Conditions, fault: str | None) -> str | None:
    theory = Theory(fault, REFUTING_CAPACITY)
    for condition in conditions(theory):
        model = find_model(condition, theory.limits())
        if model is not None:
            return f"not so that {condition.name}: {theory.show(model)}"
    return None


_ANY_HEAP = Scope("every capacity, every number of blocks, every sequence of operations")
_INVARIANT = "heap-invariant: the heap was opened, and every operation so far was allocate or deallocate"
_GRANULES = "sizes and offsets are whole granules and do not overflow: words-granules"

THEOREMS = (
    Theorem(
        name="heap-invariant",
        subject=Subject.MODEL,
        method="z3",
        grade=Grade.PROVED,
        statement="Blocks tile the space, no two holes touch, and tags are true, after any sequence of operations.",
        formula="Inv(open) ∧ (Inv(h) ∧ h →op h' ⇒ Inv(h')),  Inv = range ∧ first ∧ next ∧ gap ∧ coalesced ∧ tags",
        scope=_ANY_HEAP,
        assumptions=(_GRANULES,),
        source="Knuth, The Art of Computer Programming 1, section 2.5",
        mutants=(
            Mutant("left-not-coalesced", "deallocate does not look at the hole on its left", "B4"),
            Mutant("right-not-coalesced", "deallocate does not look at the hole on its right", "B4"),
            Mutant("live-left-coalesced", "deallocate merges with a live block on its left"),
            Mutant("fit-off-by-one", "a hole that is one granule too small is taken"),
            Mutant("split-off-by-one", "the rest starts one granule early"),
            Mutant("rest-lost", "what is left of a hole is not kept"),
            Mutant("front-tag-stale", "the tag of the hole before an aligned block is not written"),
            Mutant("tag-stale", "the tag of a freed block is not written"),
            Mutant("not-validated", "deallocate takes any offset", "B5"),
        ),
        check=_check(Theory.inductive),
    ),
    Theorem(
        name="heap-disjoint",
        subject=Subject.MODEL,
        method="z3",
        grade=Grade.PROVED,
        statement="Two blocks have no byte in common, and every block lies inside the space.",
        formula="∀ x ≠ y ∈ blocks: [x, x+|x|) ∩ [y, y+|y|) = ∅ ∧ [x, x+|x|) ⊆ [1, N]",
        scope=_ANY_HEAP,
        assumptions=(_INVARIANT,),
        mutants=(
            Mutant("without-gap-tags", "the invariant without: a block ends before the next begins, and tags are true"),
            Mutant("without-range", "the invariant without: a block lies inside and has a size"),
            Mutant("never-touching", "claims more: two blocks never touch"),
        ),
        check=_check(Theory.disjoint),
    ),
    Theorem(
        name="heap-conserved",
        subject=Subject.MODEL,
        method="z3",
        grade=Grade.PROVED,
        statement="Every byte belongs to exactly one block or hole: live and free bytes add up to the capacity.",
        formula="∀ i ∈ [1, N] ∃! x: i ∈ [x, x+|x|)   ⇒   Σ live + Σ free = N",
        scope=_ANY_HEAP,
        assumptions=(_INVARIANT,),
        mutants=(
            Mutant("without-owner", "the invariant without: every granule has an owner"),
            Mutant("without-gap-tags", "the invariant without: a block ends before the next begins, and tags are true"),
            Mutant("live-alone", "claims more: live blocks alone make up the capacity"),
        ),
        check=_check(Theory.conserved),
    ),
    Theorem(
        name="heap-frame",
        subject=Subject.MODEL,
        method="z3",
        grade=Grade.PROVED,
        statement="An operation changes neither place nor size of any other live block.",
        formula="∀ x live in h, x not the argument: x live in h' ∧ |x|' = |x|",
        scope=_ANY_HEAP,
        assumptions=(_INVARIANT,),
        mutants=(
            Mutant("live-left-coalesced", "deallocate merges with a live block on its left"),
            Mutant("live-right-coalesced", "deallocate merges with a live block on its right"),
            Mutant("not-validated", "deallocate takes any offset", "B5"),
            Mutant("takes-live-block", "allocate takes what is not a hole"),
        ),
        check=_check(Theory.framed),
    ),
    Theorem(
        name="heap-exact",
        subject=Subject.MODEL,
        method="z3",
        grade=Grade.PROVED,
        statement="Nothing leaks inside: the set of live blocks changes by exactly the block handed out or taken back.",
        formula="live(h') = live(h) ∪ {p} after allocate, live(h) ∖ {a} after deallocate",
        scope=_ANY_HEAP,
        assumptions=(_INVARIANT,),
        mutants=(
            Mutant("rest-marked-live", "what is left of a hole counts as live: lost until the heap ends"),
            Mutant("freed-stays-live", "a freed block is still live", "B4"),
            Mutant("forgets-the-block", "the heap does not remember what it handed out", "B8"),
            Mutant("live-left-coalesced", "a live block on the left is freed as well"),
        ),
        check=_check(Theory.exact),
    ),
    Theorem(
        name="heap-complete",
        subject=Subject.MODEL,
        method="z3",
        grade=Grade.PROVED,
        statement="Bottom is answered exactly when no hole fits, and the search for one always ends.",
        formula="allocate(g) = ⊥  ⇔  ¬∃ x: x a hole ∧ |x| ≥ g",
        scope=_ANY_HEAP,
        assumptions=(_INVARIANT, "alignment 1; with alignment: code-allocate, of the code"),
        source="what Appel and Naumann call resource-aware: Verified Sequential Malloc/Free, ISMM 2020",
        mutants=(
            Mutant("exact-fit-refused", "a hole of exactly the size is passed over"),
            Mutant("walk-skips", "the walk takes one granule too many per step"),
            Mutant("holes-at-the-end-refused", "the last hole is never looked at", "B5"),
        ),
        check=_check(Theory.complete),
    ),
)
