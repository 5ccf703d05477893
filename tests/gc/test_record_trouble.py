"""What goes wrong around a record heap: no memory, at every request; closed in use; threads, forks; bad input."""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import heapwright as hw


@hw.record
class Part:
    number: hw.i64
    next: hw.Ref["Part"]
    parts: hw.Refs["Part"]
    name: str = ""


COLLECTORS = [
    hw.MarkSweep(),
    hw.Generational(promote_after=2),
    hw.Incremental(),
    hw.Concurrent(),
]
every_collector = pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: type(collector).__name__)


@every_collector
def test_python_has_no_memory_at_the_nth_request_for_every_n(
    collector: hw.MarkSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda report: None)  # generators that cannot even be closed
    testcapi = pytest.importorskip("_testcapi")
    heap = hw.RecordHeap(collector, poison=True)
    hub = heap.new(Part, number=0)
    refused = 0

    def new() -> None:
        hub.next = heap.new(Part, number=1, name="text of some length", next=hub.next)

    def append() -> None:
        hub.parts.append(hub)

    def run() -> None:
        hub.next = heap.extend(Part, number=[1, 2, 3], next=[1, 2, -1])[0]

    operations: list[Callable[[], Any]] = [new, append, heap.collect, heap.step, heap.check]
    if sys.version_info < (3, 12):  # 3.12.1 and 3.13.0 crash by themselves when a generator has no memory
        operations += [run, heap.statistics]
    for n in range(60):
        for operation in operations:
            testcapi.set_nomemory(n, n + 1)
            try:
                operation()
            except MemoryError:
                refused += 1
            finally:
                testcapi.remove_mem_hooks()
            heap.check()
            assert all(part is hub for part in hub.parts)
    assert refused >= len(operations)
    hub.next = None
    hub.parts.clear()
    heap.collect()
    assert heap.check() == 0
    assert len(heap[Part]) == 1
    assert heap.statistics().handles == 1
    assert heap.statistics().runs == 0


@every_collector
def test_a_full_heap_says_so_and_is_as_it_was(collector: hw.MarkSweep) -> None:
    heap = hw.RecordHeap(collector, capacity="64KiB")
    kept = heap.new(Part, number=0)

    def fill() -> None:
        for number in range(1 << 16):
            kept.next = heap.new(Part, number=number, next=kept.next)

    with pytest.raises(hw.RecordHeapFull) as caught:
        fill()
    assert caught.value.capacity_bytes == 64 << 10
    assert caught.value.used_bytes > 60 << 10
    with pytest.raises(hw.RecordHeapFull):
        kept.name = "x" * (1 << 16)
    with pytest.raises(hw.RecordHeapFull):
        kept.parts = [kept] * (1 << 14)
    with pytest.raises(hw.RecordHeapFull):
        heap.extend(Part, number=range(1 << 14))
    assert (kept.name, list(kept.parts)) == ("", [])
    assert heap.check() == 0 or heap.collect() >= 0
    kept.next = None
    heap.collect()
    kept.name = "there is room again"
    assert heap.check() == 0


def test_a_closed_heap_refuses_all_and_hurts_nothing() -> None:
    heap = hw.RecordHeap()
    part = heap.new(Part, number=1)
    run = heap.extend(Part, number=[1, 2])
    parts = part.parts
    column = heap[Part].column("number")
    with pytest.raises(hw.ViewExported):
        heap.close()
    assert column.tolist() == [1, 1, 2]
    del column
    heap.close()
    heap.close()
    refused: list[Callable[[], Any]] = [
        lambda: part.number,
        lambda: setattr(part, "number", 2),
        lambda: part.parts,
        lambda: len(parts),
        lambda: parts.append(part),
        lambda: run[0],
        lambda: heap.new(Part, number=1),
        lambda: heap.extend(Part, number=[1]),
        lambda: heap[Part].column("number"),
        heap.collect,
        heap.step,
        heap.compact,
        heap.check,
        heap.statistics,
    ]
    for operation in refused:
        with pytest.raises(hw.HandleReleased):
            operation()
    assert "closed" in repr(part)


@every_collector
def test_threads_that_make_read_and_collect(collector: hw.MarkSweep) -> None:
    heap = hw.RecordHeap(collector, poison=True)
    heads = [heap.new(Part, number=0) for _ in range(4)]
    failed: list[BaseException] = []

    def work(head: Part) -> None:
        try:
            for number in range(1, 2_000):
                head.next = heap.new(Part, number=number, next=head.next if number % 50 else None)
                if number % 400 == 0:
                    heap.collect(minor=number % 800 == 0)
                    heap.check()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(head,)) for head in heads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    heap.collect()
    assert heap.check() == 0
    assert len(heap[Part]) == sum(map(length, heads))


def length(head: Part) -> int:
    n, part = 0, head
    while part is not None:
        n, part = n + 1, part.next  # type: ignore[assignment]
    return n


@every_collector
def test_a_child_has_the_heap_as_it_was_and_goes_on_with_it(collector: hw.MarkSweep) -> None:
    heap = hw.RecordHeap(collector)
    kept = heap.new(Part, number=0)
    for number in range(20_000):
        kept.next = heap.new(Part, number=number, next=kept.next)
    heap.step(0)  # a cycle is under way, where there are such
    child = os.fork()
    if child == 0:
        try:
            heap.check()
            kept.next = None
            heap.collect()
            os._exit(0 if len(heap[Part]) == 1 and heap.check() == 0 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert length(kept) == 20_001
    assert heap.check() == 0


def test_bad_input_is_refused_by_name_and_changes_nothing() -> None:
    heap, other = hw.RecordHeap(), hw.RecordHeap()
    part, stranger = heap.new(Part, number=5, name="five"), other.new(Part, number=6)
    refused: list[tuple[type[Exception], Callable[[], Any]]] = [
        (hw.ForeignRecord, lambda: setattr(part, "next", stranger)),
        (hw.ForeignRecord, lambda: setattr(part, "parts", [part, stranger])),
        (hw.ForeignRecord, lambda: part.parts.append(stranger)),
        (hw.WrongRecord, lambda: setattr(part, "next", "x")),
        (hw.WrongRecord, lambda: setattr(part, "parts", [part, None])),
        (hw.ValueOutOfRange, lambda: setattr(part, "number", 1 << 63)),
        (hw.ValueOutOfRange, lambda: setattr(part, "number", -(1 << 63) - 1)),
        (TypeError, lambda: setattr(part, "number", 1.5)),
        (TypeError, lambda: setattr(part, "name", b"five")),
        (UnicodeEncodeError, lambda: setattr(part, "name", "\udc80")),
        (AttributeError, lambda: delattr(part, "number")),
        (AttributeError, lambda: setattr(part, "nmber", 1)),
        (TypeError, lambda: heap.new(Part, nmber=1)),
        (TypeError, lambda: heap.new(int)),
        (ValueError, lambda: heap.extend(Part, number=[1, 2], next=[0])),
        (IndexError, lambda: heap.extend(Part, number=[1, 2], next=[0, 7])),
        (ValueError, lambda: heap.extend(Part, number=[])),
        (TypeError, lambda: heap.extend(Part, nmber=[1])),
    ]
    for error, operation in refused:
        with pytest.raises(error):
            operation()
        assert (part.number, part.name, part.next, list(part.parts)) == (5, "five", None, [])
        heap.check()
    heap.collect()
    assert len(heap[Part]) == 1
