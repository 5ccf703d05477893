"""What a record heap has in use at most, whatever a program does: programs that are made to break the bound.

Each keeps R bytes at most reachable, and says how much that is; the bound is `heapwright.model.records.bound_bytes`.
"""

from collections.abc import Callable
from itertools import pairwise

import pytest

import heapwright as hw
from heapwright.model.records import bound_bytes

MINIMUM = 64 << 10


@hw.record
class Cell:
    number: hw.i64
    next: hw.Ref["Cell"]
    other: hw.Ref["Cell"]


@hw.record
class Letter:
    text: str
    answer: hw.Ref["Letter"]


@hw.record
class Ghost:
    number: hw.i64
    cell: hw.Ref["Cell"]

    def __finalize__(self) -> None:
        heap = self.__record_heap__  # type: ignore[attr-defined]
        for number in range(4):
            self.cell = heap.new(Cell, number=number, next=self.cell)


def churn(heap: hw.RecordHeap) -> int:
    """Nothing but garbage, beside much that stays: every cycle has all of it to mark."""
    kept = heap.extend(Cell, number=range(20_000), next=range(-1, 19_999))
    for number in range(400_000):
        heap.new(Cell, number=number)
    return len(kept) * hw.record_bytes(Cell)


def moving_list(heap: hw.RecordHeap) -> int:
    """A queue whose head moves on while a cycle looks for it (DinoV: the list that outruns an incremental marker)."""
    head = tail = heap.new(Cell, number=0)
    for number in range(1, 5_000):
        tail.next = tail = heap.new(Cell, number=number)
    for number in range(150_000):
        tail.next = tail = heap.new(Cell, number=number)
        following = head.next
        assert following is not None
        head = following
    return 5_001 * hw.record_bytes(Cell)


def large_payloads(heap: hw.RecordHeap) -> int:
    """Few records, and nearly all of it text."""
    letters = [heap.new(Letter, text="") for _ in range(8)]
    for i in range(1_500):
        letters[i % 8].text = "x" * (1 << 8 + i % 9)
    return 8 * ((1 << 16) + 64)


def growth_only(heap: hw.RecordHeap) -> int:
    """Everything stays: cycles find nothing, and must not come closer and closer together."""
    last = heap.new(Cell, number=0)
    for number in range(60_000):
        last = heap.new(Cell, number=number, next=last)
    figures = heap.statistics()
    assert figures.whole_cycles <= 60
    return 60_001 * hw.record_bytes(Cell)


ADVERSARIES = [churn, moving_list, large_payloads, growth_only]
COLLECTORS = [
    lambda growth: hw.MarkSweep(growth=growth, minimum=MINIMUM),
    lambda growth: hw.Generational(growth=growth, minimum=MINIMUM, nursery=MINIMUM // 2),
    lambda growth: hw.Incremental(growth=growth, minimum=MINIMUM, budget_us=1),
    lambda growth: hw.Concurrent(growth=growth, minimum=MINIMUM, budget_us=1),
]


@pytest.mark.parametrize("growth", [0.5, 1.0, 8.0])
@pytest.mark.parametrize("collector", COLLECTORS, ids=["MarkSweep", "Generational", "Incremental", "Concurrent"])
@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_no_program_breaks_the_bound(
    adversary: Callable[[hw.RecordHeap], int], collector: Callable[[float], hw.MarkSweep], growth: float
) -> None:
    chosen = collector(growth)
    heap = hw.RecordHeap(chosen, capacity="1GiB")
    reachable = adversary(heap)
    figures = heap.statistics()
    sliced = isinstance(chosen, hw.Incremental | hw.Concurrent)
    request = 20_000 * 16 if adversary is churn else 1 << 17
    assert figures.peak_used_bytes <= bound_bytes(growth, MINIMUM, reachable, request, sliced=sliced)
    assert figures.used_bytes <= figures.bound_bytes
    heap.check()


def test_a_large_growth_does_not_let_each_cycle_leave_more_than_the_one_before() -> None:
    """What died during a cycle is a part of what is in use, not of what may be made: else this has no end."""
    heap = hw.RecordHeap(hw.Incremental(growth=6.0, minimum=MINIMUM, budget_us=1), capacity="1GiB")
    kept = heap.extend(Cell, number=range(20_000))
    left = []
    for _ in range(6):
        cycles = heap.statistics().whole_cycles
        while heap.statistics().whole_cycles == cycles:
            for number in range(1_000):
                heap.new(Cell, number=number)
        left.append(heap.statistics().used_bytes)
    assert max(left[2:]) <= 1.5 * len(kept) * hw.record_bytes(Cell)
    assert not all(before < after for before, after in pairwise(left))


@pytest.mark.parametrize("growth", [0.5, 1.0])
@pytest.mark.parametrize("collector", COLLECTORS, ids=["MarkSweep", "Generational", "Incremental", "Concurrent"])
def test_finalizers_that_make_records_do_not_outrun_the_collector(
    collector: Callable[[float], hw.MarkSweep], growth: float
) -> None:
    """What waits to be finalized counts as reachable: it is what a cycle found dead, so T of it at most."""
    heap = hw.RecordHeap(collector(growth))
    for number in range(30_000):
        heap.new(Ghost, number=number)
    made = 30_000 * 5 * hw.record_bytes(Cell)
    assert heap.statistics().peak_used_bytes < made / 2
    for _ in range(3):
        heap.collect()
    assert [figures.live for figures in heap.statistics().classes.values()] == [0, 0]
    assert heap.statistics().classes[Cell].total_made == 4 * 30_000
