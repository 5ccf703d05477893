"""Random programs over a memory resource, found and made small by Hypothesis: the clause that stands for all others."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from heapwright.model.errors import InvalidFree
from heapwright.testing.client import IMPOSSIBLE_BYTES, Client, Subject, raises

ALIGNMENTS = st.sampled_from([None, 1, 16, 64, 4096])
WHICH = st.integers(0, 1 << 16)


class RandomProgram(RuleBasedStateMachine):
    """Any sequence of calls, with wrong ones among them. After each, every byte and every figure is as it has to be."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.client = Client(subject.factory())
        self.room_bytes = subject.room_bytes
        self.dead: list[Any] = []

    @rule(size=st.one_of(st.integers(0, 100), st.integers(0, 1 << 16)), alignment=ALIGNMENTS, tries=st.booleans())
    def allocate(self, size: int, alignment: int | None, tries: bool) -> None:
        """One more block, if there is promised to be room for it."""
        room = (self.room_bytes - self.client.requested_bytes) // 2  # the other half is for a block that moves
        size = min(size, room)
        held = self.client.try_allocate(size, alignment) if tries else self.client.allocate(size, alignment)
        assert held is not None, f"try_allocate({size}, {alignment}) is None where there is room"

    @precondition(lambda self: self.client.held)
    @rule(which=WHICH)
    def deallocate(self, which: int) -> None:
        """One block less."""
        self.dead.append(self.client.deallocate(self._one(which)))

    @precondition(lambda self: self.client.held)
    @rule(which=WHICH)
    def drop(self, which: int) -> None:
        """One handle less."""
        self.client.drop(self._one(which))

    @precondition(lambda self: self.client.held)
    @rule(which=WHICH, size=st.integers(0, 1 << 16))
    def reallocate(self, which: int, size: int) -> None:
        """Another size, if there is promised to be room for both."""
        room = (self.room_bytes - self.client.requested_bytes) // 2
        self.dead.append(self.client.reallocate(self._one(which), min(size, room)))

    @precondition(lambda self: self.client.held)
    @rule(which=WHICH)
    def expose(self, which: int) -> None:
        """A view is out while the block is to be freed and changed."""
        block = self._one(which).block
        with block.view():
            raises(BufferError, self.client.resource.deallocate, block)
            raises(BufferError, self.client.resource.reallocate, block, block.size_bytes + 1)

    @precondition(lambda self: self.dead)
    @rule(which=WHICH)
    def free_again(self, which: int) -> None:
        """A handle that is dead."""
        raises(InvalidFree, self.client.resource.deallocate, self.dead[which % len(self.dead)])

    @rule()
    def ask_too_much(self) -> None:
        """More than there is."""
        raises(MemoryError, self.client.resource.allocate, IMPOSSIBLE_BYTES)
        assert self.client.resource.try_allocate(IMPOSSIBLE_BYTES) is None
        if self.client.held:
            raises(MemoryError, self.client.resource.reallocate, self.client.held[0].block, IMPOSSIBLE_BYTES)

    @rule(keep=st.integers(0, 1 << 16))
    def trim(self, keep: int) -> None:
        """Free memory, given back."""
        self.client.resource.trim(keep)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every byte that was written is there, and every figure is that of what is out."""
        self.client.check_all()
        self.client.check_accounts()

    def _one(self, which: int) -> Any:
        return self.client.held[which % len(self.client.held)]


def run(subject: Subject) -> None:
    """Any program of allocations, reallocations, frees, drops and mistakes gets right answers."""
    machine: Any = lambda: RandomProgram(subject)  # noqa: E731  # a factory will do, says its documentation
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=subject.examples,
            stateful_step_count=30,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
