"""Shared and Weak: one value, several owners, one end."""

import copy
import gc
import pickle
import sys
import threading

import numpy as np
import pytest

import heapwright as hw


class Log(list):
    """A deleter that remembers."""

    def __call__(self, value: object) -> None:
        self.append(value)


@pytest.fixture
def heap() -> hw.Heap:
    return hw.Heap(hw.AnonymousSpace("1MiB"))


def test_the_value_ends_with_its_last_owner_and_not_before():
    ended = Log()
    first = hw.Shared("value", ended)
    second = first.clone()
    assert (first.strong_count, second.strong_count) == (2, 2)
    first.close()
    assert second.value == "value"
    assert ended == []
    del second
    assert ended == ["value"]


def test_each_kind_of_value_ends_in_its_own_way(heap, tmp_path):
    block = hw.Shared(heap.allocate(100))
    file = hw.Shared((tmp_path / "file").open("w"))
    array = hw.Shared(np.zeros(10))
    watched = file.value
    assert heap.statistics().requested_bytes == 100
    for handle in (block, file, array):
        handle.close()
    assert heap.statistics().requested_bytes == 0
    assert watched.closed


def test_a_block_that_its_last_owner_gave_back_is_dead_for_whoever_kept_it(heap):
    handle = hw.Shared(heap.allocate(100))
    kept = handle.value
    handle.close()
    with pytest.raises(hw.BlockFreed):
        kept.read(0, 1)


def test_the_last_owner_cannot_free_under_a_view(heap):
    handle = hw.Shared(heap.allocate(100))
    view = handle.value.view()
    with pytest.raises(hw.ViewExported):
        handle.close()
    view[0] = 7  # still there: the block outlives the attempt, and ends with its last reference
    assert heap.statistics().requested_bytes == 100
    view.release()
    del view
    assert heap.statistics().requested_bytes == 0


def test_with_gives_the_value_and_closes():
    ended = Log()
    with hw.Shared("value", ended) as value:
        assert value == "value"
    assert ended == ["value"]


def test_the_error_of_a_deleter_is_raised_by_close_once():
    def fail(value: object) -> None:
        raise OSError(value)

    handle = hw.Shared("disk full", fail)
    with pytest.raises(OSError, match="disk full"):
        handle.close()
    handle.close()
    assert handle.closed


def test_the_error_of_a_deleter_without_a_close_is_not_lost(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: seen.append(report.exc_value))
    hw.Shared(1, lambda value: value / 0)
    assert [type(error) for error in seen] == [ZeroDivisionError]


def test_a_closed_handle_says_so(heap):
    handle = hw.Shared(1)
    handle.close()
    for use in (
        lambda: handle.value,
        handle.clone,
        handle.downgrade,
        handle.try_unwrap,
        handle.make_mut,
        lambda: handle.strong_count,
        lambda: handle.ptr_eq(hw.Shared(1)),
        handle.__enter__,
    ):
        with pytest.raises(hw.HandleReleased, match="was closed") as caught:
            use()
        assert caught.value.how == "closed"
    assert repr(handle) == "Shared(closed)"


def test_a_weak_handle_neither_owns_nor_resurrects():
    ended = Log()
    handle = hw.Shared([1], ended)
    weak = handle.downgrade()
    assert (handle.strong_count, handle.weak_count) == (1, 1)
    upgraded = weak.upgrade()
    assert upgraded.ptr_eq(handle)
    del upgraded
    handle.close()
    assert ended == [[1]]
    assert weak.upgrade() is None
    assert repr(weak) == "Weak(dead)"


def test_a_weak_handle_is_dead_while_the_deleter_runs():
    got = []
    handle = hw.Shared([1], lambda value: got.append(weak.upgrade()))
    weak = handle.downgrade()
    handle.close()
    assert got == [None]
    assert weak.upgrade() is None


def test_weak_handles_are_counted():
    handle = hw.Shared(1)
    weak = handle.downgrade()
    other = weak.clone()
    assert handle.weak_count == 2
    other.close()
    del weak
    assert handle.weak_count == 0
    with pytest.raises(hw.HandleReleased):
        other.upgrade()


def test_ptr_eq_is_about_the_value_owned_and_not_its_equal():
    one, other = hw.Shared([1]), hw.Shared([1])
    assert one.ptr_eq(one.clone())
    assert not one.ptr_eq(other)
    with pytest.raises(TypeError, match="shared handles"):
        one.ptr_eq([1])


def test_the_only_owner_can_unwrap_and_keeps_the_deleter():
    ended = Log()
    handle = hw.Shared("value", ended)
    second = handle.clone()
    assert handle.try_unwrap() is None
    second.close()
    weak = handle.downgrade()
    unique = handle.try_unwrap()
    assert handle.closed
    assert weak.upgrade() is None
    assert ended == []
    assert unique.value == "value"
    unique.close()
    assert ended == ["value"]


def test_copy_on_write(heap):
    first = hw.Shared(heap.allocate(4, alignment=64))
    first.value.write(0, b"same")
    assert first.make_mut() is first
    second = first.clone()
    mine = second.make_mut()
    assert second.closed
    assert not mine.ptr_eq(first)
    mine.value.write(0, b"mine")
    assert (first.value.read(0, 4), mine.value.read(0, 4)) == (b"same", b"mine")
    assert mine.value.address % 64 == 0
    mine.close()
    first.close()
    assert heap.statistics().requested_bytes == 0


def test_copy_on_write_moves_where_only_weak_handles_look_on():
    ended, value = Log(), [1]
    first = hw.Shared(value, ended)
    weak = first.downgrade()
    mine = first.make_mut()
    assert mine.value is value
    assert weak.upgrade() is None
    assert ended == []
    mine.close()
    assert ended == [[1]]


def test_copy_on_write_of_arrays():
    first = hw.Shared(np.arange(3))
    mine = first.clone().make_mut()
    mine.value[0] = 9
    assert first.value[0] == 0


def test_a_unique_moves_into_a_shared():
    ended = Log()
    unique = hw.Unique("value", ended)
    handle = hw.Shared(unique)
    assert unique.closed
    handle.close()
    assert ended == ["value"]
    with pytest.raises(TypeError, match="deleter of its own"):
        hw.Shared(hw.Unique("other"), ended)


def test_copy_clones_and_pickle_is_refused():
    handle = hw.Shared([1])
    assert copy.copy(handle).strong_count == 2
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(handle)


def test_type_parameters_and_subclasses():
    assert hw.Shared[int].__origin__ is hw.Shared
    assert hw.Weak[int].__origin__ is hw.Weak
    with pytest.raises(TypeError):
        type("Mine", (hw.Shared,), {})


@pytest.mark.parametrize("handles", [1, 3])
def test_a_cycle_through_python_objects_is_collected(handles):
    ended, ring = Log(), []
    first = hw.Shared(ring, lambda value: ended.append(len(value)))
    weak = first.downgrade()
    ring.extend(first.clone() for _ in range(handles))
    del ring
    first.close()
    assert ended == []  # counting alone cannot
    gc.collect()
    assert ended == [handles]
    assert weak.upgrade() is None


def test_a_cycle_that_somebody_still_owns_is_kept():
    ended, ring = Log(), []
    first = hw.Shared(ring, ended)
    ring.append(first.clone())
    gc.collect()
    assert ended == []
    assert first.value is ring
    ring.clear()
    first.close()
    assert ended == [[]]


def test_a_weak_handle_does_not_keep_a_cycle():
    ended, ring = [], []
    first = hw.Shared(ring, lambda value: ended.append(True))
    ring.append(first)
    weak = first.downgrade()
    del ring, first
    gc.collect()
    assert ended == [True]
    assert weak.upgrade() is None


@pytest.mark.parametrize("link", [lambda handle: handle, lambda handle: [handle]])
def test_a_chain_of_any_length_ends_on_a_small_stack(link):
    length, ended = 100_000, []

    def build_and_drop() -> None:
        handle = hw.Shared(0, ended.append)
        for _ in range(length):
            handle = hw.Shared(link(handle), None)
        handle.close()

    before = threading.stack_size(256 << 10)
    try:
        thread = threading.Thread(target=build_and_drop)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert ended == [0]


def test_threads_that_clone_and_upgrade_end_the_value_once():
    ended, start = [], threading.Barrier(4)
    for _ in range(50):
        handle = hw.Shared(object(), ended.append)
        weak = handle.downgrade()

        def work(mine: hw.Shared, weak: hw.Weak = weak) -> None:
            start.wait()
            for _ in range(50):
                clone = mine.clone()
                assert (weak.upgrade() or clone).value is clone.value
                clone.close()
            mine.close()
            for _ in range(20):  # while others are dropping the last ones: a handle that works, or none
                late = weak.upgrade()
                assert late is None or late.value is not None

        threads = [threading.Thread(target=work, args=(handle.clone(),)) for _ in range(4)]
        handle.close()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(ended) == 50


def test_repr_counts_the_owners_and_not_itself():
    handle = hw.Shared("value")
    assert repr(handle) == "Shared('value', owners=1)"
    clone = handle.clone()
    assert repr(clone) == "Shared('value', owners=2)"


def test_a_value_is_unwrapped_once_whatever_runs_meanwhile(monkeypatch):
    from heapwright.owners import unique

    ended, real = Log(), unique.of
    handle = hw.Shared("value", ended)

    def of(value, deleter):
        with pytest.raises(hw.HandleReleased):  # as another thread would
            handle.try_unwrap()
        handle.close()
        return real(value, deleter)

    monkeypatch.setattr(unique, "of", of)
    with handle.try_unwrap() as value:
        assert value == "value"
    assert ended == ["value"]
    assert handle.closed


def test_what_cannot_be_unwrapped_stays_shared(monkeypatch):
    from heapwright.owners import unique

    def of(value, deleter):
        raise MemoryError

    ended = Log()
    handle = hw.Shared("value", ended)
    weak = handle.downgrade()
    monkeypatch.setattr(unique, "of", of)
    with pytest.raises(MemoryError):
        handle.try_unwrap()
    assert handle.value == "value"
    assert weak.upgrade().ptr_eq(handle)
    handle.close()
    assert ended == ["value"]


# ---- when memory runs out


def each_failing(testcapi, attempt):
    """Yield what `attempt` returns with its n-th allocation failed, None for a MemoryError, until none fails."""
    for n in range(1000):
        testcapi.set_nomemory(n, n + 1)
        try:
            got = attempt()
        except MemoryError:
            got = None
        finally:
            testcapi.remove_mem_hooks()
        yield got
        if got is not None:
            return


def use_up_kept_handles() -> list:
    return [hw.Shared(i) for i in range(300)]  # more than are kept for reuse: the next needs memory


@pytest.mark.parametrize("way", ["moved", "copied"])
def test_copy_on_write_without_memory_changes_nothing_and_loses_no_deleter(way, monkeypatch):
    from heapwright.owners import payloads

    testcapi = pytest.importorskip("_testcapi")
    monkeypatch.setattr(payloads, "copy_of", list)  # without memory singledispatch raises SystemError at times
    ended = Log()
    handle = hw.Shared([1], ended)
    other = handle.clone() if way == "copied" else handle.downgrade()
    kept = use_up_kept_handles()
    refused = 0
    for mine in each_failing(testcapi, handle.make_mut):
        if mine is None:
            refused += 1
            assert ended == []
            assert (handle.value, handle.closed) == ([1], False)
    assert refused > 0
    assert handle.closed
    mine.close()
    other.close()
    assert ended == [[1]] * (2 if way == "copied" else 1)
    del kept


def test_sharing_a_unique_without_memory_leaves_it_its_value():
    testcapi = pytest.importorskip("_testcapi")
    ended = Log()
    unique = hw.Unique([1], ended)
    kept = use_up_kept_handles()
    for handle in each_failing(testcapi, unique.share):
        assert ended == []
        assert unique.closed == (handle is not None)
    handle.close()
    assert ended == [[1]]
    del kept


def test_what_is_copied_ends_after_the_copy_whoever_closes_its_owner(monkeypatch):
    from heapwright.owners import payloads

    ended = Log()
    handle = hw.Shared([1], ended)
    looking = handle.downgrade()
    other = handle.clone()

    def copy_of(value):
        handle.close()
        other.close()
        assert ended == []
        return list(value)

    monkeypatch.setattr(payloads, "copy_of", copy_of)
    mine = handle.make_mut()
    assert (mine.value, ended, looking.upgrade()) == ([1], [[1]], None)
