"""Block: B = (address, size_bytes, permissions, state), a part of a space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from heapwright.model.lifecycle import State
from heapwright.model.space import Permissions


@runtime_checkable
class Block(Protocol):
    """B = (a, s, p, t). What a resource hands out has these four, whatever else it has."""

    @property
    def address(self) -> int:
        """a, the address of its first byte."""

    @property
    def size_bytes(self) -> int:
        """s, the bytes that were asked for; those that may be used."""

    @property
    def permissions(self) -> Permissions:
        """p, those of its space."""

    @property
    def state(self) -> State:
        """t, where in the life cycle it is."""


@runtime_checkable
class AccessibleBlock(Block, Protocol):
    """A block whose bytes this process can reach: memory of the host, not of a device."""

    def read(self, offset_bytes: int, size_bytes: int, /) -> bytes:
        """Return a copy of these bytes, or raise `OutOfBounds` or `PermissionDenied`."""

    def write(self, offset_bytes: int, data: Any, /) -> None:
        """Copy a contiguous buffer to this offset, or raise and copy nothing."""

    def view(self) -> memoryview:
        """Return all bytes without a copy; the block is exposed while the view lives."""


@dataclass(frozen=True, slots=True)
class BlockSeen:
    """A block, or a hole, as a walk over a heap found it: a value, which keeps nothing alive.

    Parameters
    ----------
    address
        Of the first byte.
    size_bytes
        The whole extent: allocated bytes of a block, free bytes of a hole.
    permissions
        Of the space.
    state
        `State.ALLOCATED` or `State.FREE`.
    requested_bytes
        What was asked for, at most `size_bytes`; 0 for a hole.
    offset_bytes
        From the start of the space.
    """

    address: int
    size_bytes: int
    permissions: Permissions
    state: State
    requested_bytes: int
    offset_bytes: int
