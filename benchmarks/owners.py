"""What owning costs: handles from Python and in C, cyclic garbage, and telling a cycle, beside who does the same.

python -m benchmarks.owners [--nodes 1000000] [--rounds 5] [--json FILE]

Handles from Python: `Shared.clone()` and its drop, beside `object()` and `weakref.ref(obj)`.
Handles in C: a pair over every one of the nodes, in order and shuffled, with threads started; where the count lies is
what differs (`native/shared_ptr.cpp`): beside the payload, in one block with it, in the payload itself, in our table.
Cyclic garbage: a ring of nodes (int, float, two references, the second to a random earlier node), given up at once;
beside the same graph of a class with `__slots__` and CPython's collector, automatic collection off in both.
A cycle told: `hw.cycles()` on the same graph.

Claims: at most 2.5 times `object()` and 1.5 times `weakref.ref`; in C at most 1.1 times `std::make_shared`; garbage
collected at least five times as fast as by CPython; the shortest cycle of a million nodes told within a second.
CPU time of one thread; contenders take turns; medians.
"""

import argparse
import gc
import json
import random
import shutil
import subprocess
import sys
import time
import weakref
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any

import heapwright as hw
from benchmarks.beside_object import beside_object, dropped

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "bench"


@hw.node
class Node:
    key: int
    value: float
    left: hw.Shared["Node"] | None
    right: hw.Shared["Node"] | None


class Slots:
    __slots__ = ("key", "left", "right", "value")

    def __init__(self, key: int, value: float, left: "Slots | None", right: "Slots | None") -> None:
        self.key, self.value, self.left, self.right = key, value, left, right


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.owners", description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {"nodes": options.nodes, "rounds": options.rounds}
    figures["python"] = handles_from_python(8 * options.rounds)
    if shutil.which("c++") is None:
        print("skipping the part in C: there is no C++ compiler (c++)", file=sys.stderr)
    else:
        figures["c"] = handles_in_c(options.nodes, options.rounds)
    figures["garbage_s"] = garbage(options.nodes, options.rounds)
    print(f"\n{f'a ring of {options.nodes:,} nodes':32} {'s':>7}")
    for name, seconds in figures["garbage_s"].items():
        print(f"{name:32} {seconds:7.3f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def handles_from_python(rounds: int) -> list[dict[str, Any]]:
    plain = type("Plain", (), {})()
    shared = hw.Shared(plain)
    contenders = {"weakref.ref(obj)": dropped(weakref.ref, plain), "Shared.clone()": dropped(shared.clone)}
    return beside_object("a handle, made and dropped", contenders, rounds)


def handles_in_c(nodes: int, rounds: int) -> list[dict[str, Any]]:
    BUILD.mkdir(parents=True, exist_ok=True)
    here = ROOT / "benchmarks" / "native"
    flags = ["-O2", "-D_GNU_SOURCE", f"-I{ROOT / 'native'}"]
    objects = []
    for source in (here / "shared_graph.c", ROOT / "native" / "core" / "shared_graph.c"):
        objects.append(str(BUILD / f"{source.parent.name}_{source.stem}.o"))
        subprocess.run(["cc", "-std=c11", *flags, "-DNDEBUG", "-c", str(source), "-o", objects[-1]], check=True)
    program = BUILD / "shared_ptr"
    subprocess.run(["c++", *flags, str(here / "shared_ptr.cpp"), *objects, "-pthread", "-o", str(program)], check=True)
    printed = subprocess.run([program, str(nodes), str(rounds)], check=True, capture_output=True, text=True).stdout
    taken: dict[str, dict[str, list[float]]] = {}
    for line in printed.splitlines():
        order, name, ns = line.split("\t")
        taken.setdefault(order, {}).setdefault(name, []).append(float(ns))
    rows = [
        {"order": order, "name": name, "ns": median(costs), "ratio_to_make_shared": median(map(truediv, costs, rival))}
        for order, by_name in taken.items()
        for name, costs in by_name.items()
        for rival in [by_name["make_shared"]]
    ]
    print(f"\n{f'a handle of {nodes:,} nodes, in C':32} {'ns':>7} {'x make_shared':>14}")
    for row in rows:
        print(f"{row['name'] + ', ' + row['order']:32} {row['ns']:7.1f} {row['ratio_to_make_shared']:14.2f}")
    return rows


def garbage(nodes: int, rounds: int) -> dict[str, float]:
    choose = random.Random(1)
    earlier = [choose.randrange(max(1, i)) for i in range(nodes)]
    taken: dict[str, list[float]] = {"nodes": [], "slots": [], "ratio": [], "cycles": []}
    gc.disable()
    try:
        for _ in range(rounds):
            kept = ring_of_nodes(earlier)
            start = time.process_time()
            (cycle,) = hw.cycles()
            taken["cycles"].append(time.process_time() - start)
            assert cycle.nodes == nodes
            kept.clear()
            start = time.process_time()
            assert hw.collect_cycles(python=False) == nodes
            taken["nodes"].append(time.process_time() - start)
            objects = ring_of_slots(earlier)
            objects.clear()
            start = time.process_time()
            gc.collect()
            taken["slots"].append(time.process_time() - start)
            taken["ratio"].append(taken["slots"][-1] / taken["nodes"][-1])
    finally:
        gc.enable()
    return {name: median(values) for name, values in taken.items()}


def ring_of_nodes(earlier: list[int]) -> list[hw.Shared[Node]]:
    made = [hw.Shared(Node(key=0, value=0.5))]
    for key in range(1, len(earlier)):
        made.append(hw.Shared(Node(key=key, value=key / 2, left=made[-1], right=made[earlier[key]])))
    made[0].value.left = made[-1]
    return made


def ring_of_slots(earlier: list[int]) -> list[Slots]:
    made = [Slots(0, 0.5, None, None)]
    for key in range(1, len(earlier)):
        made.append(Slots(key, key / 2, made[-1], made[earlier[key]]))
    made[0].left = made[-1]
    return made


if __name__ == "__main__":
    main()
