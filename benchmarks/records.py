"""What a record costs: memory, from Python one by one, by columns, and to collect; beside five classes and NumPy.

python -m benchmarks.records [--nodes 1000000] [--rounds 5] [--json FILE]

The graph is that of `record_graphs.py`. Memory: what the kernel says of a process of its own, over that before the
graph; with all that a collector needs, after a collection. The Python objects' ints and floats count, the list that
they are linked by does not; their automatic collection is off. `made_ms` is the first time in a process.

Claims: at most 25 bytes a node; a collection of a million in 30 ms; created from Python in at most 1.7 times the time
of a recordclass, a field read in 6 times that of a slot, a reference stored in 9 times; a million from columns no
slower than into a NumPy structured array; a column summed in NumPy's time; half of a million compacted in 12 ms, with
95 % of the freed bytes back; cycles of one node all reclaimed. How long the program and other threads wait:
`benchmarks.record_pauses`.
CPU time; contenders take turns; medians, of collections the least.
"""

import argparse
import gc
import json
import os
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import heapwright as hw
from benchmarks.beside_object import CALLS, Batch, beside_object
from benchmarks.record_graphs import (
    COLLECTED,
    DTYPE,
    OBJECTS,
    Node,
    columns,
    cpu_ms,
    in_a_process,
    of_numpy,
    of_objects,
    of_records,
    resident_bytes,
)
from benchmarks.samples import installed, machine

RECORDS, NUMPY = "record", "NumPy structured"
UNROLLED = 10


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.records", description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {
        "machine": machine(),
        "load": os.getloadavg(),
        "nodes": options.nodes,
        "rounds": options.rounds,
    }
    figures["rivals"] = {name: installed(name) for name in ("msgspec", "recordclass")}
    figures["calls"] = calls(8 * options.rounds)
    figures["columns_ms"] = by_columns(options.nodes, options.rounds)
    figures["graphs"] = [
        in_a_process(graph, name, options.nodes, shuffled, options.rounds)
        for shuffled in (False, True)
        for name in (RECORDS, *OBJECTS, NUMPY)
    ]
    show(f"graphs of {options.nodes:,}", figures["graphs"])
    figures["self_cycles"] = [in_a_process(self_cycles, name, options.nodes) for name in (RECORDS, *OBJECTS)]
    show("cycles of one node, dropped and collected", figures["self_cycles"])
    figures["compaction"] = [
        in_a_process(compaction, options.nodes, shuffled) for shuffled in (False, True) for _ in range(options.rounds)
    ]
    show("half of them dead", figures["compaction"])
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


# ---- one by one, from Python ----------------------------------------------------------------------------------------


def calls(rounds: int) -> list[dict[str, Any]]:
    heap, marking = hw.RecordHeap(), hw.RecordHeap(hw.Incremental(automatic=False))
    pairs = {name: (cls(1, 0.5), cls(2, 0.5)) for name, cls in OBJECTS.items()}
    pairs[RECORDS] = (heap.new(Node, key=1, value=0.5), heap.new(Node, key=2, value=0.5))
    pairs[RECORDS + ", marking"] = (marking.new(Node, key=1, value=0.5), marking.new(Node, key=2, value=0.5))
    kept = marking.extend(Node, key=np.arange(100_000), value=0.0)
    marking.step(budget_us=0)
    assert marking.statistics().phase != "idle", kept
    array = np.zeros(1, DTYPE)
    titles = {
        "created": {RECORDS: statement("make(Node, key=1, value=0.5)", make=heap.new, Node=Node)}
        | {name: statement("make(1, 0.5)", make=cls) for name, cls in OBJECTS.items()},
        "reference stored": {name: statement("a.left = b", a=a, b=b) for name, (a, b) in pairs.items()},
        "field read": {name: statement("a.value", a=a) for name, (a, _) in pairs.items()}
        | {NUMPY: statement("array[0]['value']", array=array)},
        "reference read": {name: statement("a.left", a=a) for name, (a, _) in pairs.items()},
    }
    return [{"call": title, **row} for title, of in titles.items() for row in beside_object(title, of, rounds)]


def statement(code: str, **names: Any) -> Batch:
    """Return a batch of it, with the names as local ones and little of a loop around."""
    setup = "; ".join(f"{name} = names['{name}']" for name in names)
    timer = timeit.Timer("; ".join([code] * UNROLLED), setup, globals={"names": names})
    return lambda: timer.timeit(CALLS // UNROLLED)


# ---- by columns -----------------------------------------------------------------------------------------------------


def by_columns(nodes: int, rounds: int) -> dict[str, float]:
    """Return ms to make all of them, and to sum their values.

    From the second round on the array is in memory that was an array before; a new heap never is. What first ones take
    is in `graph`.
    """
    given = columns(nodes, True)
    taken: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        results = []
        taken.setdefault(name, []).append(cpu_ms(lambda: results.append(work())))
        return results[0]

    for _ in range(rounds):
        array = timed(f"made, {NUMPY}", lambda: of_numpy(given))
        summed = {NUMPY: array["value"], "NumPy, the field alone": array["value"].copy()}
        heap = unpaced()
        summed[RECORDS] = timed(f"made, {RECORDS}", lambda heap=heap: heap.extend(Node, **given[0])).column("value")
        for name, column in summed.items():
            timed(f"summed, {name}", column.sum)
    print(f"\n{f'{nodes:,} nodes':32} {'ms':>7}")
    for name, costs in sorted(taken.items()):
        print(f"{name:32} {median(costs):7.1f}")
    return {name: median(costs) for name, costs in taken.items()}


def unpaced() -> hw.RecordHeap:
    return hw.RecordHeap(hw.MarkSweep(automatic=False))


# ---- graphs, each in its own process --------------------------------------------------------------------------------


def graph(name: str, nodes: int, shuffled: bool, rounds: int) -> dict[str, Any]:
    given = columns(nodes, shuffled)
    gc.collect()
    gc.disable()
    before = resident_bytes()
    start = time.process_time()
    collect: Callable[[], Any] = gc.collect
    if name == RECORDS:
        heap = unpaced()
        kept, collect = of_records(heap, given), heap.collect
    elif name == NUMPY:
        kept = of_numpy(given)
    else:
        kept = of_objects(OBJECTS[name], given)
    made_ms = 1000 * (time.process_time() - start)
    took = [cpu_ms(collect) for _ in range(rounds)] if name in (RECORDS, *COLLECTED) else None
    row = {
        "name": name,
        "order": order(shuffled),
        "made_ms": made_ms,
        "bytes_a_node": (resident_bytes() - before) / nodes,
        "collection_ms": took and min(took),
    }
    assert kept is not None  # until here
    return row


def self_cycles(name: str, nodes: int) -> dict[str, Any]:
    heap = unpaced()
    gc.disable()
    before = resident_bytes()
    for _ in range(nodes):
        node = heap.new(Node, key=1, value=0.5) if name == RECORDS else OBJECTS[name](1, 0.5)
        node.left = node
    del node
    held = resident_bytes() - before
    took = cpu_ms(heap.collect if name == RECORDS else gc.collect)
    heap.compact()
    return {
        "name": name,
        "held_mib": held / 2**20,
        "collection_ms": took,
        "left_mib": (resident_bytes() - before) / 2**20,
    }


def compaction(nodes: int, shuffled: bool) -> dict[str, Any]:
    """Half of the nodes die at random; what is left moves together."""
    random = np.random.default_rng(2)
    kept = random.permutation(nodes)[: nodes // 2]
    if not shuffled:
        kept.sort()
    left, right = np.full((2, nodes), -1)
    left[kept[1:]], right[kept] = kept[:-1], random.choice(kept, len(kept))
    heap = unpaced()
    last = heap.extend(Node, key=np.arange(nodes), value=1.0, left=left, right=right)[int(kept[-1])]
    freed_bytes = heap.collect() * hw.record_bytes(Node)
    before = resident_bytes()
    took = cpu_ms(heap.compact)
    back = (before - resident_bytes()) / freed_bytes
    assert last.left is not None
    return {"order": order(shuffled), "compaction_ms": took, "part_of_freed_bytes_given_back": back}


def order(shuffled: bool) -> str:
    return "shuffled" if shuffled else "in order"


def show(title: str, rows: list[dict[str, Any]]) -> None:
    names = list(rows[0])
    print(f"\n{title}\n" + " ".join(f"{name:>{max(len(name), 14)}}" for name in names))
    for row in rows:
        cells = [f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()]
        print(" ".join(f"{cell:>{max(len(name), 14)}}" for name, cell in zip(names, cells, strict=True)))


if __name__ == "__main__":
    main()
