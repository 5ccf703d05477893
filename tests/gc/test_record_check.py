"""RecordHeap.check(): what it counts, in every phase, and what it is told of by a heap that was damaged."""

import ctypes

import pytest

import heapwright as hw


@hw.record
class Ring:
    number: hw.i64
    next: hw.Ref["Ring"]


def ring(heap: hw.RecordHeap, n: int) -> list[Ring]:
    made = [heap.new(Ring, number=i) for i in range(n)]
    for i in range(n):
        made[i].next = made[i - 1]
    return made


def test_counts_what_nothing_leads_to_and_no_cycle_has_freed_yet() -> None:
    heap = hw.RecordHeap()
    kept, dropped = ring(heap, 5), ring(heap, 70)
    assert heap.check() == 0
    del kept[1:]
    assert heap.check() == 0  # a ring is reached from any of it
    dropped.clear()
    assert heap.check() == 70
    assert heap.collect() == 70
    assert heap.check() == 0


def test_in_every_phase_of_a_cycle() -> None:
    heap = hw.RecordHeap(hw.Incremental(automatic=False))
    kept = ring(heap, 3000)
    ring(heap, 80_000)
    seen = set()
    ended = False
    while not ended:
        ended = heap.step(0)
        seen.add(heap.statistics().phase)
        assert heap.check() + len(kept) == len(heap[Ring])
    assert {"roots", "trace", "sweep", "idle"} <= seen
    assert heap.check() == 0


def test_what_a_sweep_is_about_to_free_is_given_to_nobody() -> None:
    heap = hw.RecordHeap(hw.Incremental(automatic=False), poison=True)
    ring(heap, 200_000)  # many words of planes: the sweep has several slices
    while heap.statistics().phase != "sweep":
        heap.step(0)
    assert len(heap[Ring]) > 0
    assert list(heap[Ring]) == []
    for place in range(0, heap[Ring].places, 997):
        with pytest.raises(IndexError):
            heap[Ring][place]
    made = [heap.new(Ring, number=i) for i in range(100)]
    assert [record.number for record in heap[Ring]] == list(range(100)) or len(list(heap[Ring])) == 100
    while not heap.step():
        pass
    assert sorted(record.number for record in heap[Ring]) == list(range(100))
    assert len(made) == len(heap[Ring])


@pytest.mark.parametrize("collector", [hw.MarkSweep(), hw.Generational(), hw.Incremental(), hw.Concurrent()])
def test_a_stray_write_is_found_and_named(collector: hw.MarkSweep) -> None:
    heap = hw.RecordHeap(collector)
    kept = ring(heap, 4)
    column = heap[Ring].column("next")  # where references lie; read-only, so that nobody does this by accident
    reference = ctypes.c_uint32.from_address(column.ctypes.data + 2 * column.strides[0])
    reference.value, before = 1234, reference.value
    with pytest.raises(hw.CorruptedHeap) as caught:
        heap.check()
    reference.value = before
    assert caught.value.invariant == "G2: an edge refers to a record that is allocated (Ring 2)"
    assert caught.value.offset_bytes == 2 * column.strides[0]
    assert heap.check() == 0
    assert [record.next.number for record in kept if record.next] == [3, 0, 1, 2]


def test_a_closed_heap_says_so() -> None:
    heap = hw.RecordHeap()
    heap.close()
    with pytest.raises(hw.HandleReleased):
        heap.check()


@pytest.mark.parametrize("collector", [hw.Incremental(automatic=False), hw.Concurrent(automatic=False)])
def test_what_could_be_reached_when_a_cycle_began_is_kept_by_it(collector: hw.Incremental) -> None:
    """The barrier alone does this: nobody has a handle of what is overwritten, which would shade it."""
    heap = hw.RecordHeap(collector, poison=True)
    kept = heap.new(Ring, number=1)
    kept.next = heap.new(Ring, number=2)
    heap.step(0)
    assert heap.statistics().phase in ("roots", "trace")
    before = heap.statistics().barrier_hits
    kept.next = None
    assert heap.statistics().barrier_hits == before + 1
    while not heap.step():
        pass
    assert len(heap[Ring]) == 2
    assert heap.check() == 1
    while not heap.step():
        pass
    assert len(heap[Ring]) == 1


def test_collect_counts_what_it_frees_whatever_was_made_meanwhile() -> None:
    heap = hw.RecordHeap(hw.Incremental(automatic=False))
    ring(heap, 10)
    heap.step(0)
    kept = ring(heap, 25)
    assert heap.collect() == 10
    assert len(heap[Ring]) == len(kept)
