"""Nodes: classes whose instances own each other through typed fields, so that cycles among them are found and freed.

A field of a node class is an atom (a number, text, bytes), a `Shared` of a node class, which the node owns, or a
`Weak` of one, which it only knows. Nothing else: so a cycle through nodes consists of nodes alone. Which classes can be
part of a cycle at all follows from their annotations; instances of the others are never suspected.

Other classes may hold handles, of nodes and of anything. Cycles that lead through them are for CPython's own collector,
which sees through `Shared` exactly.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

from heapwright import _native
from heapwright.model.annotations import ClassesByName, evaluated
from heapwright.model.errors import HeapwrightError

C = TypeVar("C")

ATOMS = (int, float, bool, str, bytes)
_REFERENCES = {_native.Shared: "s", _native.Weak: "w"}

_classes = ClassesByName()


class InvalidField(HeapwrightError, TypeError):
    """A field that a node class cannot have.

    Attributes
    ----------
    owner, field : str; the class and the field
    """

    owner: str
    field: str

    def __init__(self, owner: str, field: str, why: str) -> None:
        super().__init__(
            f"{owner}.{field}: {why}. A field of a node is int, float, bool, str or bytes, or Shared[C] or Weak[C] of "
            "a node class C, and perhaps '| None'. For other values use a plain class: CPython's collector sees the "
            "handles in it",
            owner=owner,
            field=field,
        )


@dataclass(frozen=True, slots=True)
class Field:
    """A field as its annotation declares it."""

    name: str
    kind: str  #: "n"umber (a float, and nothing else), other "a"tom, "s"hared or "w"eak
    optional: bool
    types: tuple[type, ...]  #: of an atom, those that it may have, exactly
    target: type | str | None  #: of a reference, the class that it may refer to, or its name
    default: Any  #: ... if there is none


@dataclass_transform(kw_only_default=True)
def node(cls: type[C]) -> type[C]:
    """Make a class of nodes from its annotations.

    Instances are made with their fields by name. What has no default must be given, but references, which begin as
    None. A field takes exactly the types of its annotation. A node class has no base class and no subclasses: a field
    annotated with it could then refer to something that reaches further than was settled.

    Raises
    ------
    InvalidField
        An annotation says something else: when the class is made, or, where it names a class that does not exist yet,
        when the first instance is.

    Examples
    --------
    >>> import heapwright as hw
    >>> @hw.node
    ... class Person:
    ...     name: str
    ...     friend: hw.Shared["Person"] | None
    >>> ann, bob = hw.Shared(Person(name="Ann")), hw.Shared(Person(name="Bob"))
    >>> ann.value.friend, bob.value.friend = bob, ann
    >>> ann.strong_count, ann.value.friend.value.name
    (2, 'Bob')
    >>> del ann, bob
    >>> hw.collect_cycles()
    2
    """
    if not isinstance(cls, type):
        raise TypeError(f"{cls!r} is not a class: put @node above one whose fields are annotated")
    if cls.__bases__ != (object,):
        raise TypeError(f"{cls.__name__} has base classes, and a node class cannot: give it all of its fields itself")
    if "__del__" in vars(cls):
        raise TypeError(f"{cls.__name__} has __del__, and a node class cannot: nodes end many at a time, in any order")
    fields = list(_declared(cls, sys._getframe(1)))
    count = {kind: sum(field.kind == kind for field in fields) for kind in "nasw"}
    place = {"n": 0, "a": count["n"], "w": count["n"] + count["a"], "s": 0}  # the last are in the graph
    body: dict[str, Any] = {name: value for name, value in vars(cls).items() if name not in {"__dict__", "__weakref__"}}
    for field in fields:
        body[field.name] = _native.NodeField(field.name, field.kind, place[field.kind], field.optional, field.types)
        place[field.kind] += 1
    defaults = tuple(field.default for kind in "na" for field in fields if field.kind == kind)
    body |= {
        "__slots__": (),
        "__node_kind__": _native.NodeKind(count["n"], count["a"], count["s"], count["w"], defaults),
        "__node_fields__": tuple(fields),
        "__init_subclass__": classmethod(_refuse_subclass),
    }
    made: Any = type(cls.__name__, (_native.Node,), body)
    _native.node_seal(made)
    _classes.add(made)
    return typing.cast("type[C]", made)


def settle(cls: Any) -> None:
    """Find the classes that the fields refer to, and with them whether a cycle can lead back to this one.

    Called before the first instance is made: then the classes that annotations name are there.
    """
    for field in cls.__node_fields__:
        vars(cls)[field.name].settle(cls, _target(cls, field))
    reached: set[type] = set()
    waiting = [cls]
    while waiting:
        owner = waiting.pop()
        owned = {_target(owner, field) for field in owner.__node_fields__ if field.kind == "s"} - reached
        reached |= owned
        waiting += owned
    cls.__node_kind__.acyclic = cls not in reached


def _target(cls: Any, field: Field) -> Any:
    target = field.target
    if isinstance(target, str):
        target = _classes.find(cls, target)
        if target is None:
            raise InvalidField(cls.__name__, field.name, f"there is no node class {field.target!r}")
    if target is not None and not issubclass(target, _native.Node):
        raise InvalidField(cls.__name__, field.name, f"{target.__name__} is not a node class")
    return target


def _refuse_subclass(cls: Any, /, **keywords: Any) -> None:
    raise TypeError(f"{cls.__bases__[0].__name__} is a node class and cannot be subclassed: refer to it from a field")


# ---- what annotations say --------------------------------------------------------------------------------------------


def _declared(cls: type, frame: types.FrameType) -> Iterator[Field]:
    try:
        for name, annotation in evaluated(cls, frame):
            yield _field(cls.__name__, name, annotation, vars(cls).get(name, ...))
    except ValueError as error:
        raise InvalidField(cls.__name__, *error.args) from error


def _field(owner: str, name: str, annotation: Any, default: Any) -> Field:
    union = typing.get_origin(annotation) in {typing.Union, types.UnionType}
    choices = typing.get_args(annotation) if union else (annotation,)
    optional = type(None) in choices or None in choices
    choices = tuple(choice for choice in choices if choice not in {None, type(None)})
    if choices and all(choice in ATOMS for choice in choices):
        allowed = (*choices, type(None)) if optional else choices
        if default is not ... and type(default) not in allowed:
            raise InvalidField(owner, name, f"its default {default!r} is not of a type that it is annotated with")
        kind = "n" if allowed == (float,) else "a"
        return Field(name, kind, optional, allowed, None, None if optional and default is ... else default)
    reference = _REFERENCES.get(typing.get_origin(choices[0])) if len(choices) == 1 else None
    if reference is None:
        raise InvalidField(owner, name, f"{annotation!r} is none of these")
    if default is not ... and default is not None:
        raise InvalidField(owner, name, "a reference has no default but None")
    (target,) = typing.get_args(choices[0])
    if isinstance(target, typing.ForwardRef):
        target = target.__forward_arg__
    if not isinstance(target, str | type):
        raise InvalidField(owner, name, f"{target!r} is not a class")
    return Field(name, reference, optional, (), target, None)
