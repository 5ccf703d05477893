"""HeapBuilder: a heap put together step by step, checked as a whole, and explained. A composition point.

Here concrete spaces, strategies and adaptors meet; elsewhere they know each other by protocol only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from heapwright import _native
from heapwright.heaps.heap import Heap
from heapwright.heaps.limiting import Limiting
from heapwright.model.errors import HeapwrightError
from heapwright.model.protocols import Strategy
from heapwright.model.sizes import Size, format_size, parse_alignment, parse_size
from heapwright.model.space import Permissions
from heapwright.spaces.anonymous import AnonymousSpace
from heapwright.strategies.fits import BestFit


class InvalidConfiguration(HeapwrightError, ValueError):
    """Parts that do not go together; the message says which, and what to change."""


@dataclass(frozen=True, slots=True)
class HeapBuilder:
    """A recipe for a heap. Every step returns a new builder, so a recipe can be kept and varied.

    Examples
    --------
    >>> import heapwright as hw
    >>> recipe = hw.HeapBuilder().capacity("1GiB").alignment(64).strategy(hw.FirstFit()).limit("800MiB")
    >>> print(recipe.explain())
    space      1 GiB of anonymous memory, reserved now, committed as it is used
    strategy   first-fit
    alignment  64 B unless a request says otherwise
    limit      800 MiB requested at any time, else LimitExceeded
    >>> heap = recipe.build()
    >>> heap.allocate(100).address % 64
    0
    """

    _capacity: int | None = None
    _space: _native.Space | None = None
    _alignment: int = 16
    _strategy: Strategy = BestFit()  # noqa: RUF009  # immutable
    _limit: int | None = None
    _huge_pages: bool = False
    _permissions: Permissions | None = None
    _decay_s: float | None = None
    _name: str = ""

    def capacity(self, size_bytes: Size) -> HeapBuilder:
        """Use a new anonymous space of this size."""
        return replace(self, _capacity=parse_size(size_bytes))

    def space(self, space: _native.Space) -> HeapBuilder:
        """Use this space."""
        return replace(self, _space=space)

    def huge_pages(self, wanted: bool = True) -> HeapBuilder:
        """Ask for 2 MiB pages in the new space."""
        return replace(self, _huge_pages=wanted)

    def permissions(self, permissions: Permissions) -> HeapBuilder:
        """Give the new space these permissions."""
        return replace(self, _permissions=permissions)

    def alignment(self, alignment: Size) -> HeapBuilder:
        """Align requests that name no alignment to this power of two, in bytes."""
        return replace(self, _alignment=parse_alignment(alignment))

    def strategy(self, strategy: Strategy) -> HeapBuilder:
        """Find blocks by this strategy."""
        return replace(self, _strategy=strategy)

    def limit(self, size_bytes: Size) -> HeapBuilder:
        """Never have more than this requested: see `Limiting`."""
        return replace(self, _limit=parse_size(size_bytes))

    def decay(self, seconds: float | None) -> HeapBuilder:
        """Give back by itself what was not needed for so many seconds: see `Heap`."""
        return replace(self, _decay_s=seconds)

    def name(self, name: str) -> HeapBuilder:
        """Use this name in errors and reports."""
        return replace(self, _name=name)

    def explain(self) -> str:
        """Say in words what `build` will make.

        Raises
        ------
        InvalidConfiguration
            It cannot be made.
        """
        self._validate()
        if self._space is not None:
            where = repr(self._space)
        else:
            pages = "anonymous memory in huge pages" if self._huge_pages else "anonymous memory"
            where = f"{format_size(self._capacity or 0)} of {pages}, reserved now, committed as it is used"
        lines = [
            f"space      {where}",
            f"strategy   {self._strategy.name}",
            f"alignment  {format_size(self._alignment)} unless a request says otherwise",
        ]
        if self._limit is not None:
            lines.append(f"limit      {format_size(self._limit)} requested at any time, else LimitExceeded")
        if self._decay_s is not None:
            lines.append(
                f"decay      what {self._decay_s:g} s of demand did not need goes back to the operating system"
            )
        return "\n".join(lines)

    def build(self) -> Heap[Any] | Limiting[_native.Block]:
        """Make the heap; with a limit, the `Limiting` that owns it.

        Raises
        ------
        InvalidConfiguration
            Parts are missing or contradict each other.
        """
        self._validate()
        space = self._space
        if space is None:
            space = AnonymousSpace(
                self._capacity or 0,
                huge_pages=self._huge_pages,
                alignment=max(self._alignment, 2 << 20),
                permissions=self._wanted_permissions,
            )
        heap: Heap[Any] = Heap(
            space, strategy=self._strategy, alignment=self._alignment, name=self._name, decay_s=self._decay_s
        )
        return heap if self._limit is None else Limiting(heap, self._limit)

    @property
    def _wanted_permissions(self) -> Permissions:
        if self._permissions is None:
            return Permissions.READ | Permissions.WRITE
        return self._permissions

    def _validate(self) -> None:
        space, size = self._space, self._capacity
        if space is None and not size:
            raise InvalidConfiguration(
                "the heap has no space. Say how large with capacity('1GiB'), or give one with space(...)"
            )
        if space is not None:
            if size is not None or self._huge_pages or self._permissions is not None:
                raise InvalidConfiguration(
                    "space(...) comes with a size, pages and permissions of its own. Leave out capacity(), "
                    "huge_pages() and permissions(), or leave out space()"
                )
            if self._alignment > space.alignment:
                raise InvalidConfiguration(
                    f"alignment {self._alignment} B is more than the {space.alignment} B that the space is aligned "
                    f"to. Create the space with alignment={self._alignment}"
                )
            size = space.size_bytes
        if self._strategy.name not in _native.STRATEGIES:
            raise InvalidConfiguration(
                f"the strategy {self._strategy.name!r} is not built for heaps yet. "
                f"Use one of: {', '.join(_native.STRATEGIES)}"
            )
        if self._decay_s is not None and not self._decay_s >= 0:
            raise InvalidConfiguration(f"decay over {self._decay_s} s: give 0 or more, or None to keep what is free")
        if self._limit is not None and size is not None and self._limit > size:
            raise InvalidConfiguration(
                f"the limit of {self._limit} B can never be met: the space has {size} B. "
                "Lower the limit or raise the capacity"
            )
