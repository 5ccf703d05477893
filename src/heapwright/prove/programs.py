"""Programs: all of them, up to a length, on a space of a few granules; model and code side by side at every step.

The private build is forked at each step by copying its control region, so a program is a path in a tree and its common
beginnings run once. `heapwright.Heap` cannot be copied: there each program runs from the start.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeAlias

from heapwright import _native
from heapwright.prove.core import Core, Handle
from heapwright.prove.lockstep import STRATEGY_TYPES, OfCore, OfHeap, definition

GRANULES = 6  #: of the private build's space: a block, holes on both sides, and a second such neighbourhood
SIZES = (0, 17, 40)  #: one, two and three granules, none of them full
ALIGNMENTS = (1, 32)
PAGE_BYTES = 4096  #: the least space of a heap; its programs use sizes in proportion

Step: TypeAlias = "tuple[str, int, int]"


def _steps(given: int) -> Iterator[Step]:
    """Yield what can come next when `given` handles were given out so far, dead ones included."""
    yield from (("allocate", size, alignment) for size in SIZES for alignment in ALIGNMENTS)
    for handle in range(given):
        yield "deallocate", handle, 0
        yield "inside", handle, 0
        yield from (("reallocate", handle, size) for size in SIZES)


class _Pair:
    """The two sides, and the handles that both gave out: [handle, offset, alignment], or None once it is dead."""

    def __init__(self, real: Any, model: Any, scale: int = 1) -> None:
        self.real = real
        self.model = model
        self.scale = scale
        self.handles: list[Any] = []
        self.dead: list[bool] = []

    def fork(self) -> _Pair:
        """Return a second pair in the same state."""
        other = _Pair(OfCore(self.real.core.fork()), copy.deepcopy(self.model), self.scale)
        other.handles, other.dead = list(self.handles), list(self.dead)
        return other

    def step(self, step: Step) -> str | None:
        """Take one step on both sides; return None, or how they differ."""
        act, first, second = step
        if act == "allocate":
            size, alignment = first * self.scale, second * self.scale if second > 1 else 1
            expected, got = self.model.allocate(size, alignment), self.real.allocate(size, alignment)
            if got is not None:
                self.handles.append((*got, alignment))
                self.dead.append(False)
            return _compare(expected, got)
        handle, offset, alignment = self.handles[first]
        if act == "deallocate":
            accepted = self.real.deallocate(handle)
            if not self.dead[first]:
                self.model.deallocate(offset)
                self.dead[first] = True
                return None if accepted else "the code refuses to free a live block"
            return "the code frees through a dead handle" if accepted and self._is_dead_for_good(first) else None
        if self.dead[first]:
            return None
        if act == "inside":
            return None if self.real.refuses_inside(handle) else "the code frees from inside a block"
        return self._reallocate(first, second * self.scale)

    def _is_dead_for_good(self, index: int) -> bool:
        """A number and an offset may be in use again: only Python's handles are never reused (theorem handle-stale)."""
        handle, offset, _ = self.handles[index]
        if not isinstance(handle, Handle):
            return True
        for other, (same, place, _) in enumerate(self.handles):
            if not self.dead[other] and place == offset and same.number == handle.number:
                self.model.deallocate(offset)
                self.dead[other] = True
                return False
        return True

    def _reallocate(self, index: int, size: int) -> str | None:
        handle, offset, alignment = self.handles[index]
        expected: int | None = offset
        if not self.model.resize(offset, size):
            expected = self.model.allocate(size, alignment)
            if expected is not None:
                self.model.deallocate(offset)
        got = self.real.reallocate(handle, size, alignment)
        if got is not None:
            self.handles[index] = (*got, alignment)
        return _compare(expected, got)

    def look(self) -> str | None:
        """Compare what both say of the whole space."""
        seen = self.real.look()
        if seen["broken"] is not None:
            return f"invariant broken: {seen['broken']}"
        return None if seen["picture"] == self.model.draw() else f"{seen['picture']}, and not {self.model.draw()}"


def _compare(expected: int | None, got: tuple[Any, int] | None) -> str | None:
    offset = None if got is None else got[1]
    return None if offset == expected else f"the model says {expected}, the code {offset}"


def core_differs_somewhere(library: str, strategy: str, length: int) -> str | None:
    """Run every program of at most `length` steps on a private build; return None, or a shortest one that shows it."""
    core = Core(library, _native.STRATEGIES.index(strategy), 16 * GRANULES)
    for depth in range(1, length + 1):  # the shallow ones first: a counterexample is then a shortest one
        wrong = _descend(_Pair(OfCore(core.fork()), definition(strategy, 16 * GRANULES)), (), depth)
        if wrong:
            return f"{strategy}, {GRANULES} granules: {wrong}"
    return None


def _descend(pair: _Pair, path: tuple[Step, ...], depth: int) -> str | None:
    for step in _steps(len(pair.handles)):
        fork = pair.fork()
        wrong = fork.step(step) or (fork.look() if depth == 1 else None)
        if wrong:
            return f"{_spell((*path, step))}: {wrong}"
        if depth > 1 and (wrong := _descend(fork, (*path, step), depth - 1)):
            return wrong
    return None


def heap_differs_somewhere(strategy: str, length: int) -> tuple[str | None, int]:
    """Run every program on `heapwright.Heap`; return what differs, and how many programs there were."""
    import heapwright

    types = (getattr(heapwright, name) for name in STRATEGY_TYPES)
    chosen: Any = next(type_ for type_ in types if type_.name == strategy)
    scale, programs = PAGE_BYTES // 64, 0  # four units, of which the sizes take one, two and three
    frontier: list[tuple[Step, ...]] = [()]
    while frontier:
        path = frontier.pop()
        space = heapwright.AnonymousSpace(PAGE_BYTES)
        pair = _Pair(OfHeap(heapwright.Heap(space, strategy=chosen())), definition(strategy, PAGE_BYTES), scale)
        for step in path:
            wrong = pair.step(step)
            if wrong:
                return f"{strategy}: {_spell(path)}: {wrong}", programs
        wrong = pair.look()
        if wrong:
            return f"{strategy}: {_spell(path)}: {wrong}", programs
        programs += 1
        if len(path) < length:
            frontier += [(*path, step) for step in _steps(len(pair.handles)) if step[0] != "inside"]
    return None, programs


def _spell(path: tuple[Step, ...]) -> str:
    words = {"allocate": "allocate({}, {})", "deallocate": "deallocate(h{})", "inside": "deallocate(inside h{})"}
    return "; ".join(words.get(act, "reallocate(h{}, {})").format(first, second) for act, first, second in path)
