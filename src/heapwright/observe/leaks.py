"""Leaks: what was made in a region of code and is still alive at its end, by name: where from, and what keeps it."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from heapwright import _native
from heapwright.model.call_stack import Frame
from heapwright.model.errors import HeapwrightError
from heapwright.model.sizes import Size, format_size, parse_size
from heapwright.observe.births import Watch
from heapwright.observe.holders import paths_to
from heapwright.observe.path_in_words import is_share, value_of, what_it_is

#: Different ones that a message lists; all of them are in `Leaked.survivors`.
LISTED = 50

#: Survivors whose path is looked for: one of each place in the code, and then the oldest. A path may have any length.
PATHS = 100


@dataclass(frozen=True, slots=True)
class Survivor:
    """Something that is still alive: a block, a buffer of a pool, a shared value, a node, or an open lease."""

    what: str  #: such as ``Block``, ``Shared[list]``, ``Person#3``
    size_bytes: int  #: requested; of a value that is no memory of ours, what NumPy or Python says
    age_s: float
    thread: str  #: the name of the one that made it
    stack: tuple[Frame, ...]  #: where; innermost first, heapwright's own frames left out
    borrower: str = ""  #: who it is lent to, if anybody
    path: str = ""  #: what keeps it alive; empty where there are too many others, see `PATHS`

    def __str__(self) -> str:
        keeper = f"kept by {self.path}" if self.path else f"a {self.what}"
        lent = f"lent to {self.borrower}, " if self.borrower else ""
        head = f"{format_size(self.size_bytes)}, {self.age_s:.1f} s old, {lent}{keeper}"
        return "\n".join([head, *(f"    {frame}" for frame in self.stack)])


class Leaked(HeapwrightError, AssertionError):
    """Something that was made inside `no_leaks` is alive at its end.

    Attributes
    ----------
    survivors : tuple[Survivor, ...]; all of them, the oldest first
    size_bytes : int; of all of them
    """

    survivors: tuple[Survivor, ...]
    size_bytes: int

    def __init__(self, survivors: tuple[Survivor, ...]) -> None:
        super().__init__(
            f"{describe(survivors)}\nEnd them, or let go of what keeps them, before the region ends; or allow them: "
            "no_leaks(allow_bytes=..., allow_count=..., allow=...)",
            survivors=survivors,
            size_bytes=sum(survivor.size_bytes for survivor in survivors),
        )


@contextmanager
def no_leaks(
    *,
    allow_bytes: Size | None = None,
    allow_count: int | None = None,
    allow: Callable[[Survivor], object] | None = None,
    collect: bool = True,
) -> Iterator[None]:
    """Raise `Leaked` if anything that is made inside is alive at the end: in any thread, of any heap, pool or arena.

    Blocks, buffers, shared values and nodes are watched; those that were made before are not, nor is what a pool or an
    arena buys to hand out. Regions nest. An error of the body passes as it is, and then nothing is checked: the
    traceback holds what the body held. Also a decorator: ``@hw.no_leaks()``.

    Parameters
    ----------
    allow_bytes, allow_count
        Survivors together up to this are no leak. Where both are given, both count.
    allow
        Called with each survivor, whose `path` is not known yet; where it says yes, that one is no leak.
    collect
        Whether CPython's collector and the one of nodes run first, if anything survived. Without them, cycles that
        only keep themselves are leaks, too.

    Raises
    ------
    Leaked
        With the size, age, thread, call stack and keeper of every survivor.

    Notes
    -----
    Inside, each birth costs some microseconds. At the end nothing more, if nothing survived; else one search through
    the objects of the process (about a second for a million of them).

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    >>> def serve(session):
    ...     session["upload"] = heap.allocate("64KiB")
    >>> def main():
    ...     session = {}
    ...     with hw.no_leaks():
    ...         serve(session)
    >>> main()
    Traceback (most recent call last):
    heapwright.observe.leaks.Leaked: 64 KiB in 1 survivor:
    64 KiB, ... s old, kept by local session of main (<doctest ...>) -> dict['upload'] -> Block
        <doctest ...>:2 in serve
        <doctest ...>:4 in main
    ...
    """
    tolerated = _tolerance(allow_bytes, allow_count)
    watch = Watch()
    try:
        yield
        survivors = left_since(watch, allow=allow, collect=collect, tolerated=tolerated)
    finally:
        watch.close()
    if survivors:
        raise Leaked(survivors)


def left_since(
    watch: Watch,
    *,
    allow: Callable[[Survivor], object] | None = None,
    collect: bool = True,
    tolerated: Callable[[list[Survivor]], bool] = lambda survivors: not survivors,
) -> tuple[Survivor, ...]:
    """Return what was made since a watch began and is alive, with what keeps it; nothing if that is tolerated."""
    if collect and next(watch.survivors(), None) is not None:
        gc.collect()
        _native.nodes_collect()
    things, survivors = _alive(watch)
    if allow is not None:
        wrong = [not allow(survivor) for survivor in survivors]
        things, survivors = list(compress(things, wrong)), list(compress(survivors, wrong))
    if tolerated(survivors):
        return ()
    return _with_paths(things, survivors)


def describe(survivors: tuple[Survivor, ...]) -> str:
    """Return survivors in words: those that differ in nothing but their age together."""
    count = len(survivors)
    size = format_size(sum(survivor.size_bytes for survivor in survivors))
    same = Counter(replace(survivor, age_s=0) for survivor in survivors)
    lines = [f"{size} in {count} survivor{'s' * (count != 1)}:"]
    for survivor in survivors:
        times = same.pop(replace(survivor, age_s=0), 0)
        if times and len(lines) <= LISTED:
            lines.append(f"{f'{times} times ' if times > 1 else ''}{survivor}")
        elif times:
            lines.append(f"and {len(same) + 1} others")
            break
    return "\n".join(lines)


def _tolerance(allow_bytes: Size | None, allow_count: int | None) -> Callable[[list[Survivor]], bool]:
    count = float("inf") if allow_count is None else allow_count
    size = float("inf") if allow_bytes is None else parse_size(allow_bytes)
    if allow_count is None and allow_bytes is None:
        count = 0
    return lambda found: len(found) <= count and sum(survivor.size_bytes for survivor in found) <= size


def _alive(watch: Watch) -> tuple[list[Any], list[Survivor]]:
    """Return what is alive, and of each a description. A block that is shared or lent is told of once, as a block."""
    found = list(watch.survivors())
    numbers = {id(thing) for thing, _ in found}
    borrowers = {id(thing.block): thing.borrower for thing, _ in found if _is_lease(thing)}
    things, survivors = [], []
    for thing, place in found:
        if id(_held(thing)) in numbers:
            continue
        borrower = thing.borrower if _is_lease(thing) else borrowers.get(id(thing), "")
        what, size = what_it_is(thing), _size_bytes(thing)
        things.append(thing)
        survivors.append(Survivor(what, size, place.age_s, place.thread, place.stack, borrower))
    return things, survivors


def _held(thing: Any) -> Any:
    """Return what a shared value or a lease is about; the handle itself is not worth a word beside it."""
    return value_of(thing) if is_share(thing) else thing.block if _is_lease(thing) else None


def _is_lease(thing: Any) -> bool:
    return not isinstance(thing, _native.Node) and hasattr(thing, "borrower")  # owners/lease.py; a node has any fields


def _with_paths(things: list[Any], survivors: list[Survivor]) -> tuple[Survivor, ...]:
    before: Counter[tuple[Frame, ...]] = Counter()
    turns = []  # how many of the same place are older
    for survivor in survivors:
        turns.append(before[survivor.stack])
        before[survivor.stack] += 1
    chosen = sorted(range(len(things)), key=turns.__getitem__)[:PATHS]
    things[:] = [things[index] for index in chosen]  # the only list of them: another would be found to keep them
    paths = dict(zip(chosen, paths_to(things), strict=True))
    return tuple(replace(survivor, path=paths.get(index, "")) for index, survivor in enumerate(survivors))


def _size_bytes(thing: Any) -> int:
    if is_share(thing):
        value = value_of(thing)
        size = None
        with suppress(Exception):  # a property of somebody's class
            size = value.nbytes
        return size if type(size) is int else sys.getsizeof(value, 0)
    return sys.getsizeof(thing) if isinstance(thing, _native.Node) else int(thing.size_bytes)
