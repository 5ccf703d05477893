import os
import threading
import time
from typing import Any

import pytest
from tests.heaps.plain import Fragile

import heapwright as hw
from heapwright.heaps.fork_lock import ForkLock


def fragile(in_the_middle: Any = None) -> Fragile:
    return Fragile(hw.Heap(hw.AnonymousSpace("1MiB")), in_the_middle)


def use(resource: Any, times: int, errors: list[BaseException]) -> None:
    try:
        for i in range(times):
            block = resource.allocate(10 + i % 50)
            block = resource.reallocate(block, 20)
            resource.deallocate(block)
            resource.statistics()
    except BaseException as error:
        errors.append(error)


def errors_of_threads(resource: Any) -> list[BaseException]:
    errors: list[BaseException] = []
    threads = [threading.Thread(target=use, args=(resource, 100, errors)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_one_call_at_a_time(often: None) -> None:
    assert errors_of_threads(fragile()), "the upstream is as fragile as it should be"
    assert errors_of_threads(hw.ThreadSafe(fragile())) == []


def test_what_a_finalizer_frees_is_freed_when_the_call_is_over() -> None:
    heap: Any
    block: hw.Block | None = None

    def finalizer() -> None:
        nonlocal block
        if block is not None:
            block, freed = None, block
            safe.deallocate(freed)
            assert freed.state is hw.State.ALLOCATED  # not in the middle of the other call

    upstream = fragile(finalizer)
    heap = upstream.upstream
    safe = hw.ThreadSafe(upstream)
    block = upstream.upstream.allocate(100)
    other = safe.allocate(50)
    assert heap.statistics().block_count == 1
    safe.deallocate(other)


def test_what_cannot_wait_is_refused() -> None:
    caught: list[hw.ReentrantCall] = []

    def in_the_middle() -> None:
        for call in (lambda: safe.allocate(1), lambda: safe.try_allocate(1), lambda: safe.owns(0), safe.statistics):
            with pytest.raises(hw.ReentrantCall) as error:
                call()
            caught.append(error.value)

    safe = hw.ThreadSafe(fragile(in_the_middle))
    safe.allocate(1)
    assert [error.operation for error in caught[:2]] == ["allocate", "try_allocate"]
    assert isinstance(caught[0], RuntimeError)


def test_a_postponed_free_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", reported.append)
    upstream = fragile()
    safe = hw.ThreadSafe(upstream)
    view = (block := safe.allocate(10)).view()
    upstream.in_the_middle = lambda: (setattr(upstream, "in_the_middle", None), safe.deallocate(block))
    other = safe.allocate(20)
    assert [type(what.exc_value) for what in reported] == [hw.ViewExported]
    assert block.state is hw.State.EXPOSED
    del view, other


def test_errors_come_through_and_the_lock_is_free_afterwards() -> None:
    safe = hw.ThreadSafe(hw.Limiting(hw.Heap(hw.AnonymousSpace("1MiB")), 100))
    with pytest.raises(hw.LimitExceeded):
        safe.allocate(101)
    assert safe.try_allocate(101) is None
    block = safe.allocate(100)
    safe.deallocate(block)
    with pytest.raises(hw.InvalidFree):
        safe.deallocate(block)
    assert safe.trim() > 0


def test_a_fork_waits_for_the_call_that_is_under_way() -> None:
    upstream = fragile()
    safe = hw.ThreadSafe(hw.ThreadSafe(upstream))
    entered, go_on = threading.Event(), threading.Event()

    def slowly() -> None:
        entered.set()
        go_on.wait(10)
        time.sleep(0.05)

    upstream.in_the_middle = slowly
    thread = threading.Thread(target=safe.allocate, args=(10,))
    thread.start()
    entered.wait(10)
    upstream.in_the_middle = None
    go_on.set()
    child = os.fork()
    if child == 0:
        os._exit(0 if upstream.inside == 0 and safe.try_allocate(1) is not None else 1)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_a_lock_is_reentrant_and_knows_whose_it_is() -> None:
    lock = ForkLock()
    with lock, lock:
        assert lock.is_mine()
        answers: list[bool] = []
        thread = threading.Thread(target=lambda: answers.extend([lock.is_mine(), lock.acquire(blocking=False)]))
        thread.start()
        thread.join()
        assert answers == [False, False]
    assert not lock.is_mine()
