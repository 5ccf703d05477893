"""What a block costs: allocate and deallocate 64 B from Python, against the objects that Python programs use instead.

python -m benchmarks.heap [--rounds 41] [--live 1000000] [--json FILE]

Two claims. `heap.allocate(64)` with `heap.deallocate(block)` costs at most 2.5 times `object()`; and what an operation
costs hardly depends on how many blocks are live. The second has two readings, and both are printed: the pair again
beside many live blocks, and replacing live blocks at random, where every operation also misses the caches; there the
same program with `object()` and `bytearray` says what the misses alone cost.

CPU time of one thread; all contenders take turns in short batches; ratios are taken within a round, then the median.
"""

import argparse
import json
import random
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import heapwright as hw
from benchmarks.beside_object import CALLS, Batch, beside_object, cpu_ns, dropped, given_back

STRATEGIES = [hw.FirstFit, hw.BestFit, hw.WorstFit, hw.NextFit, hw.TLSF, hw.Buddy, hw.Slab]
SIZES = (16, 32, 48, 64, 100, 200, 500, 1000)
REPLACEMENTS = 20_000


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.heap", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--live", type=int, default=1_000_000, help="blocks that are live in the second table")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    figures = {"pair": pairs(options.rounds), "live": live(options.live, max(3, options.rounds // 8))}
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1))


def pairs(rounds: int) -> list[dict[str, Any]]:
    """Make and drop one thing of 64 bytes."""
    contenders: dict[str, Batch] = {}
    for strategy in STRATEGIES:
        contenders[f"Heap[{strategy.__name__}]"] = pair_batch(hw.Heap[strategy](hw.AnonymousSpace("1MiB")))
    contenders["Heap(strategy=BestFit())"] = pair_batch(hw.Heap(hw.AnonymousSpace("1MiB"), strategy=hw.BestFit()))
    contenders["bytearray(64)"] = dropped(bytearray, 64)
    contenders["np.empty(8)"] = dropped(np.empty, 8)
    return beside_object("64 B, made and dropped", contenders, rounds)


def live(many: int, rounds: int) -> list[dict[str, Any]]:
    """Compare a heap with a thousand live blocks and one with many."""
    few = 1000
    print(f"\n{'per operation, ns':28} {few:>9,} {many:>11,} {'ratio':>6}   live blocks")
    rows = []

    def row(name: str, small: Batch, large: Batch, operations: int) -> None:
        samples = [(cpu_ns(small) / operations, cpu_ns(large) / operations) for _ in range(rounds)]
        ns = [median(sample[i] for sample in samples) for i in (0, 1)]
        ratio = median(large_ns / small_ns for small_ns, large_ns in samples)
        rows.append({"name": name, "ns_few": ns[0], "ns_many": ns[1], "ratio": ratio})
        print(f"{name:28} {ns[0]:9.0f} {ns[1]:11.0f} {ratio:6.2f}")

    for strategy in STRATEGIES:
        small, large = (Replaced(heap_maker(strategy, count), count) for count in (few, many))
        row(f"{strategy.__name__}, pair", pair_batch(small.maker.heap), pair_batch(large.maker.heap), CALLS)
        row(f"{strategy.__name__}, at random", small, large, REPLACEMENTS)
        del small, large
    for name, make in (("object()", lambda size: object()), ("bytearray", bytearray)):
        row(f"{name}, at random", Replaced(make, few), Replaced(make, many), REPLACEMENTS)
    return rows


class Replaced:
    """Live things, of which random ones are dropped and made anew: a program with a working set."""

    def __init__(self, maker: Any, count: int) -> None:
        choose = random.Random(1)  # the same program for every contender
        self.maker = maker
        self.sizes = [choose.choice(SIZES) for _ in range(REPLACEMENTS)]
        self.things: list[Any] = [maker(size) for size in islice(cycle(self.sizes), count)]
        self.choices = [choose.randrange(count) for _ in range(20 * REPLACEMENTS)]
        self.batch = 0
        for _ in range(max(20, 2 * count // REPLACEMENTS)):
            self()  # until the heap looks as it does after a long time

    def __call__(self) -> None:
        things, make = self.things, self.maker
        start = self.batch % 20 * REPLACEMENTS
        self.batch += 1
        for which, size in zip(self.choices[start : start + REPLACEMENTS], self.sizes, strict=True):
            things[which] = None
            things[which] = make(size)


def heap_maker(strategy: Any, count: int) -> Any:
    """Return a maker that allocates; its heap beside it."""
    heap = hw.Heap[strategy](hw.AnonymousSpace(count * 4096))
    allocate = heap.allocate

    def make(size: int) -> hw.Block:
        return allocate(size)

    make.heap = heap  # type: ignore[attr-defined]
    return make


def pair_batch(heap: Any) -> Batch:
    return given_back(heap.allocate, heap.deallocate, 64)


if __name__ == "__main__":
    main()
