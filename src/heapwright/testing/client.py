"""Client: a program that uses a memory resource and believes nothing: it checks each answer, and each byte it wrote."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from heapwright.model.errors import HeapwrightError
from heapwright.model.lifecycle import State, is_live
from heapwright.model.sizes import format_size

#: More than any machine has.
IMPOSSIBLE_BYTES = 1 << 62

#: Of each block at most its first so many bytes are written and looked at.
_WRITTEN_BYTES = 4096
_NOISE = random.Random(0).randbytes(2 * _WRITTEN_BYTES)


class Nonconformance(HeapwrightError, AssertionError):
    """A memory resource does something that the contract forbids: a counter-example.

    Attributes
    ----------
    clause : str; the name of the clause
    detail : str; what was seen
    """

    clause: str
    detail: str

    def __init__(self, detail: str, clause: str = "", statement: str = "") -> None:
        where = f"breaks the clause {clause!r} ({statement}): " if clause else ""
        super().__init__(f"{where}{detail}", clause=clause, detail=detail)


def require(holds: object, detail: str) -> None:
    """Raise `Nonconformance` unless something holds."""
    if not holds:
        raise Nonconformance(detail)


def raises(kind: type[BaseException], call: Callable[..., object], *arguments: Any) -> None:
    """Require that a call raises this and nothing else."""
    what = f"{getattr(call, '__name__', call)}{arguments}"
    try:
        result = call(*arguments)
    except kind:
        return
    except Exception as error:
        raise Nonconformance(f"{what} raised {error!r} where it has to raise {kind.__name__}") from error
    raise Nonconformance(f"{what} returned {result!r} where it has to raise {kind.__name__}")


@dataclass(frozen=True)
class Subject:
    """What is under test.

    `factory` makes a fresh, empty resource; for the clauses about adaptors, over the upstream that it is given.
    `room_bytes` of requests fit into it at once; no more than `limit_bytes`, if that is given, may ever be out.
    """

    factory: Callable[..., Any]
    room_bytes: int
    limit_bytes: int | None
    examples: int

    @property
    def sizes(self) -> list[int]:
        """Request sizes to try: eighteen of the largest fit."""
        return sorted({0, 1, 7, 64, self.room_bytes // 64, self.room_bytes // 18})


@dataclass(eq=False)
class Held:
    """A block, and what the client knows of it."""

    block: Any
    size_bytes: int
    alignment: int
    seed: int

    def pattern(self, size_bytes: int) -> bytes:
        """What the client wrote: no two blocks that are out at one time have the same."""
        start = self.seed * 37 % len(_NOISE)
        return (_NOISE[start:] + _NOISE)[: min(size_bytes, _WRITTEN_BYTES)]


class Client:
    """Uses a resource, checking each answer."""

    _seed = 0

    def __init__(self, resource: Any) -> None:
        self.resource = resource
        self.held: list[Held] = []

    @property
    def requested_bytes(self) -> int:
        """Bytes that it asked for and has."""
        return sum(held.size_bytes for held in self.held)

    def allocate(self, size_bytes: int, alignment: int | None = None) -> Held:
        """Allocate, or let the error out."""
        given = () if alignment is None else (alignment,)
        return self._take(self.resource.allocate(size_bytes, *given), size_bytes, alignment or 1)

    def try_allocate(self, size_bytes: int, alignment: int | None = None) -> Held | None:
        """Allocate, or None."""
        given = () if alignment is None else (alignment,)
        block = self.resource.try_allocate(size_bytes, *given)
        return None if block is None else self._take(block, size_bytes, alignment or 1)

    def deallocate(self, held: Held) -> Any:
        """Deallocate a block; return its handle, which is of no use any more."""
        self.check(held)
        self.resource.deallocate(held.block)
        self.held.remove(held)
        require(held.block.state is State.FREED, f"a deallocated block says that it is {held.block.state}")
        return held.block

    def drop(self, held: Held) -> None:
        """Forget the handle of a block."""
        self.check(held)
        self.held.remove(held)
        held.block = None

    def reallocate(self, held: Held, size_bytes: int) -> Any:
        """Change the size of a block; return the old handle, which is of no use any more."""
        old, old_size = held.block, held.size_bytes
        self.check(held)
        new = self.resource.reallocate(old, size_bytes)
        kept = min(old_size, size_bytes, _WRITTEN_BYTES)
        require(
            bytes(new.view()[:kept]) == held.pattern(kept),
            f"reallocating {old_size} B to {size_bytes} B lost some of the first {kept} bytes",
        )
        require(old.state is State.FREED, f"after reallocate() the old handle says that it is {old.state}")
        self.held.remove(held)
        held.block, held.size_bytes = new, size_bytes
        self._look_at(held)
        self._write(held)
        self.held.append(held)
        return old

    def check(self, held: Held) -> None:
        """Require that a block has the bytes that were written to it."""
        expected = held.pattern(held.size_bytes)
        require(
            bytes(held.block.view()[: len(expected)]) == expected,
            f"the bytes of a block of {held.size_bytes} B changed while the client had it",
        )

    def check_all(self) -> None:
        """Require that of every block."""
        for held in self.held:
            self.check(held)

    def check_accounts(self) -> None:
        """Require that the figures of the resource are those of what this client, its only one, has."""
        figures = self.resource.statistics()
        for name, expected in (
            ("requested_bytes", self.requested_bytes),
            ("current_bytes", self.requested_bytes),
            ("block_count", len(self.held)),
        ):
            given = getattr(figures, name, expected)
            require(given == expected, f"statistics().{name} is {given}; blocks that are out make it {expected}")

    def deallocate_all(self) -> None:
        """Deallocate what it has."""
        for held in self.held.copy():
            self.deallocate(held)

    def _take(self, block: Any, size_bytes: int, alignment: int) -> Held:
        require(block is not None, f"allocate({size_bytes}) returned None where it has to raise")
        Client._seed += 1
        held = Held(block, size_bytes, alignment, Client._seed)
        self._look_at(held)
        self._write(held)
        self.held.append(held)
        return held

    def _look_at(self, held: Held) -> None:
        block, size, alignment = held.block, held.size_bytes, held.alignment
        try:
            hash(weakref.ref(block))
        except TypeError as error:
            raise Nonconformance(f"adaptors cannot keep notes on its blocks: {error}") from error
        require(is_live(block.state), f"a block that was just allocated says that it is {block.state}")
        require(block.size_bytes >= size, f"a request for {format_size(size)} got a block of {block.size_bytes} B")
        require(len(block.view()) >= size, f"a block of {size} B has a view of {len(block.view())} B")
        require(
            block.address % alignment == 0, f"address {block.address:#x} is no multiple of the alignment {alignment}"
        )
        for address in (block.address, block.address + max(size - 1, 0)):
            require(
                self.resource.owns(address) is True,
                f"owns({address:#x}) is not True: it is {address - block.address} B into a live block of {size} B",
            )
        for other in self.held:
            start, end = other.block.address, other.block.address + other.size_bytes
            require(
                block.address + size <= start or end <= block.address,
                f"two live blocks overlap: {size} B at {block.address:#x} and {other.size_bytes} B at {start:#x}",
            )

    def _write(self, held: Held) -> None:
        pattern = held.pattern(held.size_bytes)
        held.block.view()[: len(pattern)] = pattern
