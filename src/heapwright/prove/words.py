"""Machine words: the arithmetic of rounding, aligning, pairing and classing, decided for every value (z3).

These are the laws as the C computes them, wrap-around included. That the C computes them so is checked on the C
itself, by `heapwright.prove.bounded`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from heapwright.prove.smt import Law, decide
from heapwright.prove.theorem import Grade, Mutant, Scope, Subject, Theorem

Question: TypeAlias = "tuple[Sequence[Any], Any]"


def _power_of_two(z3: Any, word: Any) -> Any:
    return z3.And(word != 0, word & (word - 1) == 0)


def granules(z3: Any, mutant: str | None) -> Question:
    """A size in bytes, at most the capacity, as granules of 2^shift bytes."""
    size, capacity, shift = z3.BitVecs("size capacity shift", 64)
    granule = z3.BitVecVal(1, 64) << shift
    count = z3.LShR(size if mutant == "rounds-down" else size + granule - 1, shift)
    if mutant != "zero-gets-nothing":
        count = z3.If(count == 0, z3.BitVecVal(1, 64), count)
    hypotheses = [z3.UGE(shift, 4), z3.ULE(shift, 30), z3.ULE(capacity, 1 << 62)]
    if mutant != "capacity-not-asked":
        hypotheses.append(z3.ULE(size, capacity))
    taken = count << shift
    exact = z3.And(z3.UGE(taken, size), z3.Or(z3.ULT(taken - size, granule), z3.And(size == 0, count == 1)))
    return hypotheses, z3.And(count != 0, exact)


def align(z3: Any, mutant: str | None) -> Question:
    """The granules to skip at the start of a hole, so that the block is aligned: (0 - offset) & (alignment - 1)."""
    offset, alignment = z3.BitVecs("offset alignment", 64)
    mask = alignment if mutant == "mask-without-minus-one" else alignment - 1
    skip = (offset if mutant == "skips-the-offset" else 0 - offset) & mask
    hypotheses = [z3.ULT(offset, 1 << 32), alignment != 0, z3.ULE(alignment, 1 << 32)]
    if mutant != "any-alignment":
        hypotheses.append(_power_of_two(z3, alignment))
    aligned = z3.URem(offset + skip, alignment) == 0
    return hypotheses, z3.And(aligned, z3.ULT(skip, alignment), z3.UGE(offset + skip, offset))


def buddy_size(z3: Any, mutant: str | None) -> Question:
    """A request rounded up to a power of two takes less than twice as much."""
    size = z3.BitVec("size", 64)
    rounded = size if mutant == "power-of-two-doubled" else size - 1
    for shift in (1, 2, 4, 8, 16) if mutant == "smeared-too-little" else (1, 2, 4, 8, 16, 32):
        rounded |= z3.LShR(rounded, shift)
    rounded += 1
    bound = z3.ULT(rounded, size + z3.LShR(size, 1) if mutant == "half-again" else 2 * size)
    return [size != 0, z3.ULE(size, 1 << 62)], z3.And(_power_of_two(z3, rounded), z3.UGE(rounded, size), bound)


def buddy_pair(z3: Any, mutant: str | None) -> Question:
    """The buddy of the buddy is the block; the two are disjoint, adjacent, and make up their parent."""
    offset, order = z3.BitVecs("offset order", 64)
    size = z3.BitVecVal(1, 64) << order
    hypotheses = [z3.ULT(order, 40), z3.ULT(offset, 1 << 40)]
    if mutant != "unaligned-block":
        hypotheses.append(offset & (size - 1) == 0)
    buddy = {"buddy-is-next": offset + size, "buddy-two-apart": offset ^ (size << 1)}.get(mutant or "", offset ^ size)
    back = buddy + size if mutant == "buddy-is-next" else buddy ^ size
    parent = ~((size << 1) - 1)
    adjacent = z3.Or(buddy == offset + size, offset == buddy + size)
    whole = z3.If(z3.ULT(offset, buddy), offset, buddy) == offset & parent
    return hypotheses, z3.And(back == offset, offset & parent == buddy & parent, adjacent, whole)


#: second-level bits of the TLSF theorems below: 2^5 classes per power of two, as the paper recommends
_TLSF_BITS = 5


def _last_set(z3: Any, word: Any) -> Any:
    """The index of the highest bit that is set (word != 0)."""
    index = z3.BitVecVal(0, word.size())
    for bit in range(1, word.size()):
        index = z3.If(z3.Extract(bit, bit, word) == 1, z3.BitVecVal(bit, word.size()), index)
    return index


def _tlsf_class(z3: Any, size: Any) -> Any:
    """The number of a size's class, in order of size."""
    first = _last_set(z3, size)
    return (first << _TLSF_BITS) + (z3.LShR(size, first - _TLSF_BITS) - (1 << _TLSF_BITS))


def _tlsf_search(z3: Any, size: Any, mutant: str | None) -> Any:
    """The first class in which every block holds `size`."""
    step = z3.BitVecVal(1, size.size()) << (_last_set(z3, size) - _TLSF_BITS)
    added = {"not-rounded-up": 0 * step, "rounded-too-little": z3.LShR(step, 1), "rounded-too-far": step}
    return _tlsf_class(z3, size + added.get(mutant or "", step - 1))


def _tlsf_sizes(z3: Any) -> tuple[Any, Any, list[Any]]:
    request, block = z3.BitVecs("request block", 32)
    return request, block, [z3.And(z3.UGE(x, 1 << _TLSF_BITS), z3.ULE(x, 1 << 29)) for x in (request, block)]


def tlsf_good_fit(z3: Any, mutant: str | None) -> Question:
    """Whatever the search finds is large enough; and it finds every block that is larger by 1/32."""
    request, block, hypotheses = _tlsf_sizes(z3)
    eligible = z3.UGE(_tlsf_class(z3, block), _tlsf_search(z3, request, mutant))
    share = _TLSF_BITS + 1 if mutant == "half-the-bound" else _TLSF_BITS
    large = z3.UGE(block, request + z3.LShR(request, share))
    step = z3.BitVecVal(1, 32) << (_last_set(z3, request) - _TLSF_BITS)
    of_a_class = z3.And(request & (step - 1) == 0, z3.UGE(block, request))
    found = z3.Implies(z3.Or(large, of_a_class), eligible)
    return hypotheses, z3.And(z3.Implies(eligible, z3.UGE(block, request)), found)


def slab_class(z3: Any, mutant: str | None) -> Question:
    """Eight classes per doubling, from 1 KiB to 32 KiB: monotone, large enough, at most 1/8 too large."""
    size, other = z3.BitVecs("size other", 32)

    def number(request: Any) -> Any:
        less = request if mutant == "exact-size-one-up" else request - 1
        first = _last_set(z3, less)
        return z3.If(z3.ULE(request, 1024), 0, ((first - 10) << 3) + (z3.LShR(less, first - 3) & 7) + 1)

    def size_of(number: Any) -> Any:
        first, step = z3.LShR(number - 1, 3) + 10, (number - 1) & 7
        step = step if mutant == "one-step-short" else step + 1
        return z3.If(number == 0, z3.BitVecVal(1024, 32), (z3.BitVecVal(1, 32) << first) + (step << (first - 3)))

    slot = size_of(number(size))
    share = 4 if mutant == "one-sixteenth" else 3
    waste = z3.Or(z3.ULE(size, 1024), z3.ULE(slot - size, z3.LShR(size, share)))
    hypotheses = [z3.UGE(x, 1) for x in (size, other)] + [z3.ULE(x, 32768) for x in (size, other)]
    monotone = z3.Implies(z3.ULE(size, other), z3.ULE(number(size), number(other)))
    return hypotheses, z3.And(z3.UGE(slot, size), waste, monotone, z3.ULE(number(size), 40))


def _theorem(
    law: Law, name: str, statement: str, formula: str, over: str, *mutants: Mutant, source: str = ""
) -> Theorem:
    return Theorem(
        name=name,
        subject=Subject.MODEL,
        method="z3",
        grade=Grade.PROVED,
        statement=statement,
        formula=formula,
        scope=Scope(over),
        mutants=mutants,
        check=decide(law),
        source=source,
    )


THEOREMS = (
    _theorem(
        granules,
        "words-granules",
        "A request rounded up to granules has at least the bytes asked for, and less than one granule too many.",
        "0 ≤ taken(s) − s < G, or s = 0 and taken(s) = G",
        "every 64-bit size up to any capacity ≤ 2^62, granules of 2^4 .. 2^30 bytes",
        Mutant("rounds-down", "the last, partial granule is left out"),
        Mutant("zero-gets-nothing", "a request for 0 bytes takes 0 granules: two blocks at one offset"),
        Mutant("capacity-not-asked", "sizes near 2^64 are rounded up to almost nothing"),
    ),
    _theorem(
        align,
        "words-align",
        "Skipping (0 − offset) mod alignment gives the lowest aligned offset of a hole.",
        "(o + skip) mod a = 0 ∧ 0 ≤ skip < a",
        "every offset below 2^32 granules, every power of two up to 2^32",
        Mutant("any-alignment", "alignments that are no power of two are let in"),
        Mutant("mask-without-minus-one", "the mask is the alignment itself"),
        Mutant("skips-the-offset", "rounds down where it should round up", "B4"),
    ),
    _theorem(
        buddy_size,
        "words-buddy-size",
        "A buddy block is less than twice its request: internal fragmentation below one half.",
        "s ≤ ⌈s⌉₂ < 2s",
        "every size up to 2^62",
        Mutant("power-of-two-doubled", "a request that is a power of two gets twice as much"),
        Mutant("smeared-too-little", "bits above 32 are not considered"),
        Mutant("half-again", "claims more: never more than half again"),
        source="Knuth, The Art of Computer Programming 1, section 2.5",
    ),
    _theorem(
        buddy_pair,
        "words-buddy-pair",
        "Buddies pair up: the buddy's buddy is the block itself, and the two make up one parent.",
        "b(b(o)) = o ∧ parent(o) = parent(b(o)) ∧ |o − b(o)| = size",
        "every order below 40 and every offset below 2^40 of that order",
        Mutant("unaligned-block", "blocks may start anywhere"),
        Mutant("buddy-is-next", "the buddy is always the block behind"),
        Mutant("buddy-two-apart", "the buddy is one order up"),
        source="Knowlton, A Fast Storage Allocator, CACM 8, 1965",
    ),
    _theorem(
        tlsf_good_fit,
        "words-tlsf-good-fit",
        "What the two-level search finds is large enough, and it finds anything that is larger by 1/32.",
        "class(y) ≥ search(x) ⇒ y ≥ x;   y ≥ x(1 + 2⁻⁵), or y ≥ x a class's own size ⇒ class(y) ≥ search(x)",
        "every two sizes from 2^5 to 2^29 granules",
        Mutant("not-rounded-up", "the search starts in the request's own class"),
        Mutant("rounded-too-little", "the search starts half a class early"),
        Mutant("rounded-too-far", "a class of exactly the size is passed over"),
        Mutant("half-the-bound", "claims more: it finds anything larger by 1/64"),
        source="Masmano, Ripoll, Crespo, Real, TLSF, ECRTS 2004",
    ),
    _theorem(
        slab_class,
        "words-slab-class",
        "A slot is at least its request and at most 1/8 larger; a larger request never gets a smaller class.",
        "s ≤ slot(class(s)) ≤ s(1 + 2⁻³) for s > 1024;   s ≤ t ⇒ class(s) ≤ class(t)",
        "every two sizes from 1 to 32,768 bytes",
        Mutant("exact-size-one-up", "a request of exactly a class takes the next one"),
        Mutant("one-step-short", "every class is a step too small"),
        Mutant("one-sixteenth", "claims more: at most 1/16"),
    ),
)
