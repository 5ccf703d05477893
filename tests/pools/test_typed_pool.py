import gc
import sys
import traceback
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from tests.pools.upstreams import Failing

import heapwright as hw
from heapwright.model.pools import TypedPoolModel

POINT = np.dtype([("x", "f8"), ("y", "f8"), ("tag", "S6"), ("box", "i4", (2, 2))])


class Hooks:
    """Counts what is constructed and destroyed, and fails when it is told to."""

    def __init__(self) -> None:
        self.constructed: list[float] = []
        self.destroyed: list[float] = []
        self.fails = False

    def construct(self, point: Any, x: float = 0.0) -> None:
        point["x"] = x
        if self.fails:
            raise ZeroDivisionError
        self.constructed.append(x)

    def destroy(self, point: Any) -> None:
        self.destroyed.append(float(point["x"]))
        if self.fails:
            raise ZeroDivisionError


@pytest.fixture
def heap() -> hw.Heap[Any]:
    return hw.Heap(hw.AnonymousSpace("64MiB"))


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
def pool(heap: hw.Heap[Any], hooks: Hooks) -> hw.TypedPool:
    return hw.TypedPool(POINT, heap, construct=hooks.construct, destroy=hooks.destroy)


def test_a_record_is_a_view_on_its_block(heap: hw.Heap[Any]) -> None:
    pool = hw.TypedPool(POINT, upstream=heap)
    point = pool.acquire()
    assert isinstance(point, hw.TypedBuffer)
    assert point.array.shape == ()
    assert point.array.dtype == POINT
    assert point.array.ctypes.data == point.address
    point["x"], point["tag"], point["box"] = 1.5, b"abc", [[1, 2], [3, 4]]
    assert (point["x"], point["tag"], point["box"].tolist()) == (1.5, b"abc", [[1, 2], [3, 4]])
    assert bytes(point.view()) == point.array.tobytes()
    with pytest.raises((ValueError, KeyError), match="z"):
        point["z"]


def test_without_a_constructor_a_record_is_zeros(heap: hw.Heap[Any]) -> None:
    pool = hw.TypedPool(POINT, heap)
    point = pool.acquire()
    point.view()[:] = b"\xff" * POINT.itemsize
    pool.release(point)
    assert not any(pool.acquire().view())
    with pytest.raises(TypeError, match="construct"):
        pool.acquire(1.0)
    assert pool.statistics().block_count == 0


def test_a_pool_of_arrays(heap: hw.Heap[Any]) -> None:
    pool = hw.TypedPool(("f4", (48, 64)), heap, alignment=64)
    frame = pool.acquire()
    assert frame.array.shape == (48, 64)
    frame.array[3, 4] = 7
    assert frame.address % 64 == 0
    assert frame.array.sum() == 7


def test_scalars(heap: hw.Heap[Any]) -> None:
    counter = hw.TypedPool("u8", heap).acquire()
    counter.array[()] = 41
    counter.array[...] += 1
    assert counter.array == 42


@pytest.mark.parametrize("dtype", ["O", [("a", "i4"), ("b", "O")], "S0"])
def test_dtypes_that_cannot_be(heap: hw.Heap[Any], dtype: Any) -> None:
    with pytest.raises(TypeError, match="cannot pool records"):
        hw.TypedPool(dtype, heap)


def test_once_each(pool: hw.TypedPool, hooks: Hooks) -> None:
    first, second = pool.acquire(1.0), pool.acquire(x=2.0)
    pool.release(first)
    with pytest.raises(hw.InvalidFree):
        pool.release(first)
    with pytest.raises(hw.BlockFreed):
        first.array  # noqa: B018
    del second
    assert (hooks.constructed, hooks.destroyed) == ([1.0, 2.0], [1.0, 2.0])
    with pool.lease(3.0) as third:
        assert third["x"] == 3.0
    assert hooks.destroyed == [1.0, 2.0, 3.0]
    assert pool.statistics().block_count == 0


def test_a_view_postpones_the_end(pool: hw.TypedPool, hooks: Hooks) -> None:
    point = pool.acquire(1.0)
    x = point.array["x"]
    with pytest.raises(hw.ViewExported):
        pool.release(point)
    assert hooks.destroyed == []
    del point
    assert hooks.destroyed == []
    x[()] = 5.0
    del x
    assert hooks.destroyed == [5.0]
    assert pool.statistics().block_count == 0


def test_a_constructor_that_raises(pool: hw.TypedPool, hooks: Hooks) -> None:
    hooks.fails = True
    for acquire in (pool.acquire, pool.try_acquire):
        with pytest.raises(ZeroDivisionError):
            acquire(1.0)
    gc.collect()
    assert (hooks.constructed, hooks.destroyed) == ([], [])
    assert pool.statistics().block_count == 0


def test_a_destructor_that_raises(pool: hw.TypedPool, hooks: Hooks) -> None:
    point = pool.acquire(1.0)
    hooks.fails = True
    with pytest.raises(ZeroDivisionError):
        pool.release(point)
    del point
    gc.collect()
    assert hooks.destroyed == [1.0]
    assert pool.statistics().block_count == 0


def test_a_destructor_that_raises_for_a_dropped_record(
    pool: hw.TypedPool, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: seen.append(what.exc_type))
    point = pool.acquire(1.0)
    hooks.fails = True
    del point
    assert (seen, hooks.destroyed) == ([ZeroDivisionError], [1.0])
    assert pool.statistics().block_count == 0


def test_a_destructor_that_keeps_the_array(heap: hw.Heap[Any]) -> None:
    kept: list[Any] = []
    pool = hw.TypedPool(POINT, heap, destroy=kept.append)
    point = pool.acquire()
    with pytest.raises(hw.ViewExported):
        pool.release(point)
    assert len(kept) == 1
    kept.clear()
    pool.release(point)
    assert kept == []
    pool.acquire()  # dropped: resurrected by the array, and not destroyed again
    assert pool.statistics().block_count == 1
    kept.clear()
    assert kept == []
    assert pool.statistics().block_count == 0


def test_it_is_no_memory_resource(pool: hw.TypedPool, hooks: Hooks) -> None:
    record = pool.acquire(1.0)
    for refused in (lambda: pool.allocate(8), lambda: pool.try_allocate(8), lambda: pool.reallocate(record, 8)):
        with pytest.raises(TypeError, match="records, not bytes"):
            refused()
    pool.deallocate(record)
    assert hooks.destroyed == [1.0]


def test_the_figures_and_the_rest_are_those_of_a_fixed_pool(heap: hw.Heap[Any]) -> None:
    pool = hw.TypedPool(POINT, heap, capacity=3, name="points")
    held = [pool.acquire() for _ in range(3)]
    assert pool.try_acquire() is None
    with pytest.raises(hw.PoolExhausted, match="TypedPool\\('points'\\)"):
        pool.acquire()
    assert pool.statistics().requested_bytes == 3 * POINT.itemsize
    with pytest.raises(hw.InvalidFree, match="another"):
        hw.TypedPool(POINT, heap).release(held[0])
    with pytest.raises(TypeError):
        pool.release(heap.allocate(10))  # type: ignore[arg-type]
    held.clear()
    assert pool.trim() > 0
    pool.check()


class TypedLockstep(RuleBasedStateMachine):
    """Every record is constructed once and destroyed once, whatever fails, is dropped or looked at."""

    records = Bundle("records")
    views = Bundle("views")

    @initialize(capacity=st.sampled_from([None, 3]))
    def make(self, capacity: int | None) -> None:
        self.fails = False
        self.born: Counter[int] = Counter()
        self.died: Counter[int] = Counter()
        self.pool = hw.TypedPool(
            [("serial", "i8")], Failing(), construct=self.construct, destroy=self.destroy, capacity=capacity
        )
        self.model = TypedPoolModel(self.pool.first_chunk_count, capacity or 1 << 31)
        self.serial = 0

    def construct(self, record: Any, serial: int) -> None:
        if self.fails:
            raise ZeroDivisionError
        record["serial"] = serial
        self.born[serial] += 1

    def destroy(self, record: Any) -> None:
        self.died[int(record["serial"])] += 1

    @rule(target=records, fails=st.booleans())
    def acquire(self, fails: bool) -> Any:
        self.fails = fails
        self.serial += 1
        expected = self.model.acquire(self.serial, fails)
        if expected is None:
            with pytest.raises((hw.PoolExhausted, ZeroDivisionError)) as refused:
                self.pool.acquire(self.serial)
            traceback.clear_frames(refused.tb)  # they hold the array that was to be constructed
            return multiple()
        record = self.pool.acquire(self.serial)
        assert record.slot == expected
        return [record, expected]

    @rule(record=consumes(records))
    def release(self, record: list[Any]) -> None:
        buffer, slot = record
        if buffer is None:
            return
        record[0] = None
        if buffer.exports:
            with pytest.raises(hw.ViewExported):
                self.pool.release(buffer)
        else:
            self.pool.release(buffer)
            self.model.release(slot)

    @rule(target=views, record=records)
    def look(self, record: list[Any]) -> Any:
        return [None if record[0] is None else record[0].array, record[1]]

    @rule(record=consumes(records))
    def drop(self, record: list[Any]) -> None:
        record[0] = None

    @rule(view=consumes(views))
    def look_away(self, view: list[Any]) -> None:
        view[0] = None

    @invariant()
    def once_each(self) -> None:
        self.pool.check()
        live = {serial for slot, serial in self.model.serials.items() if slot in self.held()}
        for slot in set(self.model.serials) - self.held():
            self.model.release(slot)
        assert self.born == Counter(self.model.constructed)
        assert self.died == Counter(self.model.destroyed)
        assert live == set(self.born) - set(self.died)
        assert self.pool.statistics().block_count == len(live)

    def held(self) -> set[int]:
        """Slots that something still refers to: a record or a view that the program has not let go of."""
        everything = [value for name, value in self.names_to_values.items() if value is not None]
        return {slot for thing, slot in everything if thing is not None}


def test_typed() -> None:
    TypedLockstep.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
    TypedLockstep.TestCase().runTest()
