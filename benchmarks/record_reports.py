"""What a report on a million linked records costs, beside the tools that answer the like for Python objects.

python -m benchmarks.record_reports [--nodes 1000000] [--rounds 3] [--rivals] [--json FILE]

The graph: node i is an int, a float, a reference to node i-1 and one to a random earlier node; records in order, and
shuffled, and a class with `__slots__` for the rivals. Held is the last node only. The questions:

    sizes    what would be freed without each node: `heap.retained()`. guppy3's `domisize` says it of one object;
             pympler's `asizeof` the size of a list of them all: it goes a hundred references deep, not a million
    path     what keeps the first node: `heap.why_alive()`, guppy3's `shpaths`. objgraph is not here: it searches
             backwards, by asking all objects for the referrers of one, and then of the next
    cycles   the graph closed to a ring: `heap.cycles()`, refcycle's strongly connected components

Claims: sizes within 0.6 s at a million, everything in 44 bytes a record and 8 a reference of scratch memory.
CPU time; memory is what the peak of resident bytes rose by. Each contender in a process of its own. Rivals run once,
for one takes two minutes and 8 GB; what is not installed is skipped with a note.
"""

import argparse
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import heapwright as hw


@hw.record
class Node:
    key: hw.i64
    value: hw.f64
    left: hw.Ref["Node"]
    right: hw.Ref["Node"]


class Slots:
    __slots__ = ("key", "left", "right", "value")

    def __init__(self, key: int, value: float, left: "Slots | None", right: "Slots | None") -> None:
        self.key, self.value, self.left, self.right = key, value, left, right


def records(nodes: int, *, shuffled: bool, ring: bool = False) -> tuple[hw.RecordHeap, Node, Node]:
    """A heap, its last node and its first."""
    import numpy as np

    choose = np.random.default_rng(1)
    place = choose.permutation(nodes) if shuffled else np.arange(nodes)
    earlier = (choose.random(nodes) * np.arange(nodes)).astype(np.int64)
    left, right = np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    left[place[1:]], right[place[1:]] = place[:-1], place[earlier[1:]]
    left[place[0]], right[place[0]] = place[-1] if ring else -1, -1
    heap = hw.RecordHeap()
    run = heap.extend(Node, key=np.arange(nodes), value=0.5, left=left, right=right)
    return heap, run[int(place[-1])], run[int(place[0])]


def objects(nodes: int, *, ring: bool = False) -> list[Slots]:
    choose = random.Random(1)
    made = [Slots(0, 0.5, None, None)]
    for key in range(1, nodes):
        made.append(Slots(key, key / 2, made[-1], made[choose.randrange(key)]))
    if ring:
        made[0].left = made[-1]
    return made


# ---- contenders: each makes its graph, and returns the question ------------------------------------------------------


def retained(nodes: int, *, shuffled: bool) -> Callable[[], Any]:
    heap, last, _ = records(nodes, shuffled=shuffled)
    return lambda: (heap.retained(), last)


def why_alive(nodes: int, *, shuffled: bool) -> Callable[[], Any]:
    heap, last, first = records(nodes, shuffled=shuffled)
    return lambda: (heap.why_alive(first), last)


def cycles(nodes: int, *, shuffled: bool) -> Callable[[], Any]:
    heap, last, _ = records(nodes, shuffled=shuffled, ring=True)
    return lambda: (heap.cycles(), last)


def pympler_asizeof(nodes: int) -> Callable[[], Any]:
    from pympler import asizeof

    made = objects(nodes)
    return lambda: asizeof.asizeof(made)


def guppy_domisize(nodes: int) -> Callable[[], Any]:
    from guppy import hpy

    holder, heapy = [objects(nodes)[-1]], hpy()

    def ask() -> None:
        assert heapy.iso(holder).domisize > 64 * nodes

    return ask


def guppy_shpaths(nodes: int) -> Callable[[], Any]:
    from guppy import hpy

    made, heapy = objects(nodes), hpy()
    first, holder = made[0], [made[-1]]
    made.clear()
    return lambda: (str(heapy.iso(first).shpaths), holder)


def refcycle_components(nodes: int) -> Callable[[], Any]:
    import refcycle

    last = objects(nodes, ring=True)[-1]
    return lambda: len(refcycle.objects_reachable_from(last).strongly_connected_components())


OURS: dict[str, tuple[str, Callable[..., Callable[[], Any]]]] = {
    "heap.retained()": ("sizes", retained),
    "heap.why_alive()": ("path", why_alive),
    "heap.cycles()": ("cycles", cycles),
}
RIVALS: dict[str, tuple[str, str, Callable[[int], Callable[[], Any]]]] = {
    "pympler asizeof (of them all)": ("sizes", "pympler", pympler_asizeof),
    "guppy3 domisize (one object)": ("sizes", "guppy", guppy_domisize),
    "guppy3 shpaths": ("path", "guppy", guppy_shpaths),
    "refcycle components": ("cycles", "refcycle", refcycle_components),
}


def ask(name: str, nodes: int, rounds: int, order: str) -> dict[str, Any]:
    """In a process of its own: make the graph, ask, and say what it took."""
    question = RIVALS[name][2](nodes) if name in RIVALS else OURS[name][1](nodes, shuffled=order == "shuffled")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        question()
        taken.append(time.process_time() - start)
    rose = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"cpu_s": median(taken), "cpu_s_min": min(taken), "rose_bytes": rose * 1024}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.record_reports", description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rivals", action="store_true", help="the other tools too: three minutes, 8 GB")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--ask", nargs=2, metavar=("NAME", "ORDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.ask:
        print(json.dumps(ask(options.ask[0], options.nodes, options.rounds, options.ask[1])))
        return
    contenders = [(name, question, order) for name, (question, _) in OURS.items() for order in ("in order", "shuffled")]
    for name, (question, package, _) in RIVALS.items():
        if options.rivals and importlib.util.find_spec(package) is None:
            print(f"skipping {name}: {package} is not installed", file=sys.stderr)
        elif options.rivals:
            contenders.append((name, question, "in order"))
    rows = []
    for name, question, order in contenders:
        rounds = str(1 if name in RIVALS else options.rounds)
        command = [sys.executable, "-m", "benchmarks.record_reports", "--nodes", str(options.nodes), "--rounds", rounds]
        finished = subprocess.run([*command, "--ask", name, order], check=True, capture_output=True, text=True)
        rows.append({"question": question, "name": name, "order": order, **json.loads(finished.stdout)})
    print(f"\n{f'{options.nodes:,} nodes':50} {'s':>7} {'MB':>7}")
    for row in sorted(rows, key=lambda row: str(row["question"])):
        label = f"{row['question']}: {row['name']}, {row['order']}"
        print(f"{label:50} {row['cpu_s']:7.3f} {row['rose_bytes'] / 1e6:7.0f}")
    if options.json:
        machine = {"processors": os.cpu_count(), "load": os.getloadavg()[0], "python": sys.version.split()[0]}
        figures = {"nodes": options.nodes, "rounds": options.rounds, "machine": machine, "rows": rows}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
