"""Schedules: every order in which the steps of some threads can happen, and what must hold at each moment.

The protocol of `heapwright.Limiting` is written as steps that are atomic in the real thing: `Account.take` is one C
call under the interpreter lock, and so is each call of a heap. All interleavings are visited by their states: two
schedules that lead to the same state are one from there on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from heapwright.prove.theorem import Counterexample, Finding, Grade, Held, Mutant, Scope, Subject, Theorem

M = TypeVar("M", bound=Hashable)

LIMIT = 3
SIZES = (2, 1, 2, 1)  #: what each thread asks for; no two threads with 2 fit at once


@dataclass(frozen=True)
class _Moment:
    """The account, the memory that is really out, and where each thread is."""

    charged: int
    out: int
    at: tuple[int, ...]  #: index into `_STEPS`, of each thread
    note: tuple[bool, ...]  #: what a thread remembers of its check, for protocols that check first and take later

    def step(self, thread: int, to: int, charge: int = 0, out: int = 0, note: bool | None = None) -> _Moment:
        at = (*self.at[:thread], to, *self.at[thread + 1 :])
        notes = self.note if note is None else (*self.note[:thread], note, *self.note[thread + 1 :])
        return replace(self, charged=self.charged + charge, out=self.out + out, at=at, note=notes)


START, CHECKED, CHARGED, SERVED, RETURNING, DONE = range(6)


def _next(at: int, size: int, fits: bool, note: bool, fault: str | None) -> list[tuple[Any, ...]]:
    """Return the steps of one thread: what it does, where it is then, and what that adds to charge and memory."""
    match at, fault:
        case 0, "checks-then-takes":
            return [("checks", CHECKED, 0, 0, fits)]
        case 0, "serves-then-takes":
            return [("is served", CHARGED, 0, size)]
        case 0, _:
            return [("takes", CHARGED, size) if fits else ("is refused", DONE)]
        case 1, _:
            return [("takes", CHARGED, size) if note else ("is refused", DONE)]
        case 2, "serves-then-takes":
            return [("takes", SERVED, size)]
        case 2, _:
            failed = ("finds no memory", DONE, 0 if fault == "failure-keeps-charge" else -size)
            return [("is served", SERVED, 0, size), failed]
        case 3, "gives-then-frees":
            return [("gives", RETURNING, -size)]
        case 3, _:
            return [("frees", RETURNING, 0, -size)]
        case 4, "gives-then-frees":
            return [("frees", DONE, 0, -size)]
        case 4, "gives-twice":
            return [("gives", DONE, -2 * size)]
        case 4, _:
            return [("gives", DONE, -size)]
    return []


def _moves(now: _Moment, fault: str | None) -> list[tuple[str, _Moment]]:
    """Return what can happen next; the upstream may refuse at any time."""
    moves = []
    for thread, at in enumerate(now.at):
        size = SIZES[thread]
        fits = now.charged + size <= LIMIT
        moves += [
            (f"thread {thread} {what}", now.step(thread, *to))
            for what, *to in _next(at, size, fits, now.note[thread], fault)
        ]
    return moves


def explore(first: M, moves: Callable[[M], list[tuple[str, M]]], wrong: Callable[[M, bool], str | None]) -> Finding:
    """Visit every moment that can follow the first; the shortest way to one that is wrong is the counterexample.

    Parameters
    ----------
    first
        A hashable value: all there is to know.
    moves
        What can happen next: in words, and the moment after it. None: it is over.
    wrong
        ``wrong(moment, over)``: what does not hold, or None.
    """
    came_from: dict[M, tuple[M, str] | None] = {first: None}
    frontier = deque([first])
    while frontier:
        now = frontier.popleft()
        following = moves(now)
        shown = wrong(now, not following)
        if shown:
            return Counterexample(f"{'; '.join(_history(now, came_from))}: {shown}")
        for what, then in following:
            if then not in came_from:
                came_from[then] = now, what
                frontier.append(then)
    return Held(f"{len(came_from):,} states")


def _history(now: M, came_from: dict[M, tuple[M, str] | None]) -> list[str]:
    steps: list[str] = []
    while (before := came_from[now]) is not None:
        now, what = before
        steps.insert(0, what)
    return steps


def _limit(size: int, mutant: str | None) -> Finding:
    """Visit every state that `size` threads can reach."""
    first = _Moment(0, 0, (START,) * size, (False,) * size)
    return explore(first, partial(_moves, fault=mutant), _wrong)


def _wrong(now: _Moment, ended: bool) -> str | None:
    if now.out > LIMIT:
        return f"{now.out} of {LIMIT} bytes are out"
    if now.charged > LIMIT:
        return f"{now.charged} of {LIMIT} bytes are charged"
    if now.out > now.charged:
        return f"{now.out} bytes are out and {now.charged} charged"
    if ended and (now.charged, now.out) != (0, 0):
        return f"all have ended, and {now.charged} bytes are charged"
    return None


THEOREMS = (
    Theorem(
        name="limit-schedules",
        subject=Subject.MODEL,
        method="schedules",
        grade=Grade.PROVED_TO,
        statement="A limit is never passed, whatever the threads do in whatever order; and no charge is left behind.",
        formula="∀ schedules, ∀ moments: Σ out ≤ charged ≤ limit;   at the end charged = 0",
        scope=Scope("every interleaving of {n} threads that allocate and free, every request served or refused", 3, 4),
        assumptions=("taking, giving, serving and freeing are each atomic: one C call under the interpreter lock",),
        mutants=(
            Mutant("checks-then-takes", "the limit is checked in one step and charged in the next"),
            Mutant("serves-then-takes", "the block is had first, and charged afterwards"),
            Mutant("failure-keeps-charge", "what the upstream refused stays charged"),
            Mutant("gives-then-frees", "the charge is returned while the memory is still out"),
            Mutant("gives-twice", "a block that is freed returns its charge twice"),
        ),
        check=_limit,
    ),
)
