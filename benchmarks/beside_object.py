"""What a call from Python costs, made and dropped, beside `object()`: the least that Python asks for anything."""

import time
from collections.abc import Callable, Mapping
from itertools import repeat
from statistics import median
from typing import Any

CALLS = 2000  # per batch: short, so that a busy machine disturbs few of them

Batch = Callable[[], object]


def beside_object(
    title: str, contenders: Mapping[str, Batch], rounds: int, after_each: Batch = lambda: None
) -> list[dict[str, Any]]:
    """Print and return ns of CPU a call, and how many times `object()` that is: taken in turns, ratios within a round.

    Each contender is a batch of `CALLS`; ``after_each`` batch, something that is not measured.
    """
    batches = {"object()": dropped(object), **contenders}
    samples: dict[str, list[float]] = {name: [] for name in batches}
    for _ in range(rounds):
        for name, batch in batches.items():
            samples[name].append(cpu_ns(batch) / CALLS)
            after_each()
    print(f"{title:32} {'ns':>7} {'x object()':>11}")
    rows = []
    for name, costs in samples.items():
        ratio = median(cost / unit for cost, unit in zip(costs, samples["object()"], strict=True))
        rows.append({"name": name, "ns": median(costs), "ratio_to_object": ratio})
        print(f"{name:32} {median(costs):7.0f} {ratio:11.2f}")
    return rows


def dropped(make: Callable[..., object], *arguments: Any) -> Batch:
    """Return a batch that makes something, and drops it at once."""

    def batch() -> None:
        for _ in repeat(None, CALLS):
            make(*arguments)

    return batch


def given_back(acquire: Callable[..., Any], release: Callable[[Any], object], *arguments: Any) -> Batch:
    """Return a batch that acquires something, and releases it."""

    def batch() -> None:
        for _ in repeat(None, CALLS):
            release(acquire(*arguments))

    return batch


def cpu_ns(batch: Batch) -> int:
    """Return CPU time of this thread."""
    start = time.thread_time_ns()
    batch()
    return time.thread_time_ns() - start
