"""One graph of (int64, float64, two references), made of records and of what else Python programs make it of.

Node i refers to the node made before it and to a random earlier one, and the last one leads to all. In order, a node
lies in memory where that says; shuffled, at a random place, as in a program that has run for a while.
"""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import recordclass

import heapwright as hw

DTYPE = np.dtype([("key", "i8"), ("value", "f8"), ("left", "u4"), ("right", "u4")])


@hw.record
class Node:
    key: hw.i64
    value: hw.f64
    left: hw.Ref["Node"]
    right: hw.Ref["Node"]


class Plain:
    def __init__(self, key: int, value: float) -> None:
        self.key, self.value, self.left, self.right = key, value, None, None


class Slots:
    __slots__ = ("key", "left", "right", "value")

    def __init__(self, key: int, value: float) -> None:
        self.key, self.value, self.left, self.right = key, value, None, None


class Struct(msgspec.Struct):
    key: int
    value: float
    left: Any = None
    right: Any = None


class UntrackedStruct(msgspec.Struct, gc=False):
    key: int
    value: float
    left: Any = None
    right: Any = None


RecordClass = recordclass.make_dataclass("RecordClass", ("key", "value", "left", "right"), defaults=(None, None))

#: Called with key and value. Nothing collects cycles of the last two.
OBJECTS: dict[str, Callable[..., Any]] = {
    "plain class": Plain,
    "__slots__": Slots,
    "msgspec.Struct": Struct,
    "msgspec.Struct(gc=False)": UntrackedStruct,
    "recordclass": RecordClass,
}
COLLECTED = ("plain class", "__slots__", "msgspec.Struct")


def columns(nodes: int, shuffled: bool) -> tuple[dict[str, Any], int]:
    """Return columns, references as places (-1: none), and the place that leads to all."""
    random = np.random.default_rng(1)
    earlier = (random.random(nodes) * np.arange(nodes)).astype(np.int64)
    left, right = np.arange(-1, nodes - 1), earlier
    right[0] = -1
    place = random.permutation(nodes) if shuffled else np.arange(nodes)
    filled: dict[str, Any] = {"key": np.arange(nodes), "value": np.arange(nodes) / 2}
    for name, target in (("left", left), ("right", right)):
        filled[name] = np.empty(nodes, np.int64)
        filled[name][place] = np.where(target < 0, -1, place[target])
    return filled, int(place[-1])


def of_records(heap: hw.RecordHeap, given: tuple[dict[str, Any], int]) -> Node:
    filled, last = given
    return heap.extend(Node, **filled)[last]


def of_objects(make: Callable[..., Any], given: tuple[dict[str, Any], int]) -> Any:
    filled, last = given
    made = [make(key, value) for key, value in zip(filled["key"].tolist(), filled["value"].tolist(), strict=True)]
    for one, left, right in zip(made, filled["left"].tolist(), filled["right"].tolist(), strict=True):
        if left >= 0:
            one.left, one.right = made[left], made[right]
    return made[last]


def of_numpy(given: tuple[dict[str, Any], int]) -> Any:
    filled, _ = given
    made = np.empty(len(filled["key"]), DTYPE)
    for name, values in filled.items():
        made[name] = values
    return made


def resident_bytes() -> int:
    """What the kernel says that this process has in memory, to the page."""
    rolled_up = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * int(next(line for line in rolled_up.splitlines() if line.startswith("Rss")).split()[1])


def in_a_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call in a new process, whose memory nobody else has used."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as one:
        return one.submit(work, *arguments).result()


def cpu_ms(work: Callable[[], Any]) -> float:
    """Return CPU time of the process: threads of ours are in it."""
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / 1e6
