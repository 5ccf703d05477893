"""Layout: where the fields of a class of records lie.

Widest first, so that nothing is padded between them, and references of one kind side by side, so that a collector reads
them one behind the other. A record has no header: its size is that of its fields, rounded up to the widest.
"""

from __future__ import annotations

import struct
import types
import typing
from dataclasses import dataclass
from typing import Any

from heapwright.gc.types import PLAIN, Fixed, Reference, Scalar, Variable
from heapwright.model.record_errors import InvalidRecord

#: Codes of fields (native/binding/record_field.c) by the order in which they lie, with their sizes.
SIZES = {
    **dict.fromkeys("RWasyqQd", 8),
    **dict.fromkeys("rwiIf", 4),
    **dict.fromkeys("hH", 2),
    **dict.fromkeys("bB?", 1),
}
_ORDER = "".join(SIZES) + "x"
#: Edges are numbered in this order: the collector reads the narrow ones first.
_EDGES = "rRa"
_WEAK_EDGES = "wW"

RECORD_BYTES_MAX = 32 << 10
FIELDS_MAX = 64

_ALLOWED = (
    "A field of a record is an int of a size (hw.i8 ... hw.u64), hw.f32 or hw.f64, bool, str, bytes, "
    "Annotated[bytes, hw.Fixed(n)], hw.Ref[C], hw.WeakRef[C] or hw.Refs[C] of classes of records"
)


@dataclass(frozen=True, slots=True)
class Field:
    """A field, and where it lies."""

    name: str
    code: str
    offset_bytes: int
    size_bytes: int
    edge: int  #: its number among the strong, or among the weak references; -1: none
    targets: tuple[type | str, ...]  #: of a reference: classes, or their names
    default: Any  #: ... if there is none


@dataclass(frozen=True, slots=True)
class Layout:
    """A class of records."""

    fields: tuple[Field, ...]
    stride_bytes: int

    def blank(self) -> bytes:
        """Return a record with every default, and every reference none."""
        record = bytearray(self.stride_bytes)
        for field in self.fields:
            if field.code in "rwRW":
                record[field.offset_bytes : field.offset_bytes + field.size_bytes] = b"\xff" * field.size_bytes
            elif field.code not in "asy" and field.default is not ...:
                form = f"{field.size_bytes}s" if field.code == "x" else f"={field.code}"
                struct.pack_into(form, record, field.offset_bytes, field.default)
        return bytes(record)


def lay_out(owner: str, declared: dict[str, Any], defaults: dict[str, Any]) -> Layout:
    """Return the layout of the fields, given their annotations in the order of the class.

    Raises
    ------
    InvalidRecord
        An annotation means nothing here, or a default does not fit it.
    """
    if not declared:
        raise InvalidRecord(owner, "", "it has no fields. Annotate some")
    if len(declared) > FIELDS_MAX:
        raise InvalidRecord(owner, "", f"it has {len(declared)} fields, and a record has at most {FIELDS_MAX}")
    meanings = {name: _meaning(owner, name, annotation) for name, annotation in declared.items()}
    places: dict[str, int] = {}
    edges: dict[str, int] = {}
    end = 0
    for name in sorted(meanings, key=lambda name: _ORDER.index(meanings[name][0])):
        places[name] = end
        end += meanings[name][1]
    for codes in (_EDGES, _WEAK_EDGES):
        listed = sorted(
            (name for name in meanings if meanings[name][0] in codes), key=lambda n: codes.index(meanings[n][0])
        )
        edges |= {name: number for number, name in enumerate(listed)}
    alignment = max((SIZES.get(code, 1) for code, _, _ in meanings.values()), default=1)
    stride = -(-end // alignment) * alignment
    if stride > RECORD_BYTES_MAX:
        raise InvalidRecord(
            owner, "", f"a record would take {stride} B, and takes at most {RECORD_BYTES_MAX}. Use bytes"
        )
    fields = tuple(
        Field(name, code, places[name], size, edges.get(name, -1), targets, _default(owner, name, code, size, defaults))
        for name, (code, size, targets) in meanings.items()
    )
    return Layout(fields, stride)


def _meaning(owner: str, name: str, annotation: Any) -> tuple[str, int, tuple[type | str, ...]]:
    """Return code, size and targets."""
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:  # Ref[C] | None says what Ref[C] does
        choices = [choice for choice in typing.get_args(annotation) if choice is not type(None)]
        annotation = choices[0] if len(choices) == 1 else annotation
    meaning = PLAIN.get(annotation) if isinstance(annotation, type) else None
    for extra in getattr(annotation, "__metadata__", ()):
        if isinstance(extra, Scalar | Fixed | Variable | Reference):
            meaning = extra
    if isinstance(meaning, Scalar | Variable):
        return meaning.code, SIZES[meaning.code], ()
    if isinstance(meaning, Fixed):
        if not 0 < meaning.size_bytes <= RECORD_BYTES_MAX:
            raise InvalidRecord(owner, name, f"Fixed({meaning.size_bytes}) is not 1 to {RECORD_BYTES_MAX} bytes")
        return "x", meaning.size_bytes, ()
    if isinstance(meaning, Reference):
        targets = _targets(owner, name, annotation.__origin__)
        if meaning.many:
            if len(targets) > 1:
                raise InvalidRecord(owner, name, "an array refers to one class")
            return "a", 8, targets
        code = ("w" if meaning.weak else "r") if len(targets) == 1 else ("W" if meaning.weak else "R")
        return code, SIZES[code], targets
    raise InvalidRecord(owner, name, f"{annotation!r} is none of what it can be. {_ALLOWED}")


def _targets(owner: str, name: str, inside: Any) -> tuple[type | str, ...]:
    """Return the classes of Optional[C], or of a sequence of C."""
    found: list[type | str] = []
    waiting = [argument for argument in typing.get_args(inside) if argument is not type(None)]
    while waiting:
        target = waiting.pop(0)
        if isinstance(target, typing.ForwardRef):
            target = target.__forward_arg__
        if isinstance(target, str):
            found += [part.strip() for part in target.split("|")]
        elif typing.get_origin(target) in {typing.Union, types.UnionType}:
            waiting += typing.get_args(target)
        elif isinstance(target, type):
            found.append(target)
        else:
            raise InvalidRecord(owner, name, f"{target!r} is not a class of records")
    if not found:
        raise InvalidRecord(owner, name, "it does not say what it refers to: Ref['Node']")
    return tuple(dict.fromkeys(found))


def _default(owner: str, name: str, code: str, size: int, defaults: dict[str, Any]) -> Any:
    default = defaults.get(name, ...)
    if code in "rwRWa":
        if default is not ... and default is not None:
            raise InvalidRecord(owner, name, "a reference has no default but None")
        return None
    if default is ...:
        return default
    wanted = {"s": str, "y": bytes, "x": bytes, "?": bool}.get(code, float if code in "fd" else int)
    if type(default) is not wanted and not (wanted is float and type(default) is int):
        raise InvalidRecord(owner, name, f"its default {default!r} is not {wanted.__name__}")
    try:
        struct.pack(f"={code}" if code not in "syx" else "", *() if code in "syx" else (default,))
    except (struct.error, OverflowError) as error:
        raise InvalidRecord(owner, name, f"its default {default!r} does not fit ({error})") from error
    if isinstance(default, bytes) and code == "x" and len(default) > size:
        raise InvalidRecord(owner, name, f"its default is longer than {size} B")
    return default
