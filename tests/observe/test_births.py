"""What is noted about births, of everything that can be born; and that nothing is where nobody watches."""

import copy
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

import heapwright as hw
from heapwright import _native
from heapwright.observe.births import Watch, birthplace

THIS = os.path.basename(__file__)  # noqa: PTH119


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.close()


@pytest.fixture
def heap() -> hw.Heap:
    return hw.Heap(hw.AnonymousSpace("16MiB"))


def alive(watch: Watch) -> list[object]:
    return [thing for thing, _ in watch.survivors()]


@hw.node
class Person:
    name: str
    friend: hw.Shared["Person"] | None
    closed: bool = True  # a name that shared values have, too


def born_of_every_kind(heap: hw.Heap) -> dict[str, object]:
    fixed, tiered = hw.FixedPool(heap, 256), hw.TieredPool(heap)
    concurrent, typed = hw.ConcurrentPool(heap, 64), hw.TypedPool([("x", "f8")], heap)
    arena = hw.Arena(heap, on_escape="promote")
    return {
        "heap": heap.allocate(10),
        "fused": hw.Heap[hw.TLSF](hw.AnonymousSpace("1MiB")).allocate(10),
        "tried": heap.try_allocate(10),
        "adapted": hw.Limiting(hw.Tracking(heap), "1MiB").allocate(10),
        "fixed": fixed.acquire(),
        "fixed as a resource": fixed.allocate(3),
        "tiered": tiered.acquire(100),
        "large": tiered.acquire("1MiB"),
        "concurrent": concurrent.acquire(),
        "typed": typed.acquire(),
        "arena": arena.allocate(100),
        "array": arena.ndarray(100),
        "shared": hw.Shared([1]),
        "node": Person(name="Ann"),
        "shared node": hw.Shared(Person(name="Bob")),
    }


def test_everything_that_is_born_is_noted_once_and_nothing_else(watch: Watch, heap: hw.Heap) -> None:
    born = born_of_every_kind(heap)
    assert len(alive(watch)) == len(born)  # no chunk of a pool or an arena, no block under a large buffer
    for name, thing in born.items():
        place = birthplace(thing.base if name == "array" else thing)  # type: ignore[attr-defined]
        assert place is not None, name
        assert THIS in str(place), name
        assert place.stack[0].function == "born_of_every_kind"
        assert place.stack[1].function.startswith("test_everything")


def test_what_ended_is_no_survivor(watch: Watch, heap: hw.Heap) -> None:
    born = born_of_every_kind(heap)
    heap.deallocate(born["heap"])  # type: ignore[arg-type]  # a handle stays, of nothing
    born["fixed"].pool.release(born["fixed"])  # type: ignore[attr-defined]
    born["arena"].arena.reset()  # type: ignore[attr-defined]
    born["shared"].close()  # type: ignore[attr-defined]
    unwrapped = hw.Shared([2])
    owner = hw.Shared([3])
    kept = owner.try_unwrap()
    left = len(born) - 5  # the array's block went with the arena
    assert len(alive(watch)) == left + 1
    del born, unwrapped, kept
    assert alive(watch) == []


def test_a_dead_node_is_no_survivor_though_a_weak_handle_keeps_its_instance(watch: Watch) -> None:
    ann = hw.Shared(Person(name="Ann"))
    known = ann.downgrade()
    twin = copy.copy(ann.value)
    assert len(alive(watch)) == 2
    del ann
    assert alive(watch) == [twin]
    assert known.upgrade() is None


def test_what_was_there_before_is_no_survivor_whatever_becomes_of_it(heap: hw.Heap) -> None:
    pool, arena = hw.TieredPool(heap), hw.Arena(heap)
    near, far = hw.Heap(hw.AnonymousSpace("64KiB")), hw.Heap(hw.AnonymousSpace("1MiB"))
    either = hw.Fallback(near, far)
    block, moved, grown, placed, across = (
        heap.allocate(10), heap.allocate(10), pool.acquire(10), arena.allocate(10), either.allocate(10),
    )  # fmt: skip
    person = hw.Shared(Person(name="Ann"))
    watch = Watch()
    wall = heap.allocate(10)
    block = heap.reallocate(block, 5)
    moved = heap.reallocate(moved, 100_000)
    grown = pool.reallocate(grown, 100_000)
    placed = arena.reallocate(placed, 1000)
    across = either.reallocate(across, 100_000)
    other = person.clone()
    assert alive(watch) == [wall]
    assert all(birthplace(thing) is None for thing in (block, moved, grown, placed, across, other))
    watch.close()


def test_a_reallocated_block_is_from_where_it_was_from(watch: Watch, heap: hw.Heap) -> None:
    block = heap.allocate(10)
    born = birthplace(block)
    wall = heap.allocate(10)
    moved = heap.reallocate(block, 100_000)
    assert birthplace(block) is None
    now = birthplace(moved)
    assert born is not None
    assert now is not None
    assert now.stack == born.stack
    assert alive(watch) == [moved, wall]


def test_a_value_that_moves_for_make_mut_is_from_where_it_was_from(watch: Watch) -> None:
    shared = hw.Shared([1])
    known = shared.downgrade()
    born = birthplace(shared)
    alone = shared.make_mut()
    now = birthplace(alone)
    assert known.upgrade() is None
    assert born is not None
    assert now is not None
    assert now.stack == born.stack
    assert len(alive(watch)) == 1


def test_watches_overlap(heap: hw.Heap) -> None:
    outer = Watch()
    first = heap.allocate(1)
    inner = Watch()
    second = heap.allocate(2)
    outer.close()
    outer.close()
    third = heap.allocate(3)
    assert alive(inner) == [second, third]
    assert alive(outer) == [first, second, third]
    inner.close()
    assert birthplace(first) is None  # forgotten
    assert birthplace(heap.allocate(1)) is None  # and nobody watches


def test_each_thread_is_named_and_none_is_missed(watch: Watch, heap: hw.Heap) -> None:
    kept: list[object] = []

    def work() -> None:
        for _ in range(500):
            kept.append(heap.allocate(8))
            heap.allocate(8)
            hw.Shared(1)

    threads = [threading.Thread(target=work, name=f"worker {i}") for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    survivors = list(watch.survivors())
    assert {id(thing) for thing, _ in survivors} == {id(thing) for thing in kept}
    assert sorted({place.thread for _, place in survivors}) == [f"worker {i}" for i in range(4)]


def test_if_a_birth_cannot_be_noted_nothing_is_born(heap: hw.Heap) -> None:
    def refuse(new: object, old: object) -> None:
        raise MemoryError("no note")

    pool = hw.FixedPool(heap, 64)
    pool.release(pool.acquire())
    nodes, before = _native.nodes_statistics()["live_nodes"], heap.statistics().requested_bytes
    _native.watch_births(refuse)
    try:
        for make in (lambda: heap.allocate(8), pool.acquire, lambda: hw.Shared(1), lambda: Person(name="Ann")):
            with pytest.raises(MemoryError, match="no note"):
                make()
    finally:
        _native.watch_births(None)
    assert heap.statistics().requested_bytes == before
    assert pool.statistics().requested_bytes == 0
    assert _native.nodes_statistics()["live_nodes"] == nodes


def test_a_child_of_a_fork_can_watch(heap: hw.Heap) -> None:
    program = """
import os, threading, time
import heapwright as hw
from heapwright.observe.births import Watch, birthplace
heap, stop = hw.Heap(hw.AnonymousSpace(4096)), False
def churn():
    while not stop:
        Watch().close()
thread = threading.Thread(target=churn); thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        watch = Watch()
        os._exit(0 if birthplace(heap.allocate(1)) else 1)
    assert os.waitpid(child, 0)[1] == 0
stop = True; thread.join()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)
