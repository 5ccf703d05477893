import pytest

import heapwright as hw
from heapwright.testing import (
    AllocationsLeaked,
    Failing,
    FailureSwallowed,
    PlainResource,
    check_all_failures,
    failing_nth,
)


def test_the_nth_request_fails_and_no_other() -> None:
    resource = failing_nth(hw.Heap(hw.AnonymousSpace("1MiB")), 3)
    first, second = resource.allocate(10), resource.try_allocate(20, alignment=64)
    with pytest.raises(hw.OutOfMemory) as caught:
        resource.reallocate(first, 30)
    assert caught.value.size_bytes == 30
    first = resource.reallocate(first, 30)
    resource.deallocate(first)
    assert (resource.request_count, resource.failed_count) == (4, 1)
    assert resource.owns(second.address)
    assert resource.statistics().block_count == 1
    assert failing_nth(PlainResource(), 1).try_allocate(1) is None


def test_any_error_can_be_the_one() -> None:
    resource = Failing(PlainResource(), lambda n: True, lambda size: OSError(size, "gone"))
    for call in (resource.allocate, resource.try_allocate):
        with pytest.raises(OSError, match="gone"):
            call(5)


def careful(resource: Failing) -> None:
    blocks = []
    try:
        blocks += [resource.allocate(10)]
        blocks += [resource.allocate(20)]
        blocks += [resource.allocate(30)]
        blocks[0] = resource.reallocate(blocks[0], 100)
    finally:
        for block in blocks:
            resource.deallocate(block)


def test_code_that_cleans_up_passes_and_is_counted() -> None:
    assert check_all_failures(careful) == 4
    assert check_all_failures(careful, lambda: hw.Limiting(hw.Heap(hw.AnonymousSpace(4096)), 4096).upstream) == 4
    assert check_all_failures(lambda resource: None) == 0


def test_a_failure_that_nobody_hears_of_is_found() -> None:
    def swallowing(resource: Failing) -> None:
        resource.allocate(1)
        resource.try_allocate(2)

    with pytest.raises(FailureSwallowed) as caught:
        check_all_failures(swallowing)
    assert caught.value.n == 2
    assert check_all_failures(swallowing, may_recover=True) == 2


def test_what_is_left_behind_is_found() -> None:
    kept: list[object] = []

    def leaking(resource: Failing) -> None:
        first = resource.allocate(10)
        kept.append(first)
        resource.deallocate(resource.allocate(20))
        resource.deallocate(first)

    with pytest.raises(AllocationsLeaked) as caught:
        check_all_failures(leaking)
    assert (caught.value.n, caught.value.block_count, caught.value.requested_bytes) == (2, 1, 10)


def test_what_only_a_cycle_holds_is_not_left_behind() -> None:
    def cyclic(resource: Failing) -> None:
        cycle: list[object] = [resource.allocate(10)]
        cycle.append(cycle)
        resource.allocate(20)

    assert check_all_failures(cyclic) == 2


def test_want_of_memory_that_was_not_asked_for_comes_out() -> None:
    with pytest.raises(hw.OutOfMemory):
        check_all_failures(lambda resource: resource.allocate(100), lambda: PlainResource(10), may_recover=True)
