"""The clauses that hold for adaptors: what they do to their upstream. Each docstring is the clause."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

from heapwright.model.sizes import Size
from heapwright.testing.client import IMPOSSIBLE_BYTES, Client, Subject, require
from heapwright.testing.failing import Failing
from heapwright.testing.plain import PlainBlock, PlainResource


class Broken(Exception):
    """What an upstream may raise that nobody has heard of, from requested bytes."""


def owns_its_upstream(subject: Subject) -> None:
    """The adaptor keeps its upstream, names it, and forwards owns, trim and what is freed to it."""
    below = _Watched()
    adaptor = subject.factory(below)
    upstreams = getattr(adaptor, "upstreams", (adaptor.upstream,))
    require(any(_reaches(upstream, below) for upstream in upstreams), "the upstream that was given is not in .upstream")
    client = Client(adaptor)
    for size in (100, 0, 200):
        client.allocate(size)
    require(below.statistics().block_count == 3, "3 blocks are out, and the upstream has another number")
    inside = client.held[0].block.address
    require(adaptor.owns(inside) is below.owns(inside) is True, "an address is the upstream's, and not the adaptor's")
    require(adaptor.owns(1) is below.owns(1) is False, "an address is the adaptor's, and not the upstream's")
    adaptor.trim(keep_bytes=100)
    require(below.trimmed == [100], f"trim(100) became {below.trimmed} for the upstream")
    client.deallocate(client.held[0])
    client.drop(client.held[0])
    require(below.statistics().block_count == 1, "1 block is out, and the upstream has another number")
    client.reallocate(client.held[0], 300)
    require(below.statistics().requested_bytes >= 300, "a block grew, and not in the upstream")
    require(below.statistics().block_count == 1, "a block was reallocated, and the upstream has two")
    client.drop(client.held[0])
    require(below.statistics().block_count == 0, "nothing is out, and the upstream has a block")


def survives_failures(subject: Subject) -> None:
    """A request that the upstream cannot serve, whichever it is, leaves the adaptor as it was and no block behind."""
    for error in (None, Broken):
        n = 0
        while True:
            n += 1
            below = PlainResource()
            failing = Failing(below, n.__eq__, error)
            client = Client(subject.factory(failing))
            _use(client)
            client.check_all()
            client.check_accounts()
            client.deallocate_all()
            client.check_accounts()
            left = below.statistics().block_count
            require(left == 0, f"{left} blocks stayed in the upstream after its request number {n} had failed")
            if not failing.failed_count:
                break


def _use(client: Client) -> None:
    """Make a few requests, one of which is to fail, and look whether those that failed have left a trace."""
    _attempt(client, lambda: client.allocate(100))
    _attempt(client, lambda: client.allocate(50, 64))
    _attempt(client, lambda: client.try_allocate(70))
    _attempt(client, lambda: client.reallocate(client.held[0], 400))
    _attempt(client, lambda: client.reallocate(client.held[-1], 10))
    _attempt(client, lambda: client.reallocate(client.held[0], IMPOSSIBLE_BYTES))
    client.drop(client.held[0])
    _attempt(client, lambda: client.try_allocate(30, 256))
    _attempt(client, lambda: client.allocate(IMPOSSIBLE_BYTES))


def _attempt(client: Client, request: Callable[[], object]) -> None:
    before = _current(client.resource.statistics())
    try:
        served = request() is not None
    except (MemoryError, Broken):
        served = False
    after = _current(client.resource.statistics())
    require(served or after == before, f"a request failed, and the figures went from {before} to {after}")


def keeps_its_limit_when_asked_at_once(subject: Subject) -> None:
    """Not even threads that ask at the same moment get more than the limit."""
    if subject.limit_bytes is None:
        return
    below = _Meeting(3)
    adaptor = subject.factory(below)
    size = subject.limit_bytes // 2 + 1
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(adaptor.try_allocate(size))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    require(
        below.peak_bytes <= subject.limit_bytes,
        f"{below.peak_bytes} B of a limit of {subject.limit_bytes} B were out at one time",
    )
    served = sum(block is not None for block in got)
    require(served == 1, f"{served} of 3 requests were served where there is room for 1")


class _Watched(PlainResource):
    """Remembers what it was asked to trim."""

    def __init__(self) -> None:
        super().__init__()
        self.trimmed: list[Size] = []

    def trim(self, keep_bytes: Size = 0) -> int:
        self.trimmed.append(keep_bytes)
        return super().trim(keep_bytes)


class _Meeting(PlainResource):
    """Keeps whoever asks until so many are inside, or no more seem to come."""

    def __init__(self, parties: int) -> None:
        super().__init__()
        self.peak_bytes = 0
        self._barrier = threading.Barrier(parties)

    def allocate(self, size_bytes: Size, alignment: Size = 1) -> PlainBlock:
        with suppress(threading.BrokenBarrierError):
            self._barrier.wait(0.1)
        block = super().allocate(size_bytes, alignment)
        self.peak_bytes = max(self.peak_bytes, self.statistics().requested_bytes)
        return block


def _reaches(resource: Any, below: Any) -> bool:
    """Say whether `below` is at the end of a chain."""
    seen = 0
    while resource is not None and resource is not below and seen < 100:
        upstreams = getattr(resource, "upstreams", ())
        if len(upstreams) > 1:
            return any(_reaches(upstream, below) for upstream in upstreams)
        resource, seen = getattr(resource, "upstream", None), seen + 1
    return resource is below


def _current(figures: Any) -> Any:
    """Return the part of statistics that a request which was not served leaves as it was."""
    if not is_dataclass(figures):
        return None
    return {
        field.name: _current(value) if is_dataclass(value := getattr(figures, field.name)) else value
        for field in fields(figures)
        if not any(word in field.name for word in ("peak", "total", "failed", "refused"))
    }


ADAPTOR_CLAUSES = (owns_its_upstream, survives_failures, keeps_its_limit_when_asked_at_once)
