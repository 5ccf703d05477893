"""An index of Python code as an editor keeps it, of slotted classes and of records: the same program, timed both ways.

    python examples/code_index.py [--files 1000] [--edits 200] [--plot pauses.png]

Every file of the standard library becomes a syntax tree: a node knows its parent, its first child and its next sibling,
and a name all nodes that use it, as a list through them. Then somebody edits: one file after the other is parsed again,
and its old tree, which is one large cycle, dropped. Two questions are asked of the whole: in which functions the most
used names are used, which follows references, and how deep the code is nested, which looks at every node.

Each way runs in a process of its own. Memory is what the kernel says of it, over that before the first tree; pauses are
those of CPython's collector, and of the record heap where there is one.
"""

import argparse
import ast
import gc
import json
import random
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import heapwright as hw

# ---- the data, declared twice ----------------------------------------------------------------------------------------


class SlottedName:
    __slots__ = ("text", "uses")

    def __init__(self, *, text: str) -> None:
        self.text, self.uses = text, None


class SlottedNode:
    __slots__ = ("child", "column", "kind", "line", "name", "next_use", "parent", "previous_use", "sibling")

    def __init__(self, *, kind: int, line: int, column: int, parent: "SlottedNode | None") -> None:
        self.kind, self.line, self.column, self.parent = kind, line, column, parent
        self.child = self.sibling = self.name = self.next_use = self.previous_use = None


@hw.record
class Name:
    text: str
    uses: hw.Ref["Node"]


@hw.record
class Node:
    kind: hw.u8
    line: hw.u32
    column: hw.u16
    name: hw.Ref["Name"]
    parent: hw.Ref["Node"]
    child: hw.Ref["Node"]
    sibling: hw.Ref["Node"]
    next_use: hw.Ref["Node"]
    previous_use: hw.Ref["Node"]


# ---- the program, written once ---------------------------------------------------------------------------------------


def kinds(of: type[ast.AST] = ast.AST) -> Iterator[str]:
    for kind in of.__subclasses__():
        yield kind.__name__
        yield from kinds(kind)


NUMBERS = {name: number for number, name in enumerate(kinds())}
FUNCTIONS = {NUMBERS["FunctionDef"], NUMBERS["AsyncFunctionDef"]}
NOT_TOLD_APART = (ast.expr_context, ast.operator, ast.cmpop, ast.unaryop, ast.boolop)
NAMED_BY = ("id", "attr", "name", "arg")


class Index:
    """Trees of files, and the uses of every name."""

    def __init__(self, make_node: Callable[..., Any], make_name: Callable[..., Any]) -> None:
        self.make_node, self.make_name = make_node, make_name
        self.trees: dict[Path, Any] = {}
        self.names: dict[str, Any] = {}

    def add(self, path: Path, source: str) -> None:
        if path in self.trees:
            self.forget_uses(self.trees.pop(path))
        tree: ast.AST = ast.parse(source)
        root = self.node_of(tree, None)
        waiting = [(tree, root)]
        while waiting:
            syntax, node = waiting.pop()
            before = None
            for part in ast.iter_child_nodes(syntax):
                if isinstance(part, NOT_TOLD_APART):
                    continue
                child = self.node_of(part, node)
                if before is None:
                    node.child = child
                else:
                    before.sibling = child
                before = child
                waiting.append((part, child))
        self.trees[path] = root

    def node_of(self, syntax: ast.AST, parent: Any) -> Any:
        line, column = getattr(syntax, "lineno", 0), getattr(syntax, "col_offset", 0)
        node = self.make_node(kind=NUMBERS[type(syntax).__name__], line=line, column=min(column, 65535), parent=parent)
        text = next((text for field in NAMED_BY if isinstance(text := getattr(syntax, field, None), str)), None)
        if text is not None:
            name = self.names.get(text) or self.names.setdefault(text, self.make_name(text=text))
            node.name = name
            if name.uses is not None:
                node.next_use, name.uses.previous_use = name.uses, node
            name.uses = node
        return node

    def forget_uses(self, root: Any) -> None:
        for node in walk(root):
            name = node.name
            if name is None:
                continue
            if node.next_use is not None:
                node.next_use.previous_use = node.previous_use
            if node.previous_use is not None:
                node.previous_use.next_use = node.next_use
            else:
                name.uses = node.next_use

    def users_of(self, text: str) -> Counter[str]:
        """Return in which functions a name is used, and how often: follows the uses, and parents up from each."""
        found: Counter[str] = Counter()
        node = self.names[text].uses
        while node is not None:
            above = node.parent
            while above is not None and above.kind not in FUNCTIONS:
                above = above.parent
            found[above.name.text if above is not None else "<module>"] += 1
            node = node.next_use
        return found


def walk(root: Any) -> Iterator[Any]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        child = node.child
        while child is not None:
            waiting.append(child)
            child = child.sibling


# ---- the question that looks at every node: a loop, or columns -------------------------------------------------------


def nesting_by_nodes(index: Index) -> tuple[int, int]:
    """Return how many nodes there are, and how deep the deepest is."""
    count = deepest = 0
    for root in index.trees.values():
        waiting = [(root, 0)]
        while waiting:
            node, depth = waiting.pop()
            count += 1
            deepest = max(deepest, depth)
            child = node.child
            while child is not None:
                waiting.append((child, depth + 1))
                child = child.sibling
    return count, deepest


def nesting_by_columns(heap: hw.RecordHeap) -> tuple[int, int]:
    """Return the same: all nodes go up one parent at a time, until the last has arrived."""
    heap.collect()  # trees that were dropped are in the columns until then
    parent = heap[Node].column("parent")
    at, deepest = parent[parent != 2**32 - 1], 0
    while len(at):
        at = parent[at]
        at, deepest = at[at != 2**32 - 1], deepest + 1
    return len(parent), deepest


# ---- both ways, timed ------------------------------------------------------------------------------------------------


class CollectorPauses:
    """How long CPython's collector stopped the program, each time."""

    def __init__(self) -> None:
        self.taken_ns: list[int] = []
        self._since = 0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._since = time.perf_counter_ns()
        else:
            self.taken_ns.append(time.perf_counter_ns() - self._since)


def run(way: str, files: int, edits: int) -> dict[str, Any]:
    sources = {path: path.read_text(encoding="utf-8") for path in standard_library()[:files]}
    pauses, before = CollectorPauses(), resident_bytes()
    heap = hw.RecordHeap(hw.Incremental())
    index = Index(SlottedNode, SlottedName)
    if way == "records":
        index = Index(lambda **fields: heap.new(Node, **fields), lambda **fields: heap.new(Name, **fields))
    start = time.perf_counter()
    for path, source in sources.items():
        index.add(path, source)
    built_s = time.perf_counter() - start
    built_bytes = resident_bytes() - before
    choose, took = random.Random(1), []
    for _ in range(edits):
        path = choose.choice(list(sources))
        start = time.perf_counter()
        index.add(path, "\n" + sources[path])
        took.append(time.perf_counter() - start)
    uses = Counter({text: sum(index.users_of(text).values()) for text in index.names})
    most_used = [text for text, _ in uses.most_common(100)]
    _, users_s = timed(lambda: [index.users_of(text) for text in most_used])
    of_heap = heap.statistics().pauses
    look = (lambda: nesting_by_columns(heap)) if way == "records" else (lambda: nesting_by_nodes(index))
    (nodes, deepest), nesting_s = timed(look)
    return {
        "nodes": nodes,
        "deepest": deepest,
        "most used": most_used[0],
        "memory, built, MiB": built_bytes / 2**20,
        "memory, edited, MiB": (resident_bytes() - before) / 2**20,
        "built, s": built_s,
        "an edit, median, ms": 1000 * median(took),
        "an edit, longest, ms": 1000 * max(took),
        "users of 100 names, ms": 1000 * users_s,
        "nesting of all nodes, ms": 1000 * nesting_s,
        "pauses, CPython's, longest, ms": max(pauses.taken_ns, default=0) / 1e6,
        "pauses, CPython's, all, ms": sum(pauses.taken_ns) / 1e6,
        "pauses, record heap's, longest, ms": of_heap.longest_ns / 1e6,
        "pauses, record heap's, all, ms": of_heap.total_ns / 1e6,
        "histograms": {
            "CPython's": in_powers_of_two(pauses.taken_ns),
            "record heap's": dict(of_heap.histogram),
        },
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def in_powers_of_two(durations_ns: list[int]) -> dict[int, int]:
    return dict(sorted(Counter(1 << (max(ns, 1).bit_length() - 1) for ns in durations_ns).items()))


def standard_library() -> list[Path]:
    root = Path(sysconfig.get_path("stdlib"))
    left_out = {"site-packages", "test", "tests", "lib2to3", "idlelib", "turtledemo"}
    return sorted(path for path in root.rglob("*.py") if not left_out & set(path.relative_to(root).parts))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


# ---- showing it ------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=1000, help="of the standard library, at most")
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--plot", type=Path, help="save a picture of all pauses here (needs matplotlib)")
    parser.add_argument("--way", choices=("slotted classes", "records"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(run(options.way, options.files, options.edits)))
        return
    how = ["--files", str(options.files), "--edits", str(options.edits)]
    figures = {way: in_a_process(way, how) for way in ("slotted classes", "records")}
    slotted, records = figures.values()
    print(f"{'':36} {'slotted classes':>16} {'records':>12}")
    for what in slotted:
        if what != "histograms":
            cells = [f"{one[what]:.1f}" if isinstance(one[what], float) else str(one[what]) for one in figures.values()]
            print(f"{what:36} {cells[0]:>16} {cells[1]:>12}")
    assert [slotted[same] for same in ("nodes", "deepest")] == [records[same] for same in ("nodes", "deepest")]
    if options.plot:
        draw({way: one["histograms"] for way, one in figures.items()}, options.plot)


def in_a_process(way: str, arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--way", way, *arguments]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def draw(histograms: dict[str, dict[str, dict[str, int]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(histograms), sharex=True, sharey=True, figsize=(7, 5), layout="constrained")
    for axis, (way, collectors) in zip(axes, histograms.items(), strict=True):
        for name, buckets in ((name, buckets) for name, buckets in collectors.items() if buckets):
            at = np.array([int(ns) for ns in buckets]) / 1e6
            axis.bar(at, buckets.values(), width=at, align="edge", alpha=0.6, label=name)
        axis.set(xscale="log", yscale="log", ylabel="pauses", title=way)
        axis.legend()
    axes[-1].set_xlabel("ms")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
