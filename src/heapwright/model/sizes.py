"""Sizes in bytes as people type and read them: ``"4GiB"`` in, ``"4 GiB"`` out."""

from __future__ import annotations

import operator
import re
from fractions import Fraction
from typing import SupportsIndex, TypeAlias

from heapwright.model.errors import InvalidAlignment, InvalidSize

#: A number of bytes, or a number with a unit: ``4096``, ``"64KiB"``, ``"1.5 GiB"``, ``"10 MB"``.
Size: TypeAlias = "SupportsIndex | str"

_BINARY = {"": 1, "B": 1} | {f"{prefix}iB": 1024**n for n, prefix in enumerate("KMGTPE", start=1)}
_DECIMAL = {f"{prefix}B": 1000**n for n, prefix in enumerate("kMGTPE", start=1)} | {"KB": 1000}
_UNITS = {unit.lower(): factor for unit, factor in (_BINARY | _DECIMAL).items()}
_ADDRESSES = 1 << 62  # fewer than a machine of 64 bits could have, so that a size and its alignment add up
_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", re.ASCII)


def parse_size(size: Size) -> int:
    """Return a size in bytes.

    Parameters
    ----------
    size
        A whole number of bytes, or text: a number and a unit. ``KiB MiB GiB TiB PiB EiB`` are powers of 1024,
        ``kB MB GB TB PB EB`` powers of 1000, ``B`` or nothing bytes; case does not matter.

    Raises
    ------
    InvalidSize
        Text that is not a size, a negative number, or a fraction of a byte.
    TypeError
        Neither a whole number nor text.

    Examples
    --------
    >>> parse_size("4GiB"), parse_size("1.5 KiB"), parse_size("10 MB"), parse_size(64)
    (4294967296, 1536, 10000000, 64)
    >>> parse_size("4 gigs")
    Traceback (most recent call last):
    heapwright.model.errors.InvalidSize: '4 gigs' is not a size: ...
    """
    if not isinstance(size, str):
        size_bytes = operator.index(size)
        if size_bytes < 0:
            raise InvalidSize(size, "it is negative")
        return size_bytes
    match = _PATTERN.fullmatch(size)
    if match is None or match[2].lower() not in _UNITS:
        raise InvalidSize(size, "it is not a number with a unit")
    exact = Fraction(match[1]) * _UNITS[match[2].lower()]
    if exact.denominator != 1:
        raise InvalidSize(size, "it is not a whole number of bytes")
    return int(exact)


def format_size(size_bytes: int) -> str:
    """Return a size for people: the largest binary unit that is not more than it, three digits.

    Examples
    --------
    >>> format_size(64), format_size(1536), format_size(4 * 2**30), format_size(-2048)
    ('64 B', '1.5 KiB', '4 GiB', '-2 KiB')
    """
    amount, unit = float(abs(size_bytes)), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if amount < 1023.5:
            break
        amount, unit = amount / 1024, larger
    text = f"{amount:.0f}" if amount >= 100 else f"{amount:.3g}"
    return f"{'-' if size_bytes < 0 else ''}{text} {unit}"


def parse_alignment(alignment: Size) -> int:
    """Return an alignment in bytes, which is a power of two.

    Raises
    ------
    InvalidAlignment
        It is not a power of two.

    Examples
    --------
    >>> parse_alignment("2MiB")
    2097152
    """
    alignment_bytes = parse_size(alignment)
    if alignment_bytes.bit_count() != 1:
        raise InvalidAlignment(alignment_bytes)
    return alignment_bytes


def parse_layout(size: Size, alignment: Size) -> tuple[int, int]:
    """Return size and alignment of a block that a machine of 64 bits could have, in bytes.

    Raises
    ------
    InvalidSize, InvalidAlignment
        One of them is none, or more than there are addresses.

    Examples
    --------
    >>> parse_layout("4KiB", 64)
    (4096, 64)
    """
    size_bytes, alignment_bytes = parse_size(size), parse_alignment(alignment)
    for given in (size_bytes, alignment_bytes):
        if given >= _ADDRESSES:
            raise InvalidSize(given, f"no machine has addresses for {format_size(_ADDRESSES)} or more")
    return size_bytes, alignment_bytes
