"""Witnesses: whoever can say where something was allocated; asked when an error or a report has to name it.

Nobody has to: a program that records no sites has no witnesses, and pays nothing. A `Tracking` adaptor, an arena with
``sites=True`` and an open watch of births come forward when they are made, and are forgotten when they die.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from weakref import WeakSet


class Witness(Protocol):
    """Somebody who saw things being allocated."""

    def site_of(self, thing: object, /) -> str | None:
        """Return ``file:line in function`` for what it saw, None for anything else."""


_witnesses: WeakSet[Witness] = WeakSet()


def come_forward(witness: Witness) -> None:
    """Be asked from now on, for as long as the witness lives."""
    _witnesses.add(witness)


def site_of(thing: object) -> str | None:
    """Return where a live block or node was allocated, if anybody saw it. O(witnesses).

    Examples
    --------
    >>> import heapwright as hw
    >>> tracked = hw.Tracking(hw.Heap(hw.AnonymousSpace(4096)))
    >>> print(site_of(tracked.allocate(16)))
    <doctest ...>:1 in <module>
    >>> print(site_of(tracked.upstream.allocate(16)))
    None
    """
    return next(iter(sites_of([thing])), None)


def sites_of(things: Iterable[object]) -> tuple[str | None, ...]:
    """Return where each of these was allocated; nothing, if nobody saw any. O(things times witnesses)."""
    witnesses = list(_witnesses)
    if not witnesses:
        return ()
    asked = ((witness.site_of(thing) for witness in witnesses) for thing in things)
    sites = tuple(next((site for site in answers if site is not None), None) for answers in asked)
    return sites if any(sites) else ()
