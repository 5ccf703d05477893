"""Bounded model checking of the C that ships (CBMC): one operation from every valid state, arithmetic for all values.

`harness/blocks.c` builds each state of a few blocks and does one operation with any arguments; that the state is valid
again makes it an induction. `harness/words.c` has no loop, so what it shows has no bound.

What is patched before, since the whole would take hours, and is therefore assumed to make no difference: the fan-out of
the tree of holes (3 for 15), the width of a row of lists (4 for 32), and the three accessors of the parts of a control
region, which are objects of their own. Lock-step and relocation run with none of that patched.
"""

from __future__ import annotations

from typing import NamedTuple

from heapwright.prove import shipped
from heapwright.prove.cbmc import ask
from heapwright.prove.faults import BUDDY, FITS, TLSF
from heapwright.prove.shipped import Patch
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

_REGION = "    return (hw_fit_block *)((char *)fit + ((sizeof *fit + 63) & ~(size_t)63));"
#: What is patched before, and why: see above.
PATCHES = (
    Patch(
        "core/ordered.h",
        "HW_ORDERED_MAX = 15, HW_ORDERED_MIN = 7, HW_ORDERED_HEIGHT_MAX = 12",
        "HW_ORDERED_MAX = 3, HW_ORDERED_MIN = 1, HW_ORDERED_HEIGHT_MAX = 2",
    ),
    Patch("core/ordered.h", '_Static_assert(sizeof(hw_ordered_node) == 256, "four cache lines");', ""),
    Patch(
        "core/segregated.h",
        "HW_SEGREGATED_ROW = 32, HW_SEGREGATED_ROWS_MAX = 32",
        "HW_SEGREGATED_ROW = 4, HW_SEGREGATED_ROWS_MAX = 2",
    ),
    Patch("core/fit.h", "    union {\n        hw_ordered ordered;", "    struct {\n        hw_ordered ordered;"),
    Patch("core/fit_index.h", _REGION, "    return hw_prove_blocks;"),
    Patch(
        "core/fit_index.h",
        "hw_fit_nodes(const hw_fit *fit) { return hw_fit_index(fit); }",
        "hw_fit_nodes(const hw_fit *fit) { return hw_prove_nodes; }",
    ),
    Patch(
        "core/fit_index.h",
        "hw_fit_links(const hw_fit *fit) { return hw_fit_index(fit); }",
        "hw_fit_links(const hw_fit *fit) { return hw_prove_links; }",
    ),
)


class _Plan(NamedTuple):
    """One run: a function of blocks.c, a strategy, and the granules of the largest heap."""

    function: str
    strategy: str
    granules: int


def _blocks(plan: _Plan, blocks: int, fault: tuple[Patch, ...] = ()) -> str | None:
    spare = 0 if plan.function == "release" else 3 if plan.strategy == "HW_BUDDY" else 2
    by_class = plan.strategy in ("HW_TLSF", "HW_BUDDY")
    unwind = max(blocks + spare, 8 if by_class else 4) + 2
    folder = shipped.sources((*fault, *PATCHES))
    wrong = ask(
        shipped.HARNESS / "blocks.c",
        plan.function,
        f"-I{shipped.HARNESS / 'shim'}",
        f"-I{folder}",
        "-D_GNU_SOURCE",
        "-DHW_TWO_LEVEL_SECOND=1",
        f"-DSTRATEGY={plan.strategy}",
        f"-DPRE={blocks}",
        f"-DSPARE={spare}",
        f"-DN={plan.granules}",
        "--unwind",
        str(unwind),
    )
    return None if wrong is None else f"{plan.strategy}, {wrong}"


def _every_state(plans: tuple[_Plan, ...], mutants: dict[str, tuple[_Plan, Patch]]) -> Check:
    """Make a check of some operations; the scope's size is the number of blocks."""

    def check(size: int, mutant: str | None) -> Finding:
        if mutant is not None:
            plan, patch = mutants[mutant]
            wrong = _blocks(
                plan, 3 if plan.function == "resize" else _BLOCKS_SHORT, (patch,)
            )  # [2] 1 [1] may grow by 1
            return Held("no counterexample") if wrong is None else Counterexample(wrong)
        if _blocks(plans[0]._replace(function="reach"), size) is None:
            raise Undecided("no state is possible: the harness contradicts itself")
        for plan in plans[:1] if size == _BLOCKS_SHORT else plans:
            wrong = _blocks(plan, size)
            if wrong is not None:
                return Counterexample(wrong)
        return Held("no state and no argument refutes it")

    return check


def _all_values(*functions: str, mutants: dict[str, tuple[str, Patch]]) -> Check:
    """Make a check of some laws of words.c."""

    def run(function: str, patches: tuple[Patch, ...]) -> str | None:
        folder = shipped.sources(patches)
        return ask(shipped.HARNESS / "words.c", function, f"-I{folder}", "-D_GNU_SOURCE")

    def check(size: int, mutant: str | None) -> Finding:
        if mutant is not None:
            function, patch = mutants[mutant]
            wrong = run(function, (patch,))
            return Held("no counterexample") if wrong is None else Counterexample(wrong)
        if run("reach", ()) is None:
            raise Undecided("no value is possible: the harness contradicts itself")
        for function in functions:
            wrong = run(function, ())
            if wrong is not None:
                return Counterexample(wrong)
        return Held(", ".join(functions))

    return check


def _law(name: str, statement: str, formula: str, over: str, check: Check, *mutants: Mutant) -> Theorem:
    return Theorem(
        name=name,
        subject=Subject.CODE,
        method="cbmc",
        grade=Grade.PROVED,
        statement=statement,
        formula=formula,
        scope=Scope(over),
        mutants=mutants,
        check=check,
        assumptions=("the compiler does what CBMC's C does",),
    )


_CLASSES = {
    "search-not-rounded-up": ("two_level", TLSF[0].patch),
    "second-level-shifted": (
        "two_level",
        Patch("core/two_level.h", "(size >> shift);\n}", "((size >> shift) & ~(uint32_t)1);\n}"),
    ),
    "shift-one-too-far": (
        "two_level",
        Patch("core/two_level.h", "- HW_TWO_LEVEL_SECOND;\n}", "- HW_TWO_LEVEL_SECOND + 1;\n}"),
    ),
}
_SLABS = {
    "one-class-down": ("slab_class", Patch("core/size_class.h", "n = units - 1, shift", "n = units - 2, shift")),
    "four-classes-for-eight": ("slab_class", Patch("core/size_class.h", "shift = 28 -", "shift = 29 -")),
    "slot-one-unit-short": (
        "slab_class",
        Patch(
            "core/size_class.h", "(class - (shift << 3) + 1) << shift;", "((class - (shift << 3) + 1) << shift) - 1;"
        ),
    ),
}
_ROUNDING = {
    "rounded-down": (
        "granules",
        Patch("core/fit_list.h", "(size_bytes + ((uint64_t)1 << fit->head.granule_shift) - 1) >>", "size_bytes >>"),
    ),
    "zero-gets-nothing": ("granules", Patch("core/fit_list.h", "    if (size == 0) size = 1;\n", "")),
    "power-not-exact": ("buddy_power", Patch("core/buddy_fused.h", "__builtin_clz(size - 1)", "__builtin_clz(size)")),
}


def _mutants(*faults: tuple[str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, says) for name, says in faults)


def _operation(
    name: str,
    statement: str,
    formula: str,
    plans: tuple[_Plan, ...],
    faults: dict[str, tuple[_Plan, str, Patch]],
    *,
    full_only: bool = False,
) -> Theorem:
    return Theorem(
        name=f"code-{name}",
        subject=Subject.CODE,
        method="cbmc",
        grade=Grade.PROVED_TO,
        statement=statement,
        formula=formula,
        scope=Scope(_ONE_STEP, _BLOCKS_SHORT, 3),
        full_only=full_only,
        assumptions=(
            "4 granules of 16 B, for TLSF and buddies 8; entries numbered in the order of their addresses",
            "small indices: 3 entries to a node, rows of 4 classes, S = 2; the parts of the control region apart",
        ),
        mutants=tuple(Mutant(fault, says) for fault, (_, says, _) in faults.items()),
        check=_every_state(plans, {fault: (plan, patch) for fault, (plan, _, patch) in faults.items()}),
    )


_BLOCKS_SHORT = 2
_ONE_STEP = (
    "every valid heap of at most {n} blocks and holes, every 64-bit size, alignment and handle: one step, which keeps "
    "the heap valid, hence any number of steps; with 2 blocks, the first of the strategies only"
)


def _fault(name: str, plan: _Plan) -> tuple[_Plan, str, Patch]:
    fault = next(fault for fault in (*FITS, *TLSF, *BUDDY) if fault.name == name)
    return plan, fault.says, fault.patch


_EXACT = ("HW_BEST_FIT", "HW_FIRST_FIT", "HW_WORST_FIT", "HW_NEXT_FIT")
_BY_CLASS = ("HW_TLSF", "HW_BUDDY")


def _plans(function: str, strategies: tuple[str, ...]) -> tuple[_Plan, ...]:
    return tuple(_Plan(function, strategy, 8 if strategy in _BY_CLASS else 4) for strategy in strategies)


_ALLOCATE, _RELEASE = _Plan("allocate", "HW_BEST_FIT", 4), _Plan("release", "HW_BEST_FIT", 4)

THEOREMS = (
    _law(
        "code-two-level",
        "TLSF's classes: what the search finds is large enough, and it finds everything that is larger by 1/32.",
        "G1 ∧ G2 ∧ G3 of core/two_level.h",
        "every two holes and every request of 1 to 2^32 − 1 granules",
        _all_values("two_level", mutants=_CLASSES),
        *_mutants(
            ("search-not-rounded-up", "the search starts in the request's own class"),
            ("second-level-shifted", "the last bit of the second level is lost"),
            ("shift-one-too-far", "half as many classes as are searched for"),
        ),
    ),
    _law(
        "code-slab-class",
        "Slabs: a slot is large enough, at most 1/8 too large, aligned to a cache line, and 8 to 64 make a slab.",
        "s ≤ slot(class(s)) ≤ s + s/8;   class monotone;   64 | slot",
        "every two sizes from 1 to 32,768 bytes",
        _all_values("slab_class", mutants=_SLABS),
        *_mutants(
            ("one-class-down", "a size just above a class gets that class"),
            ("four-classes-for-eight", "each doubling has four classes"),
            ("slot-one-unit-short", "every slot is a unit too small"),
        ),
    ),
    _law(
        "code-rounding",
        "Sizes become granules, and buddies powers of two, with the waste that is stated and counted, and no overflow.",
        "0 ≤ taken(s) − s = slack(s) < G;   s ≤ ⌈s⌉₂ < 2s",
        "every size up to every capacity, granules of 2^4 to 2^30 bytes",
        _all_values("granules", "buddy_power", mutants=_ROUNDING),
        *_mutants(
            ("rounded-down", "the last, partial granule is left out"),
            ("zero-gets-nothing", "0 bytes take 0 granules"),
            ("power-not-exact", "a request that is a power of two gets twice as much"),
        ),
    ),
    _operation(
        "allocate",
        "Allocation is correct: the defined hole, aligned, inside, disjoint, counted, nothing else touched; and bottom "
        "exactly where nothing fits.",
        "allocate(s, a) = p ⇒ a | p ∧ |p| ≥ s ∧ p disjoint ∧ p = defined;   ⊥ ⇔ ¬∃ hole that fits",
        _plans("allocate", _EXACT),
        {
            "alignment-rounded-down": _fault("alignment-rounded-down", _ALLOCATE),
            "exact-fit-passed-over": _fault("exact-fit-passed-over", _ALLOCATE),
            "size-overflow": _fault("size-overflow", _ALLOCATE),
            "rest-of-one-granule-lost": _fault("rest-of-one-granule-lost", _ALLOCATE),
        },
    ),
    _operation(
        "release",
        "Release is correct: exactly live blocks are accepted, once; holes merge; nothing else is touched.",
        "free(h) = ok ⇔ h live;   coalesced;   frame",
        _plans("release", ("HW_BEST_FIT", "HW_NEXT_FIT")),
        {
            "left-not-coalesced": _fault("left-not-coalesced", _RELEASE),
            "double-free": _fault("double-free", _RELEASE),
            "free-not-validated": _fault("free-not-validated", _RELEASE),
            "rover-not-settled": _fault("rover-not-settled", _RELEASE._replace(strategy="HW_NEXT_FIT")),
        },
    ),
    _operation(
        "constant-time",
        "TLSF and buddies: aligned, inside, disjoint, counted; bottom only where no hole is certainly large enough; "
        "buddies merge, and waste less than half.",
        "⊥ ⇒ ∀ holes: |hole| < n + n/S, n = s + a − 1 (TLSF), |hole| < max(⌈s⌉₂, a) (buddies);   |p| < 2s",
        (*_plans("allocate", _BY_CLASS), *_plans("release", _BY_CLASS)),
        {
            "alignment-rounded-down": (
                _Plan("allocate", "HW_TLSF", 8),
                "TLSF begins a block before its hole's first aligned offset",
                Patch("core/fit_index.h", "(0 - (uint64_t)hole.offset) &", "(uint64_t)hole.offset &"),
            ),
            "bit-of-an-empty-class": _fault("bit-of-an-empty-class", _Plan("allocate", "HW_TLSF", 8)),
            "alignment-ignored": _fault("alignment-ignored", _Plan("allocate", "HW_BUDDY", 8)),
            "merges-unequal": _fault("merges-unequal", _Plan("release", "HW_BUDDY", 8)),
        },
        full_only=True,
    ),
    _operation(
        "resize",
        "A block grows and shrinks in place exactly where there is room behind it; what was asked for is known.",
        "resize(h, s) = ok ⇔ h live ∧ s fits into block and hole behind it",
        _plans("resize", ("HW_BEST_FIT",)),
        {
            "double-free": _fault("double-free", _Plan("resize", "HW_BEST_FIT", 4)),
            "free-not-validated": _fault("free-not-validated", _Plan("resize", "HW_BEST_FIT", 4)),
            "grows-into-nothing": (
                _Plan("resize", "HW_BEST_FIT", 4),
                "a block grows beyond the hole behind it",
                Patch(
                    "core/fit.c",
                    "blocks[hole].size < by) return HW_STRATEGY_NO_MEMORY;",
                    "0) return HW_STRATEGY_NO_MEMORY;",
                ),
            ),
        },
        full_only=True,
    ),
)
