"""What it means to own something: how it is taken over, how it ends, how it is copied; by its type.

A block is given back to its heap. Whatever can be closed is closed. Anything else, an array or a plain object, is only
let go of: it ends when nothing refers to it. A deleter given to `Shared` or `Unique` takes the place of this.
"""

from __future__ import annotations

import copy as copying
from collections.abc import Callable
from functools import singledispatch
from operator import methodcaller
from typing import Any, TypeAlias

from heapwright import _native

Deleter: TypeAlias = Callable[[Any], object]

_close = methodcaller("close")


@singledispatch
def deleter_of(value: Any) -> Deleter | None:
    """Return what ends a value of this type, or None where letting go of it is all.

    Other types can be taught: ``deleter_of.register(type, function)``.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO()
    >>> deleter_of(file)(file)
    >>> file.closed, deleter_of([])
    (True, None)
    """
    return _close if callable(getattr(type(value), "close", None)) else None


@deleter_of.register
def _(block: _native.Block) -> Deleter:
    return _deallocate


@deleter_of.register
def _(handle: _native.Shared | _native.Weak) -> None:  # type: ignore[type-arg]  # dispatch is on the bare types
    return None  # not close(): letting go of a handle is the same, and a chain of them ends without recursion


def _deallocate(block: _native.Block) -> None:
    if block.heap is not None:  # else its owner, or the heap's, was before us
        block.heap.deallocate(block)


@singledispatch
def copy_of(value: Any) -> Any:
    """Return a copy of a value: `copy.copy`; of a block, a new block of the same heap with the same bytes."""
    return copying.copy(value)


@copy_of.register
def _(block: _native.Block) -> _native.Block:
    if block.heap is None:
        len(block)  # raises BlockFreed
    assert block.heap is not None
    twin = block.heap.allocate(block.size_bytes, alignment=block.alignment)
    with block.view() as source, twin.view() as target:
        target[:] = source
    return twin


def adopt(value: Any, deleter: Deleter | None) -> tuple[Any, Deleter | None]:
    """Return what a new `Shared` owns: what a `Unique` gives up, or else the value with its type's deleter."""
    from heapwright.owners.unique import Unique  # it needs deleter_of from here

    if isinstance(value, Unique):
        if deleter is not None:
            raise TypeError("the Unique has a deleter of its own; give one to the Unique, or unwrap it with release()")
        return value.give()
    return value, deleter if deleter is not None else deleter_of(value)


def copy(value: Any, deleter: Deleter | None) -> tuple[Any, Deleter | None]:
    """Return a copy, and the deleter that goes with it: the same."""
    return copy_of(value), deleter
