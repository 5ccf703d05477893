"""Records: classes whose instances lie in a record heap, and whose Python objects are handles of them."""

from __future__ import annotations

import sys
import typing
from typing import Any, TypeVar, dataclass_transform

from heapwright import _native
from heapwright.gc.layout import Layout, lay_out
from heapwright.model.annotations import ClassesByName, evaluated
from heapwright.model.record_errors import InvalidRecord

C = TypeVar("C")

_classes = ClassesByName()


@dataclass_transform(kw_only_default=True)
def record(cls: type[C]) -> type[C]:
    """Make a class of records from its annotations.

    Records are made by a heap, ``heap.new(Node, key=1)``, with their fields by name. A field without a default must be
    given, but for references, which begin as None, and arrays of them, which begin empty. What a Python program has of
    a record is a handle: it keeps the record alive, and there is one handle of a record at a time, so ``is`` and ``==``
    mean the same record. Methods and properties may be defined as usual; ``__finalize__(self)``, if there is one,
    is called once, after the record has become unreachable, with everything that it refers to still there.

    A class of records has no base class and no subclasses: its fields are then all known, and a reference needs no
    more than an index.

    Raises
    ------
    InvalidRecord
        An annotation means nothing here.

    Examples
    --------
    >>> import heapwright as hw
    >>> @hw.record
    ... class Node:
    ...     key: hw.i64
    ...     value: hw.f64 = 0.0
    ...     left: hw.Ref["Node"]
    ...     right: hw.Ref["Node"]
    >>> heap = hw.RecordHeap()
    >>> n = heap.new(Node, key=1)
    >>> n.left = heap.new(Node, key=2, value=3.0)
    >>> n.left.value, n.right, hw.record_bytes(Node)
    (3.0, None, 24)
    """
    if not isinstance(cls, type):
        raise TypeError(f"{cls!r} is not a class: put @record above one whose fields are annotated")
    if cls.__bases__ != (object,):
        raise InvalidRecord(cls.__name__, "", "it has base classes, and cannot: give it all of its fields itself")
    if "__del__" in vars(cls):
        raise InvalidRecord(cls.__name__, "", "__del__ would run with each handle. Define __finalize__")
    try:
        declared = dict(evaluated(cls, sys._getframe(1)))
    except ValueError as error:
        raise InvalidRecord(cls.__name__, *error.args) from error
    layout = lay_out(cls.__name__, declared, {name: vars(cls)[name] for name in declared if name in vars(cls)})
    fields = tuple(
        _native.RecordField(field.name, field.code, field.offset_bytes, field.size_bytes, number, field.edge)
        for number, field in enumerate(layout.fields)
    )
    body: dict[str, Any] = {name: value for name, value in vars(cls).items() if name not in {"__dict__", "__weakref__"}}
    body |= dict(zip(declared, fields, strict=True))
    body |= {
        "__slots__": (),
        "__record_layout__": layout,
        "__record_kind__": _kind(layout, fields, finalizer="__finalize__" in vars(cls)),
        "__init_subclass__": classmethod(_refuse_subclass),
    }
    made: Any = type(cls.__name__, (_native.Record,), body)
    _native.record_seal(made)
    _classes.add(made)
    return typing.cast("type[C]", made)


def record_bytes(cls: type) -> int:
    """Return the bytes that a record of the class takes, without the texts and arrays that it owns."""
    return layout_of(cls).stride_bytes


def layout_of(cls: Any) -> Layout:
    """Return the layout of a class of records.

    Raises
    ------
    TypeError
        It is another class.
    """
    layout = vars(cls).get("__record_layout__") if isinstance(cls, type) else None
    if not isinstance(layout, Layout):
        raise TypeError(f"{cls!r} is not a class of records: put @record above it")
    return layout


def settle(cls: Any) -> tuple[type, ...]:
    """Tell the fields of a class what they refer to, now that all classes are there; return those classes."""
    reached: list[type] = []
    for field in layout_of(cls).fields:
        targets = tuple(_target(cls, field.name, target) for target in field.targets)
        vars(cls)[field.name].settle(cls, targets)
        reached += targets
    return tuple(dict.fromkeys(reached))


def _target(cls: Any, field: str, target: type | str) -> type:
    found = _classes.find(cls, target) if isinstance(target, str) else target
    if found is None:
        raise InvalidRecord(cls.__name__, field, f"there is no class of records {target!r} beside {cls.__name__}")
    if not issubclass(found, _native.Record):
        raise InvalidRecord(cls.__name__, field, f"{found.__name__} is not a class of records")
    return found


def _kind(layout: Layout, fields: tuple[_native.RecordField, ...], *, finalizer: bool) -> _native.RecordKind:
    required = sum(1 << number for number, field in enumerate(layout.fields) if field.default is ...)
    late = tuple(
        field.default if field.code in "sy" and field.default not in {..., "", b""} else None for field in layout.fields
    )
    return _native.RecordKind(fields, layout.blank(), late, required, finalizer)


def _refuse_subclass(cls: Any, /, **keywords: Any) -> None:
    name = cls.__bases__[0].__name__
    raise InvalidRecord(
        cls.__name__, "", f"{name} is a class of records and has no subclasses: refer to it from a field"
    )
