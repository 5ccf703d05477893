"""The states of a `Memory` as types, which a checker reads and nobody makes one of; and the steps between them.

Each stands for one or two states of the life cycle. Where it is two, they differ in what only run time knows:
whether a view is out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, final

from heapwright.model.lifecycle import Event, State


@final
class Unallocated:
    """No block yet: `Memory.allocate` gets one."""

    states: ClassVar[frozenset[State]] = frozenset({State.FREE})


@final
class Allocated:
    """A block of one's own, to read and write; exposed while a view of it is out."""

    states: ClassVar[frozenset[State]] = frozenset({State.ALLOCATED, State.EXPOSED})


@final
class Sealed:
    """A block of one's own, to read only, whose bytes are known by a checksum."""

    states: ClassVar[frozenset[State]] = frozenset({State.SEALED})


@final
class Freed:
    """The block went back; nothing can be done but to begin anew."""

    states: ClassVar[frozenset[State]] = frozenset({State.FREED})


@final
class Corrupted:
    """Somebody wrote where nobody may: the block is in quarantine, and there is evidence."""

    states: ClassVar[frozenset[State]] = frozenset({State.CORRUPTED})


#: state of the life cycle -> the type that stands for it. Reserved, leased and spilled blocks have none: no Memory
#: holds one.
MARKER_OF: dict[State, type] = {
    state: marker for marker in (Unallocated, Allocated, Sealed, Freed, Corrupted) for state in marker.states
}

#: method of `Memory` -> what happens to the block. What leads to `Corrupted` is no method: any check may find it.
STEPS: Mapping[str, Event] = MappingProxyType(
    {
        "allocate": Event.ALLOCATE,
        "try_allocate": Event.ALLOCATE,
        "view": Event.EXPOSE,
        "reallocate": Event.MOVE,
        "seal": Event.SEAL,
        "unseal": Event.UNSEAL,
        "free": Event.DEALLOCATE,
        "reuse": Event.REUSE,
    }
)

#: Steps that change the bytes as well, so that the memory has to be writable: the life cycle lets sealed blocks move.
CHANGING = frozenset({"reallocate"})
