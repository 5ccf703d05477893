"""A leak is planted in every place that can keep something; it is named, with where it is from and the whole path."""

import asyncio
import collections
import gc
import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import heapwright as hw
from heapwright.observe.births import Watch
from heapwright.observe.holders import paths_to

HERE = __file__
MODULE = f"module {__name__}"

kept: Any = None
app = types.ModuleType("app")


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    global kept
    sys.modules["app"] = app
    yield
    kept = None
    vars(app).clear()
    del sys.modules["app"]


@pytest.fixture
def heap() -> hw.Heap:
    return hw.Heap(hw.AnonymousSpace("16MiB"))


class Session:
    current: Any = None

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer

    def send(self) -> None:
        pass


class Slotted:
    __slots__ = ("unset", "where")

    def __init__(self, where: Any) -> None:
        self.where = where


@hw.node
class Person:
    name: str
    friend: hw.Shared["Person"] | None
    boss: hw.Shared["Person"] | None


def leaked(plant: Callable[[], object], **allowed: Any) -> hw.Leaked:
    """Return what is raised; what `plant` returns is kept meanwhile by nobody but itself."""
    with pytest.raises(hw.Leaked) as caught, hw.no_leaks(**allowed):
        plant()
    return caught.value


def the_one(plant: Callable[[], object], **allowed: Any) -> hw.Survivor:
    (survivor,) = leaked(plant, **allowed).survivors
    return survivor


def keep(thing: object) -> object:
    global kept
    kept = thing
    return thing


def test_a_leak_has_size_age_thread_site_and_path(heap: hw.Heap) -> None:
    def load() -> object:
        return heap.allocate(1000)

    def plant() -> None:
        app._cache = {"x": [None, None, None, Session(load())]}  # type: ignore[attr-defined]

    error = leaked(plant)
    (survivor,) = error.survivors
    assert survivor.path == "module app._cache['x'] -> list[3] -> Session.buffer -> Block"
    assert (survivor.what, survivor.size_bytes, survivor.thread) == ("Block", 1000, "MainThread")
    assert 0 <= survivor.age_s < 60
    assert [frame.function.rpartition(".")[2] for frame in survivor.stack[:3]] == ["load", "plant", "leaked"]
    assert survivor.stack[0].filename == HERE
    assert isinstance(error, hw.HeapwrightError)
    assert isinstance(error, AssertionError)
    assert error.size_bytes == 1000
    for part in ("1000 B in 1 survivor", survivor.path, str(survivor.stack[0]), str(survivor.stack[2]), "allow_bytes"):
        assert part in str(error)
    assert pickle.loads(pickle.dumps(error)).survivors == error.survivors


def closure_over(thing: object) -> Callable[[], object]:
    return lambda: thing


def generator_with(thing: object) -> Iterator[object]:
    yield 1
    yield thing


def started(thing: object) -> Iterator[object]:
    generator = generator_with(thing)
    next(generator)
    return generator


async def coroutine_with(thing: object) -> object:
    await asyncio.sleep(0)
    return thing


def awaited(thing: object) -> object:
    coroutine = coroutine_with(thing)
    coroutine.send(None)
    return coroutine


def default_of(thing: object) -> Callable[[], object]:
    def function(value: object = thing) -> object:
        return value

    return function


def in_class(thing: object) -> None:
    Session.current = thing


def object_array(thing: object) -> object:
    array = np.empty(2, object)
    array[1] = thing
    return array


PLACES: dict[str, tuple[Callable[[Any], object], str]] = {
    "global": (lambda block: block, ".kept -> Block"),
    "dict": (lambda block: {"x": block}, ".kept['x'] -> Block"),  # which no collector tracks
    "key of a dict": (lambda block: {block: 1}, ".kept, as a key -> Block"),
    "list": (lambda block: [1, block], ".kept[1] -> Block"),
    "tuple": (lambda block: (block,), ".kept[0] -> Block"),
    "set": (lambda block: {block}, ".kept -> set -> Block"),
    "deque": (lambda block: collections.deque([0, block]), ".kept[1] -> Block"),
    "nested": (lambda block: {"a": ({"b": [block]},)}, ".kept['a'] -> tuple[0] -> dict['b'] -> list[0] -> Block"),
    "attribute": (lambda block: [Session(block)], ".kept[0] -> Session.buffer -> Block"),
    "slot": (lambda block: [Slotted(block)], ".kept[0] -> Slotted.where -> Block"),
    "method": (lambda block: Session(block).send, ".kept -> Session.buffer -> Block"),
    "closure": (closure_over, ".kept, closure thing -> Block"),
    "default": (default_of, ".kept, default -> Block"),
    "generator": (started, ".kept, local thing -> Block"),
    "coroutine": (awaited, ".kept, local thing -> Block"),
    "memoryview": (lambda block: block.view(), ".kept -> memoryview -> Block"),
    "array": (lambda block: np.frombuffer(block, "u1")[5:], ".kept -> ndarray -> ndarray -> memoryview -> Block"),
    "array in an untracked dict": (lambda block: {"a": np.frombuffer(block)}, ".kept['a'] -> ndarray -> "),
    "array of objects": (object_array, ".kept -> ndarray -> Block"),
    "Unique": (hw.Unique, ".kept._value -> Block"),
    "Shared": (hw.Shared, ".kept -> Shared -> Block"),
    "Shared of Session": (lambda block: [hw.Shared(Session(block))], ".kept[0] -> Shared -> Session.buffer -> Block"),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_keeps_it_is_told(place: str, heap: hw.Heap) -> None:
    hide, path = PLACES[place]
    survivors = leaked(lambda: keep(hide(heap.allocate(800)))).survivors
    (survivor,) = (found for found in survivors if found.what == "Block")  # a Shared of a block is told of by the block
    assert survivor.path.startswith(MODULE) or not path.startswith(".kept")
    if "closure" in path or "default" in path or "local" in path or "method" in place:
        expected = path.removeprefix(".kept")
        assert expected in survivor.path
    else:
        assert path in survivor.path
    assert len(survivors) == (2 if "Shared of" in place else 1)


def test_a_class_is_named(heap: hw.Heap) -> None:
    try:
        survivor = the_one(lambda: in_class([heap.allocate(8)]))
        assert survivor.path == f"{MODULE}.Session.current -> list[0] -> Block"
    finally:
        Session.current = None


def test_a_local_variable_is_named_and_looking_at_it_keeps_nothing(heap: hw.Heap) -> None:
    with pytest.raises(hw.Leaked) as caught, hw.no_leaks():
        mine = heap.allocate(100)
    (survivor,) = caught.value.survivors
    function = "test_a_local_variable_is_named_and_looking_at_it_keeps_nothing"
    assert survivor.path == f"local mine of {function} ({HERE}) -> Block"
    del mine
    assert heap.statistics().requested_bytes == 0


def test_another_thread_is_named(heap: hw.Heap) -> None:
    ready, stop = threading.Event(), threading.Event()

    def work() -> None:
        scratch = heap.allocate(100)
        ready.set()
        stop.wait()
        del scratch

    thread = threading.Thread(target=work, name="loader")

    def load() -> None:
        thread.start()
        ready.wait()

    survivor = the_one(load)
    stop.set()
    thread.join()
    assert survivor.thread == "loader"
    assert survivor.path.startswith("local scratch of test_another_thread_is_named.<locals>.work (")
    assert survivor.path.endswith("thread 'loader') -> Block")


def make_cycle(heap: hw.Heap) -> None:
    session = Session([heap.allocate(8)])
    session.me = {"back": session}  # type: ignore[attr-defined]


def test_a_cycle_is_no_leak_unless_it_shall_be_and_then_it_is_shown(heap: hw.Heap) -> None:
    with hw.no_leaks():
        make_cycle(heap)
    gc.disable()
    try:
        survivor = the_one(lambda: make_cycle(heap), collect=False)
    finally:
        gc.enable()
    assert survivor.path == (
        "a cycle that nothing else owns: Session.me -> dict['back'] -> Session, "
        "of which Session.buffer -> list[0] -> Block"
    )


def make_couple() -> None:
    ann, bob = hw.Shared(Person(name="Ann")), hw.Shared(Person(name="Bob"))
    ann.value.friend, bob.value.friend = bob, ann


def test_so_is_a_cycle_of_nodes() -> None:
    hw.collect_cycles()
    with hw.no_leaks():
        make_couple()
    ann, bob = leaked(make_couple, collect=False).survivors
    assert ann.path.startswith("a cycle that nothing else owns: Person#")
    assert ann.path.count(".friend ->") == 2
    assert bob.what.startswith("Person#")
    hw.collect_cycles()


def test_nodes_are_named_by_their_fields() -> None:
    def plant() -> None:
        ann = hw.Shared(Person(name="Ann"))
        bob = hw.Shared(Person(name="Bob"))
        bob.value.friend = hw.Shared(Person(name="Cid"))
        ann.value.boss = bob
        keep([ann])

    error = leaked(plant)
    ann, bob, cid = (survivor.what for survivor in error.survivors)
    assert error.survivors[2].path == f"{MODULE}.kept[0] -> Shared -> {ann}.boss -> {bob}.friend -> {cid}"


def test_a_node_that_stands_for_itself_is_a_survivor_too() -> None:
    assert the_one(lambda: keep(Person(name="Ann"))).path.startswith(f"{MODULE}.kept -> Person#")


def test_shared_values_are_named_by_their_type() -> None:
    survivor = the_one(lambda: keep([hw.Shared(np.zeros(100))]))
    assert survivor.path == f"{MODULE}.kept[0] -> Shared[ndarray]"
    assert survivor.size_bytes == 800
    assert the_one(lambda: keep(hw.Shared("abc"))).size_bytes == sys.getsizeof("abc")


def test_pools_and_arenas(heap: hw.Heap) -> None:
    pool, arena = hw.TieredPool(heap), hw.Arena(heap)
    with hw.no_leaks():
        pool.release(pool.acquire(100))  # bought a chunk
        arena.allocate(100)
        arena.reset()
    survivors = leaked(lambda: keep([pool.acquire(100), pool.acquire("1MiB"), arena.allocate(10)])).survivors
    assert [(survivor.what, survivor.size_bytes) for survivor in survivors] == [
        ("Buffer", 100), ("Buffer", 1 << 20), ("RegionBlock", 10),
    ]  # fmt: skip
    keep(None)
    assert the_one(lambda: keep([arena.ndarray(10)])).path == f"{MODULE}.kept[0] -> ndarray -> RegionBlock"
    keep(None)


def test_what_c_code_keeps_is_said_to_be_kept_by_nobody_known(heap: hw.Heap) -> None:
    import ctypes

    block = [heap.allocate(8)]
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(block[0]))
    watch = Watch()
    try:
        hidden = [block.pop()]
        assert paths_to(hidden) == [f"local hidden of {the_name_of_this_test()} ({HERE}) -> list[0] -> Block"]
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(hidden[0]))
    finally:
        watch.close()

    def plant() -> None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(heap.allocate(64)))

    assert the_one(plant).path == "no Python object, but C code or an expression that is being computed"


def the_name_of_this_test() -> str:
    return sys._getframe(1).f_code.co_qualname


def test_a_search_that_is_given_up_says_so(heap: hw.Heap) -> None:
    block = heap.allocate(8)
    box = [[[block]]]
    assert paths_to([box[0][0][0]], budget=10)[0].startswith("not found from the first ")
    assert box


def test_regions_nest(heap: hw.Heap) -> None:
    with hw.no_leaks():
        mine = heap.allocate(10)
        with hw.no_leaks():
            heap.deallocate(heap.allocate(20))
        with pytest.raises(hw.Leaked, match="30 B in 1 survivor"), hw.no_leaks():
            inner = heap.allocate(30)
        del mine, inner


def test_an_error_of_the_body_is_not_masked(heap: hw.Heap) -> None:
    @hw.no_leaks()
    def fails() -> None:
        keep(heap.allocate(10))
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fails()


def test_it_decorates(heap: hw.Heap) -> None:
    @hw.no_leaks()
    def careless() -> None:
        keep(heap.allocate(10))

    for _ in range(2):
        with pytest.raises(hw.Leaked):
            careless()


def test_what_is_allowed(heap: hw.Heap) -> None:
    def two() -> None:
        keep([heap.allocate(100), heap.allocate(200)])

    for enough in ({"allow_count": 2}, {"allow_bytes": 300}, {"allow_bytes": "1KiB"}, {"allow": lambda survivor: True}):
        with hw.no_leaks(**enough):  # type: ignore[arg-type]
            two()
    for little in ({"allow_count": 1}, {"allow_bytes": 299}, {"allow_count": 2, "allow_bytes": 299},
                   {"allow_count": 1, "allow_bytes": 300}):  # fmt: skip
        assert len(leaked(two, **little).survivors) == 2
    assert the_one(two, allow=lambda survivor: survivor.size_bytes == 100).size_bytes == 200
    with hw.no_leaks(allow=lambda survivor: survivor.size_bytes == 100, allow_count=1):
        two()


def test_arguments_are_checked_before_anything_runs() -> None:
    ran = []
    with pytest.raises(hw.InvalidSize), hw.no_leaks(allow_bytes="a lot"):
        ran.append(1)
    assert ran == []


def test_many_of_one_kind_are_told_once_and_few_are_left_out(heap: hw.Heap) -> None:
    def same() -> None:
        keep({heap.allocate(8) for _ in range(1000)})

    error = leaked(same)
    assert len(error.survivors) == 1000
    assert "100 times 8 B" in str(error)
    assert "900 times 8 B" in str(error)
    assert sum(bool(survivor.path) for survivor in error.survivors) == 100
    assert len(str(error).splitlines()) < 20

    def different() -> None:
        keep([heap.allocate(8 + i) for i in range(60)])

    assert "and 10 others" in str(leaked(different))


def test_nothing_is_installed_outside(heap: hw.Heap) -> None:
    from heapwright.observe import births

    with hw.no_leaks():
        heap.deallocate(heap.allocate(8))
        assert births._notes
    block = heap.allocate(8)
    assert not births._notes
    assert births.birthplace(block) is None


def test_a_long_chain_needs_no_recursion(heap: hw.Heap) -> None:
    def plant() -> None:
        chain: Any = heap.allocate(8)
        for _ in range(100_000):
            chain = [chain]
        keep(chain)

    path = the_one(plant).path
    assert path.endswith("-> list[0] -> Block")
    assert " -> (99984 more) -> " in path
    box = kept
    keep(None)
    while isinstance(box, list):  # taken apart by hand: not what is tested here
        box = box[0]
