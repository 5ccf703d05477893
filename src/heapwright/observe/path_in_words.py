"""A path of references in words: each object by the name that its holder has for it.

module app._cache['x'] -> list[3] -> Session.buffer -> Block
"""

from __future__ import annotations

import reprlib
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from gc import get_referents
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    MethodType,
)
from typing import Any, NamedTuple

from heapwright import _native

#: Of a path that is longer than twice this.
SHOWN_AT_EACH_END = 8

#: What objects are held by that are no holders to speak of: what handles share, what memoryviews share, and hold.
_SHARE = type(get_referents(_native.Shared(None))[0])
_BUFFERS = {type(get_referents(memoryview(b""))[0]), _native.Export}


_FRAME_OF = {GeneratorType: "gi_frame", CoroutineType: "cr_frame", AsyncGeneratorType: "ag_frame"}


@dataclass(frozen=True, eq=False, slots=True)
class Root:
    """Where a path begins: a module, or a running function."""

    label: str
    names: Mapping[str, Any]
    is_module: bool


def path_in_words(path: list[Any]) -> str:
    """Return a path of objects, each of which holds the next, for people.

    Examples
    --------
    >>> buffer = bytearray(8)
    >>> users = {"ann": [None, buffer]}
    >>> path_in_words([Root("module app", {"users": users}, True), users, users["ann"], buffer])
    "module app.users['ann'] -> list[1] -> bytearray"
    """
    steps: list[_Step] = []
    place = 0
    while place < len(path) - 1:
        steps.append(_step(path, place))
        place = steps[-1].next
    words = [step.holder + step.name for step in steps if step.holder]
    if is_a(path[0], Root) and path[0].is_module and len(steps) > 1 and steps[1].name:
        words[:2] = [steps[0].holder + steps[0].name + steps[1].name]  # app.users, and of that the dict['ann']
    if len(words) > 2 * SHOWN_AT_EACH_END + 1:
        words[SHOWN_AT_EACH_END:-SHOWN_AT_EACH_END] = [f"({len(words) - 2 * SHOWN_AT_EACH_END} more)"]
    return " -> ".join([*words, what_it_is(path[-1])])


def what_it_is(thing: Any) -> str:
    """Return what an object is, in a word.

    Examples
    --------
    >>> what_it_is([])
    'list'
    """
    if is_share(thing):
        return f"Shared[{_type_name(value_of(thing))}]"
    if is_a(thing, _native.Node):
        return repr(thing).strip("<>")
    return f"class {thing.__qualname__}" if is_a(thing, type) else _type_name(thing)


def is_share(thing: object) -> bool:
    """Say whether this is what all handles of one value share: it lives as long as the value has an owner."""
    return type(thing) is _SHARE


def value_of(share: Any) -> Any:
    """Return what the handles of a share own."""
    return next(iter(get_referents(share)), None)


def is_a(thing: object, kinds: Any) -> bool:
    """Say what `isinstance` does, but without asking the object for its ``__class__``: a proxy may do anything then."""
    return issubclass(type(thing), kinds)


def attributes_of(thing: Any) -> dict[str, Any]:
    """Return an object's own dictionary, without asking its class, which may do anything."""
    try:
        found: dict[str, Any] = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return {}
    return found


def locals_of(frame: FrameType) -> dict[str, Any]:
    """Return a copy of a function's variables.

    Before Python 3.13 the frame keeps the dictionary that it gives out, and with it all that is in it, until it ends:
    so to look for leaks would be to make some. It is emptied, unless somebody has it, or a debugger may write to it.
    """
    names = frame.f_locals
    copy = dict(names)
    of_frame_and_ours = 3  # of the second, one is the call's
    if type(names) is dict and frame.f_trace is None and sys.getrefcount(names) == of_frame_and_ours:
        names.clear()
    return copy


# ---- one step --------------------------------------------------------------------------------------------------------


class _Step(NamedTuple):
    """From an object on a path to what, in the eyes of people, it holds."""

    holder: str  #: what it is; empty: not worth a word
    name: str  #: that it has for what it holds: ``.buffer``, ``['x']``; empty: none
    next: int  #: the place of that on the path; what lies between is how Python does it


def _step(path: list[Any], place: int) -> _Step:
    holder, held, last = path[place], path[place + 1], len(path) - 1
    for kinds, describe in _KINDS:
        if is_a(holder, kinds):
            return describe(holder, path, place)
    if type(held) in _BUFFERS and place + 1 < last:
        beyond = next(i for i in range(place + 2, last + 1) if i == last or type(path[i]) not in _BUFFERS)
        return _Step(_type_name(holder), "", beyond)
    attributes = attributes_of(holder)
    if held is attributes and place + 1 < last:
        return _Step(_type_name(holder), _name_of(path[place + 2], attributes.items()), place + 2)
    return _Step(_type_name(holder), _name_of(held, [*attributes.items(), *_slots(holder)]), place + 1)


def _of_root(root: Root, path: list[Any], place: int) -> _Step:
    name = _name_of(path[place + 1], root.names.items())
    return _Step(root.label, name, place + 1) if root.is_module else _Step(f"local {name[1:]} of {root.label}", "", 1)


def _of_dict(holder: dict[Any, Any], path: list[Any], place: int) -> _Step:
    held = path[place + 1]
    name = next((f"[{_key(key)}]" for key, value in list(dict.items(holder)) if value is held), ", as a key")
    return _Step(_type_name(holder), name, place + 1)


def _of_sequence(holder: Any, path: list[Any], place: int) -> _Step:
    held = path[place + 1]
    (kind,) = (kind for kind in (list, tuple, deque) if is_a(holder, kind))
    items = list(kind.__iter__(holder))  # a subclass may have an __iter__ of its own
    name = next((f"[{index}]" for index, value in enumerate(items) if value is held), "")
    return _Step(_type_name(holder), name, place + 1)


def _of_function(function: FunctionType, path: list[Any], place: int) -> _Step:
    holder, held, last = f"function {function.__qualname__}", path[place + 1], len(path) - 1
    if held is function.__closure__ and place + 3 <= last:
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        return _Step(holder, _name_of(path[place + 2], cells).replace(".", ", closure "), place + 3)
    if held is function.__defaults__ or held is function.__kwdefaults__:
        return _Step(holder, ", default", min(place + 2, last))
    return _Step(holder, "", place + 1)


def _of_class(kind: type, path: list[Any], place: int) -> _Step:
    if is_a(path[place + 1], dict) and place + 1 < len(path) - 1:
        return _Step(what_it_is(kind), _name_of(path[place + 2], vars(kind).items()), place + 2)
    return _Step(what_it_is(kind), "", place + 1)


def _of_method(method: MethodType, path: list[Any], place: int) -> _Step:
    return _Step(f"method {method.__qualname__}", "", place + 1)


def _of_generator(generator: Any, path: list[Any], place: int) -> _Step:
    frame = getattr(generator, _FRAME_OF[type(generator)])
    name = "" if frame is None else _name_of(path[place + 1], locals_of(frame).items())
    return _Step(f"{_type_name(generator)} {generator.__qualname__}", name.replace(".", ", local "), place + 1)


def _of_handle(handle: Any, path: list[Any], place: int) -> _Step:
    last = len(path) - 1
    return _Step("Shared", "", place + 2) if place + 1 < last else _Step("", "", last)  # the end of the path names it


def _of_export(export: Any, path: list[Any], place: int) -> _Step:
    return _Step("", "", place + 1)  # whoever looks holds it, and nobody knows it


def _of_node(node: Any, path: list[Any], place: int) -> _Step:
    owned = [field.name for field in node.__node_fields__ if field.kind == "s"]
    fields = zip(owned, _native.node_owned(node), strict=False)  # a dead one owns nothing
    return _Step(what_it_is(node), _name_of(path[place + 1], fields), place + 1)


_KINDS: tuple[tuple[Any, Callable[[Any, list[Any], int], _Step]], ...] = (
    (Root, _of_root),
    (dict, _of_dict),
    ((list, tuple, deque), _of_sequence),
    (FunctionType, _of_function),
    (type, _of_class),
    (MethodType, _of_method),
    (tuple(_FRAME_OF), _of_generator),
    (_native.Shared, _of_handle),
    (_native.Export, _of_export),
    (_native.Node, _of_node),
)


def _key(key: Any) -> str:
    try:
        return reprlib.repr(key)
    except Exception:  # of somebody's class
        return f"<{_type_name(key)}>"


def _type_name(thing: Any) -> str:
    return type(thing).__qualname__


def _name_of(held: Any, names: Iterable[tuple[str, Any]]) -> str:
    """Return ``.name``, or nothing where no name is known."""
    return next((f".{name}" for name, value in list(names) if value is held), "")


def _slots(thing: Any) -> Iterable[tuple[str, Any]]:
    for kind in type(thing).__mro__:
        for name, descriptor in vars(kind).items():
            if is_a(descriptor, MemberDescriptorType):
                try:
                    yield name, descriptor.__get__(thing)
                except AttributeError:  # never set
                    continue
