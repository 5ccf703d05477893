"""Ownership: counts, ends, cycles and weak handles, on the C that ships; and the race of an upgrade with the last drop.

Every graph of a few nodes with two references each, and every set of nodes that somebody holds, is built in the C
(`harness/ownership.c`) and compared with counting and reachability by their definitions. The race is explored step by
step on a model of the atomic instructions.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, replace
from functools import partial

from heapwright.prove.every_case import TIMEOUT_S, every_case
from heapwright.prove.faults import Fault, planted
from heapwright.prove.schedules import explore
from heapwright.prove.shipped import program
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

_TESTED_FIRST = Fault(
    "tests-before-it-decrements",
    "whoever finds one owner ends the node and takes nothing off the count",
    planted(
        "shared_graph.h", "    if (before == 1) return HW_SHARED_DEAD;", "    if (before == 2) return HW_SHARED_DEAD;"
    ),
)
_DEAD_KEEPS = Fault(
    "the-dead-keep-their-references",
    "a node that ends does not give up what it owned",
    planted("shared_graph.c", "release_reference(graph, graph->slots[node->first + i]);", "(void)node->first;"),
)
_NOT_SUSPECTED = Fault(
    "nobody-is-suspected",
    "a node that lost an owner and lived is not remembered",
    planted("shared_graph.c", "    graph->candidates[graph->candidates_count++] = number;", "    (void)number;"),
)
_COUNTS = (
    _TESTED_FIRST,
    _DEAD_KEEPS,
    Fault(
        "clone-is-a-copy",
        "a clone does not count",
        planted(
            "shared_graph.h",
            "atomic_fetch_add_explicit(&node->strong, 1, memory_order_relaxed) <",
            "atomic_load_explicit(&node->strong, memory_order_relaxed) <",
        ),
        "D1",
    ),
    Fault(
        "ended-at-once-with-its-owner",
        "a node that loses an owner ends, others or not",
        planted(
            "shared_graph.h",
            "    if (before == 1) return HW_SHARED_DEAD;",
            "    if (before != 0) return HW_SHARED_DEAD;",
        ),
    ),
)
_COLLECTS = (
    Fault(
        "not-restored",
        "what an owned node reaches is not seen to be owned",
        planted("shared_graph.c", "            graph->nodes[target].trial = top;\n            top = target;", ""),
    ),
    Fault(
        "references-not-taken-off",
        "references inside the closure count as owners: a cycle owns itself for ever",
        planted(
            "shared_graph.c",
            "look_at(graph, &seen, target);\n            graph->nodes[target].trial--;",
            "look_at(graph, &seen, target);",
        ),
    ),
    Fault(
        "garbage-not-cut",
        "garbage keeps its references to garbage, whose numbers may be somebody else's by the time they are given up",
        planted("shared_graph.c", "== GREY)) *slot = NONE;", "== GREY)) continue;"),
    ),
    Fault(
        "colours-not-restored",
        "a collection that gives up leaves its colours behind",
        planted(
            "shared_graph.c",
            "            graph->nodes[number].colour = WHITE;\n        return result.aborted",
            "            (void)number;\n        return result.aborted",
        ),
    ),
    _NOT_SUSPECTED,
)
_WEAKLY = (
    Fault(
        "weak-holds-strong",
        "a weak handle is one more owner",
        planted("shared_graph.c",
            "    atomic_fetch_add_explicit(&graph->nodes[number].weak, 1, memory_order_relaxed);\n}",
            "    atomic_fetch_add_explicit(&graph->nodes[number].weak, 1, memory_order_relaxed);\n"
            "    atomic_fetch_add_explicit(&graph->nodes[number].strong, 1, memory_order_relaxed);\n}"),
        "D2",
    ),
    Fault(
        "upgraded-from-nothing",
        "an upgrade does not look whether there is an owner",
        planted("shared_graph.c", "while (now != 0 && now <", "while (now <"),
    ),
    Fault(
        "upgraded-without-a-count",
        "an upgrade gives a handle that does not count",
        planted("shared_graph.c", "&now, now + 1, memory_order_acquire", "&now, now, memory_order_acquire"),
    ),
)  # fmt: skip


def _law(name: str, statement: str, formula: str, law: str, faults: tuple[Fault, ...]) -> Theorem:
    return Theorem(
        name=f"owners-{name}",
        subject=Subject.CODE,
        method="exhaustive",
        grade=Grade.PROVED_TO,
        statement=statement,
        formula=formula,
        scope=Scope("every graph of at most {n} nodes with two references each, every set of handles", 3, 4),
        assumptions=("one thread: the atomic steps are in owners-upgrade, and under a race detector in the tests",),
        mutants=tuple(fault.mutant for fault in faults),
        check=every_case("ownership.c", "shared_graph.c", law, faults, "graphs with their handles"),
    )


# ------------------------------------------------------------------------------------------ the race with the last drop

HOLDS, LOADED, USES, DROPS, LOADED_DROP, DONE = range(6)


@dataclass(frozen=True)
class _Race:
    """One node; thread 0 has the only handle, the others have weak ones. `saw`: what a thread has loaded."""

    strong: int
    ended: int
    at: tuple[int, ...]
    saw: tuple[int, ...]
    used_after_end: bool = False

    def step(self, thread: int, to: int, strong: int | None = None, saw: int = 0, ended: int = 0) -> _Race:
        return replace(
            self,
            strong=self.strong if strong is None else strong,
            ended=self.ended + ended,
            at=(*self.at[:thread], to, *self.at[thread + 1 :]),
            saw=(*self.saw[:thread], saw, *self.saw[thread + 1 :]),
            used_after_end=self.used_after_end or (self.at[thread] == USES and self.ended > 0),
        )


def _steps(now: _Race, fault: str | None) -> list[tuple[str, _Race]]:
    steps = []
    for thread, at in enumerate(now.at):
        who, saw = f"thread {thread}", now.saw[thread]
        if at == HOLDS:  # a weak handle: upgrade
            if fault == "adds-without-looking":
                steps.append((f"{who} adds", now.step(thread, USES, now.strong + 1)))
            else:
                steps.append((f"{who} loads {now.strong}", now.step(thread, LOADED, saw=now.strong)))
        elif at == LOADED and saw == 0:
            steps.append((f"{who} gets nothing", now.step(thread, DONE)))
        elif at == LOADED and fault == "stores-what-it-loaded":
            steps.append((f"{who} stores {saw + 1}", now.step(thread, USES, saw + 1)))
        elif at == LOADED:
            if now.strong == saw:
                steps.append((f"{who} exchanges {saw} for {saw + 1}", now.step(thread, USES, saw + 1)))
            else:
                steps.append((f"{who} is too late", now.step(thread, HOLDS)))
        elif at == USES:
            steps.append((f"{who} uses the value", now.step(thread, DROPS)))
        elif at == DROPS and fault in {"tests-then-decrements", "decrements-in-two-steps"}:
            steps.append((f"{who} loads {now.strong}", now.step(thread, LOADED_DROP, saw=now.strong)))
        elif at == DROPS:
            last = now.strong == 1
            steps.append((f"{who} drops{' the last' * last}", now.step(thread, DONE, now.strong - 1, ended=last)))
        elif at == LOADED_DROP:
            left = saw - 1 if fault == "decrements-in-two-steps" else now.strong - 1
            steps.append((f"{who} leaves {left}", now.step(thread, DONE, left, ended=saw == 1)))
    return steps


def _amiss(now: _Race, over: bool) -> str | None:
    if now.used_after_end:
        return "the value is used after its end"
    if now.ended > 1:
        return "the value ends twice"
    if over and now.ended == 0:
        return "nobody has the value any more, and it has not ended"
    return None


def _upgrades(size: int, mutant: str | None) -> Finding:
    first = _Race(1, 0, (USES, *(HOLDS,) * (size - 1)), (0,) * size)
    return explore(first, partial(_steps, fault=mutant), _amiss)


# ------------------------------------------------------------------------------------------------ no race for the value

_ORDER = "atomic_fetch_sub_explicit(&node->strong, 1, memory_order_acq_rel)"
_RACES = tuple(
    Fault(
        name,
        says,
        planted("shared_graph.h", _ORDER, f"atomic_fetch_sub_explicit(&node->strong, 1, memory_order_{order})"),
        sketch,
    )
    for name, says, order, sketch in (
        (
            "drops-in-no-order",
            "the count falls and orders nothing: what one owner did need not be seen",
            "relaxed",
            "D1",
        ),
        ("drops-without-acquire", "the last owner does not see what the others did", "release", ""),
        ("drops-without-release", "the others do not show what they did", "acquire", ""),
    )
)


def _no_race(size: int, mutant: str | None) -> Finding:
    patches = tuple(fault.patch for fault in _RACES if fault.name == mutant)
    built = program("races.c", "shared_graph.c", patches, ("-fsanitize=thread", "-pthread"))
    environ = os.environ | {"TSAN_OPTIONS": "exitcode=66 halt_on_error=1"}
    ran = subprocess.run(
        [built, str(size)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environ
    )
    if ran.returncode == 66 and "data race" in ran.stderr:
        where = re.findall(r"(?:Write|Read|Previous write|Previous read) of size \d+", ran.stderr)[:2]
        return Counterexample(f"a data race on the value: {' against '.join(where).lower()}")
    if ran.returncode != 0:
        raise Undecided(f"the harness ended with {ran.returncode}: {ran.stderr[-200:]}")
    return Held(f"{size:,} ends of a value with 3 owners, no race")


THEOREMS = (
    _law(
        "count",
        "A node's count is the number of its owners after every step, and its value ends once, when that becomes zero.",
        "strong(v) = #handles(v) + #{(u, i) : u alive, u.i = v};   ended(v) ⇔ strong(v) = 0",
        "count",
        _COUNTS,
    ),
    _law(
        "acyclic",
        "Counting alone leaves nothing behind where no node can reach itself; with cycles it does, so the sketches' "
        "theorem (counting prevents leaks) is false, and this is the part of it that is true.",
        "acyclic(G) ⇒ alive = reach(handles)",
        "acyclic",
        (_DEAD_KEEPS, _TESTED_FIRST, _COUNTS[2]),
    ),
    _law(
        "collect",
        "After a collection, by closure or by sweep, and whatever collections gave up before it, exactly what somebody "
        "can reach is alive, its counts are right, and each of the others has ended once.",
        "alive after collect = reach(handles);   an aborted collect changes nothing",
        "collect",
        _COLLECTS,
    ),
    _law(
        "weak",
        "A weak handle gives a handle exactly while the node has an owner: it neither keeps it nor brings it back.",
        "upgrade(v) ≠ ⊥ ⇔ strong(v) > 0",
        "weak",
        _WEAKLY,
    ),
    Theorem(
        name="owners-upgrade",
        subject=Subject.MODEL,
        method="schedules",
        grade=Grade.PROVED_TO,
        statement="An upgrade that races with the last drop gives a value that has not ended, or nothing.",
        formula="∀ schedules: use(v) before end(v);   end(v) once, and in the end",
        scope=Scope("every interleaving of one owner and {n} threads in all that upgrade, use and drop", 3, 4),
        assumptions=("loads, exchanges and additions of one word are atomic and in one order",),
        mutants=(
            Mutant("stores-what-it-loaded", "an upgrade loads the count and stores one more, in two steps"),
            Mutant("adds-without-looking", "an upgrade adds one, whatever the count is"),
            Mutant("tests-then-decrements", "a drop looks whether it is the last before it decrements", "D1"),
            Mutant("decrements-in-two-steps", "a drop loads the count and stores one less"),
        ),
        check=_upgrades,
    ),
    Theorem(
        name="owners-no-race",
        subject=Subject.CODE,
        method="race detector",
        grade=Grade.TESTED,
        statement="What each owner did to a value happens before its end, on whichever thread that is: no data race.",
        formula="∀ owners o: writes(o) happen before drop(o) happens before end(v)",
        scope=Scope("{n} values, each of three threads, under ThreadSanitizer", 200, 5_000),
        assumptions=("the detector sees the orders of C11 atomics, not those of one machine",),
        mutants=tuple(fault.mutant for fault in _RACES),
        check=_no_race,
    ),
)
