"""Faults: what is planted in the C that ships, to see whether it is found.

Each is a patch of the source of the core; those of the strategies are here, each with the one that shows it. A patch
that does not fit the source any more is an error of the check, not a kill: `heapwright.prove.shipped`.
"""

from __future__ import annotations

from typing import NamedTuple

from heapwright.prove.shipped import Patch
from heapwright.prove.theorem import Mutant


class Fault(NamedTuple):
    """A fault of the C: its name and words, where it is planted, and which strategy shows it, if one does."""

    name: str
    says: str
    patch: Patch
    sketch: str = ""
    strategy: str = ""

    @property
    def mutant(self) -> Mutant:
        """As the theorem names it."""
        return Mutant(self.name, self.says, self.sketch)


def planted(file: str, old: str, new: str) -> Patch:
    """Return the patch of a file of the core."""
    return Patch(f"core/{file}", old, new)


def _remembering(file: str, block: str, control: str) -> Patch:
    """The array behind the header, but where it was the first time."""
    there = f"({block} *)((char *){control} + ((sizeof *{control} + 63) & ~(size_t)63));"
    return planted(
        file, f"    return {there}", f"    static {block} *first;\n    if (!first) first = {there}\n    return first;"
    )


_SKIP = "uint64_t skip = (0 - (uint64_t)offset) & (alignment - 1);"

FITS = (
    Fault(
        "left-not-coalesced",
        "a freed block does not merge with the hole on its left",
        planted("fit_fused.h", "bool joins_left = hw_fit_is_hole(blocks, left),", "bool joins_left = 0,"),
        "B4",
        strategy="best-fit",
    ),
    Fault(
        "rest-of-one-granule-lost",
        "a rest of a single granule is forgotten",
        planted("fit_fused.h", "} else if (rest != 0) { /*", "} else if (rest > 1) { /*"),
        strategy="worst-fit",
    ),
    Fault(
        "exact-fit-passed-over",
        "best fit does not look at holes of exactly the size",
        planted("fit_index.h", "? (uint64_t)size << 32 :", "? (uint64_t)(size + 1) << 32 :"),
        strategy="best-fit",
    ),
    Fault(
        "rover-not-settled",
        "next fit's rover stays inside a hole that has grown around it",
        planted("fit_list.h", "if (start < fit->rover && fit->rover < end) fit->rover = start;", ";"),
        strategy="next-fit",
    ),
    Fault(
        "alignment-rounded-down",
        "a block begins before its hole's first aligned offset",
        planted("fit_index.h", _SKIP, _SKIP.replace("(0 - (uint64_t)offset)", "(uint64_t)offset")),
        "B4",
        strategy="first-fit",
    ),
    Fault(
        "double-free",
        "a freed block is freed again",
        planted("fit_fused.h", "return (block->slack_and_live & 1) && (", "return ("),
        strategy="first-fit",
    ),
    Fault(
        "free-not-validated",
        "the offset of what is freed is not looked at",
        planted("fit_fused.h", "<< fit->head.granule_shift == handle.offset_bytes", "<< fit->head.granule_shift != 1"),
        "B5",
        strategy="first-fit",
    ),
    Fault(
        "size-overflow",
        "sizes near 2^64 are not refused, and wrap around",
        planted("fit_fused.h", "if (size_bytes > fit->head.capacity_bytes) return HW_STRATEGY_NO_MEMORY;", ""),
        strategy="first-fit",
    ),
    Fault(
        "requested-not-counted-out",
        "what was requested stays counted after the free",
        planted("fit_fused.h", "t->requested -= hw_fit_requested(fit, strategy, handle.number);", ""),
        strategy="first-fit",
    ),
)

TLSF = (
    Fault(
        "search-not-rounded-up",
        "the search starts in the request's own class",
        planted("two_level.h", "((size - 1) >> shift) + 1;", "(size >> shift);"),
        strategy="tlsf",
    ),
    Fault(
        "row-searched-from-its-start",
        "the first class of a row is taken, though it is below the one that was searched",
        planted(
            "segregated.h", "lists->nonempty_rows & ~(uint32_t)1 << row;", "lists->nonempty_rows & ~(uint32_t)0 << row;"
        ),
        strategy="tlsf",
    ),
    Fault(
        "bit-of-an-empty-class",
        "a class that has become empty keeps its bit",
        planted("segregated.h", "lists->nonempty[row] &= ~(last << class % HW_SEGREGATED_ROW);", ""),
        strategy="tlsf",
    ),
    Fault(
        "own-class-left-out",
        "the newest hole of the request's own class is not tried, as in the textbooks",
        planted("fit_index.h", "return hw_segregated_from(lists, own) == own &&", "return 0 &&"),
        strategy="tlsf",
    ),
)

BUDDY = (
    Fault(
        "buddy-always-right",
        "the buddy is taken to be on the right",
        planted("buddy_fused.h", "block->offset & block->size ? block->before : block->after;", "block->after;"),
        strategy="buddy",
    ),
    Fault(
        "merges-unequal",
        "a block merges with a hole of another size",
        planted("buddy_fused.h", "&& blocks[buddy].size == block->size ? buddy", "? buddy"),
        strategy="buddy",
    ),
    Fault(
        "merged-once",
        "merging stops after the first buddy",
        planted(
            "buddy_fused.h", "blocks[number].size *= 2;\n    }", "blocks[number].size *= 2;\n        break;\n    }"
        ),
        strategy="buddy",
    ),
    Fault(
        "alignment-ignored",
        "the smallest hole that is large enough is taken, aligned or not",
        planted("buddy_fused.h", "least = power > alignment ? power : alignment;", "least = power;"),
        strategy="buddy",
    ),
)

BUMP = (
    Fault(
        "never-rolled-back",
        "blocks that are freed from the end are not given back",
        planted("bump.c", "while (bump->count > bump->now.first && !(", "while (0 && !("),
        strategy="bump",
    ),
    Fault(
        "skip-not-counted",
        "the room that alignment skips is not asked for",
        planted("bump.h", "if (offset + size > bump->capacity)", "if (bump->top + size > bump->capacity)"),
        strategy="bump",
    ),
    Fault(
        "grows-over-the-next",
        "any block may grow to the end of the space, over those behind it",
        planted(
            "bump.c",
            "uint32_t room = last ? bump->capacity - block->offset : block->size;",
            "uint32_t room = bump->capacity - block->offset;\n    last = true;",
        ),
        strategy="bump",
    ),
    Fault(
        "freed-stays-live",
        "a freed block can be freed again",
        planted("bump.c", "    block->requested_and_live &= ~UINT64_C(1);\n", ""),
        "B4",
        strategy="bump",
    ),
)

SLAB = (
    Fault(
        "empty-slabs-kept",
        "bottom is said before empty slabs have been given back",
        planted("slab_fit.c", "if (empty == HW_STRATEGY_NONE) continue;", "continue;"),
        strategy="slab",
    ),
    Fault(
        "slabs-unaligned",
        "a slab begins anywhere, and so do its slots",
        planted("slab_fit.c", "alignment = (uint64_t)(slot & -slot) << shift;", "alignment = (uint64_t)1 << shift;"),
        strategy="slab",
    ),
    Fault(
        "slot-lost",
        "a slab of which a slot is freed stays off the list of those that have one",
        planted("slab_fit.h", "if (__builtin_expect(was_free == 0, 0)) hw_slab_fit_list", "if (0) hw_slab_fit_list"),
        strategy="slab",
    ),
    Fault(
        "freed-stays-live",
        "a freed slot can be freed again",
        planted("slab_fit.h", "    slab->free = now_free;\n", ""),
        "B4",
        strategy="slab",
    ),
)

#: The control region remembers an address, or is not copied whole when it grows.
RELOCATION = (
    Fault(
        "blocks-at-a-remembered-address",
        "the array of blocks is looked for where the region was first",
        _remembering("fit_index.h", "hw_fit_block", "fit"),
        strategy="first-fit",
    ),
    Fault(
        "index-not-copied",
        "a region that grows leaves its index behind",
        planted(
            "fit.c",
            "memcpy(hw_fit_index(grown), hw_fit_index(fit), fit->index.ordered.nodes * sizeof(hw_ordered_node));",
            "",
        ),
        strategy="best-fit",
    ),
    Fault(
        "bump-remembers-its-table",
        "bump looks for its table where the region was first",
        _remembering("bump.h", "hw_bump_block", "bump"),
        strategy="bump",
    ),
)
