import pytest
from hypothesis import given
from hypothesis import strategies as st

from heapwright.model.errors import InvalidAlignment, InvalidSize
from heapwright.model.sizes import format_size, parse_alignment, parse_size


@given(st.integers(0, 2**70))
def test_whole_numbers_are_bytes(size: int) -> None:
    assert parse_size(size) == parse_size(str(size)) == parse_size(f" {size} B ") == size


@given(st.integers(0, 10**6), st.sampled_from([("KiB", 2**10), ("mib", 2**20), ("GB", 10**9), ("TiB", 2**40)]))
def test_units(number: int, unit: tuple[str, int]) -> None:
    assert parse_size(f"{number}{unit[0]}") == number * unit[1]


def test_fractions_are_exact() -> None:
    assert parse_size("0.5KiB") == 512
    assert parse_size("4.7 GB") == 4_700_000_000


@pytest.mark.parametrize("text", ["", "GiB", "-1", "4 gigs", "1e3", "0.3B", "1/2", "١KiB", "1 KiB B"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidSize) as caught:
        parse_size(text)
    assert caught.value.size == text


def test_a_negative_number_and_a_float_are_refused() -> None:
    with pytest.raises(InvalidSize):
        parse_size(-1)
    with pytest.raises(TypeError):
        parse_size(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("alignment", [0, 3, 24, "3KiB"])
def test_an_alignment_is_a_power_of_two(alignment: int | str) -> None:
    with pytest.raises(InvalidAlignment):
        parse_alignment(alignment)


@given(st.integers(1, 2**62))
def test_formatted_sizes_are_close(size: int) -> None:
    shown = parse_size_of(format_size(size))
    assert abs(shown - size) <= size * 0.006


def parse_size_of(text: str) -> float:
    number, unit = text.split()
    return float(number) * parse_size(f"1{unit}")
