import pytest

import heapwright as hw


def test_three_quantities_move_together() -> None:
    account = hw.Account()
    account.take(100, 112, 1)
    account.take(50, 64, 1)
    account.give(100, 112, 1)
    account.take(1)
    account.refuse()
    assert account.figures() == {
        "requested_bytes": 51,
        "peak_requested_bytes": 150,
        "total_requested_bytes": 151,
        "allocated_bytes": 64,
        "peak_allocated_bytes": 176,
        "total_allocated_bytes": 176,
        "block_count": 1,
        "peak_block_count": 2,
        "total_block_count": 2,
        "failed_count": 1,
    }
    assert account.limit_bytes is None


def test_what_passes_the_limit_changes_nothing() -> None:
    account = hw.Account("1KiB")
    account.take(1000, 5, 5)
    for size in (25, 1 << 63, 1 << 64, 1 << 200):
        with pytest.raises(hw.LimitExceeded) as caught:
            account.take(size, 1, 1)
        assert (caught.value.size_bytes, caught.value.current_bytes, caught.value.limit_bytes) == (size, 1000, 1024)
    figures = account.figures()
    assert (figures["requested_bytes"], figures["allocated_bytes"], figures["failed_count"]) == (1000, 5, 4)
    account.take(24)
    assert account.limit_bytes == 1024


@pytest.mark.parametrize("amounts", [(11, 0, 0), (0, 21, 0), (0, 0, 2), (1 << 64,)])
def test_more_than_is_out_cannot_be_given_back(amounts: tuple[int, ...]) -> None:
    account = hw.Account()
    account.take(10, 20, 1)
    before = account.figures()
    with pytest.raises(ValueError, match="somebody counts twice"):
        account.give(*amounts)
    assert account.figures() == before


def test_what_is_no_amount_is_refused() -> None:
    account = hw.Account()
    for wrong in ((), (1, 2, 3, 4)):
        with pytest.raises(TypeError):
            account.take(*wrong)
    with pytest.raises(hw.InvalidSize):
        account.take(-1)
    with pytest.raises(hw.InvalidSize):
        hw.Account("much")
