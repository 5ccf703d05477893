"""Collecting, on the model and without a bound: the snapshot that a cycle keeps, and the memory that it lets be used.

The snapshot is an induction over what can happen between two looks of the marker, with any number of records: each step
keeps five invariants, and when nothing is grey they say that all of the snapshot is marked. z3 decides each step, since
an invariant for all records is asked of the few that the step is about (Skolem), and of one that could be any.

The argument in words is docs/explanation/record-heap.md; that the C does this is shown by `heapwright.prove.records`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from heapwright.prove.smt import Condition, find_model, load_z3
from heapwright.prove.theorem import (
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

FIELDS = (0, 1)


@dataclass(frozen=True)
class _State:
    """A heap in the middle of a cycle; each a function of a record, and `edge` of a field too."""

    edge: Callable[[Any, int], Any]
    marked: Callable[[Any], Any]
    scanned: Callable[[Any], Any]  #: what it refers to has been marked
    held: Callable[[Any], Any]  #: has a handle
    seen: Callable[[Any], Any]  #: its handle has been looked at by the cycle
    snapshot: Callable[[Any], Any]
    born: Callable[[Any], Any]  #: made during the cycle
    first_edge: Callable[[Any, int], Any]  #: as it was when the cycle began
    was_held: Callable[[Any], Any]


def _state(z3: Any) -> tuple[_State, Any]:
    record = z3.DeclareSort("Record")
    edges = [(z3.Function(f"edge{f}", record, record), z3.Function(f"first{f}", record, record)) for f in FIELDS]
    sets = {
        name: z3.Function(name, record, z3.BoolSort())
        for name in ("marked", "scanned", "held", "seen", "snapshot", "born", "was_held")
    }
    return _State(edge=lambda u, f: edges[f][0](u), first_edge=lambda u, f: edges[f][1](u), **sets), record


def _invariants(z3: Any, s: _State, none: Any, u: Any) -> Iterator[tuple[str, Any]]:
    """Yield what holds of every record u."""
    known = z3.Or(s.snapshot(u), s.born(u), u == none)
    yield "none is marked, and refers to none", z3.Implies(u == none, z3.And(s.marked(u), z3.Not(s.snapshot(u))))
    yield "what was made is marked", z3.Implies(s.born(u), z3.And(s.marked(u), z3.Not(s.snapshot(u))))
    yield (
        "a root of the snapshot is marked, or still to be looked at",
        z3.Implies(s.was_held(u), z3.And(s.snapshot(u), z3.Or(s.marked(u), z3.And(s.held(u), z3.Not(s.seen(u)))))),
    )
    yield "handles are of what is known", z3.Implies(s.held(u), known)
    for f in FIELDS:
        first, now = s.first_edge(u, f), s.edge(u, f)
        yield "the snapshot is closed", z3.Implies(s.snapshot(u), z3.Or(s.snapshot(first), first == none))
        yield (
            "an edge of the snapshot is there, or shaded",
            z3.Implies(s.snapshot(u), z3.Or(now == first, s.marked(first))),
        )
        yield (
            "what a scanned record referred to is marked",
            z3.Implies(z3.And(s.snapshot(u), s.scanned(u)), s.marked(first)),
        )
        yield (
            "what is known refers to what is known",
            z3.Implies(known, z3.Or(s.snapshot(now), s.born(now), now == none)),
        )


def _also(before: Callable[[Any], Any], z3: Any, *more: Any) -> Callable[[Any], Any]:
    return lambda u: z3.Or(before(u), *(u == one for one in more))


#: What happens, when it can, the state after it, and the records that it is about.
_Step: TypeAlias = "tuple[str, list[Any], _State, list[Any]]"


def _steps(z3: Any, s: _State, record: Any, none: Any, fault: str | None) -> Iterator[_Step]:
    x, v = z3.Consts("x v", record)
    old = s.edge(x, 0)
    stored = replace(s, edge=lambda u, f: z3.If(u == x, v, s.edge(u, f)) if f == 0 else s.edge(u, f))
    if fault != "no-barrier":
        stored = replace(stored, marked=_also(s.marked, z3, v if fault == "shades-the-new" else old))
    yield "a store", [s.held(x), x != none, z3.Or(s.held(v), v == none)], stored, [x, v, old, s.first_edge(x, 0)]

    followed = FIELDS[1:] if fault == "field-skipped" else FIELDS
    scanned = replace(s, marked=_also(s.marked, z3, *(s.edge(x, f) for f in followed)), scanned=_also(s.scanned, z3, x))
    yield "a scan", [s.marked(x), x != none], scanned, [x, *(s.edge(x, f) for f in FIELDS)]

    new = replace(
        s,
        edge=lambda u, f: z3.If(u == x, none, s.edge(u, f)),
        born=_also(s.born, z3, x),
        held=_also(s.held, z3, x),
        marked=s.marked if fault == "allocates-white" else _also(s.marked, z3, x),
    )
    fresh = [z3.Not(s.snapshot(x)), z3.Not(s.born(x)), z3.Not(s.scanned(x)), z3.Not(s.was_held(x)), x != none]
    yield "a record is made", fresh, new, [x]

    yield "a handle by an edge", [s.held(x)], replace(s, held=_also(s.held, z3, old)), [x, old]

    dropped = replace(s, held=lambda u: z3.And(s.held(u), u != x))
    if fault != "dropped-unseen":
        dropped = replace(dropped, marked=_also(s.marked, z3, x))
    yield "a handle is given up", [s.held(x)], dropped, [x]

    looked = replace(s, seen=_also(s.seen, z3, x), marked=lambda u: z3.Or(s.marked(u), z3.And(u == x, s.held(x))))
    yield "a handle is looked at", [], looked, [x]

    # what a weak reference leads to was not in the snapshot, perhaps: it is from now on, with all that it led to
    added = z3.Function("added", record, z3.BoolSort())
    joined = replace(
        s,
        snapshot=lambda u: z3.Or(s.snapshot(u), added(u)),
        was_held=_also(s.was_held, z3, x),
        held=_also(s.held, z3, x),
        marked=s.marked if fault == "weak-load-not-shaded" else _also(s.marked, z3, x),
    )
    yield "a weak reference is followed", [added(x), z3.Not(s.born(x)), x != none], joined, [x]


def _whole_of(z3: Any, s: _State, added: Any, none: Any, u: Any) -> Iterator[Any]:
    """Yield what is known of a part of the heap that nobody could come to since the cycle began: it is as it was."""
    inside = z3.And(added(u), z3.Not(s.snapshot(u)))
    yield z3.Implies(inside, z3.And(u != none, z3.Not(s.born(u)), z3.Not(s.scanned(u))))
    for f in FIELDS:
        first, now = s.first_edge(u, f), s.edge(u, f)
        yield z3.Implies(inside, now == first)
        yield z3.Implies(inside, z3.Or(added(first), s.snapshot(first), first == none))


def _snapshot(size: int, mutant: str | None) -> Finding:
    z3 = load_z3()
    s, record = _state(z3)
    none, u, p = z3.Consts("none u p", record)
    added = z3.Function("added", record, z3.BoolSort())
    decided = 0
    for what, when, after, about in _steps(z3, s, record, none, mutant):
        terms = [none, u, *about, *(edge(u, f) for edge in (s.edge, s.first_edge) for f in FIELDS)]
        before = [law for term in terms for _, law in _invariants(z3, s, none, term)]
        if what == "a weak reference is followed":
            before += [law for term in terms for law in _whole_of(z3, s, added, none, term)]
        if mutant is None and find_model(Condition(what, [*before, *when], z3.BoolVal(False))) is None:
            raise Undecided(f"{what} is never possible: the hypotheses contradict each other")
        for law, goal in _invariants(z3, after, none, u):
            decided += 1
            if find_model(Condition(what, [*before, *when], goal)) is not None:
                return Counterexample(f"{what} breaks: {law}")
    # nothing is grey, all handles have been seen; of a record of the snapshot, that it was a root or, by induction on
    # how far it is from one, that what led to it is marked
    quiet = [z3.Implies(z3.And(s.marked(p), s.snapshot(p)), s.scanned(p)), s.seen(u), s.snapshot(u)]
    led = z3.Or(s.was_held(u), z3.And(s.snapshot(p), s.marked(p), z3.Or(*(s.first_edge(p, f) == u for f in FIELDS))))
    before = [law for term in (none, u, p) for _, law in _invariants(z3, s, none, term)]
    if find_model(Condition("the end", [*before, *quiet, led], s.marked(u))) is not None:
        return Counterexample("a record of the snapshot is white at the end")
    return Held(f"{decided + 1} of {decided + 1} conditions")


# ----------------------------------------------------------------------------------------------------------- the bound


def _larger(z3: Any, a: Any, b: Any) -> Any:
    return z3.If(a > b, a, b)


def _smaller(z3: Any, a: Any, b: Any) -> Any:
    return z3.If(a < b, a, b)


def _pacing(size: int, mutant: str | None) -> Finding:
    z3 = load_z3()
    left, reachable, minimum, growth, request, made = z3.Reals("left reachable minimum growth request made")
    allowance = minimum + growth * left if mutant == "both-at-once" else _larger(z3, minimum, growth * left)
    cycle = _smaller(z3, allowance, _larger(z3, minimum, left)) / 4
    if mutant == "part-of-what-may-be-made":
        cycle = allowance / 4
    r = reachable + 2 * request
    bound = _larger(z3, r + minimum / 4, r / (1 - _smaller(z3, growth, z3.RealVal(1)) / 4))
    given = [left >= 0, left <= bound, reachable >= 0, minimum > 0, growth > 0, request >= 0, made >= 0]
    # a cycle leaves what was reachable when it began, and what was made until it ended: C, and a request at both ends
    given += [] if mutant == "never-hurried" else [made <= cycle + 2 * request]
    after = reachable + made
    in_use = left + allowance + (2 * request if mutant == "looked-at-late" else request)
    stated = bound + _larger(z3, minimum, growth * bound) + request
    goals: Sequence[tuple[str, Any]] = (("what a cycle leaves", after <= bound), ("what is in use", in_use <= stated))
    for what, goal in goals:
        model = find_model(Condition(what, given, goal))
        if model is not None:
            shown = sorted(f"{d} = {model[d].as_fraction()}" for d in model.decls() if hasattr(model[d], "as_fraction"))
            return Counterexample(f"{what} is more than the bound: {', '.join(shown)}")
    return Held("decided for all values")


THEOREMS = (
    Theorem(
        name="records-snapshot",
        subject=Subject.MODEL,
        method="z3",
        grade=Grade.PROVED,
        statement="What could be reached when a cycle began, what was made since, and what somebody came to by a weak "
        "reference is marked when nothing is grey; and a program can come to nothing else.",
        formula="inv ∧ step ⇒ inv';   inv ∧ grey = ∅ ⇒ snapshot ∪ born ⊆ marked;   reach ⊆ snapshot ∪ born",
        scope=Scope("every heap of records with two edges, every store, load, scan, handle and weak load"),
        assumptions=(
            "what is not in the snapshot, and was not made since, is as it was: nobody can come to it to change it",
            "every record of the snapshot is at a finite distance from a root",
        ),
        mutants=(
            Mutant("no-barrier", "what an edge referred to is overwritten and not shaded"),
            Mutant("shades-the-new", "the barrier shades what is stored, not what was there"),
            Mutant("field-skipped", "one edge of a record is not followed"),
            Mutant("allocates-white", "a record that is made during a cycle is not marked"),
            Mutant("dropped-unseen", "a handle is given up before it was looked at, and not shaded"),
            Mutant("weak-load-not-shaded", "what a weak reference gave is not shaded"),
        ),
        check=_snapshot,
        source="Yuasa, Real-time garbage collection on general-purpose machines, J. Systems and Software 11, 1990",
    ),
    Theorem(
        name="records-pacing",
        subject=Subject.MODEL,
        method="z3",
        grade=Grade.PROVED,
        statement="A heap whose program never has more than R bytes reachable, whatever it makes, is never left "
        "with more than a third beyond R, or a quarter of the minimum, by a cycle in slices; nor has it more in use "
        "than its growth beyond that.",
        formula="L ≤ B ⇒ R + C(L) + 2q ≤ B,   B = max(r + m/4, r/(1 − min(g, 1)/4)),   r = R + 2q;   "
        "in use ≤ B + max(m, gB) + q",
        scope=Scope("every R, growth g, minimum m, largest request q, and all that the cycle before may have left"),
        assumptions=(
            "what waits to be finalized counts as reachable",
            "a cycle has ended when C more has been made, which native/heap/record_pace.c asserts at every look (P1)",
        ),
        mutants=(
            Mutant(
                "part-of-what-may-be-made",
                "C is a quarter of T, whatever is in use: nothing bounds L from a growth of 4 on",
            ),
            Mutant("never-hurried", "a cycle goes on for as long as its slices take"),
            Mutant("both-at-once", "the minimum is on top of the growth"),
            Mutant("looked-at-late", "one request more is served before anybody looks"),
        ),
        check=_pacing,
        source="Baker, List Processing in Real Time on a Serial Computer, CACM 21(4), 1978",
    ),
)
