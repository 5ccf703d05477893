"""The one life cycle of a block, as data.

    reserved -> free -> allocated -> {leased, exposed, sealed, spilled} -> freed, plus corrupted

Run-time checks, the static typestate, the documentation's diagram (`mermaid`) and the proofs all read
`TRANSITIONS`. Whoever only owns a block, or has sealed it, may move, spill or free it; whoever has lent it
may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from heapwright.model.errors import InvalidTransition


class State(Enum):
    """What a range of a space is at the moment."""

    RESERVED = "reserved"  #: address space without memory
    FREE = "free"  #: a hole: memory that a request may get
    ALLOCATED = "allocated"  #: owned by whoever holds the handle
    LEASED = "leased"  #: lent to the kernel, a process or a device, which may write to it at any time
    EXPOSED = "exposed"  #: a view of it is exported
    SEALED = "sealed"  #: immutable: readable by all, writable by none
    SPILLED = "spilled"  #: its bytes are elsewhere; the range is not needed meanwhile
    FREED = "freed"  #: the handle is dead; the range is free or somebody else's
    CORRUPTED = "corrupted"  #: a check found it damaged

    __hash__ = object.__hash__  # members are single objects; Enum's own hash runs Python, at every look into a table


class Event(Enum):
    """What happens to a block."""

    COMMIT = "commit"
    DECOMMIT = "decommit"
    ALLOCATE = "allocate"
    DEALLOCATE = "deallocate"
    REUSE = "reuse"
    LEASE = "lease"
    RETURN = "return"
    EXPOSE = "expose"
    CONCEAL = "conceal"
    SEAL = "seal"
    UNSEAL = "unseal"
    SPILL = "spill"
    RESTORE = "restore"
    MOVE = "move"
    CORRUPT = "corrupt"

    __hash__ = object.__hash__


_STEPS = """
reserved   commit      free
free       decommit    reserved
free       allocate    allocated
allocated  deallocate  freed
allocated  move        allocated
allocated  lease       leased
leased     return      allocated
allocated  expose      exposed
exposed    expose      exposed
exposed    conceal     allocated
allocated  seal        sealed
sealed     unseal      allocated
sealed     move        sealed
sealed     deallocate  freed
allocated  spill       spilled
sealed     spill       spilled
spilled    restore     allocated
freed      reuse       free
"""

#: (state, event) -> state. Conceal says that the last of several views went; before that the block stays
#: exposed. A seal does not survive a spill: whoever restores the block may seal it again.
TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State(before), Event(event)): State(after)
        for before, event, after in (step.split() for step in _STEPS.strip().splitlines())
    }
    | {(state, Event.CORRUPT): State.CORRUPTED for state in State if state is not State.CORRUPTED}
)

#: In which states whoever holds the handle may look at the bytes, and change them. Not what is lent to somebody who may
#: write at any time, and not what is elsewhere.
READABLE = frozenset({State.ALLOCATED, State.EXPOSED, State.SEALED})
WRITABLE = frozenset({State.ALLOCATED, State.EXPOSED})


def after(state: State, event: Event) -> State:
    """Return the state that an event leads to.

    Raises
    ------
    InvalidTransition
        The life cycle has no such step.

    Examples
    --------
    >>> after(State.ALLOCATED, Event.DEALLOCATE)
    <State.FREED: 'freed'>
    >>> after(State.FREED, Event.DEALLOCATE)
    Traceback (most recent call last):
    heapwright.model.errors.InvalidTransition: a block that is freed cannot deallocate. ...
    """
    now = TRANSITIONS.get((state, event))
    if now is None:
        raise InvalidTransition(state=state.value, event=event.value, allowed=allowed(state))
    return now


def allowed(state: State) -> str:
    """Return what can happen to a block in this state, for people.

    Examples
    --------
    >>> allowed(State.EXPOSED), allowed(State.CORRUPTED)
    ('expose, conceal, corrupt', '')
    """
    return ", ".join(event.value for before, event in TRANSITIONS if before is state)


def may(state: State, event: Event) -> bool:
    """Say whether the life cycle has this step.

    Examples
    --------
    >>> [state.value for state in State if may(state, Event.MOVE)]
    ['allocated', 'sealed']
    """
    return (state, event) in TRANSITIONS


def may_free(state: State) -> bool:
    """Say whether a block in this state may be deallocated."""
    return may(state, Event.DEALLOCATE)


def may_move(state: State) -> bool:
    """Say whether a block in this state may be given another address."""
    return may(state, Event.MOVE)


def may_spill(state: State) -> bool:
    """Say whether the bytes of a block in this state may be taken elsewhere."""
    return may(state, Event.SPILL)


def is_live(state: State) -> bool:
    """Say whether somebody owns a block in this state: its range belongs to nobody else."""
    return state not in {State.RESERVED, State.FREE, State.FREED}


def mermaid() -> str:
    """Return the life cycle as a Mermaid state diagram: what the documentation shows.

    Corruption can happen to any state and is left out of the picture.

    Examples
    --------
    >>> print(mermaid().splitlines()[0])
    stateDiagram-v2
    """
    arrows = [
        f"    {before.value} --> {now.value} : {event.value}"
        for (before, event), now in TRANSITIONS.items()
        if event is not Event.CORRUPT
    ]
    return "\n".join(["stateDiagram-v2", "    [*] --> reserved", *arrows])
