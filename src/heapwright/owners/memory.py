"""Memory[S]: a block whose state is part of its type. Checkers refuse misuse before it runs; run time refuses the rest.

Every method names the event of the life cycle that it is (`STEPS`), and asks `model.lifecycle` at each call. What
the annotations promise to checkers is compared with the same table by a test, so that none of the three drifts.

A step returns a new handle and the old one is *moved from*: whoever uses it again is told which step took its memory.
Python has no types for that (they would have to be linear), so it is found at run time only.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, final, overload

from heapwright.model.errors import InvalidTransition, ViewExported
from heapwright.model.lifecycle import READABLE, WRITABLE, Event, State, after, allowed
from heapwright.model.protocols import Resource, as_resource
from heapwright.model.sizes import Size, parse_alignment, parse_size
from heapwright.model.witnesses import site_of
from heapwright.owners.damage import CorruptedMemory, Damage
from heapwright.owners.guarded_block import GuardedBlock
from heapwright.owners.quarantine import Quarantine
from heapwright.owners.states import CHANGING, MARKER_OF, STEPS, Allocated, Corrupted, Freed, Sealed, Unallocated

if TYPE_CHECKING:
    from typing_extensions import Buffer, TypeIs

S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What all handles of one memory have in common, from the first to the last."""

    resource: Resource[Any]
    red_zone_bytes: int
    check_every_access: bool
    quarantine: Quarantine


@final
class Memory(Generic[S_co]):
    """One block of a resource, through its life: ``Memory[Unallocated]``, ``[Allocated]``, ``[Sealed]``, ``[Freed]``.

    Red zones lie before and after the bytes. They are compared when the memory is freed, moved or unsealed, by
    `verify`, and when the last handle is gone; at each access if wanted. A damaged memory is `Corrupted` for good:
    its evidence and its bytes can be had, its block is in quarantine. Steps are atomic among threads.

    Parameters
    ----------
    resource
        Where the block is to come from: a heap, an adaptor, anything that allocates blocks of host memory.
    red_zone_bytes
        Of each of the two zones. 0: none, and overwriting goes unnoticed.
    check_every_access
        Compare the red zones at every read and write, too.
    quarantine
        Where the block stays if it is damaged; the process's own if not given.

    Examples
    --------
    >>> import heapwright as hw
    >>> memory = hw.Memory(hw.Heap(hw.AnonymousSpace("1MiB")))
    >>> mine = memory.allocate(64)
    >>> mine.write(0, b"hello")
    >>> mine.read(0, 5)
    b'hello'
    >>> gone = mine.free()
    >>> gone.read(0, 1)  # type checkers refuse this line, too
    Traceback (most recent call last):
    heapwright.model.errors.InvalidTransition: a block that is freed cannot read. From here it can: reuse, corrupt
    >>> mine.read(0, 1)  # this one they cannot see
    Traceback (most recent call last):
    heapwright.model.errors.InvalidTransition: cannot read through this handle: free() moved its memory, freed now,
    into the handle that it returned. Use that one
    """

    __slots__ = ("_damage", "_held", "_lock", "_moved_by", "_pid", "_salvaged", "_state", "_terms")

    _terms: _Terms
    _state: State  # after the last step; whether a view is out, the block knows
    _held: GuardedBlock | None
    _moved_by: str  # "": this handle is good
    _damage: Damage | None
    _salvaged: bytes | None
    _lock: threading.RLock
    _pid: int

    def __new__(  # noqa: D102  # the class says it
        cls,
        resource: Resource[Any],
        *,
        red_zone_bytes: Size = 16,
        check_every_access: bool = False,
        quarantine: Quarantine | None = None,
    ) -> Memory[Unallocated]:  # of __new__ checkers believe the state, whatever Memory[...] was called
        held_by = Quarantine.of_process() if quarantine is None else quarantine
        terms = _Terms(as_resource(resource), parse_size(red_zone_bytes), check_every_access, held_by)
        return cls._beginning(terms, State.FREE, None)

    def __repr__(self) -> str:
        if self._moved_by:
            return f"<Memory, moved from by {self._moved_by}()>"
        of_what = f" {self._held.size_bytes} B at {self._held.address:#x}" if self._held is not None else ""
        return f"<Memory[{MARKER_OF[self.state].__name__}]{of_what}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "cannot copy or pickle a Memory: two handles would own one block. Pass on its bytes, by memory.read(...), "
            "or the handle itself"
        )

    @property
    def state(self) -> State:
        """Where in the life cycle the memory is; for a handle that was moved from, where it went."""
        held = self._held
        if self._state is State.ALLOCATED and held is not None and held.exports:
            return State.EXPOSED
        return self._state

    @property
    def address(self: Memory[Allocated | Sealed]) -> int:
        """Of the first byte, red zone not counted."""
        return self._require("address").address

    @property
    def size_bytes(self: Memory[Allocated | Sealed]) -> int:
        """As asked for."""
        return self._require("size_bytes").size_bytes

    # ---- steps: each takes the handle and returns the next one -----------------------------------------------------

    def allocate(self: Memory[Unallocated], size_bytes: Size, *, alignment: Size = 16) -> Memory[Allocated]:
        """Get a block from the resource.

        Raises
        ------
        OutOfMemory, InvalidSize, InvalidAlignment, PermissionDenied
            There is none, or its space cannot be written. This handle stays good.
        """
        with self._turn():
            self._may("allocate")
            size, front, whole, align = self._layout(size_bytes, alignment)
            return self._guard(self._terms.resource.allocate(whole, align), size, front, "allocate")

    def try_allocate(self: Memory[Unallocated], size_bytes: Size, *, alignment: Size = 16) -> Memory[Allocated] | None:
        """Do the same, or return None where there is no memory; then this handle stays good."""
        with self._turn():
            self._may("try_allocate")
            size, front, whole, align = self._layout(size_bytes, alignment)
            block = self._terms.resource.try_allocate(whole, align)
            return None if block is None else self._guard(block, size, front, "try_allocate")

    def reallocate(self: Memory[Allocated], size_bytes: Size) -> Memory[Allocated]:
        """Change the size, in place where that can be; the first bytes and the alignment stay.

        Raises
        ------
        ViewExported, OutOfMemory
            Nothing changed, and this handle stays good.
        CorruptedMemory
            A red zone is damaged.
        """
        with self._turn():
            held = self._checked("reallocate")
            return self._step("reallocate", held.reallocate(parse_size(size_bytes)))

    def seal(self: Memory[Allocated]) -> Memory[Sealed]:
        """Forbid writing, and remember a checksum: `verify` and `unseal` find any change. O(size).

        Raises
        ------
        ViewExported
            Whoever has the view could write. This handle stays good.
        CorruptedMemory
            A red zone is damaged.
        """
        with self._turn():
            held = self._checked("seal")
            held.seal()
            return self._step("seal", held)

    def unseal(self: Memory[Sealed]) -> Memory[Allocated]:
        """Allow writing again, if nobody did. O(size).

        Raises
        ------
        CorruptedMemory
            The bytes are not those that were sealed, or a red zone is damaged.
        """
        with self._turn():
            held = self._checked("unseal")
            held.unseal()
            return self._step("unseal", held)

    def free(self: Memory[Allocated | Sealed]) -> Memory[Freed]:
        """Give the block back to its resource.

        Raises
        ------
        ViewExported
            Somebody still looks at the bytes. This handle stays good.
        CorruptedMemory
            A red zone is damaged, or sealed bytes are. The block is in quarantine, and not freed.
        """
        with self._turn():
            self._checked("free").free()
            return self._step("free", None)

    def reuse(self: Memory[Freed]) -> Memory[Unallocated]:
        """Begin anew, on the same terms."""
        with self._turn():
            self._may("reuse")
            return self._step("reuse", None)

    # ---- the bytes -------------------------------------------------------------------------------------------------

    def read(self: Memory[Allocated | Sealed], offset_bytes: int, size_bytes: int) -> bytes:
        """Return a copy of these bytes.

        Raises
        ------
        OutOfBounds, PermissionDenied
            The range leaves the memory, or the space may not be read. Offsets do not count from the end.
        CorruptedMemory
            A red zone is damaged, if every access is to be checked.
        """
        return self._accessible("read", READABLE).read(offset_bytes, size_bytes)

    def write(self: Memory[Allocated], offset_bytes: int, data: Buffer) -> None:
        """Copy a contiguous buffer to this offset.

        Raises
        ------
        OutOfBounds, PermissionDenied, CorruptedMemory
            As by `read`; nothing was written.
        """
        self._accessible("write", WRITABLE).write(offset_bytes, data)

    def view(self: Memory[Allocated]) -> memoryview:
        """Return all bytes without a copy. While the view lives, the memory is exposed: neither freed nor moved.

        What writes through a view, or behind it, is not checked before it writes; the red zones are, afterwards.
        """
        with self._turn():
            held: GuardedBlock = self._may("view")
            return held.view()

    # ---- what is wrong with them -----------------------------------------------------------------------------------

    @overload
    def verify(self: Memory[Allocated]) -> Memory[Allocated] | Memory[Corrupted]: ...
    @overload
    def verify(self: Memory[Sealed]) -> Memory[Sealed] | Memory[Corrupted]: ...
    def verify(self: Memory[Any]) -> Memory[Any]:
        """Compare the red zones, and of a sealed memory the checksum: return this handle, or one that is `Corrupted`.

        `is_corrupted` says which, to type checkers as well.
        """
        with self._turn():
            held = self._require("verify")
            damage = held.damage()
            return self if damage is None else self._corrupt(held, damage, "verify")

    def damage(self: Memory[Corrupted]) -> Damage:
        """Return the evidence."""
        if self._damage is None:
            self._refuse("show damage")
        return self._damage

    def salvage(self: Memory[Corrupted]) -> bytes | None:
        """Return the bytes as they were when the damage was found; None if the space could not be read."""
        if self._damage is None:
            self._refuse("salvage")
        return self._salvaged

    # ---- inside ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _beginning(terms: _Terms, state: State, held: GuardedBlock | None) -> Memory[Any]:
        self: Memory[Any] = object.__new__(Memory)
        self._terms, self._state, self._held = terms, state, held
        self._moved_by, self._damage, self._salvaged = "", None, None
        self._lock, self._pid = threading.RLock(), os.getpid()
        return self

    def _turn(self) -> threading.RLock:
        """Return what one step at a time holds; in a forked child a new one: who held it does not exist there."""
        if self._pid != os.getpid():
            self._lock, self._pid = threading.RLock(), os.getpid()
        return self._lock

    def _may(self, method: str) -> Any:
        """Ask the life cycle whether this method's step exists from here; return what is held."""
        event = STEPS[method]
        if self._moved_by:
            self._refuse(event.value)
        state, held = self.state, self._held
        if state is State.EXPOSED and held is not None and event is not Event.EXPOSE:
            raise ViewExported(
                address=held.address,
                size_bytes=held.size_bytes,
                exports=held.exports,
                what=f"{method} the memory",
                site=site_of(held.block),
            )
        after(state, event)
        if method in CHANGING and state not in WRITABLE:
            self._refuse(method)
        return held

    def _checked(self, method: str) -> GuardedBlock:
        return self._whole(method, self._may(method))

    def _accessible(self, access: str, states: frozenset[State]) -> GuardedBlock:
        if self._state not in states:
            self._refuse(access)
        if not self._terms.check_every_access:
            return self._require(access)
        with self._turn():
            return self._whole(access, self._require(access))

    def _whole(self, method: str, held: GuardedBlock) -> GuardedBlock:
        damage = held.damage()
        if damage is not None:
            raise CorruptedMemory(damage=damage, during=method, memory=self._corrupt(held, damage, method))
        return held

    def _require(self, what: str) -> GuardedBlock:
        held = self._held  # once: another thread may be about to free it
        if held is None:
            self._refuse(what)
        return held

    def _refuse(self, event: str) -> NoReturn:
        """Say why this handle cannot do that."""
        can = "" if self._moved_by else allowed(self.state)
        raise InvalidTransition(state=self.state.value, event=event, allowed=can, moved_by=self._moved_by)

    def _layout(self, size_bytes: Size, alignment: Size) -> tuple[int, int, int, int]:
        """Return size, bytes before it, bytes in all, and alignment: such that the memory is aligned, not the zone."""
        size, align, zone = parse_size(size_bytes), parse_alignment(alignment), self._terms.red_zone_bytes
        front = -(-zone // align) * align
        return size, front, front + size + zone, align

    def _guard(self, block: Any, size_bytes: int, front_bytes: int, method: str) -> Memory[Allocated]:
        terms = self._terms
        held = GuardedBlock(
            terms.resource,
            block,
            size_bytes=size_bytes,
            front_bytes=front_bytes,
            zone_bytes=terms.red_zone_bytes,
            quarantine=terms.quarantine,
        )
        return self._step(method, held)

    def _step(self, method: str, held: GuardedBlock | None) -> Memory[Any]:
        """Move on: the handle for what comes after, on the same terms. Nothing here fails but for want of memory."""
        return self._move(method, after(self._state, STEPS[method]), held)

    def _corrupt(self, held: GuardedBlock, damage: Damage, method: str) -> Memory[Corrupted]:
        salvaged = held.quarantine(damage)
        corrupted = self._move(method, after(self._state, Event.CORRUPT), None)
        corrupted._damage, corrupted._salvaged = damage, salvaged
        return corrupted

    def _move(self, method: str, state: State, held: GuardedBlock | None) -> Memory[Any]:
        following = self._beginning(self._terms, state, held)
        self._held, self._moved_by, self._state = None, method, state
        return following


def is_corrupted(memory: Memory[S_co] | Memory[Corrupted]) -> TypeIs[Memory[Corrupted]]:
    """Say whether a memory is corrupted; a type checker knows which it is in both branches.

    Examples
    --------
    >>> import ctypes
    >>> import heapwright as hw
    >>> mine = hw.Memory(hw.Heap(hw.AnonymousSpace("1MiB")), quarantine=hw.Quarantine()).allocate(64)
    >>> _ = ctypes.memset(mine.address + 60, 0, 6)  # two bytes too many
    >>> seen = mine.verify()
    >>> if hw.is_corrupted(seen):
    ...     print(seen.damage().damaged_bytes, seen.damage().mismatches[0].offset_bytes)
    2 64
    """
    return memory._damage is not None
