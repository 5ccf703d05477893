"""Conformance: the C does what the definitions say, decision for decision; by random programs, and by all short ones.

The mutants are `faults`, each compiled into a private build of the core.
"""

from __future__ import annotations

from heapwright.prove import lockstep, programs
from heapwright.prove.faults import BUDDY, BUMP, FITS, RELOCATION, SLAB, TLSF, Fault
from heapwright.prove.shipped import library
from heapwright.prove.theorem import Check, Counterexample, Finding, Grade, Held, Scope, Subject, Theorem

_LONGEST_HUNT = 60_000  #: steps on a mutant before it counts as alive


def _of(faults: tuple[Fault, ...], name: str) -> Fault:
    return next(fault for fault in faults if fault.name == name)


def _randomly(strategies: tuple[str, ...], faults: tuple[Fault, ...]) -> Check:
    """Make a check by random programs: on heaps, and then on a private build, which is moved all the time."""

    def check(size: int, mutant: str | None) -> Finding:
        if mutant is not None:
            fault = _of(faults, mutant)
            wrong = lockstep.apart("random", str(library((fault.patch,))), fault.strategy, 1, _LONGEST_HUNT)
            return Held("no difference") if wrong is None else Counterexample(wrong)
        share = size // len(strategies)
        for strategy in strategies:
            wrong = lockstep.heap_differs(strategy, 1, share)
            wrong = wrong or lockstep.apart("random", str(library()), strategy, 2, share // 4)
            if wrong is not None:
                return Counterexample(wrong)
        done = len(strategies) * (share + share // 4)
        return Held(f"{done:,} operations, no difference")

    return check


def _wholly(strategies: tuple[str, ...], faults: tuple[Fault, ...]) -> Check:
    """Make a check by all programs of a length: on a private build, and of one step less on heaps."""

    def check(size: int, mutant: str | None) -> Finding:
        if mutant is not None:
            fault = _of(faults, mutant)
            wrong = lockstep.apart("every", str(library((fault.patch,))), fault.strategy, max(size, 4))
            return Held("no difference") if wrong is None else Counterexample(wrong)
        ran = 0
        for strategy in strategies:
            wrong = lockstep.apart("every", str(library()), strategy, size)
            if wrong is None:
                wrong, count = programs.heap_differs_somewhere(strategy, size - 1)
                ran += count
            if wrong is not None:
                return Counterexample(wrong)
        return Held(f"all programs; {ran:,} of them on heaps as well")

    return check


def _moved(size: int, mutant: str | None) -> Finding:
    if mutant is not None:
        fault = _of(RELOCATION, mutant)
        wrong = lockstep.apart("random", str(library((fault.patch,))), fault.strategy, 1, _LONGEST_HUNT)
        return Held("no difference") if wrong is None else Counterexample(wrong)
    for strategy in _ALL:
        wrong = lockstep.apart("random", str(library()), strategy, 3, size // len(_ALL))
        if wrong is not None:
            return Counterexample(wrong)
    return Held(f"{size // len(_ALL) * len(_ALL):,} operations, as many moves")


_EXACT = ("first-fit", "best-fit", "worst-fit", "next-fit")
_ALL = (*_EXACT, "tlsf", "buddy", "bump", "slab")


def _same(
    name: str, whose: str, strategies: tuple[str, ...], faults: tuple[Fault, ...], short: int, full: int
) -> Theorem:
    return Theorem(
        name=f"lockstep-{name}",
        subject=Subject.BRIDGE,
        method="lock-step",
        grade=Grade.TESTED,
        statement=f"{whose}: the C answers what the definition answers, offset for offset, and counts what is live.",
        formula="native(p) = model(p) for programs p: offsets, ⊥, refusals, picture, Σ requested, Σ allocated",
        scope=Scope("{n} random operations on heaps, and a quarter as many on a private build", short, full),
        assumptions=(
            "programs of 400 steps, spaces of 64 B to 4 KiB, sizes to 400 B and around the capacity and 2^64",
        ),
        mutants=tuple(fault.mutant for fault in faults),
        check=_randomly(strategies, faults),
    )


THEOREMS = (
    _same("fits", "First, best, worst and next fit", _EXACT, FITS, 16_000, 5_200_000),
    _same("tlsf", "TLSF", ("tlsf",), TLSF, 4_000, 1_600_000),
    _same("buddy", "Buddies", ("buddy",), BUDDY, 4_000, 1_600_000),
    _same("bump", "Bump", ("bump",), BUMP, 4_000, 1_200_000),
    _same("slab", "Slabs", ("slab",), SLAB, 4_000, 400_000),
    Theorem(
        name="programs-all",
        subject=Subject.BRIDGE,
        method="exhaustive",
        grade=Grade.PROVED_TO,
        statement="In a small space, no program at all tells the C from its definition.",
        formula="∀ p, |p| ≤ k: native(p) = model(p)",
        scope=Scope(
            "every program of at most {n} steps on 6 granules, all strategies, 3 sizes, 2 alignments, resizes, frees "
            "through dead and bent handles",
            3,
            4,
        ),
        mutants=tuple(fault.mutant for fault in (*FITS[:3], FITS[5], BUDDY[0], BUMP[1])),
        check=_wholly(_ALL, (*FITS, *BUDDY, *BUMP)),
    ),
    Theorem(
        name="relocation",
        subject=Subject.BRIDGE,
        method="lock-step",
        grade=Grade.TESTED,
        statement="A control region may be copied elsewhere between any two operations, and answers the same.",
        formula="native(move(c), op) = native(c, op)",
        scope=Scope(
            "{n} random operations over all strategies, the region moved after each, the old one overwritten",
            8_000,
            800_000,
        ),
        mutants=tuple(fault.mutant for fault in RELOCATION),
        check=_moved,
    ),
)
