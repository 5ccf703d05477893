"""The life cycle of a block and its handles: what can never happen, however long a program runs.

The life cycle is a finite table, so what can be reached in it is computed, not searched. Handles carry an unbounded
generation, so they are tried: every program up to a length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeAlias

from heapwright.model.lifecycle import TRANSITIONS, Event, State, is_live
from heapwright.prove.theorem import Check, Counterexample, Finding, Grade, Held, Mutant, Scope, Subject, Theorem

Table: TypeAlias = Mapping[tuple[State, Event], State]

#: mutant -> the step that the faulty life cycle has on top
_PLANTED: dict[str, tuple[State, Event, State]] = {
    "restored-after-free": (State.FREED, Event.RESTORE, State.ALLOCATED),
    "returned-after-free": (State.FREED, Event.RETURN, State.ALLOCATED),
    "concealed-after-free": (State.FREED, Event.CONCEAL, State.ALLOCATED),
    "freed-under-a-view": (State.EXPOSED, Event.DEALLOCATE, State.FREED),
    "moved-while-leased": (State.LEASED, Event.MOVE, State.LEASED),
    "spilled-under-a-view": (State.EXPOSED, Event.SPILL, State.SPILLED),
    "hole-written-off": (State.FREE, Event.DEALLOCATE, State.FREED),
    "double-free": (State.FREED, Event.DEALLOCATE, State.FREED),
    "reserved-handed-out": (State.RESERVED, Event.ALLOCATE, State.ALLOCATED),
}


def _of_table(law: Callable[[Table], str | None]) -> Check:
    def check(size: int, mutant: str | None) -> Finding:
        table = dict(TRANSITIONS)
        if mutant is not None:
            before, event, after = _PLANTED[mutant]
            table[before, event] = after
        shown = law(table)
        return Held(f"{len(table)} steps between {len(State)} states") if shown is None else Counterexample(shown)

    return check


def _paths(table: Table, start: State, without: frozenset[Event]) -> dict[State, tuple[Event, ...]]:
    """Return what can be reached from a state, each with a shortest way there."""
    ways: dict[State, tuple[Event, ...]] = {start: ()}
    frontier = [start]
    while frontier:
        state = frontier.pop(0)
        for (before, event), after in table.items():
            if before is state and event not in without and after not in ways:
                ways[after] = (*ways[state], event)
                frontier.append(after)
    return ways


def _dead_stays_dead(table: Table) -> str | None:
    ways = _paths(table, State.FREED, frozenset({Event.REUSE, Event.CORRUPT}))
    alive = next((state for state in ways if is_live(state)), None)
    return None if alive is None else f"freed, {', '.join(e.value for e in ways[alive])}: {alive.value}"


def _lent_stays(table: Table) -> str | None:
    for state in (State.EXPOSED, State.LEASED):
        for event in (Event.DEALLOCATE, Event.MOVE, Event.SPILL):
            if (state, event) in table:
                return f"{event.value} while {state.value}"
    return None


def _freed_once(table: Table) -> str | None:
    """Say that only a live block is freed, and only what is free is handed out."""
    for state, event in table:
        if event is Event.DEALLOCATE and not is_live(state):
            return f"deallocate while {state.value}"
        if event is Event.ALLOCATE and state is not State.FREE:
            return f"allocate while {state.value}"
    return None


# ------------------------------------------------------------------------------------------------------------ handles

_SLOTS = 2


class _Handles:
    """Two slots, and handles (slot, generation); a handle is good while its slot is live with its generation."""

    def __init__(self, fault: str | None) -> None:
        self._fault = fault
        self._generations = [0] * _SLOTS
        self._live = [False] * _SLOTS

    def allocate(self) -> tuple[int, int] | None:
        if False not in self._live:
            return None
        slot = self._live.index(False)
        self._live[slot] = True
        return slot, self._generations[slot]

    def deallocate(self, handle: tuple[int, int]) -> bool:
        slot, generation = handle
        named = self._fault == "by-address-alone" or generation == self._generations[slot]
        if not named or (not self._live[slot] and self._fault != "liveness-not-asked"):
            return False
        self._live[slot] = False
        if self._fault != "generation-stands-still":
            self._generations[slot] += 1
        if self._fault == "generation-of-one-bit":
            self._generations[slot] %= 2
        if self._fault == "liveness-not-asked":
            self._generations[slot] = generation
        return True


def _stale_handles(size: int, mutant: str | None) -> Finding:
    """Run every program of `size` steps: allocate, or deallocate through any handle that was ever given out."""
    programs = 0
    frontier: deque[tuple[int | None, ...]] = deque([()])
    while frontier:
        program = frontier.popleft()
        handles, given, alive = _Handles(mutant), list[tuple[int, int]](), set[int]()
        for step in program:
            if step is None:
                handle = handles.allocate()
                if handle is not None:
                    alive.add(len(given))
                    given.append(handle)
                continue
            accepted = handles.deallocate(given[step])
            if accepted != (step in alive):
                said = "accepted" if accepted else "refused"
                return Counterexample(f"{_spell(program)}: the last one is {said}")
            alive.discard(step)
        programs += 1
        if len(program) < size:
            frontier += [(*program, choice) for choice in (None, *range(len(given)))]
    return Held(f"{programs:,} programs")


def _spell(program: tuple[int | None, ...]) -> str:
    words, given = [], 0
    for step in program:
        if step is None:
            words.append(f"h{given} = allocate")
            given += 1
        else:
            words.append(f"deallocate h{step}")
    return "; ".join(words)


def _life(name: str, statement: str, formula: str, law: Callable[[Table], str | None], *mutants: Mutant) -> Theorem:
    return Theorem(
        name=name,
        subject=Subject.MODEL,
        method="closure",
        grade=Grade.PROVED,
        statement=statement,
        formula=formula,
        scope=Scope("every sequence of events of any length: the table is finite and searched whole"),
        assumptions=("what corrupts memory from outside is left out: any state can become corrupted",),
        mutants=mutants,
        check=_of_table(law),
    )


THEOREMS = (
    _life(
        "life-dead-stays-dead",
        "Once freed, a handle never becomes live again: nothing that can happen to it leads back.",
        "freed ↛* s for every live s, without reuse (which makes another handle)",
        _dead_stays_dead,
        Mutant("restored-after-free", "what was spilled comes back after it was freed"),
        Mutant("returned-after-free", "what was lent to the kernel comes back after it was freed"),
        Mutant("concealed-after-free", "the last view closes after its block was freed, and revives it"),
    ),
    _life(
        "life-lent-stays",
        "While a view is exported, or the block is lent, it is neither freed nor moved nor spilled: nothing dangles.",
        "s ∈ {exposed, leased} ⇒ ¬may(s, deallocate) ∧ ¬may(s, move) ∧ ¬may(s, spill)",
        _lent_stays,
        Mutant("freed-under-a-view", "a mapping ends while views of it exist"),
        Mutant("moved-while-leased", "a block moves while the kernel writes to it"),
        Mutant("spilled-under-a-view", "the bytes go elsewhere while a view shows them"),
    ),
    _life(
        "life-freed-once",
        "Only a live block can be freed, and only free memory handed out: no double use, no double free.",
        "may(s, deallocate) ⇒ live(s);   may(s, allocate) ⇒ s = free",
        _freed_once,
        Mutant("double-free", "a block that is freed can be freed"),
        Mutant("hole-written-off", "a hole can be freed"),
        Mutant("reserved-handed-out", "addresses without memory are handed out"),
    ),
    Theorem(
        name="handle-stale",
        subject=Subject.MODEL,
        method="exhaustive",
        grade=Grade.PROVED_TO,
        statement="A handle is accepted exactly while its block lives, and refused though its address be in use again.",
        formula="deallocate(h) = ok ⇔ h ∈ live, for h = (offset, generation)",
        scope=Scope("every program of at most {n} steps over two slots, through every handle ever given", 6, 8),
        assumptions=("a generation does not wrap around: Python's handles are objects, and have no width",),
        mutants=(
            Mutant("by-address-alone", "a handle is an address and no more: a stale one frees another's block", "B4"),
            Mutant("generation-stands-still", "freeing does not advance the generation"),
            Mutant("generation-of-one-bit", "every second owner of a slot has the same handle"),
            Mutant("liveness-not-asked", "the generation is compared, and whether the slot is live is not asked"),
        ),
        check=_stale_handles,
    ),
)
