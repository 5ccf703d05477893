"""Holders: what keeps an object alive. The shortest path of references to it, from a module or a running function.

One breadth-first search from all modules and all frames finds the paths to any number of objects. It goes forwards,
the way that owning goes. Backwards, by `gc.get_referrers`, would look shorter and cannot be: a dictionary with nothing
but blocks in it is not tracked by CPython's collector, and so is nobody's referrer.

Where the collector cannot see either: arrays are asked for their base, nodes for whom they own. What other C code
holds, or an expression that is being computed, has no path; it is said to have none.
"""

from __future__ import annotations

import gc
import inspect
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from types import BuiltinFunctionType, CodeType, FrameType, ModuleType
from typing import Any, TypeAlias

from heapwright import _native
from heapwright.model.call_stack import OURS
from heapwright.observe.path_in_words import Root, attributes_of, is_a, locals_of, path_in_words

#: Objects to look at before a search is given up. A million take about a second, and 100 MB meanwhile.
BUDGET = 5_000_000

#: Steps from objects to their holders, where no root leads to them; all together. A million take about two seconds.
HIDDEN_BUDGET = 300_000

_LEAVES = frozenset({int, float, complex, bool, str, bytes, type(None), CodeType, BuiltinFunctionType})


def paths_to(things: Sequence[object], budget: int = BUDGET) -> list[str]:
    """Return what keeps each of some objects alive, in words. O(objects of the process).

    Examples
    --------
    >>> class Session:
    ...     def __init__(self, buffer):
    ...         self.buffer = buffer
    >>> Session.current = {"ann": [Session(bytearray(8))]}
    >>> def handle():
    ...     upload = bytearray(8)
    ...     print(*paths_to([upload, Session.current["ann"][0].buffer]), sep=chr(10))
    >>> handle()
    local upload of handle (<doctest ...>) -> bytearray
    module heapwright.observe.holders.Session.current -> dict['ann'] -> list[0] -> Session.buffer -> bytearray
    """
    search = _Search(_roots(), things, budget)
    hidden = None if search.found_all or search.gave_up else _Hidden(things, search)
    return [_words(thing, search, hidden) for thing in things]


class _Search:
    """What was reached from some roots, and from where: until all targets were, or all there is."""

    def __init__(self, roots: Iterable[Root], targets: Iterable[object], budget: int) -> None:
        self.reached: list[Any] = list(roots)  # holds on to everything, so no number is that of two objects
        self.parents = [-1] * len(self.reached)
        self.places = {id(root): place for place, root in enumerate(self.reached)}
        for root in self.reached:
            self.places[id(root.names)] = -1  # a module's names are reached by way of the root, and no other
        missing = {id(target) for target in targets}
        place = 0
        while missing and place < len(self.reached) < budget:
            for child in _references(self.reached[place]):
                key = id(child)
                if key in self.places or type(child) in _LEAVES:
                    continue
                self.places[key] = len(self.reached)
                self.reached.append(child)
                self.parents.append(place)
                missing.discard(key)
            place += 1
        self.found_all = not missing
        self.gave_up = bool(missing) and place < len(self.reached)

    def path(self, thing: object) -> list[Any] | None:
        """Return the objects from a root to this one; None if it was not reached."""
        place = self.places.get(id(thing), -1)
        if place < 0:
            return None
        path = []
        while place >= 0:
            path.append(self.reached[place])
            place = self.parents[place]
        return path[::-1]


#: An object, and the way from it to another: linked, for there may be millions of them.
_Way: TypeAlias = "tuple[Any, _Way | None]"


class _Hidden:
    """What no root leads to and yet holds something, with who holds it in turn."""

    def __init__(self, things: Sequence[object], search: _Search) -> None:
        ours = {id(part) for part in (self, things, search, search.reached, search.parents, search.places)}
        ours |= search.places.keys()
        self._objects = [thing for thing in gc.get_objects() if id(thing) not in ours]
        self._holders: dict[int, list[Any]] = {}
        self._budget = HIDDEN_BUDGET
        known = {id(thing) for thing in self._objects} | {id(self._objects)}
        for holder in self._objects:  # grows meanwhile: by what the collector does not track
            if type(holder) is FrameType:
                continue
            for child in _references(holder):
                key = id(child)
                if key in ours or type(child) in _LEAVES:
                    continue
                self._holders.setdefault(key, []).append(holder)
                if key not in known:
                    known.add(key)
                    self._objects.append(child)

    def kept_by(self, thing: object) -> str:
        """Return in words what can be said of an object that no root leads to."""
        around = self._cycle(thing)
        if around is not None:
            return f"a cycle that nothing else owns: {path_in_words(around)}"
        nearest = None
        for way in self._ways_to(thing):
            nearest = nearest or way
            around = self._cycle(way[0])
            if around is not None:
                return f"a cycle that nothing else owns: {path_in_words(around)}, of which {path_in_words(_told(way))}"
        if self._budget == 0:
            return "a cycle or C code: too much refers to it, and nothing that is known"
        by_way = f", by way of {path_in_words(_told(nearest))}" if nearest is not None else ""
        return f"no Python object, but C code or an expression that is being computed{by_way}"

    def _cycle(self, thing: object) -> list[Any] | None:
        """Return the shortest way around from an object to itself."""
        return next((_told(way) for way in self._ways_to(thing) if way[0] is thing), None)

    def _ways_to(self, thing: object) -> Iterator[_Way]:
        """Yield the shortest ways from holders of a thing, and from holders of holders, the nearest first."""
        ways: deque[_Way] = deque([(thing, None)])
        seen: set[int] = set()
        while ways:
            way = ways.popleft()
            for holder in self._holders.get(id(way[0]), ()):
                if id(holder) not in seen and self._budget > 0:
                    self._budget -= 1
                    seen.add(id(holder))
                    ways.append((holder, way))
                    yield ways[-1]


def _told(way: _Way | None) -> list[Any]:
    path = []
    while way is not None:
        thing, way = way
        path.append(thing)
    return path


def _words(thing: object, search: _Search, hidden: _Hidden | None) -> str:
    path = search.path(thing)
    if path is not None:
        return path_in_words(path)
    if hidden is None:
        return f"not found from the first {len(search.reached)} objects"
    return hidden.kept_by(thing)


def _references(thing: Any) -> Iterable[Any]:
    """Return what an object holds."""
    if type(thing) is Root:
        return list(thing.names.values())
    if is_a(thing, _native.Node):
        return _native.node_owned(thing)
    held: list[Any] = gc.get_referents(thing)
    if held or not is_a(thing, getattr(sys.modules.get("numpy"), "ndarray", ())):
        return held
    array: Any = thing
    return [array.base, *(array.flat if array.dtype.hasobject else ())]


# ---- where searches begin --------------------------------------------------------------------------------------------


def _roots() -> Iterator[Root]:
    """Yield the modules, and then, since a name in a module lasts longer, the running functions of all threads."""
    modules = [module for module in list(sys.modules.values()) if is_a(module, ModuleType)]
    frames = list(_frames())
    names = [attributes_of(module) for module in modules]
    names += [frame.f_globals for frame, _ in frames]  # which are no module's, where `exec` runs
    for variables in {id(variables): variables for variables in names}.values():
        yield Root(f"module {variables.get('__name__', '?')}", variables, is_module=True)
    for frame, where in frames:
        code = frame.f_code
        if code.co_flags & inspect.CO_OPTIMIZED:  # a function's
            yield Root(f"{code.co_qualname} ({code.co_filename}{where})", locals_of(frame), is_module=False)


def _frames() -> Iterator[tuple[FrameType, str]]:
    """Yield the frames outside of heapwright, and in which thread they are, unless it is this one."""
    threads = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, innermost in _stacks().items():
        where = "" if ident == threading.get_ident() else f", thread {threads.get(ident, ident)!r}"
        frame: FrameType | None = innermost
        while frame is not None:
            if not frame.f_code.co_filename.startswith(OURS):
                yield frame, where
            frame = frame.f_back


def _stacks() -> dict[int, FrameType]:
    """Return the innermost frame of each thread; of this one, the innermost that is not heapwright's.

    A frame of ours with this dictionary in it would hold itself, and then, as garbage, all that was looked at.
    """
    stacks = sys._current_frames()
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(OURS):
        frame = frame.f_back
    stacks[threading.get_ident()] = frame
    return stacks
