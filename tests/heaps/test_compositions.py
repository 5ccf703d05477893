"""Whatever is stacked on whatever keeps the contract: all pairs of adaptors, and random towers of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

import heapwright as hw
from heapwright.testing import ADAPTOR_CLAUSES, CLAUSES, PlainResource, adaptor_conformance, conformance

ROOM = 32 << 10


def heap() -> hw.Heap[Any]:
    return hw.Heap(hw.AnonymousSpace("1MiB"))


LAYERS: dict[str, Callable[[Any], Any]] = {
    "adaptor": hw.Adaptor,
    "limiting": lambda upstream: hw.Limiting(upstream, 4 * ROOM),
    "statistics": hw.Statistics,
    "tracking": hw.Tracking,
    "logging": lambda upstream: hw.Logging(upstream, lambda event: None),
    "failure callback": lambda upstream: hw.FailureCallback(upstream, lambda size_bytes: False),
    "retrying callback": lambda upstream: hw.FailureCallback(upstream, lambda size_bytes: True, attempts=2),
    "fallback first": lambda upstream: hw.Fallback(upstream, PlainResource()),
    "segregator small": lambda upstream: hw.Segregator(upstream, heap(), 1000),
    "thread safe": hw.ThreadSafe,
    "aligned": lambda upstream: hw.Aligned(upstream, 64),
}
#: Those that the upstream is not the first choice of: it need not see every request, so only the whole is checked.
BESIDE: dict[str, Callable[[Any], Any]] = {
    "fallback second": lambda upstream: hw.Fallback(hw.Limiting(heap(), 500), upstream),
    "segregator large": lambda upstream: hw.Segregator(PlainResource(), upstream, 100),
    "one heap twice": lambda upstream: hw.Fallback(hw.Limiting(upstream, 1000), upstream),
}


def tower(*names: str) -> Callable[[Any], Any]:
    """Stack adaptors, the innermost first."""

    def build(upstream: Any) -> Any:
        for name in names:
            upstream = {**LAYERS, **BESIDE}[name](upstream)
        return upstream

    return build


@pytest.mark.parametrize(("inner", "outer"), list(product(LAYERS, repeat=2)))
def test_every_pair_conforms(inner: str, outer: str) -> None:
    """In every clause but the random programs, which the towers have."""
    build = tower(inner, outer)
    for clause in ADAPTOR_CLAUSES:
        clause(build, room_bytes=ROOM)
    for clause in CLAUSES[:-1]:
        clause(lambda: build(PlainResource()), room_bytes=ROOM)


def _random_towers(count: int) -> list[tuple[str, ...]]:
    choose = random.Random(2026)
    return [tuple(choose.choices([*LAYERS, *BESIDE], k=choose.choice([3, 3, 4, 6]))) for _ in range(count)]


@pytest.mark.parametrize("names", _random_towers(25), ids=" / ".join)
def test_random_towers_conform(names: tuple[str, ...]) -> None:
    conformance(lambda: tower(*names)(heap()), room_bytes=ROOM, examples=3)


@pytest.mark.slow
@pytest.mark.parametrize("names", _random_towers(100)[25:], ids=" / ".join)
def test_many_random_towers_conform(names: tuple[str, ...]) -> None:
    conformance(lambda: tower(*names)(heap()), room_bytes=ROOM, examples=25)


@pytest.mark.parametrize(
    "outer", sorted(LAYERS.keys() - {"fallback first", "segregator small"})
)  # they have more memory
def test_a_limit_below_is_kept_through_every_adaptor(outer: str) -> None:
    build = LAYERS[outer]
    adaptor_conformance(
        lambda upstream: build(hw.Limiting(upstream, 2 * ROOM)), room_bytes=ROOM, limit_bytes=2 * ROOM, examples=2
    )


@pytest.mark.parametrize("wrong", [None, 3, "heap", hw.AnonymousSpace(1)], ids=repr)
def test_what_is_no_resource_is_refused_when_the_adaptor_is_made(wrong: Any) -> None:
    heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    for make in (
        hw.Adaptor,
        hw.Statistics,
        hw.Tracking,
        hw.ThreadSafe,
        lambda upstream: hw.Limiting(upstream, 1),
        lambda upstream: hw.FailureCallback(upstream, print),
        lambda upstream: hw.Fallback(heap, upstream),
        lambda upstream: hw.Segregator(upstream, heap, 1),
        lambda upstream: hw.HeapBuilder().capacity("1MiB").fallback(upstream).build(),
    ):
        with pytest.raises(hw.UnsuitableUpstream, match="it is no memory resource and"):
            make(wrong)
