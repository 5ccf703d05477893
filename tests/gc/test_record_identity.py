"""Handles: one for a record, whatever way led to it; weak knowledge; and what is left of them when the heap closes."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest

import heapwright as hw


@hw.record
class Node:
    key: hw.i64
    next: hw.Ref["Node"]


def test_a_record_has_one_handle() -> None:
    heap = hw.RecordHeap()
    first = heap.new(Node, key=1)
    first.next = first
    assert first.next is first
    assert {first, first.next} == {first}
    assert heap[Node][0] is first


def test_python_and_its_collector_agree_on_what_a_handle_is() -> None:
    program = """
        import gc, random, heapwright as hw
        @hw.record
        class Node:
            key: int
            next: hw.Ref["Node"]
        for collector in (hw.MarkSweep, hw.Generational, hw.Incremental, hw.Concurrent):
            heap, kept = hw.RecordHeap(collector(every=1, compact_above=0.0), poison=True), []
            for i in range(300):
                kept.append(heap.new(Node, key=i, next=random.choice(kept) if kept else None))
                if len(kept) > 20:
                    kept.pop(random.randrange(20))
                if i % 50 == 0:
                    gc.collect()
            assert all(node.next is None or node.next.key < node.key for node in kept)
    """
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program)],
        env={"PYTHONMALLOC": "debug"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_class_of_records_that_holds_its_heap_goes() -> None:
    def make() -> Any:
        @hw.record
        class Local:
            me: hw.Ref["Local"]

        heap = hw.RecordHeap()
        local = heap.new(Local)
        local.me = local
        Local.heap = heap  # type: ignore[attr-defined]
        return weakref.ref(Local)

    gone = make()
    gc.collect()
    assert gone() is None


def test_a_weak_record_is_about_the_record_and_not_its_handle() -> None:
    heap = hw.RecordHeap(poison=True)
    first = heap.new(Node, key=1, next=heap.new(Node, key=2))
    weak = hw.WeakRecord(first.next)
    heap.collect()
    heap.compact()
    second = weak.upgrade()
    assert second is not None
    assert second.key == 2
    first.next = None
    heap.collect()
    assert weak.upgrade() is second
    del second
    heap.collect()
    assert weak.upgrade() is None


def test_what_is_left_of_a_closed_heap_says_so() -> None:
    heap = hw.RecordHeap()
    node, run = heap.new(Node, key=1), heap.extend(Node, key=[1, 2])
    weak = hw.WeakRecord(node)
    heap.close()
    heap.close()
    for use in (lambda: node.key, lambda: run[0], weak.upgrade, heap.collect, lambda: heap.new(Node, key=2)):
        with pytest.raises(hw.HandleReleased):
            use()
    assert repr(node) == "<Node of a closed heap>"


def test_records_lie_in_a_space_of_ones_own_and_nobody_else_does() -> None:
    spaces: list[hw.AnonymousSpace] = []

    def space(size_bytes: int) -> hw.AnonymousSpace:
        spaces.append(hw.AnonymousSpace(size_bytes, huge_pages=True))
        return spaces[-1]

    heap = hw.RecordHeap(capacity="1MiB", space=space)
    node = heap.new(Node, key=7)
    assert [one.size_bytes for one in spaces] == [2 << 20]  # a huge page
    with pytest.raises(hw.SpaceInUse):
        hw.Heap(spaces[0])
    with pytest.raises(hw.ViewExported):
        spaces[0].protect(hw.model.space.Permissions.READ)
    with pytest.raises(hw.SpaceInUse):
        hw.RecordHeap(space=lambda size_bytes: spaces[0]).new(Node, key=8)
    assert node.key == 7
    heap.close()
    assert hw.Heap(spaces[0]).allocate(64).size_bytes == 64


def test_a_fork_does_not_cut_a_collection_in_two() -> None:
    heap = hw.RecordHeap(hw.MarkSweep(automatic=False), poison=True)
    done = threading.Event()
    kept: list[object] = []

    def move() -> None:
        """Nearly all of the time, be in the middle of a collection or of a compaction."""
        while not done.is_set():
            junk = heap.extend(Node, key=np.arange(50_000))
            kept.append(heap.extend(Node, key=np.arange(300_000), next=np.arange(300_000) - 1)[-1])  # one root
            del junk, kept[:-1]
            heap.collect()
            heap.compact()

    worker = threading.Thread(target=move)
    worker.start()
    try:
        for _ in range(30):
            time.sleep(0.003)
            child = os.fork()
            if child == 0:
                heap.check()
                heap.collect()
                heap.compact()
                heap.check()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        worker.join()
