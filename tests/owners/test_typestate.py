"""The typestate is the life cycle: what checkers are told, what run time allows, and the one table, compared."""

import ctypes
from collections.abc import Callable
from itertools import product
from typing import Any, get_args, get_overloads, get_type_hints

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import heapwright as hw
from heapwright.model.lifecycle import READABLE, TRANSITIONS, WRITABLE, Event, State, after, may
from heapwright.owners import memory as memory_module
from heapwright.owners.states import CHANGING, MARKER_OF, STEPS

MARKERS = set(MARKER_OF.values())

#: Steps of the life cycle among states that a Memory can be in, and why no method takes them.
NOT_OFFERED = {
    (State.EXPOSED, Event.CONCEAL): "the view's own end",
    (State.SEALED, Event.MOVE): "the one step that moves, reallocate(), changes the bytes as well",
}


def hints(function: Any) -> dict[str, Any]:
    return get_type_hints(function, vars(memory_module) | {"Buffer": Any, "SupportsIndex": Any})


def markers(annotation: Any) -> set[type]:
    """Return the states named in Memory[A | B], Memory[A] | Memory[B] or Memory[A] | None."""
    if annotation in MARKERS:
        return {annotation}
    return set().union(*(markers(part) for part in get_args(annotation)))


def of_self(method: str) -> set[type]:
    function = getattr(hw.Memory, method)
    function = function.fget if isinstance(function, property) else function
    variants = get_overloads(function) or [function]
    return set().union(*(markers(hints(variant)["self"]) for variant in variants))


def states_of(found: set[type]) -> set[State]:
    return {state for state, marker in MARKER_OF.items() if marker in found}


@pytest.mark.parametrize(("method", "event"), list(STEPS.items()))
def test_checkers_are_told_what_the_life_cycle_says_of_a_step(method: str, event: Event) -> None:
    told = of_self(method)
    assert told == {MARKER_OF[state] for state in MARKER_OF if declared(state, method)}
    returned = hints(getattr(hw.Memory, method))["return"]
    if returned is not memoryview:
        reached = {MARKER_OF[after(state, event)] for state in states_of(told) if may(state, event)}
        assert markers(returned) == reached


def test_every_step_of_the_life_cycle_has_a_method_or_a_reason() -> None:
    steps = {(s, e) for (s, e), now in TRANSITIONS.items() if {s, now} <= set(MARKER_OF) and e is not Event.CORRUPT}
    taken = {(state, STEPS[method]) for state, method in product(MARKER_OF, STEPS) if declared(state, method)}
    assert steps - taken == set(NOT_OFFERED)


def test_checkers_are_told_who_may_read_and_write() -> None:
    assert states_of(of_self("read")) == READABLE
    assert states_of(of_self("write")) == WRITABLE
    assert states_of(of_self("address")) == states_of(of_self("verify")) == READABLE
    for variant in get_overloads(hw.Memory.verify):
        assert markers(hints(variant)["return"]) == markers(hints(variant)["self"]) | {hw.Corrupted}
    assert of_self("damage") == of_self("salvage") == {hw.Corrupted}


# ---- every state with every method ---------------------------------------------------------------------------------


class Subject:
    """A memory in a given state, on a heap of its own."""

    def __init__(self, state: State) -> None:
        self.heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))
        memory: Any = hw.Memory(self.heap, quarantine=hw.Quarantine())
        self.view: memoryview | None = None
        if state is not State.FREE:
            memory = memory.allocate(64)
        if state is State.EXPOSED:
            self.view = memory.view()
        if state is State.SEALED:
            memory = memory.seal()
        if state is State.FREED:
            memory = memory.free()
        if state is State.CORRUPTED:
            ctypes.c_ubyte.from_address(memory.address + 64).value ^= 0xFF
            memory = memory.verify()
        self.memory = memory
        assert memory.state is state


CALLS: dict[str, Callable[[Any], Any]] = {
    "allocate": lambda m: m.allocate(8),
    "try_allocate": lambda m: m.try_allocate(8),
    "view": lambda m: m.view().release(),
    "reallocate": lambda m: m.reallocate(128),
    "seal": lambda m: m.seal(),
    "unseal": lambda m: m.unseal(),
    "free": lambda m: m.free(),
    "reuse": lambda m: m.reuse(),
    "read": lambda m: m.read(0, 1),
    "write": lambda m: m.write(0, b"x"),
    "verify": lambda m: m.verify(),
    "address": lambda m: m.address,
    "size_bytes": lambda m: m.size_bytes,
    "damage": lambda m: m.damage(),
    "salvage": lambda m: m.salvage(),
}


def declared(state: State, method: str) -> bool:
    if method in STEPS:
        return may(state, STEPS[method]) and (method not in CHANGING or state in WRITABLE)
    if method in {"damage", "salvage"}:
        return state is State.CORRUPTED
    return state in (WRITABLE if method == "write" else READABLE)


def test_every_public_method_is_exercised() -> None:
    assert {name for name in vars(hw.Memory) if not name.startswith("_")} == set(CALLS) | {"state"}


@pytest.mark.parametrize(
    ("state", "method"), list(product(MARKER_OF, CALLS)), ids=lambda value: getattr(value, "value", value)
)
def test_exactly_what_is_declared_succeeds(state: State, method: str) -> None:
    subject = Subject(state)
    memory = subject.memory
    if declared(state, method):
        returned = CALLS[method](memory)
        if method in STEPS and method != "view":
            assert returned.state is after(state, STEPS[method])
            with pytest.raises(hw.InvalidTransition, match=f"{method}\\(\\) moved its memory") as caught:
                CALLS[method](memory)
            assert (caught.value.state, caught.value.moved_by) == (returned.state.value, method)
            assert caught.value.allowed == ""
    else:
        before = subject.heap.draw()
        with pytest.raises((hw.InvalidTransition, hw.ViewExported)) as refused:
            CALLS[method](memory)
        if isinstance(refused.value, hw.InvalidTransition):
            assert refused.value.state == state.value
        assert memory.state is state  # nothing happened
        assert subject.heap.draw() == before
    if subject.view is not None:
        subject.view.release()


# ---- every short life ----------------------------------------------------------------------------------------------


def live(path: tuple[str, ...], heap: hw.Heap[hw.BestFit]) -> tuple[Any, State, list[memoryview]]:
    """Take these steps; return the memory, where the life cycle says that it is, and the views that are out."""
    memory: Any = hw.Memory(heap, quarantine=hw.Quarantine())
    state, views = State.FREE, list[memoryview]()
    for step in path:
        if step == "conceal":
            views.pop().release()
            state = state if views else after(state, Event.CONCEAL)
        elif step == "view":
            views.append(memory.view())
            state = after(state, Event.EXPOSE)
        else:
            memory = getattr(memory, step)(*([8] if "allocate" in step else []))
            state = after(state, STEPS[step])
    return memory, state, views


def test_every_life_of_up_to_eight_steps() -> None:
    """Exhaustive: after each, exactly the declared steps succeed. So nothing comes back to life but by reuse."""
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))
    lives: list[tuple[str, ...]] = [()]
    seen = refused = 0
    while lives:
        path = lives.pop()
        memory, state, views = live(path, heap)
        assert memory.state is state
        assert heap.counters()["block_count"] == (state in READABLE)
        seen += 1
        possible = [step for step in STEPS if declared(state, step)] + ["conceal"] * bool(views)
        for step in sorted(set(STEPS) - set(possible)):
            with pytest.raises((hw.InvalidTransition, hw.ViewExported)):
                CALLS[step](memory)
            assert memory.state is state
            refused += 1
        if len(path) < 8:
            lives.extend((*path, step) for step in possible)
        for view in views:
            view.release()
    assert seen > 1000
    assert refused > 4 * seen


# ---- random programs against the life cycle ------------------------------------------------------------------------


class LockStep(RuleBasedStateMachine):
    """A memory and a plain description of it: the state from the table, the bytes in a bytearray."""

    def __init__(self) -> None:
        super().__init__()
        self.heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))
        self.quarantine = hw.Quarantine()
        self.memory: Any = hw.Memory(self.heap, quarantine=self.quarantine)
        self.old: Any = None
        self.state = State.FREE
        self.bytes = bytearray()
        self.views: list[memoryview] = []

    def take(self, method: str, *args: Any) -> None:
        if declared(self.state, method):
            self.old, self.memory = self.memory, getattr(self.memory, method)(*args)
            self.state = after(self.state, STEPS[method])
        else:
            with pytest.raises((hw.InvalidTransition, hw.ViewExported)):
                getattr(self.memory, method)(*args)

    @rule(size=st.integers(0, 300), log2=st.integers(0, 8))
    def allocate(self, size: int, log2: int) -> None:
        could = declared(self.state, "allocate")
        if could:
            self.memory = hw.Memory(self.heap, red_zone_bytes=size % 40, quarantine=self.quarantine)
            self.old = self.memory
            self.memory = self.memory.allocate(size, alignment=1 << log2)
            assert self.memory.address % (1 << log2) == 0
            self.memory.write(0, bytes(size))
            self.state, self.bytes = State.ALLOCATED, bytearray(size)

    @rule(size=st.integers(0, 600))
    def reallocate(self, size: int) -> None:
        could = declared(self.state, "reallocate")
        self.take("reallocate", size)
        if could:
            kept = self.bytes[:size]
            self.memory.write(len(kept), bytes(size - len(kept)))
            self.bytes = kept + bytes(size - len(kept))

    @rule(method=st.sampled_from(["seal", "unseal", "free", "reuse"]))
    def step(self, method: str) -> None:
        self.take(method)

    @precondition(lambda self: self.state in WRITABLE)
    @rule()
    def expose(self) -> None:
        self.views.append(self.memory.view())
        self.state = after(self.state, Event.EXPOSE)

    @precondition(lambda self: self.views)
    @rule()
    def conceal(self) -> None:
        self.views.pop().release()
        if not self.views:
            self.state = after(self.state, Event.CONCEAL)

    @rule(offset=st.integers(-2, 400), data=st.binary(max_size=40))
    def write(self, offset: int, data: bytes) -> None:
        inside = offset >= 0 and offset + len(data) <= len(self.bytes)
        if self.state in WRITABLE and inside:
            self.memory.write(offset, data)
            self.bytes[offset : offset + len(data)] = data
        else:
            error = hw.OutOfBounds if self.state in WRITABLE else hw.InvalidTransition
            with pytest.raises(error):
                self.memory.write(offset, data)

    @precondition(lambda self: self.old is not None and self.old is not self.memory)
    @rule(method=st.sampled_from(sorted(CALLS)))
    def use_what_was_moved_from(self, method: str) -> None:
        with pytest.raises(hw.InvalidTransition):
            CALLS[method](self.old)

    @invariant()
    def is_as_described(self) -> None:
        assert self.memory.state is self.state
        if self.state in READABLE:
            assert self.memory.read(0, len(self.bytes)) == self.bytes
            assert self.memory.verify() is self.memory
        live = self.state in READABLE
        assert self.heap.counters()["block_count"] == live
        assert len(self.quarantine) == 0

    def teardown(self) -> None:
        for view in self.views:
            view.release()
        self.heap.check()


TestLockStep = LockStep.TestCase
TestLockStep.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_what_is_no_resource_is_refused_when_the_memory_is_made() -> None:
    for wrong in (None, 3, hw.AnonymousSpace(1)):
        with pytest.raises(hw.UnsuitableUpstream, match="it is no memory resource and"):
            hw.Memory(wrong)  # type: ignore[arg-type]
