"""Protocols: where the rooms meet. A heap, a pool and an adaptor are all a `Resource`; so they compose."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from heapwright.model.block import Block
from heapwright.model.errors import UnsuitableUpstream
from heapwright.model.sizes import Size

B = TypeVar("B", bound=Block)


@runtime_checkable
class Strategy(Protocol):
    """Which offset a request gets: a name for a compiled decision procedure, and its options."""

    name: ClassVar[str]  #: as the command line and traces write it, such as ``"best-fit"``


@runtime_checkable
class StackingStrategy(Strategy, Protocol):
    """A strategy that puts blocks in the order of their allocation: a mark divides the older from the younger."""

    stacks: ClassVar[Literal[True]]  #: said by the type alone, for checkers


class Resource(Protocol[B]):
    """N -> blocks and bottom: the one protocol of everything that memory can be had from.

    `allocate` raises where `try_allocate` returns None; there is no third way to fail. A resource owns its
    upstream. The names are those of C++ ``std::pmr`` and of RMM.
    """

    def allocate(self, size_bytes: Size, alignment: int = ...) -> B:
        """Return a live block of at least `size_bytes` bytes whose address is a multiple of `alignment`."""

    def try_allocate(self, size_bytes: Size, alignment: int = ...) -> B | None:
        """Do the same, or return None."""

    def deallocate(self, block: B, /) -> None:
        """Free a block that this resource allocated."""

    def reallocate(self, block: B, size_bytes: Size, /) -> B:
        """Replace a block by one of another size with the same first bytes; in place where that can be."""

    def owns(self, address: int, /) -> bool:
        """Say whether an address belongs to this resource."""

    def trim(self, keep_bytes: Size = 0) -> int:
        """Give free memory back, keeping about `keep_bytes` of it; return the bytes given back."""

    def statistics(self) -> Any:
        """Return a frozen record of figures."""

    @property
    def upstream(self) -> Any:
        """What this resource draws from: another resource, or a space."""


def as_resource(upstream: Resource[B]) -> Resource[B]:
    """Return what is to be drawn from, if it is a memory resource; the first request would find out too late.

    Raises
    ------
    UnsuitableUpstream
        It is none: a space, for example, has no `allocate`.
    """
    if not callable(getattr(upstream, "allocate", None)):
        raise UnsuitableUpstream(upstream=repr(upstream), why="it is no memory resource and has no allocate()")
    return upstream
