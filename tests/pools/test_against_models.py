"""The executable definitions and the native pools, step by step: the same slots, always."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from tests.pools.upstreams import Failing

import heapwright as hw
from heapwright.model.pools import FixedPoolModel, chunk_range


@given(first=st.sampled_from([1, 2, 8, 64]), capacity=st.integers(1, 2000))
def test_chunks_tile_the_slots(first: int, capacity: int) -> None:
    slots: list[int] = []
    chunk = 0
    while len(slots) < capacity:
        slots.extend(chunk_range(chunk, first, capacity))
        chunk += 1
    assert slots == list(range(capacity))
    assert chunk <= max(1, (capacity - 1) // first).bit_length() + 1


class FixedLockstep(RuleBasedStateMachine):
    buffers = Bundle("buffers")

    @initialize(block_bytes=st.sampled_from([0, 1 << 12, 1 << 14, 1 << 16]), capacity=st.sampled_from([None, 1, 7, 30]))
    def make(self, block_bytes: int, capacity: int | None) -> None:
        self.upstream = Failing()
        self.pool = hw.FixedPool(self.upstream, block_bytes, capacity)
        self.model = FixedPoolModel(
            self.pool.first_chunk_count, capacity or 1 << 31, upstream=lambda slots: not self.upstream.refuses
        )

    @rule(target=buffers, raises=st.booleans())
    def acquire(self, raises: bool) -> Any:
        expected = self.model.acquire()
        if expected is None and raises:
            with pytest.raises(MemoryError):
                self.pool.acquire()
            return multiple()
        buffer = self.pool.acquire() if raises else self.pool.try_acquire()
        assert (None if buffer is None else buffer.slot) == expected
        return multiple() if buffer is None else buffer

    @rule(buffer=consumes(buffers))
    def release(self, buffer: hw.Buffer) -> None:
        slot = buffer.slot
        assert slot is not None
        self.pool.release(buffer)
        assert self.model.release(slot)
        with pytest.raises(hw.InvalidFree):
            self.pool.release(buffer)

    @rule(keep=st.integers(0, 40))
    def trim(self, keep: int) -> None:
        stride = self.pool.stride_bytes
        assert self.pool.trim(keep * stride) == self.model.trim(keep) * stride

    @rule(refuses=st.booleans())
    def upstream_refuses(self, refuses: bool) -> None:
        self.upstream.refuses = refuses

    @invariant()
    def same_pool(self) -> None:
        self.pool.check()
        figures, stride = self.pool.counters(), self.pool.stride_bytes
        assert figures["block_count"] == len(self.model.live)
        assert figures["requested_bytes"] == len(self.model.live) * self.pool.block_bytes
        assert figures["free_bytes"] == len(self.model.free()) * stride
        assert figures["releasable_bytes"] == self.model.releasable() * stride
        assert figures["chunk_count"] == len(self.model.chunks)
        assert figures["committed_bytes"] == self.upstream.out_bytes


def test_fixed() -> None:
    FixedLockstep.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
    FixedLockstep.TestCase().runTest()
