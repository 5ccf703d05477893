"""Games: how much space the worst program needs, computed exactly for small sizes, against the bounds of the books.

Allocation is a game. The program may free anything and ask for anything so long as at most M words are live; a manager
that does not move blocks must answer for ever. The least heap in which some manager can is Robson's number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

from heapwright.model.fits import FITS
from heapwright.model.holes import Hole
from heapwright.prove.theorem import Counterexample, Finding, Grade, Held, Mutant, Scope, Subject, Theorem

#: live blocks as (start, size), by address
Placement: TypeAlias = "tuple[tuple[int, int], ...]"


def _placements(space: int, live_max: int, sizes: tuple[int, ...]) -> Iterator[Placement]:
    """Yield every placement of blocks with at most `live_max` words live."""
    todo: list[tuple[int, int, Placement]] = [(0, 0, ())]
    while todo:
        at, live, placed = todo.pop()
        if at == space:
            yield placed
            continue
        todo.append((at + 1, live, placed))
        todo += [
            (at + size, live + size, (*placed, (at, size)))
            for size in sizes
            if at + size <= space and live + size <= live_max
        ]


def _holes(placed: Placement, space: int) -> Iterator[Hole]:
    end = 0
    for start, size in (*placed, (space, 0)):
        if start > end:
            yield Hole(end, start - end)
        end = start + size


def manager_wins(space: int, live_max: int, sizes: tuple[int, ...]) -> bool:
    """Say whether some manager can serve every program for ever: the greatest fixed point of "safe so far".

    Examples
    --------
    >>> manager_wins(4, 4, (1, 2)), manager_wins(5, 4, (1, 2))
    (False, True)
    """
    safe = set(_placements(space, live_max, sizes))
    answers: dict[Placement, list[list[Placement]]] = {}
    for placed in safe:
        live = sum(size for _, size in placed)
        answers[placed] = [
            [
                tuple(sorted((*placed, (start, size))))
                for hole in _holes(placed, space)
                for start in range(hole.start, hole.start + hole.size - size + 1)
            ]
            for size in sizes
            if live + size <= live_max
        ]
    changed = True
    while changed and () in safe:
        changed = False
        for placed in list(safe):
            freed = all(placed[:i] + placed[i + 1 :] in safe for i in range(len(placed)))
            if not freed or not all(any(answer in safe for answer in request) for request in answers[placed]):
                safe.discard(placed)
                changed = True
    return () in safe


def robson_words(live_max: int, block_max: int) -> int:
    """Return the least heap that serves every program, by Robson: M(1 + lg(n)/2) - n + 1.

    For block sizes that are powers of two up to n, where n divides M. Without that it is wrong: for M = 7, n = 4
    the game says 12 and the formula 11.

    Examples
    --------
    >>> [robson_words(m, 2) for m in (2, 4, 6)], robson_words(8, 4)
    ([2, 5, 8], 13)
    """
    log = block_max.bit_length() - 1
    return live_max + live_max * log // 2 - block_max + 1


def _robson(size: int, mutant: str | None) -> Finding:
    games = [(m, n) for n in (2, 4) for m in range(n, size + 1, n)]
    if mutant == "any-live-size":
        games = [(7, 4)]
    for live_max, block_max in games:
        claimed = robson_words(live_max, block_max)
        claimed += {"one-word-less": -1, "one-word-more": 1}.get(mutant or "", 0)
        if mutant == "as-large-as-live":
            claimed = live_max
        sizes = tuple(1 << i for i in range(block_max.bit_length()))
        enough = manager_wins(claimed, live_max, sizes)
        least = enough and not manager_wins(claimed - 1, live_max, sizes)
        if not least:
            what = "a smaller heap is enough" if enough else "the program wins"
            return Counterexample(f"M = {live_max}, n = {block_max}: with {claimed} words {what}")
    return Held(f"{len(games)} games solved")


def worst_words(strategy: str, live_max: int, block_max: int) -> int:
    """Return the most words that any program makes a strategy of the model use, in a space without end.

    Examples
    --------
    >>> [worst_words(name, 6, 4) for name in ("first-fit", "best-fit", "worst-fit")]
    [10, 11, 10]
    """
    choose, endless = FITS[strategy], live_max * block_max
    seen: set[Placement] = {()}
    frontier: list[Placement] = [()]
    highest = 0
    while frontier:
        placed = frontier.pop()
        live = sum(size for _, size in placed)
        reached = [placed[:i] + placed[i + 1 :] for i in range(len(placed))]
        for size in range(1, min(block_max, live_max - live) + 1):
            end = placed[-1][0] + placed[-1][1] if placed else 0
            fitting = [hole for hole in _holes(placed, end) if hole.size >= size]
            start = choose(fitting, 0).start if fitting else end  # what lies behind the last block is taken last
            highest = max(highest, start + size)
            assert highest <= endless
            reached.append(tuple(sorted((*placed, (start, size)))))
        fresh = [placement for placement in reached if placement not in seen]
        seen.update(fresh)
        frontier += fresh
    return highest


def first_fit_bound(live_max: int, block_max: int) -> float:
    """Return M·Hₙ/ln 2: what first fit never exceeds.

    Examples
    --------
    >>> round(first_fit_bound(9, 4), 1)
    27.1
    """
    return live_max * sum(1 / i for i in range(1, block_max + 1)) / math.log(2)


def _first_fit(size: int, mutant: str | None) -> Finding:
    most = (0.0, "")
    for block_max in (2, 3, 4):
        for live_max in range(block_max, size + 1):
            bound = first_fit_bound(live_max, block_max)
            if mutant == "without-logarithm-of-two":
                bound *= math.log(2)
            if mutant == "as-large-as-live":
                bound = live_max
            if mutant == "as-good-as-the-best-manager":
                bound = robson_words(live_max, block_max)
            words = worst_words("first-fit", live_max, block_max)
            if words > bound:
                return Counterexample(f"M = {live_max}, n = {block_max}: {words} words > {bound:.1f}")
            most = max(most, (words / bound, f"{words} words of {bound:.1f} at M = {live_max}, n = {block_max}"))
    return Held(f"nearest: {most[1]}")


def _best_fit_is_not_best(size: int, mutant: str | None) -> Finding:
    """Show a program for which best fit needs more than first fit; the mutants claim otherwise, or too much."""
    words = {name: worst_words(name, size, 4) for name in ("first-fit", "best-fit", "worst-fit")}
    first, best = words["first-fit"], words["best-fit"]
    claims = {
        None: best > first,
        "best-fit-is-best": best <= first,
        "worst-fit-is-worst": words["worst-fit"] > best,
        "best-fit-needs-double": best >= 2 * first,
    }
    shown = ", ".join(f"{name} {count}" for name, count in words.items()) + " words"
    return Held(shown) if claims[mutant] else Counterexample(f"M = {size}, n = 4: {shown}")


THEOREMS = (
    Theorem(
        name="game-robson",
        subject=Subject.MODEL,
        method="exhaustive",
        grade=Grade.PROVED_TO,
        statement="The best manager that moves nothing needs exactly M(1 + lg(n)/2) − n + 1 words in the worst case.",
        formula="least heap that wins the game = M(1 + ½ lg n) − n + 1, blocks 1, 2, 4 .. n, n | M",
        scope=Scope("the games with M ≤ {n} words live and blocks to 2 and 4, every program and every manager", 6, 8),
        mutants=(
            Mutant("one-word-less", "claims that one word less is enough"),
            Mutant("one-word-more", "claims that one word more is needed"),
            Mutant("any-live-size", "drops the condition that n divides M"),
            Mutant("as-large-as-live", "claims that a heap as large as what is live is enough: no fragmentation"),
        ),
        check=_robson,
        source="Robson, An Estimate of the Store Size Necessary for Dynamic Storage Allocation, JACM 18, 1971",
    ),
    Theorem(
        name="game-first-fit",
        subject=Subject.MODEL,
        method="exhaustive",
        grade=Grade.PROVED_TO,
        statement="First fit never uses more than M·Hₙ/ln 2 words for M words live in blocks of 1 to n.",
        formula="N_FF(M, n) ≤ M · (1 + ½ + … + 1/n) / ln 2",
        scope=Scope("every program with M ≤ {n} words live, blocks to 2, 3 and 4, alignment 1", 7, 8),
        mutants=(
            Mutant("without-logarithm-of-two", "claims M·Hₙ"),
            Mutant("as-large-as-live", "claims that nothing is ever wasted"),
            Mutant(
                "as-good-as-the-best-manager",
                "claims Robson's bound, which is for the best manager, not for first fit",
            ),
        ),
        check=_first_fit,
        source="Robson, Worst case fragmentation of first fit and best fit storage allocation strategies, 1977",
    ),
    Theorem(
        name="game-best-fit",
        subject=Subject.MODEL,
        method="exhaustive",
        grade=Grade.PROVED_TO,
        statement="Best fit does not fragment least: some program makes it use more than first fit ever does.",
        formula="∃ M, n: N_BF(M, n) > N_FF(M, n)",
        scope=Scope("every program with M = {n} words live in blocks of 1 to 4", 6, 7),
        mutants=(
            Mutant("best-fit-is-best", "claims what its name says"),
            Mutant("worst-fit-is-worst", "claims that worst fit uses more than best fit"),
            Mutant("best-fit-needs-double", "claims twice first fit, already here"),
        ),
        check=_best_fit_is_not_best,
        source="Knuth, The Art of Computer Programming 1, section 2.5, exercise 42",
    ),
)
