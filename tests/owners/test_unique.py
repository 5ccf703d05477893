"""Unique: the one owner."""

import copy
import gc
import pickle

import pytest

import heapwright as hw


def test_it_ends_once_by_with_by_close_and_by_itself():
    for end in ("with", "close", "del"):
        ended = []
        unique = hw.Unique("value", ended.append)
        if end == "with":
            with unique as value:
                assert value == "value"
        elif end == "close":
            unique.close()
        unique.close() if end != "del" else None
        del unique
        gc.collect()
        assert ended == ["value"], end


def test_with_ends_it_when_the_body_raises():
    ended = []
    with pytest.raises(KeyError), hw.Unique("value", ended.append):
        raise KeyError
    assert ended == ["value"]


def test_a_value_that_moved_is_not_ended_by_its_former_owner():
    ended = []
    first = hw.Unique("value", ended.append)
    second = first.move()
    first.close()
    del first
    assert ended == []
    assert second.value == "value"
    second.close()
    assert ended == ["value"]


@pytest.mark.parametrize(
    ("give", "how"), [("move", "moved from"), ("share", "moved from"), ("release", "released"), ("close", "closed")]
)
def test_an_owner_that_gave_up_its_value_says_how(give, how):
    unique = hw.Unique("value")
    kept = getattr(unique, give)()
    for use in (lambda: unique.value, unique.move, unique.share, unique.release, unique.__enter__):
        with pytest.raises(hw.HandleReleased) as caught:
            use()
        assert caught.value.how == how
    del kept


def test_released_means_nobody_ends_it():
    ended = []
    assert hw.Unique("value", ended.append).release() == "value"
    assert ended == []


def test_it_is_not_copied_nor_pickled_nor_nested():
    unique = hw.Unique([1])
    for wrong in (lambda: copy.copy(unique), lambda: copy.deepcopy(unique), lambda: pickle.dumps(unique)):
        with pytest.raises(TypeError, match="Unique"):
            wrong()
    for owner in (unique, hw.Shared(1), hw.Shared(1).downgrade()):
        with pytest.raises(TypeError, match="owns its value already"):
            hw.Unique(owner)


def test_a_deleter_that_fails_is_not_run_again():
    calls = []

    def fail(value: object) -> None:
        calls.append(value)
        raise OSError("disk full")

    unique = hw.Unique("value", fail)
    with pytest.raises(OSError, match="disk full"):
        unique.close()
    unique.close()
    assert calls == ["value"]


def test_sharing_and_back():
    ended = []
    shared = hw.Unique("value", ended.append).share()
    assert shared.strong_count == 1
    unique = shared.try_unwrap()
    assert (unique.value, ended) == ("value", [])


def test_a_call_with_wrong_arguments_leaves_nothing_to_end():
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        hw.Unique()
    gc.collect()  # an error in __del__ would be a warning, and fail here
