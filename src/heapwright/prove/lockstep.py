"""Lock-step: the definition and the real thing, one random program, and no step at which they differ.

Two real things: `heapwright.Heap`, as users have it; and a private build of the core, which can be given a fault, whose
control region is moved between any two steps, and which runs in a process of its own, since a fault may end that.

    python -m heapwright.prove.lockstep random LIBRARY STRATEGY SEED STEPS    replays random programs on a private build
    python -m heapwright.prove.lockstep every LIBRARY STRATEGY LENGTH         all programs of so many steps

After each step: same offset or both bottom, the same free accepted or refused (also through a dead handle, and one that
points inside a block). After some: the same picture of the whole space, every invariant walked, the counters equal to
the sums over the live blocks.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from heapwright import _native
from heapwright.model.bump import BumpModel
from heapwright.model.definitions import DEFINITIONS
from heapwright.model.slab import SlabModel
from heapwright.prove.core import Core, Handle
from heapwright.prove.theorem import Undecided

STEPS_PER_PROGRAM = 400  #: enough to fill the space, few enough to visit many
TIMEOUT_S = 300
STRATEGY_TYPES = ("FirstFit", "BestFit", "WorstFit", "NextFit", "TLSF", "Buddy", "Bump", "Slab")
ALIGNMENTS = (1, 1, 1, 16, 32, 64, 256, 1024)

H = TypeVar("H")


class Real(Protocol[H]):
    """What is compared with a definition: with handles of its own."""

    def allocate(self, size_bytes: int, alignment: int) -> tuple[H, int] | None:
        """Return a handle and its offset, or None."""

    def deallocate(self, handle: H) -> bool:
        """Say whether it was accepted."""

    def refuses_inside(self, handle: H) -> bool:
        """Say whether a free of an offset inside a live block is refused."""

    def reallocate(self, handle: H, size_bytes: int, alignment: int) -> tuple[H, int] | None:
        """Resize in place, or move; None, and nothing done, where neither can be."""

    def look(self) -> dict[str, Any]:
        """Return picture, broken invariant and counters."""

    def between(self) -> None:
        """Do what must make no difference."""


def definition(strategy: str, capacity_bytes: int) -> Any:
    """Return the mathematical object of that name."""
    other = {"bump": BumpModel, "slab": SlabModel}
    return other[strategy](capacity_bytes) if strategy in other else DEFINITIONS[strategy](capacity_bytes)


def differs(real: Real[Any], model: Any, draw: random.Random, steps: int, look_every: int = 8) -> str | None:
    """Run one random program; return None, or how the two differ."""
    live: list[tuple[Any, int, int]] = []  # handle, offset, alignment
    largest = draw.choice((12, 24, 100, 400))
    said: list[str] = []
    for step in range(steps):
        act = draw.random()
        if act < 0.5 or not live:
            size, alignment = draw.randrange(largest), draw.choice(ALIGNMENTS)
            if step == 0 and draw.random() < 0.5:
                size = model.capacity  # only an empty heap has that much in one piece
            elif draw.random() < 0.02:
                size = draw.choice((0, model.capacity, model.capacity + 1, 2**64 - 1))
            said.append(f"allocate({size}, {alignment})")
            expected, got = model.allocate(size, alignment), real.allocate(size, alignment)
            if (None if got is None else got[1]) != expected:
                return _tell(said, f"the model says {expected}, the code {None if got is None else got[1]}")
            if got is not None:
                live.append((*got, alignment))
        elif act < 0.85:
            handle, offset, _ = live.pop(draw.randrange(len(live)))
            said.append(f"deallocate({offset})")
            if not real.deallocate(handle):
                return _tell(said, "the code refuses to free a live block")
            model.deallocate(offset)
            if real.deallocate(handle):
                return _tell(said, "the code frees it twice")
        elif act < 0.95:
            chosen, size = draw.randrange(len(live)), draw.randrange(largest)
            handle, offset, alignment = live[chosen]
            said.append(f"reallocate({offset}, {size})")
            expected, got = _reallocate(model, offset, size, alignment), real.reallocate(handle, size, alignment)
            if (None if got is None else got[1]) != expected:
                return _tell(said, f"the model says {expected}, the code {None if got is None else got[1]}")
            if got is not None:
                live[chosen] = (*got, alignment)
        else:
            handle, offset, _ = draw.choice(live)
            said.append(f"deallocate(inside the block at {offset})")
            if not real.refuses_inside(handle):
                return _tell(said, "the code frees it")
        real.between()
        if step % look_every == 0 or step == steps - 1:
            wrong = _look(real.look(), model)
            if wrong:
                return _tell(said, wrong)
    return None


def _reallocate(model: Any, offset: int, size: int, alignment: int) -> int | None:
    if model.resize(offset, size):
        return offset
    moved: int | None = model.allocate(size, alignment)
    if moved is not None:
        model.deallocate(offset)
    return moved


def _look(seen: dict[str, Any], model: Any) -> str | None:
    if seen["broken"] is not None:
        return f"invariant broken: {seen['broken']}"
    if seen["picture"] != model.draw():
        return f"the model has {model.draw()}, the code {seen['picture']}"
    blocks = _live(model)
    sums = {
        "requested": sum(requested for requested, _ in blocks),
        "allocated": sum(size for _, size in blocks),
        "blocks": len(blocks),
    }
    counted = {name: seen[name] for name in sums}
    return None if counted == sums else f"counted {counted}, live are {sums}"


def _live(model: Any) -> list[tuple[int, int]]:
    """Return requested and taken bytes of each live block of a definition."""
    if isinstance(model, SlabModel):
        return [(requested, size) for _, size, requested, live in model.walk() if live]
    blocks = [block for block in model.blocks if block.live] if isinstance(model, BumpModel) else model.live.values()
    return [(block.requested, block.size) for block in blocks]


def _tell(said: list[str], wrong: str) -> str:
    earlier = f"after {len(said) - 3} steps: " if len(said) > 3 else ""
    return f"{earlier}{'; '.join(said[-3:])}: {wrong}"


# ---------------------------------------------------------------------------------------------- the two real things


class OfHeap:
    """`heapwright.Heap`, over a space."""

    def __init__(self, heap: Any) -> None:
        import heapwright

        self._heap = heap
        self._refused = heapwright.InvalidFree
        self._full = heapwright.OutOfMemory

    def allocate(self, size_bytes: int, alignment: int) -> tuple[Any, int] | None:
        """Return a block."""
        block = self._heap.try_allocate(size_bytes, alignment)
        return None if block is None else (block, block.offset_bytes)

    def deallocate(self, handle: Any) -> bool:
        """Free it, or be refused."""
        try:
            self._heap.deallocate(handle)
        except self._refused:
            return False
        return True

    def refuses_inside(self, handle: Any) -> bool:
        """Say so: a block is an object, which cannot point elsewhere."""
        return True

    def reallocate(self, handle: Any, size_bytes: int, alignment: int) -> tuple[Any, int] | None:
        """Let the heap do both; it knows the alignment."""
        try:
            block = self._heap.reallocate(handle, size_bytes)
        except self._full:
            return None
        return block, block.offset_bytes

    def look(self) -> dict[str, Any]:
        """Return what the heap says of itself."""
        self._heap.check()  # or CorruptedHeap
        figures = self._heap.counters()
        return {
            "broken": None,
            "picture": self._heap.draw(),
            "requested": figures["requested_bytes"],
            "allocated": figures["allocated_bytes"],
            "blocks": figures["block_count"],
        }

    def between(self) -> None:
        """Do nothing."""


class OfCore:
    """A private build of the core, relocated between any two steps."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def allocate(self, size_bytes: int, alignment: int) -> tuple[Handle, int] | None:
        """Return a handle."""
        handle = self.core.allocate(size_bytes, alignment)
        return None if handle is None else (handle, handle.offset_bytes)

    def deallocate(self, handle: Handle) -> bool:
        """Free it, or be refused."""
        return self.core.deallocate(handle)

    def refuses_inside(self, handle: Handle) -> bool:
        """Bend the handle: by a granule, by a byte, and to another number."""
        bent = [
            Handle(handle.offset_bytes + 16, handle.number),
            Handle(handle.offset_bytes + 1, handle.number),
            Handle(handle.offset_bytes, handle.number + 1),
            Handle(handle.offset_bytes, 0xFFFFFFFF),
        ]
        return not any(self.core.deallocate(other) for other in bent)

    def reallocate(self, handle: Handle, size_bytes: int, alignment: int) -> tuple[Handle, int] | None:
        """Do what a heap does: in place, or elsewhere and free."""
        if self.core.resize(handle, size_bytes):
            return handle, handle.offset_bytes
        moved = self.allocate(size_bytes, alignment)
        if moved is not None:
            self.core.deallocate(handle)
        return moved

    def look(self) -> dict[str, Any]:
        """Return what the region says of itself."""
        totals = self.core.totals()
        return {
            "broken": self.core.check(),
            "picture": self.core.draw(),
            "requested": totals.requested,
            "allocated": totals.allocated,
            "blocks": totals.blocks,
        }

    def between(self) -> None:
        """Move the control region."""
        self.core.relocate()


def _programs(strategy: str, seed: int, steps: int) -> Iterator[tuple[random.Random, int, int]]:
    """Yield the generator, the capacity and the length of each program; slabs, of 64 slots, take longer ones."""
    draw, times = random.Random(f"{strategy} {seed}"), 4 if strategy == "slab" else 1
    while steps > 0:
        yield draw, 16 * times * draw.randrange(4, 256), min(steps, times * STEPS_PER_PROGRAM)
        steps -= times * STEPS_PER_PROGRAM


def core_differs(library: str, strategy: str, seed: int, steps: int) -> str | None:
    """Run programs on a private build, in this process."""
    number = _native.STRATEGIES.index(strategy)
    for draw, capacity, length in _programs(strategy, seed, steps):
        core = Core(library, number, capacity, blocks=draw.choice((14, 40)))
        wrong = differs(OfCore(core), definition(strategy, capacity), draw, length)
        if wrong is not None:
            return f"{strategy}, {capacity} B: {wrong}"
    return None


def heap_differs(strategy: str, seed: int, steps: int) -> str | None:
    """Run programs on `heapwright.Heap`, by object and by type in turn."""
    import heapwright

    types = (getattr(heapwright, name) for name in STRATEGY_TYPES)
    chosen: Any = next(type_ for type_ in types if type_.name == strategy)
    for draw, _, length in _programs(strategy, seed, steps):
        space = heapwright.AnonymousSpace(32768 if strategy == "slab" else 4096)
        heap = heapwright.Heap[chosen](space) if draw.random() < 0.5 else heapwright.Heap(space, strategy=chosen())
        wrong = differs(OfHeap(heap), definition(strategy, space.size_bytes), draw, length)
        if wrong is not None:
            return f"{strategy}: {wrong}"
    return None


def apart(how: str, library: str, strategy: str, *numbers: int) -> str | None:
    """Drive a private build in a process of its own, whose death is a counterexample as well.

    Raises
    ------
    Undecided
        It does not end, or the replay itself breaks.
    """
    arguments = [how, library, strategy, *map(str, numbers)]
    command = [sys.executable, "-m", "heapwright.prove.lockstep", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Undecided(f"no end after {TIMEOUT_S} s: {' '.join(arguments[2:])}") from None
    if done.returncode == 0:
        answer: str | None = json.loads(done.stdout)
        return answer
    reports = [line.partition("runtime error: ")[2] for line in done.stderr.splitlines() if "runtime error" in line]
    if done.returncode > 0 and not reports:
        raise Undecided(f"the replay broke: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    died = reports[0] if reports else f"signal {-done.returncode}"
    return f"{' '.join(arguments[2:])}: the build dies: {died}"


def main(arguments: list[str]) -> str | None:
    """Do what the command line says."""
    how, library, strategy, *numbers = arguments
    if how == "every":
        from heapwright.prove.programs import core_differs_somewhere

        return core_differs_somewhere(library, strategy, *map(int, numbers))
    return core_differs(library, strategy, *map(int, numbers))


if __name__ == "__main__":
    json.dump(main(sys.argv[1:]), sys.stdout)
