import resource
from pathlib import Path

import heapwright as hw


@hw.record
class Node:
    key: hw.i64
    next: hw.Ref["Node"]


def test_no_step_is_long_because_a_run_is() -> None:
    """By page faults, which a busy machine does not change: what a step reads or writes for the first time."""
    heap = hw.RecordHeap(hw.Incremental(automatic=False))
    run = heap.extend(Node, key=range(300_000))
    most, ended = 0, False
    while not ended:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        ended = heap.step(budget_us=0)
        most = max(most, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert most < 64
    assert len(run) == len(heap[Node])


def test_what_a_collection_needed_is_given_back_after_it() -> None:
    heap = hw.RecordHeap(hw.MarkSweep(automatic=False))
    run = heap.extend(Node, key=range(1_000_000))
    before = resident_bytes()
    heap.collect()  # with all of the run as roots: 8 MB of what is still to be looked at
    assert resident_bytes() - before < 2 << 20
    assert len(run) == len(heap[Node])


def resident_bytes() -> int:
    rolled_up = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * int(next(line for line in rolled_up.splitlines() if line.startswith("Rss")).split()[1])
