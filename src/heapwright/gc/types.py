"""What the field of a record can be: names for annotations.

To a type checker each is the Python type that is read and written; to `record` it says what lies in memory.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number of fixed size, by its code in `struct`."""

    code: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """Bytes that lie in the record itself: ``Annotated[bytes, Fixed(16)]``. Shorter values are filled up with zeros."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Variable:
    """Text or bytes of any length, beside the records."""

    code: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference to a record, or many of them."""

    weak: bool = False
    many: bool = False


i8 = Annotated[int, Scalar("b")]
i16 = Annotated[int, Scalar("h")]
i32 = Annotated[int, Scalar("i")]
i64 = Annotated[int, Scalar("q")]
u8 = Annotated[int, Scalar("B")]
u16 = Annotated[int, Scalar("H")]
u32 = Annotated[int, Scalar("I")]
u64 = Annotated[int, Scalar("Q")]
f32 = Annotated[float, Scalar("f")]
f64 = Annotated[float, Scalar("d")]
text = Annotated[str, Variable("s")]
blob = Annotated[bytes, Variable("y")]

#: A record of the class, or None: keeps it alive.
Ref = Annotated[T | None, Reference()]
#: The same without keeping it alive: None once it is gone.
WeakRef = Annotated[T | None, Reference(weak=True)]
#: Any number of records, in order: keeps them alive.
Refs = Annotated[MutableSequence[T], Reference(many=True)]

#: What plain Python types stand for.
PLAIN = {int: Scalar("q"), float: Scalar("d"), bool: Scalar("?"), str: Variable("s"), bytes: Variable("y")}
