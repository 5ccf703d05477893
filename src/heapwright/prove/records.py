"""Records: what the collectors of record heaps free and keep, on the C that ships.

Every program of a few operations on up to four records, each with two edges and a weak one, is run under every
collector (`harness/records.c`), and every state that any of them leads to is compared with reachability by its
definition. The same faults that people make in collectors are planted one by one, and each has to be found.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from heapwright.prove.faults import Fault, planted
from heapwright.prove.shipped import Patch, program
from heapwright.prove.theorem import (
    Check,
    Counterexample,
    Finding,
    Grade,
    Held,
    Scope,
    Subject,
    Theorem,
    Undecided,
)

TIMEOUT_S = 600

_CORE = ("record_check.c", "record_compact.c", "record_sweep.c")
_CYCLES = ("slices", "no-room")
_GENERATIONS = ("young-1", "young-2", "young-3", "young-4")

_SAFE = (
    Fault(
        "no-barrier",
        "what an edge referred to is overwritten and not shaded",
        planted("records.c", "before != HW_RECORD_NO_ID) hw_record_shade(records, before);", "0) (void)before;"),
    ),
    Fault(
        "field-skipped",
        "the first edge of a record is not followed",
        planted(
            "record_mark.c",
            "for (uint16_t i = 0; i < pool->narrow_count; i++)\n            visit(",
            "for (uint16_t i = 1; i < pool->narrow_count; i++)\n            visit(",
        ),
    ),
    Fault(
        "allocates-white",
        "a record that is made during a cycle is not marked",
        planted("records.c", "    __atomic_fetch_or(&pool->marked[index / 64], bit, __ATOMIC_RELAXED);", ""),
    ),
    Fault(
        "weak-load-not-shaded",
        "what a weak edge gave is not in the snapshot, and not shaded",
        planted("records.c", "case HW_RECORDS_TRACE: hw_record_shade(records, target);", "case HW_RECORDS_TRACE:"),
    ),
    Fault(
        "dropped-unseen",
        "a handle is given up before the roots were looked at, and nobody notes what it was of",
        planted("records.c", "records->phase == HW_RECORDS_ROOTS && i < roots", "0 && i < roots"),
    ),
    Fault(
        "overflow-forgotten",
        "what found no room on the stack is not looked for",
        planted(
            "record_mark.c",
            "        records->looking = look_through(records, &work);",
            "        records->looking = false;",
        ),
    ),
)
_COMPLETE = (
    Fault(
        "marks-kept",
        "a sweep leaves the plane of marks as it is",
        planted("record_sweep.c", "    pool->marked[word] = 0;\n    if (dead != 0)", "    if (dead != 0)"),
    ),
    Fault(
        "nothing-swept",
        "white records stay allocated",
        planted("record_sweep.c", "    pool->allocated[word] &= marked;\n", ""),
    ),
    Fault(
        "finalized-for-ever",
        "that a finalizer has been due is not noted: it is due in each cycle, and keeps its record",
        planted("record_sweep.c", "        pool->finalized[word] |= UINT64_C(1) << bit;\n", ""),
    ),
    Fault(
        "weak-edges-kept",
        "a weak edge to a record that is freed stays",
        planted("record_sweep.c", "if (!each_word(records, clear_weak, has_weak, &work)) return HW_MARK_MORE;", ""),
    ),
    Fault(
        "weak-keeps",
        "weak edges are followed",
        planted(
            "record_mark.c",
            "    return pool->spans_count == 0 ? 1 : 1 +",
            "    for (uint16_t i = 0; i < pool->weak_count; i++)\n"
            "        visit(records, hw_edge_load(&pool->weak[i], record + pool->weak[i].offset_bytes), beside);\n"
            "    return pool->spans_count == 0 ? 1 : 1 +",
        ),
    ),
)
_YOUNG = (
    Fault(
        "not-remembered",
        "a store to an old record is not noted",
        planted(
            "records.c",
            "if (records->barrier & HW_BARRIER_GENERATIONS) hw_record_remember(records, id);\n}\n\nuint64_t",
            "}\n\nuint64_t",
        ),
    ),
    Fault(
        "remembered-not-rebuilt",
        "what becomes old is not looked at for what it refers to",
        planted("record_sweep.c", "if (refers_to_young(records, id)) hw_record_remember(records, id);", ";"),
    ),
    Fault(
        "ages-kept",
        "a record that is made in the place of a dead one has its age",
        planted(
            "record_sweep.c",
            "    pool->age[0][word] = ~low & rest;\n    pool->age[1][word] = (high ^ low) & rest;",
            "    pool->age[0][word] = (low & ~young) | (~low & rest);\n"
            "    pool->age[1][word] = (high & ~young) | ((high ^ low) & rest);",
        ),
    ),
    Fault(
        "remembered-by-edge-only",
        "what remembered records refer to is not traced from",
        planted(
            "record_mark.c",
            "    for (uint32_t i = 0; i < count; i++) "
            "hw_record_each_edge(records, records->remembered.entries[i], shade_edge, records);",
            "    (void)count, (void)shade_edge;",
        ),
    ),
    Fault(
        "logged-for-ever",
        "what leaves the list keeps its bit, and is never on it again",
        planted("record_sweep.c", "        else pool->logged[index / 64] &= ~(UINT64_C(1) << index % 64);\n", ""),
    ),
)
_COMPACT = (
    Fault(
        "popcount-off-by-one",
        "a record counts among those before it",
        planted(
            "record_compact.c", "word & ((UINT64_C(1) << index % 64) - 1)", "word & ((UINT64_C(2) << index % 64) - 1)"
        ),
    ),
    Fault(
        "weak-edge-not-moved",
        "a weak edge refers to where its record was",
        planted(
            "record_compact.c",
            "    for (uint16_t i = 0; i < pool->weak_count; i++) "
            "rewrite_edge(to, &pool->weak[i], record + pool->weak[i].offset_bytes);\n",
            "",
        ),
    ),
    Fault(
        "handles-not-found",
        "handles follow their records, and are looked for where they were",
        planted("record_compact.c", "    hw_record_handles_remap(handles, handles->map, handles->map_capacity);\n", ""),
    ),
    Fault(
        "planes-not-moved",
        "what is known of a record stays behind",
        planted("record_compact.c", "move_plane(planes[i], pool, before);", ";"),
    ),
    Fault(
        "waiting-not-moved",
        "what waits to be finalized is fetched from where it was",
        planted(
            "record_compact.c",
            "records->finalizable.entries[i] = forward_id(to, records->finalizable.entries[i]);",
            ";",
        ),
    ),
)
_NO_BARRIER = _SAFE[0]
_BESIDE = (
    _NO_BARRIER,
    Fault(
        "marks-in-two-steps",
        "the marker loads a word of marks and stores it with one more, over what the mutator has set meanwhile",
        planted(
            "record_mark.c",
            "return !(__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit);",
            "__atomic_store_n(word, before | bit, __ATOMIC_RELAXED);",
        ),
    ),
    Fault(
        "born-in-two-steps",
        "who makes a record loads a word of marks and stores it with one more, over what the marker has set meanwhile",
        planted(
            "records.c",
            "    __atomic_fetch_or(&pool->marked[index / 64], bit, __ATOMIC_RELAXED);",
            "    uint64_t before = __atomic_load_n(&pool->marked[index / 64], __ATOMIC_RELAXED);\n"
            "    __atomic_store_n(&pool->marked[index / 64], before | bit, __ATOMIC_RELAXED);",
        ),
    ),
    Fault(
        "counted-before-it-is-there",
        "an entry of the log is counted, and then written",
        planted(
            "record_mark.c",
            "    log->entries[count] = id;\n"
            "    atomic_store_explicit(&log->count, count + 1, memory_order_release); /* with the entry */",
            "    atomic_store_explicit(&log->count, count + 1, memory_order_release);\n"
            "    __atomic_store_n(&log->entries[count], id, __ATOMIC_RELAXED);",
        ),
    ),
)


def _count(built: Path, *arguments: str) -> int | Counterexample:
    """Return how many cases held, or the one that did not."""
    try:
        ran = subprocess.run([built, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as late:
        raise Undecided(f"{' '.join(arguments)} took more than {TIMEOUT_S} s") from late
    said = ran.stdout.strip()
    if ran.returncode == 3 and said.startswith("fails: "):
        return Counterexample(said.removeprefix("fails: "))
    if ran.returncode != 0 or not said.startswith("holds: "):
        raise Undecided(f"the harness ended with {ran.returncode}: {(ran.stderr or said)[-200:]}")
    return int(said.split()[1])


def _of_programs(law: str, collectors: tuple[str, ...], faults: tuple[Fault, ...]) -> Check:
    def check(size: int, mutant: str | None) -> Finding:
        # without sanitizers: their part is tests/native/test_records.c
        built = program("records.c", _CORE, _patches(faults, mutant), ())
        states = 0
        for collector in collectors:
            found = _count(built, law, collector, str(size))
            if isinstance(found, Counterexample):
                return Counterexample(f"{collector}: {found.shown}")
            states += found
        return Held(f"{states:,} states of {len(collectors)} collectors")

    return check


def _beside(size: int, mutant: str | None) -> Finding:
    found = _count(program("records_beside.c", (), _patches(_BESIDE, mutant), ()), str(size))
    return found if isinstance(found, Counterexample) else Held(f"{found:,} schedules")


def _patches(faults: tuple[Fault, ...], mutant: str | None) -> tuple[Patch, ...]:
    return tuple(fault.patch for fault in faults if fault.name == mutant)


def _law(
    name: str,
    law: str,
    statement: str,
    formula: str,
    collectors: tuple[str, ...],
    faults: tuple[Fault, ...],
    short: int = 6,
) -> Theorem:
    return Theorem(
        name=f"records-{name}",
        subject=Subject.CODE,
        method="exhaustive",
        grade=Grade.PROVED_TO,
        statement=statement,
        formula=formula,
        scope=Scope(
            "every program of {n} operations in two variables, on at most four records with two edges and a weak "
            "one, two of which are made",
            short,
            7,
        ),
        assumptions=(
            "states are told apart by 64 bits of a hash",
            "one thread: a marker beside is in records-beside",
        ),
        mutants=tuple(fault.mutant for fault in faults),
        check=_of_programs(law, collectors, faults),
    )


THEOREMS = (
    _law(
        "safe",
        "safe",
        "Whatever a program does between two slices of a cycle, with or without room for what is grey: what it can "
        "reach stays as it is, and is marked or found from a grey record through white ones until it is.",
        "reach(roots) ⊆ allocated;   marking ⇒ reach(roots) ⊆ marked ∪ reach_white(grey)",
        _CYCLES,
        _SAFE,
    ),
    _law(
        "young",
        "safe",
        "The same of minor and major collections, wherever they are, for records that are old after one collection to "
        "four: what the old remember is all that they have to.",
        "old(u) ∧ u → v ∧ young(v) ⇒ u ∈ remembered;   reach(roots) ⊆ allocated",
        _GENERATIONS,
        _YOUNG,
    ),
    _law(
        "complete",
        "complete",
        "When the cycle under way has ended, and another without a store in between, exactly what can be reached is "
        "left; and each finalizer has been due once.",
        "cycle; cycle ⇒ allocated = reach(roots)",
        _GENERATIONS + _CYCLES,
        _COMPLETE,
        short=5,
    ),
    _law(
        "compact",
        "compact",
        "Compaction is a bijection that keeps the order, leaves no hole, and commutes with every edge, weak edge, "
        "handle, age and finalizer that is due.",
        "π: live ≅ [0, |live|), monotone;   π(u.e) = π(u).e",
        ("young-2", "slices"),
        _COMPACT,
    ),
    Theorem(
        name="records-beside",
        subject=Subject.CODE,
        method="schedules",
        grade=Grade.PROVED_TO,
        statement="However a marker on a thread of its own is interleaved with the program, nothing that the program "
        "can reach is lost: no mark, and no entry of the log.",
        formula="∀ schedules: reach(roots) ⊆ marked ∪ reach_white(grey)",
        scope=Scope(
            "every program of at most {n} operations on five records beside a marker, every interleaving of their "
            "accesses with at most two preemptions",
            2,
            3,
        ),
        assumptions=("accesses happen in one order: the memory orders are under a race detector in the tests",),
        mutants=tuple(fault.mutant for fault in _BESIDE),
        check=_beside,
        source="Musuvathi and Qadeer, Iterative Context Bounding for Systematic Testing of Multithreaded Programs, "
        "PLDI 2007",
    ),
)
