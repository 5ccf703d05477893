import resource

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
