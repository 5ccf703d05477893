"""Space: M = (A, S, P), where bytes can be: a range of addresses, its size, and what may be done there."""

from __future__ import annotations

from enum import IntFlag
from typing import Protocol, runtime_checkable


class Permissions(IntFlag):
    """P: what may be done with the bytes of a space. Where a space is pages, the hardware enforces it.

    Examples
    --------
    >>> Permissions.READ | Permissions.WRITE in Permissions.ALL
    True
    >>> (Permissions.READ | Permissions.WRITE).letters, Permissions(0).letters
    ('RW', '')
    """

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4
    ALL = 7

    @property
    def letters(self) -> str:
        """The permissions as in ``/proc/self/maps``: some of R, W and X."""
        return "".join(letter for letter, bit in zip("RWX", (1, 2, 4), strict=True) if self & bit)


@runtime_checkable
class Space(Protocol):
    """M = (A, S, P). A space lives as long as any block or view in it."""

    @property
    def address(self) -> int:
        """The first address; A is [address, address + size_bytes)."""

    @property
    def size_bytes(self) -> int:
        """S."""

    @property
    def permissions(self) -> Permissions:
        """P."""

    @property
    def alignment(self) -> int:
        """A power of two in bytes that `address` is a multiple of: no block can be promised more."""
