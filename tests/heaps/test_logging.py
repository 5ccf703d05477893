import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import heapwright as hw


def logged_heap(sink: Any, size: str = "64KiB") -> hw.Logging[hw.Block]:
    return hw.Logging(hw.Heap[hw.BestFit](hw.AnonymousSpace(size)), sink)


def replay(events: list[hw.LogEvent], heap: hw.Heap[Any]) -> dict[int, hw.Block]:
    """Do it all again; return the blocks that are out, by their address in the log."""
    live: dict[int, hw.Block] = {}
    for event in events:
        alignment = (event.alignment,) if event.alignment else ()
        if event.action == "allocate":
            assert event.address not in live
            live[event.address] = heap.allocate(event.size_bytes, *alignment)
        elif event.action == "reallocate":
            block = live.pop(event.previous_address)
            assert event.address not in live
            live[event.address] = heap.reallocate(block, event.size_bytes)
        elif event.action == "deallocate":
            block = live.pop(event.address)
            assert block.size_bytes == event.size_bytes
            heap.deallocate(block)
        elif event.previous_address:
            with pytest.raises(hw.OutOfMemory):
                heap.reallocate(live[event.previous_address], event.size_bytes)
        else:
            assert heap.try_allocate(event.size_bytes, *alignment) is None
    return live


def assert_replays(events: list[hw.LogEvent], heap: Any) -> None:
    """The same strategy over a space of the same size makes the same decisions again: the order is the true one."""
    again: hw.Heap[Any] = hw.Heap[hw.BestFit](hw.AnonymousSpace(heap.space.size_bytes))
    live = replay(events, again)
    offsets = {address - heap.space.address: block.offset_bytes for address, block in live.items()}
    assert all(old == new for old, new in offsets.items())
    assert again.draw() == heap.draw()


def test_a_log_can_be_replayed(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    logged = logged_heap(path)
    rng, held = random.Random(1), []
    for _ in range(800):
        act = rng.random()
        if act < 0.5 or not held:
            block = logged.try_allocate(rng.choice([0, 1, 100, 1000, 5000]), *rng.choice([(), (64,), (1024,)]))
            held += [block] if block is not None else []
        elif act < 0.65:
            logged.deallocate(held.pop(rng.randrange(len(held))))
        elif act < 0.85:
            del held[rng.randrange(len(held))]
        else:
            i = rng.randrange(len(held))
            try:
                held[i] = logged.reallocate(held[i], rng.choice([0, 10, 500, 9000]))
            except hw.OutOfMemory:
                assert held[i].state is hw.State.ALLOCATED
    events = hw.read_log(path)
    assert [event.sequence for event in events] == list(range(len(events)))
    assert {event.action for event in events} == {"allocate", "reallocate", "deallocate", "failure"}
    assert all(before.time_s <= after.time_s for before, after in pairwise(events))
    assert_replays(events, logged.upstream)


def test_a_log_of_threads_can_be_replayed(often: None) -> None:
    events: list[hw.LogEvent] = []
    logged = logged_heap(events.append)
    together = threading.Barrier(4)

    def work(seed: int) -> None:
        together.wait()
        rng = random.Random(seed)
        held = []
        for _ in range(300):
            block = logged.try_allocate(rng.randrange(1, 900))
            if block is not None:
                held.append(block)
            if held and rng.random() < 0.6:
                logged.deallocate(held.pop(rng.randrange(len(held))))
            elif held and rng.random() < 0.2:
                with suppress(hw.OutOfMemory):
                    held.append(logged.reallocate(held.pop(), rng.randrange(2000)))
        for block in held:
            logged.deallocate(block)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.sequence for event in events] == list(range(len(events)))
    assert len({event.thread for event in events}) == 4
    heap: Any = logged.upstream
    assert heap.draw() == str(heap.capacity_bytes)
    # A failed reallocate() drops the handle here, so not every free is a call; the order is a possible one at least.
    live: dict[int, int] = {}
    for event in events:
        if event.action in {"deallocate", "reallocate"}:
            del live[event.address if event.action == "deallocate" else event.previous_address]
        if event.action in {"allocate", "reallocate"}:
            assert not any(
                start < event.address + event.size_bytes and event.address < start + size
                for start, size in live.items()
            )
            live[event.address] = event.size_bytes
    assert live == {}


def test_a_dropped_handle_is_logged_where_it_is_dropped() -> None:
    outer_events: list[hw.LogEvent] = []
    inner_events: list[hw.LogEvent] = []
    inner = logged_heap(inner_events.append)
    outer = hw.Logging(hw.Statistics(inner), outer_events.append)
    block = outer.allocate(5)
    del block
    for events in (inner_events, outer_events):
        assert [event.action for event in events] == ["allocate", "deallocate"]
        assert events[0].address == events[1].address


def test_a_sink_may_allocate_and_free_through_its_log() -> None:
    events: list[hw.LogEvent] = []
    extra: list[hw.Block] = []

    def sink(event: hw.LogEvent) -> None:
        if event.size_bytes == 1:
            extra.append(logged.allocate(100))
        events.append(event)

    logged = logged_heap(sink)
    block = logged.allocate(1)
    logged.deallocate(extra.pop())
    assert [(event.sequence, event.action, event.size_bytes) for event in events] == [
        (0, "allocate", 1),
        (1, "allocate", 100),
        (2, "deallocate", 100),
    ]
    del block


def test_a_sink_that_fails_says_so_and_loses_no_memory() -> None:
    def sink(event: hw.LogEvent) -> None:
        if event.size_bytes == 13:
            raise OSError("disk full")

    logged = logged_heap(sink)
    with pytest.raises(OSError, match="disk full"):
        logged.allocate(13, 16)
    heap: Any = logged.upstream
    assert heap.statistics().block_count == 0


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
@pytest.mark.parametrize("last", ["log.deallocate(block)", "del block", "block = log.reallocate(block, 20)"])
def test_the_last_line_is_there_however_the_process_ends(tmp_path: Path, end: str, last: str) -> None:
    path = tmp_path / "log.csv"
    program = f"""
import os, signal
import heapwright as hw
log = hw.Logging(hw.Heap(hw.AnonymousSpace("1MiB")), {str(path)!r})
block = log.allocate(10)
{last}
{end}
"""
    code = subprocess.run([sys.executable, "-c", program], check=False).returncode
    assert code in {3, -signal.SIGKILL}
    assert len(hw.read_log(path)) == 2


def test_a_forked_child_logs_under_its_own_number(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    logged = logged_heap(path)
    block = logged.allocate(10)
    child = os.fork()
    if child == 0:
        logged.deallocate(block)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    logged.deallocate(block)
    events = hw.read_log(path)
    assert sorted((event.process == child, event.action) for event in events) == [
        (False, "allocate"),
        (False, "deallocate"),
        (True, "deallocate"),
    ]


def test_two_logs_append_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for size in (1, 2):
        logged_heap(path).allocate(size)
    lines = path.read_text().splitlines()
    assert lines[0] == ",".join(hw.LogEvent._fields)
    assert len(lines) >= 3  # the handles may outlive their log
