"""Damage: the evidence of a write where nobody may write, and the error that carries it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from heapwright.model.errors import HeapwrightError

if TYPE_CHECKING:
    from heapwright.owners.memory import Memory
    from heapwright.owners.states import Corrupted

_SHOWN_BYTES = 16


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Bytes that are not what they must be.

    Parameters
    ----------
    where
        ``"red zone before"``, ``"red zone after"``, or ``"checksum"`` of bytes that were sealed.
    offset_bytes
        Of the first one from the first byte of the memory; negative before it. 0 for a checksum.
    expected, found
        As many bytes as differ in a row; for a checksum the checksums.
    """

    where: str
    offset_bytes: int
    expected: bytes
    found: bytes

    def __str__(self) -> str:
        return f"{self.where}, offset {self.offset_bytes}: expected {_hex(self.expected)}, found {_hex(self.found)}"


@dataclass(frozen=True, slots=True)
class Damage:
    """What a check of a memory found.

    Parameters
    ----------
    address, size_bytes
        Of the memory, red zones not counted.
    mismatches
        By offset.

    Examples
    --------
    >>> seen = tuple(differences("red zone after", 64, b"abcdefgh", b"abXXefgX"))
    >>> print(Damage(0x1000, 64, seen))
    64 B at 0x1000
      red zone after, offset 66: expected 63 64, found 58 58
      red zone after, offset 71: expected 68, found 58
    """

    address: int
    size_bytes: int
    mismatches: tuple[Mismatch, ...]

    def __str__(self) -> str:
        return "\n  ".join([f"{self.size_bytes} B at {self.address:#x}", *map(str, self.mismatches)])

    @property
    def damaged_bytes(self) -> int:
        """Bytes of red zones that differ; a checksum does not say how many."""
        return sum(len(seen.found) for seen in self.mismatches if seen.where != "checksum")


class CorruptedMemory(HeapwrightError, RuntimeError):
    """A check found bytes overwritten that nobody may write. The block is in quarantine: no request gets it again.

    Attributes
    ----------
    damage : Damage; which bytes, what they should be and what they are
    during : str; what was asked for, such as "free"; it was not done. "drop" if the last handle went
    memory : Memory[Corrupted] or None; the handle from now on. None if there was none left, and in a pickled error
    """

    damage: Damage
    during: str
    memory: Memory[Corrupted] | None

    def __init__(self, *, damage: Damage, during: str, memory: Memory[Corrupted] | None = None) -> None:
        more = "" if memory is None else ", and error.memory.salvage() has its bytes"
        super().__init__(
            f"cannot {during} the memory at {damage.address:#x} ({damage.size_bytes} B): {damage.mismatches[0]}. "
            "Something wrote where nobody may: look at what writes to this block or to its neighbours. The block is in "
            f"quarantine{more}",
            damage=damage,
            during=during,
            memory=memory,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, (kind, args, data) = super().__reduce__()
        return rebuild, (kind, args, data | {"memory": None})  # a handle means nothing in another process


def differences(where: str, offset_bytes: int, expected: bytes, found: bytes) -> Iterator[Mismatch]:
    """Yield each run of bytes in which two texts of the same length differ."""
    for differ, run in groupby(range(len(expected)), key=lambda i: expected[i] != found[i]):
        if differ:
            places = list(run)
            part = slice(places[0], places[-1] + 1)
            yield Mismatch(where, offset_bytes + places[0], expected[part], found[part])


def _hex(data: bytes) -> str:
    more = f" ... ({len(data)} B)" if len(data) > _SHOWN_BYTES else ""
    return data[:_SHOWN_BYTES].hex(" ") + more
