"""Quarantine: where damaged blocks stay, so that no request gets their bytes again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from heapwright.model.errors import PermissionDenied
from heapwright.owners.damage import Damage


class Quarantine:
    """Damaged blocks and the evidence. Who holds it decides when it ends: then the blocks go back to their resource.

    A `Memory` that is given none uses the process's own, which never ends.

    Examples
    --------
    >>> import heapwright as hw
    >>> quarantine = hw.Quarantine()
    >>> memory = hw.Memory(hw.Heap(hw.AnonymousSpace("1MiB")), quarantine=quarantine).allocate(64)
    >>> len(quarantine), list(quarantine), quarantine.held_bytes
    (0, [], 0)
    """

    def __init__(self) -> None:
        self._held: list[tuple[Any, memoryview | None, Damage]] = []

    @staticmethod
    def of_process() -> Quarantine:
        """Return the one that damaged blocks are put into by default."""
        return _OF_PROCESS

    def hold(self, block: Any, damage: Damage) -> None:
        """Keep a block, and with it its heap and its space.

        By a view of it, so that an arena does not end it either: whoever wants to, hears of it.
        """
        try:
            view = block.view()
        except PermissionDenied:  # then the handle has to do
            view = None
        self._held.append((block, view, damage))  # one step under the GIL: any thread may, a finalizer too

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Damage]:
        """Yield the evidence, oldest first."""
        return iter([damage for *_, damage in self._held])

    def __repr__(self) -> str:
        return f"<Quarantine of {len(self)} block{'s' * (len(self) != 1)}, {self.held_bytes} B>"

    @property
    def held_bytes(self) -> int:
        """Requested bytes of the blocks in it, red zones included."""
        return sum(block.size_bytes for block, *_ in self._held)


# Process-wide on purpose: memory that is known to be damaged is the process's concern, and outlives who noticed.
_OF_PROCESS = Quarantine()
