"""The search for holders: what it must find, that it disturbs nobody, and that a broken one would be found out."""

import ctypes
import gc
import importlib.util
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import heapwright as hw
from heapwright.observe import holders

Search = Callable[[list[Any]], list[str]]  # the lists have no name, so that no variable holds what is looked for

app: Any = ModuleType("app")


@pytest.fixture(autouse=True)
def _app(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "app", app)
    yield
    vars(app).clear()
    app.__name__ = "app"


class Box:
    def __init__(self, it: Any) -> None:
        self.it = it


@hw.node
class Person:
    name: str
    friend: hw.Shared["Person"] | None


def block() -> Any:
    return hw.Heap(hw.AnonymousSpace(4096)).allocate(8)


# ---- what must be found: (what was, what should have been) -----------------------------------------------------------


def in_a_dictionary_of_blocks(paths_to: Search) -> tuple[str, str]:
    app.cache = [{"x": block()}]  # no collector tracks the dictionary
    return paths_to([app.cache[0]["x"]])[0], "module app.cache[0] -> dict['x'] -> Block"


def nearest_of_two(paths_to: Search) -> tuple[str, str]:
    app.deep = [[[[block()]]]]
    app.near = Box(app.deep[0][0][0][0])
    return paths_to([app.near.it])[0], "module app.near.it -> Block"


def rather_in_a_module(paths_to: Search) -> tuple[str, str]:
    mine = app.kept = block()
    return paths_to([mine])[0], "module app.kept -> Block"


def in_this_function(paths_to: Search) -> tuple[str, str]:
    mine = [block()]
    return paths_to([mine[0]])[0], f"local mine of in_this_function ({__file__}) -> list[0] -> Block"


def in_another_thread(paths_to: Search) -> tuple[str, str]:
    ready, stop, known = threading.Event(), threading.Event(), []

    def work() -> None:
        held = Box(block())
        known.append(weakref.ref(held.it))
        ready.set()
        stop.wait()
        del held

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    ready.wait()
    try:
        found = paths_to([known[0]()])[0]
    finally:
        stop.set()
        thread.join()
    function = "in_another_thread.<locals>.work"
    return found, f"local held of {function} ({__file__}, thread 'worker') -> Box.it -> Block"


def in_a_node(paths_to: Search) -> tuple[str, str]:
    app.ann = hw.Shared(Person(name="Ann"))
    app.ann.value.friend = hw.Shared(Person(name="Bob"))
    names = [repr(node).strip("<>") for node in (app.ann.value, app.ann.value.friend.value)]
    return paths_to([app.ann.value.friend.value])[0], f"module app.ann -> Shared -> {names[0]}.friend -> {names[1]}"


def in_an_array(paths_to: Search) -> tuple[str, str]:
    known = weakref.ref(given := block())
    app.array = np.frombuffer(given, "u1")
    del given
    return paths_to([known()])[0], "module app.array -> ndarray -> memoryview -> Block"


def in_a_script(paths_to: Search) -> tuple[str, str]:
    names = {"__name__": "script", "paths_to": paths_to, "kept": [block()]}
    exec("found = paths_to([kept[0]])[0]", names)
    return str(names["found"]), "module script.kept[0] -> Block"


def in_a_cycle(paths_to: Search) -> tuple[str, str]:
    gc.disable()
    try:
        box: Any = Box([block()])
        box.me = {"back": box}
        known = weakref.ref(box.it[0])
        del box
        found = paths_to([known()])[0]
    finally:
        gc.enable()
    return found, "a cycle that nothing else owns: Box.me -> dict['back'] -> Box, of which Box.it -> list[0] -> Block"


def in_c_code(paths_to: Search) -> tuple[str, str]:
    given = block()
    known = weakref.ref(given)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(given))
    del given
    try:
        return paths_to([known()])[0], "no Python object, but C code or an expression that is being computed"
    finally:
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(known()))


CASES = (
    in_a_dictionary_of_blocks, nearest_of_two, rather_in_a_module, in_this_function, in_another_thread, in_a_node,
    in_an_array, in_a_script, in_a_cycle, in_c_code,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_holder_is_found(case: Callable[[Search], tuple[str, str]]) -> None:
    found, expected = case(holders.paths_to)
    assert found == expected


#: what is broken -> (text, what it is replaced by)
MUTANTS = {
    "sees only what the collector tracks": (
        "    held: list[Any] = gc.get_referents(thing)",
        "    held: list[Any] = [r for r in gc.get_referents(thing) if gc.is_tracked(r) or type(r) is not dict]",
    ),
    "each object hangs on the first root": ("self.parents.append(place)", "self.parents.append(0)"),
    "the last to be found is the first to be looked at": (
        "for child in _references(self.reached[place]):",
        "for child in reversed(list(_references(self.reached[-1 - place]))):",
    ),
    "functions before modules": (
        "    for variables in {id(variables)",
        "    yield from (Root(f'{f.f_code.co_qualname} ({f.f_code.co_filename}{w})', locals_of(f), is_module=False)"
        " for f, w in frames if f.f_code.co_flags & 1)\n    for variables in {id(variables)",
    ),
    "functions have no variables": ("    for frame, where in frames:", "    for frame, where in []:"),
    "there is one thread": ("in _stacks().items():", "in {(i := threading.get_ident()): _stacks()[i]}.items():"),
    "nodes are not asked": ("return _native.node_owned(thing)", "return ()"),
    "arrays are not asked": ("return [array.base, *", "return [*"),
    "modules are all there is": ("    names += [frame.f_globals for frame, _ in frames]", "    names += []"),
    "cycles are not told": ("if way[0] is thing), None)", "if way is None), None)"),
    "the list that asks is a holder": ("for part in (self, things, ", "for part in (self, "),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_search_is_found_out(mutant: str) -> None:
    source = Path(holders.__file__).read_text()
    text, replacement = MUTANTS[mutant]
    assert source.count(text) == 1
    broken: Any = ModuleType("broken")
    exec(compile(source.replace(text, replacement), holders.__file__, "exec"), vars(broken))
    try:
        assert any(found != expected for found, expected in (case(broken.paths_to) for case in CASES))
    finally:
        gc.collect()  # some of them leave all that they looked at behind, for the next search to look through


# ---- what it must leave alone ----------------------------------------------------------------------------------------


class Hostile:
    """Does something, and badly, whenever it is asked anything."""

    @property
    def __class__(self) -> Any:
        raise AssertionError("asked for its class")

    @__class__.setter
    def __class__(self, value: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        raise AssertionError("asked for its repr")


class HostileList(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("iterated")


def test_no_code_of_others_runs() -> None:
    gone = Box(None)
    app.proxy = weakref.proxy(gone)
    del gone
    app.first = Hostile()
    app.inside = {app.first: HostileList([block()])}
    found = holders.paths_to([list.__getitem__(app.inside[app.first], 0)])[0]
    assert found == "module app.inside[<Hostile>] -> HostileList[0] -> Block"


def test_a_lazy_module_stays_unloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lazily.py").write_text("raise AssertionError('loaded')")
    spec = importlib.util.spec_from_file_location("lazily", tmp_path / "lazily.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lazily", module)
    spec.loader.exec_module(module)
    assert in_this_function(holders.paths_to)[0].startswith("local mine")


def test_nothing_is_kept_alive_by_having_looked() -> None:
    given = block()
    known = weakref.ref(given)
    gc.disable()
    try:
        assert holders.paths_to([given])[0].startswith("local given of ")
        del given
        assert known() is None
    finally:
        gc.enable()


def test_somebody_who_has_a_functions_variables_keeps_them() -> None:
    mine = block()
    variables = locals()
    assert holders.paths_to([mine])[0].startswith("local ")
    assert variables["mine"] is mine
