"""Births: when, in which thread and on which line each block, buffer, shared value and node was made; while watched.

Nobody watches as a rule, and then nothing is installed: making a block costs one comparison more. `Watch` begins, and
several may overlap; the last to close ends it. Meanwhile each birth costs two or three microseconds and a note.

A note lies under the address of what it is about, and nothing removes it when that dies. It need not be: whoever is
born at the same address while one watches puts a new note there, and whoever was there before the first watch has kept
the address occupied. So a note is about what is at its address now, or about nothing that lives; and there are never
more of them than there were objects at one time.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from gc import get_referents
from typing import Any, Self
from weakref import ref

from heapwright import _native
from heapwright.model.call_stack import Frame, RawStack, call_stack, named
from heapwright.model.lifecycle import State
from heapwright.model.witnesses import come_forward

#: Frames to keep of each birth, the innermost ones.
STACK_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Birthplace:
    """Where something comes from."""

    age_s: float  #: a block that was reallocated is as old as it was
    thread: str  #: the name of the one that made it
    stack: tuple[Frame, ...]  #: innermost first; heapwright's own frames are left out

    def __str__(self) -> str:
        return str(self.stack[0]) if self.stack else "an unknown place"


class _Note:
    __slots__ = ("handle", "ordinal", "since", "stack", "thread")

    def __init__(self, handle: ref[Any] | None, ordinal: int, since: float, thread: str, stack: RawStack) -> None:
        self.handle = handle  # None: a node, of which there are no weak references
        self.ordinal = ordinal
        self.since = since
        self.thread = thread
        self.stack = stack

    def is_about(self, thing: object) -> bool:
        return self.handle is None or self.handle() is thing

    def birthplace(self, stacks: dict[tuple[tuple[int, int], ...], tuple[Frame, ...]]) -> Birthplace:
        """Describe it. Stacks that were named before are taken from `stacks`, by the numbers of their codes."""
        key = tuple((id(code), line) for code, line in self.stack)
        if key not in stacks:
            stacks[key] = named(self.stack)
        return Birthplace(time.monotonic() - self.since, self.thread, stacks[key])


_notes: dict[int, _Note] = {}
_ordinals = itertools.count(1)
_watches: set[Watch] = set()
_lock: Any = threading.RLock()  # of the set, with the hook; a signal handler may open a watch while one is opened
os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # what it guards is whole between any two instructions


class Watch:
    """Notes births from now until `close`, or for the length of a ``with`` block.

    Meanwhile `birthplace`, `cycles` and errors know where things were made. Costs two or three microseconds a birth.

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap(hw.AnonymousSpace(4096))
    >>> before = heap.allocate(100)
    >>> watch = Watch()
    >>> kept, dropped = heap.allocate(10), heap.allocate(20)
    >>> heap.deallocate(dropped)
    >>> [(thing.size_bytes, str(place)) for thing, place in watch.survivors()]
    [(10, '<doctest ...>:1 in <module>')]
    >>> watch.close()
    """

    def __init__(self) -> None:
        self._first = next(_ordinals)
        with _lock:
            _watches.add(self)
            _native.watch_births(_hear)
        come_forward(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop. What was noted is forgotten when no other watch is open. A second close() does nothing."""
        with _lock:
            _watches.discard(self)
            if not _watches:
                _native.watch_births(None)
                _notes.clear()

    def site_of(self, thing: object) -> str | None:
        """Return the line that made something while anybody watched. O(1)."""
        place = birthplace(thing)
        return str(place.stack[0]) if place is not None and place.stack else None

    def survivors(self) -> Iterator[tuple[Any, Birthplace]]:
        """Yield what was born since and lives, the oldest first. O(notes + nodes)."""
        handles = [(note, note.handle()) for note in list(_notes.values()) if note.handle is not None]
        nodes = [(_notes.get(id(node)), node) for node in _native.nodes_alive()]
        alive = [(note, thing) for note, thing in handles if not _has_ended(thing)]
        alive += [(note, node) for note, node in nodes if note is not None]
        stacks: dict[Any, Any] = {}  # a million births have a handful of them
        for note, thing in sorted(alive, key=lambda pair: pair[0].ordinal):
            if note.ordinal > self._first:
                yield thing, note.birthplace(stacks)


def birthplace(thing: object) -> Birthplace | None:
    """Return where a block, buffer, shared value or node was made; None if nobody watched then. O(1).

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap(hw.AnonymousSpace(4096))
    >>> birthplace(heap.allocate(100)) is None
    True
    >>> watch = Watch()
    >>> block = heap.allocate(100)
    >>> print(birthplace(block))
    <doctest ...>:1 in <module>
    >>> watch.close()
    """
    thing = _noted(thing)
    note = _notes.get(id(thing))
    return note.birthplace({}) if note is not None and note.is_about(thing) else None


def _hear(new: Any, old: Any) -> None:
    """Note what the native core tells: see native/binding/births.h."""
    thing = _noted(new)
    if old is None:
        handle = None if isinstance(thing, _native.Node) else ref(thing)
        name = threading.current_thread().name
        _notes[id(thing)] = _Note(handle, next(_ordinals), time.monotonic(), name, call_stack(STACK_DEPTH))
        return
    note = _notes.pop(id(old), None)
    if new is None:
        return
    _notes.pop(id(thing), None)
    if note is not None and note.is_about(old):
        _notes[id(thing)] = _Note(ref(thing), note.ordinal, note.since, note.thread, note.stack)


def _noted(thing: Any) -> Any:
    """Return what a note is about: of a handle, what all handles of the value share, or the node that they are of."""
    if isinstance(thing, _native.Shared):
        thing = next(iter(get_referents(thing)), thing)
        value = next(iter(get_referents(thing)), None)
        return value if isinstance(value, _native.Node) else thing
    return thing


def _has_ended(thing: Any) -> bool:
    """Say whether something is nobody's any more, although there may be a handle of it."""
    return thing is None or getattr(thing, "state", None) is State.FREED or getattr(thing, "closed", False)
