"""Why a record is alive, what it retains, and which cycles there are: where that is known, and against the collector.

That dominators, paths and cycles are right on every graph is shown in native/test_record_picture.c.
"""

import errno
import itertools
import random
import subprocess
import sys
import threading

import pytest

import heapwright as hw


@hw.record
class Item:
    order: hw.Ref["Order"]
    last_seen_in: hw.WeakRef["Order"]


@hw.record
class Order:
    note: hw.text = ""
    items: hw.Refs[Item]
    related: hw.Ref["Order | Item"]


def order_of(heap: hw.RecordHeap, items: int, note: str = "") -> Order:
    order = heap.new(Order, note=note)
    for _ in range(items):
        order.items.append(heap.new(Item, order=order))
    return order


# ---- why alive -------------------------------------------------------------------------------------------------------


def test_path_names_fields_and_entries() -> None:
    heap = hw.RecordHeap()
    first = heap.new(Order, related=heap.new(Order, related=order_of(heap, 3)))
    path = heap.why_alive(first.related.related.items[2])
    assert path is not None
    assert str(path) == "handle -> Order#2.related -> Order#1.related -> Order#0.items[2] -> Item#2"
    assert [step.record_class for step in path.steps] == [Order, Order, Order, Item]
    assert [(step.field, step.entry) for step in path.steps] == [
        ("related", None),
        ("related", None),
        ("items", 2),
        (None, None),
    ]


def test_own_handle_is_no_reason_and_weak_references_neither() -> None:
    heap = hw.RecordHeap()
    order = order_of(heap, 0)
    item = heap.new(Item, last_seen_in=order)
    assert heap.why_alive(order) is None
    item.order = order
    assert str(heap.why_alive(order)) == "handle -> Item#0.order -> Order#0"


def test_runs_keep_their_records() -> None:
    heap = hw.RecordHeap()
    run = heap.extend(Item, order=[None, None])
    assert str(heap.why_alive(run[1])) == "run -> Item#1"


def test_the_path_is_the_shortest() -> None:
    heap = hw.RecordHeap()
    nodes = [heap.new(Order) for _ in range(200)]
    for before, after in itertools.pairwise(nodes):
        before.related = after
    start, end = nodes[0], nodes[-1]
    nodes.clear()
    del before, after
    assert len(heap.why_alive(end).steps) == 200
    heap_item = heap.new(Item, order=end)
    assert str(heap.why_alive(end)) == "handle -> Item#0.order -> Order#199"
    assert heap_item.order is end
    assert start is not end


def test_records_of_other_heaps_and_other_objects_are_refused() -> None:
    heap = hw.RecordHeap()
    with pytest.raises(ValueError, match="in another record heap"):
        heap.why_alive(hw.RecordHeap().new(Order))
    with pytest.raises(TypeError, match="is not a record"):
        heap.why_alive(17)
    order = heap.new(Order)
    heap.close()
    for ask in (lambda: heap.why_alive(order), heap.cycles, heap.retained, heap.dominator_tree):
        with pytest.raises(hw.HandleReleased):
            ask()


@hw.record
class Closing:
    item: hw.Ref[Item]

    def __finalize__(self) -> None:
        seen.append(str(self.__record_heap__.why_alive(self.__record_heap__[Item][0])))


seen: list[str] = []


def test_what_waits_for_its_finalizer_keeps_too() -> None:
    heap = hw.RecordHeap()
    item = heap.new(Item)
    first, second = heap.new(Closing), heap.new(Closing, item=item)
    del item, first, second
    seen.clear()
    heap.collect()
    assert seen == ["finalizer -> Closing#1.item -> Item#0", "handle -> Closing#1.item -> Item#0"]


WITHOUT_MEMORY = """
import resource
import heapwright as hw

@hw.record
class Node:
    next: hw.Ref["Node"]

heap = hw.RecordHeap(capacity="1MiB")
run = heap.extend(Node, next=[*range(1, 200_000), 0])
node = run[0]
heap.report()
with open("/proc/self/statm") as statm:
    size_bytes = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size_bytes + (2 << 20), size_bytes + (2 << 20)))
for ask in (heap.cycles, heap.dominator_tree, lambda: heap.why_alive(node)):
    try:
        ask()
    except hw.SystemCallFailed as error:
        print(error.errno, error.call)
print(node.next.next is run[2], heap.collect())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_without_memory_for_the_answer_the_heap_goes_on() -> None:
    told = subprocess.run([sys.executable, "-c", WITHOUT_MEMORY], capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == [f"{errno.ENOMEM} memory for a report on records"] * 3 + ["True 0"]


# ---- cycles ----------------------------------------------------------------------------------------------------------


def test_cycles_by_field_names_garbage_first() -> None:
    heap = hw.RecordHeap()
    kept, lost = order_of(heap, 4), order_of(heap, 2)
    ways = [str(cycle).partition(" (one way through ") for cycle in heap.cycles()]
    assert ways[0][0] == "Order#0.items[0] -> Item#0.order -> Order#0"
    assert ways[0][2] == "5 records that reach each other), with 1 owner outside"
    assert ways[1][0] == "Order#1.items[0] -> Item#4.order -> Order#1"
    del lost
    garbage, living = heap.cycles()
    assert not garbage.reachable
    assert garbage.exact
    assert str(garbage).endswith("3 records that reach each other), and nothing leads to it")
    assert living.reachable
    assert living.owners_outside == 1
    assert living.records == 5
    assert heap.cycles(most=1) == [garbage]
    assert heap.cycles(most=10**12, budget=10**30) == [garbage, living]
    with pytest.raises(ValueError, match="not -1"):
        heap.cycles(most=-1)
    assert heap.cycles(most=0) == []
    heap.collect()
    assert heap.cycles() == [living]
    kept.items.clear()
    assert heap.cycles() == []


def test_a_record_that_refers_to_itself() -> None:
    heap = hw.RecordHeap()
    order = heap.new(Order)
    order.related = order
    assert [str(cycle) for cycle in heap.cycles()] == ["Order#0.related -> Order#0, with 1 owner outside"]


def test_budget_ends_the_search_for_a_shorter_one() -> None:
    heap = hw.RecordHeap()
    ring = [heap.new(Order) for _ in range(50)]
    for i, node in enumerate(ring):
        node.related = ring[(i + 1) % 50]
    ring[30].items.append(heap.new(Item, order=ring[30]))
    (hurried,) = heap.cycles(budget=1)
    assert not hurried.exact
    (cycle,) = heap.cycles()
    assert cycle.exact
    assert str(cycle).startswith("Order#30.items[0] -> Item#0.order -> Order#30 (one way through 51")


# ---- retained --------------------------------------------------------------------------------------------------------


def test_retained_is_what_the_collector_then_frees() -> None:
    heap = hw.RecordHeap(hw.MarkSweep(automatic=False))
    choose = random.Random(5)
    orders = [order_of(heap, choose.randrange(6), note="x" * choose.randrange(300)) for _ in range(60)]
    for _ in range(90):
        choose.choice(orders).related = choose.choice(orders)
    heap.collect()
    while orders:
        order = orders.pop(choose.randrange(len(orders)))
        name = f"Order#{order.__record_index__}"
        told = next(one for one in heap.retained(10_000).largest if one.name == name)
        before = heap.statistics().used_bytes
        assert heap.retained().total_bytes == before
        for other in heap[Order]:
            if other.related is order:
                other.related = None
        del order, other
        heap.collect()
        assert before - heap.statistics().used_bytes == told.retained_bytes
    assert heap.statistics().used_bytes == 0


def test_retained_by_class_and_by_record() -> None:
    heap = hw.RecordHeap()
    order = order_of(heap, 10)
    shared = heap.new(Item, order=order)
    order.items.append(shared)
    del shared
    lost = heap.new(Order)
    del lost
    told = heap.retained(top=1)
    assert told.classes[Order].records == 1
    assert told.classes[Order].unreachable == 1
    assert told.classes[Item].records == 11
    assert told.classes[Item].own_bytes == 11 * hw.record_bytes(Item)
    assert told.classes[Order].retained_bytes == told.total_bytes
    assert told.classes[Item].retained_bytes == told.classes[Item].own_bytes
    (largest,) = told.largest
    assert largest.name == "Order#0"
    assert largest.retained_bytes == told.total_bytes
    assert largest.dominators == ()
    assert largest.own_bytes == told.classes[Order].own_bytes > hw.record_bytes(Order)
    assert "Order" in str(told)
    assert "retains" in str(told)


def test_dominator_tree_names_runs_and_sums_up_the_rest() -> None:
    heap = hw.RecordHeap()
    run = heap.extend(Item, order=[None] * 7)
    tree = heap.dominator_tree(depth=2, most=3)
    assert str(tree).splitlines() == [
        "everything reachable  56 B",
        "  run of 7 Item from #0  56 B",
        "    Item#0  8 B",
        "    Item#1  8 B",
        "    Item#2  8 B",
        "    4 more  32 B",
    ]
    assert len(run) == 7


def test_empty_heaps_have_reports_too() -> None:
    heap = hw.RecordHeap()
    assert str(heap.retained()).splitlines() == ["0 B reachable", "class  records  own  retained"]
    assert str(heap.dominator_tree()) == "everything reachable  0 B"
    assert heap.cycles() == []


# ---- meanwhile -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("collector", [hw.Incremental(every=1), hw.Concurrent(every=1), hw.Generational(every=1)])
def test_reports_in_the_middle_of_a_cycle(collector: object) -> None:
    heap = hw.RecordHeap(collector)
    for i in range(60):
        order = order_of(heap, 3)
        order.related = order
        cycles = heap.cycles(1000)
        assert sum(cycle.reachable for cycle in cycles) == 1
        told = heap.retained(1)
        assert told.largest[0].name == f"Order#{order.__record_index__}", i
        assert heap.why_alive(order.items[1]) is not None


def test_the_end_of_the_cycle_may_move_what_is_asked_about() -> None:
    heap = hw.RecordHeap(hw.Incremental(automatic=False, compact_above=0.01))
    lost = [order_of(heap, 3) for _ in range(20)]
    order = order_of(heap, 3)
    item = order.items[2]
    lost.clear()
    heap.step(budget_us=0)
    assert heap.statistics().phase != "idle"
    assert str(heap.why_alive(item)) == "handle -> Order#0.items[2] -> Item#2"
    assert heap.statistics().compactions == 1


def test_other_threads_wait() -> None:
    heap = hw.RecordHeap()
    run = heap.extend(Item, order=[None] * 50_000)
    stop = threading.Event()

    def make() -> None:
        while not stop.is_set():
            order_of(heap, 2)

    thread = threading.Thread(target=make)
    thread.start()
    try:
        for _ in range(10):
            assert heap.retained(0).classes[Item].records >= len(run)
            heap.cycles(5)
    finally:
        stop.set()
        thread.join()


@hw.record
class Link:
    next: hw.Ref["Link"]


def test_a_long_chain_is_no_deep_recursion() -> None:
    count = 300_000
    heap = hw.RecordHeap()
    nodes = heap.extend(Link, next=[*range(1, count), -1])
    head, end = nodes[0], nodes[count - 1]
    del nodes
    assert heap.retained(1).largest[0].retained_bytes == (count - 1) * hw.record_bytes(Link)  # `end` is held
    assert len(heap.why_alive(end).steps) == count
    end.next = head
    (cycle,) = heap.cycles()
    assert len(cycle.steps) == count
