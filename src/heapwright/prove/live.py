"""Live: theorems of the model, asked of running heaps and adaptors through their public door.

The limit under real threads that switch as often as the interpreter lets them; and first fit's bound, against an
adversary, with the counters of the heap saying what was live.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from typing import Any

from heapwright.prove.games import first_fit_bound
from heapwright.prove.theorem import Counterexample, Finding, Grade, Held, Mutant, Scope, Subject, Theorem

LIMIT_BYTES = 4096
THREADS = 3

# ------------------------------------------------------------------------------------------------------------- limits


class _Watched:
    """A resource that knows what is out of it, and never says too much: what is being freed counts as gone."""

    def __init__(self, upstream: Any) -> None:
        self.upstream = upstream
        self.alignment = upstream.alignment
        self.most_out = self._out = 0
        self._lock = threading.Lock()

    def allocate(self, size_bytes: int, *alignment: int) -> Any:
        block = self.upstream.allocate(size_bytes, *alignment)
        with self._lock:
            self._out += size_bytes
            self.most_out = max(self.most_out, self._out)
        return block

    def deallocate(self, block: Any) -> None:
        with self._lock:
            self._out -= block.size_bytes
        self.upstream.deallocate(block)


class _FaultyLimit:
    """A limit with one fault, as people write them."""

    def __init__(self, upstream: Any, fault: str) -> None:
        self._upstream = upstream
        self._fault = fault
        self._taken = 0

    def allocate(self, size_bytes: int) -> Any:
        if self._taken + size_bytes > LIMIT_BYTES:
            raise MemoryError
        if self._fault == "checks-then-takes":
            time.sleep(0)  # where another thread may come between
        if self._fault == "serves-then-takes":
            block = self._upstream.allocate(size_bytes)
            time.sleep(0)
            self._taken += size_bytes
            return block
        self._taken += size_bytes
        return self._upstream.allocate(size_bytes)

    def deallocate(self, block: Any) -> None:
        if self._fault != "never-gives":
            self._taken -= block.size_bytes
        self._upstream.deallocate(block)


def _limit_of_threads(size: int, mutant: str | None) -> Finding:
    import heapwright

    watched: Any = _Watched(heapwright.Heap(heapwright.AnonymousSpace("1MiB")))
    limited: Any = heapwright.Limiting(watched, LIMIT_BYTES) if mutant is None else _FaultyLimit(watched, mutant)
    refused = [0] * THREADS

    def program(thread: int) -> None:
        draw, held = random.Random(thread), list[Any]()
        for _ in range(size // THREADS):
            if held and draw.random() < 0.45:
                limited.deallocate(held.pop(draw.randrange(len(held))))
                continue
            try:
                held.append(limited.allocate(draw.choice((16, 400, 1500, 2500))))
            except MemoryError:
                refused[thread] += 1
        for block in held:
            limited.deallocate(block)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=program, args=(thread,)) for thread in range(THREADS)]
        for started in threads:
            started.start()
        for started in threads:
            started.join()
    finally:
        sys.setswitchinterval(interval)
    if watched.most_out > LIMIT_BYTES:
        return Counterexample(f"{watched.most_out} B of {LIMIT_BYTES} B were out at one time")
    try:
        limited.deallocate(limited.allocate(LIMIT_BYTES))
    except MemoryError:
        return Counterexample(f"nothing is out, and {LIMIT_BYTES} B are refused: a charge is left behind")
    return Held(f"{size:,} calls, at most {watched.most_out} of {LIMIT_BYTES} B out, {sum(refused):,} refused")


# ------------------------------------------------------------------------------------------------- first fit's bound

SPACE_BYTES = 4096
GRANULE = 16
BLOCK_MAX = 8  #: granules
LIVE_MAX = 64  #: granules; the bound for 64 live in blocks of 1 to 8 is 251 of the 256 granules that there are


class _Adversary:
    """Fills a heap with blocks of one size, keeps those that hurt most, and asks for twice the size (Robson's way)."""

    def __init__(self, heap: Any, live_max: int, alignment: int) -> None:
        self.heap = heap
        self.live_max = live_max
        self.alignment = alignment
        self.held: list[Any] = []
        self.live = self.calls = 0

    def take(self, granules: int) -> bool:
        """Ask if the limit allows it; False if the heap refuses."""
        if self.live + granules > self.live_max:
            return True
        self.calls += 1
        block = self.heap.try_allocate(granules * GRANULE, self.alignment)
        if block is None:
            return False
        self.held.append(block)
        self.live += granules
        return True

    def drop(self, block: Any) -> None:
        self.calls += 1
        self.live -= -(-block.size_bytes // GRANULE)
        self.held.remove(block)
        self.heap.deallocate(block)

    def attack(self, draw: random.Random) -> bool:
        """Run one round; False if the heap refused something."""
        size = 1
        while size <= BLOCK_MAX:
            while self.live + size <= self.live_max:
                if not self.take(size):
                    return False
            modulus, phase = 2 * size * GRANULE, draw.randrange(2 * size) * GRANULE
            for block in list(self.held):
                reaches = (
                    block.offset_bytes
                    <= phase + block.offset_bytes // modulus * modulus
                    < block.offset_bytes + block.size_bytes
                )
                if not reaches or draw.random() < 0.05:
                    self.drop(block)
            size *= 2
        for block in draw.sample(self.held, len(self.held) // 2):
            self.drop(block)
        return all(self.take(draw.randrange(1, BLOCK_MAX + 1)) for _ in range(20))


def _bound_live(size: int, mutant: str | None) -> Finding:
    import heapwright

    heap = heapwright.Heap[heapwright.FirstFit](heapwright.AnonymousSpace(SPACE_BYTES))
    live_max = {"as-large-as-live": SPACE_BYTES // GRANULE, "three-quarters-live": 192}.get(mutant or "", LIVE_MAX)
    alignment = BLOCK_MAX * GRANULE if mutant == "aligned-blocks" else GRANULE
    bound = first_fit_bound(LIVE_MAX, BLOCK_MAX)
    assert bound <= SPACE_BYTES // GRANULE
    draw, adversary = random.Random(1), _Adversary(heap, live_max, alignment)
    while adversary.calls < size:
        if not adversary.attack(draw):
            return Counterexample(
                f"{adversary.live} granules live of {live_max}, and the heap is full: {heap.draw()[:60]} ..."
            )
    peak = heap.statistics().peak_allocated_bytes // GRANULE
    if peak > live_max:
        return Counterexample(f"the adversary broke its own rule: {peak} granules were live")
    return Held(
        f"{adversary.calls:,} calls, at most {peak} granules live, bound {bound:.0f} of {SPACE_BYTES // GRANULE}"
    )


THEOREMS = (
    Theorem(
        name="limit-threads",
        subject=Subject.CODE,
        method="threads",
        grade=Grade.TESTED,
        statement="`Limiting` never has more out than its limit, and when all is back it serves its whole limit again.",
        formula="∀ moments: Σ out ≤ limit;   Σ out = 0 ⇒ allocate(limit) ≠ ⊥",
        scope=Scope("{n} calls by 3 threads that switch as often as the interpreter lets them", 6_000, 600_000),
        assumptions=("schedules that occurred: all of them are limit-schedules, of the model",),
        mutants=(
            Mutant("checks-then-takes", "the limit is compared, and taken after another thread could run"),
            Mutant("serves-then-takes", "the block is had first and charged afterwards"),
            Mutant("never-gives", "what is freed stays charged"),
        ),
        check=_limit_of_threads,
    ),
    Theorem(
        name="bound-live",
        subject=Subject.CODE,
        method="adversary",
        grade=Grade.TESTED,
        statement="A first-fit heap as large as the bound for what is live never refuses, as its own counters witness.",
        formula="capacity ≥ M·Hₙ/ln 2 ∧ peak ≤ M ∧ blocks ≤ n ⇒ allocate ≠ ⊥",
        scope=Scope("{n} calls of an adversary, M = 64 and n = 8 granules, in 256", 4_000, 400_000),
        mutants=(
            Mutant("as-large-as-live", "the heap is no larger than what is live"),
            Mutant("three-quarters-live", "a quarter more than what is live"),
            Mutant("aligned-blocks", "blocks are aligned, which the bound knows nothing of"),
        ),
        check=_bound_live,
        source="Robson, 1977: game-first-fit",
    ),
)
