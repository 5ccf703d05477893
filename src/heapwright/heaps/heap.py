"""Heap: one strategy over one space; the memory resource that everything else is stacked on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from heapwright import _native
from heapwright.heaps.mark import Mark
from heapwright.model.block import BlockSeen
from heapwright.model.lifecycle import State
from heapwright.model.protocols import StackingStrategy, Strategy
from heapwright.model.sizes import Size, parse_alignment
from heapwright.model.statistics import HeapStatistics

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault  # PEP 696, which Python has from 3.13 on

    S = TypeVarWithDefault("S", bound=Strategy, default=Any, covariant=True)  # so that Heap(space) needs no annotation
else:
    S = TypeVar("S", bound=Strategy, covariant=True)

_FUSED: dict[str, type[_native.Heap]] = {
    "first-fit": _native.FirstFitHeap,
    "best-fit": _native.BestFitHeap,
    "worst-fit": _native.WorstFitHeap,
    "next-fit": _native.NextFitHeap,
    "tlsf": _native.TLSFHeap,
    "buddy": _native.BuddyHeap,
    "slab": _native.SlabHeap,
    "bump": _native.BumpHeap,
}


class Heap(_native.Heap, Generic[S]):
    """A memory resource: blocks of any size from one space, found by one strategy, exact figures at any time.

    The strategy is an object, ``Heap(space, strategy=BestFit())``, or a type, ``Heap[BestFit](space)``: then the
    methods that are called are those that were compiled for it. The decisions are the same.

    A block lives as long as its handle: dropping the handle frees it, `deallocate` does so now. While a view
    of it is exported it can be neither freed nor moved. The GIL is the heap's lock: any thread may call
    anything.

    Parameters
    ----------
    space
        Where; it can have one heap. The heap owns it.
    strategy
        Which; `BestFit` if not given.
    alignment
        Power of two in bytes, for requests that name none.
    name
        Appears in errors and reports.
    block_capacity
        Live blocks that there is to be room for, now and without growing: then neither `allocate` nor `deallocate`
        makes a system call once the space is populated, and one block more that cannot be described is OutOfMemory.
        Bump counts freed blocks too, until they are off the end. None: room for as many as come.
    decay_s
        Seconds for which memory that is free again is kept, because recent demand has needed it; then the heap
        gives it back by itself. None: it is kept until `trim`. The law is in ``docs/how-to/giving-back.md``.

    Raises
    ------
    SpaceInUse
        The space has a heap already.
    TypeError
        The strategy is not one: its name, say, where the object belongs.
    ValueError
        There is no such strategy, or the heap's type is of another; `decay_s` is negative, or `block_capacity` not
        positive.
    MemoryLockRefused
        The space is locked, and the room for descriptions may not be.

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap(hw.AnonymousSpace(4096), strategy=hw.BestFit())
    >>> a, b, c = heap.allocate(96), heap.allocate(32), heap.allocate(64)
    >>> heap.deallocate(b)
    >>> heap.draw()
    '[96] 32 [64] 3904'
    >>> with a.view() as view:
    ...     view[:5] = b"hello"
    ...     bytes(view[:5])
    b'hello'
    >>> heap.try_allocate("1TiB") is None
    True
    >>> heap.check()
    """

    __slots__ = ("name",)

    name: str

    def __new__(  # noqa: D102  # the class says it
        cls,
        space: _native.Space,
        strategy: S | None = None,
        *,
        alignment: Size = 16,
        name: str = "",
        block_capacity: int | None = None,
        decay_s: float | None = None,
    ) -> Self:
        fixed: str | None = getattr(cls, "_strategy_name", None)
        if not isinstance(strategy, Strategy | None):
            raise TypeError(
                f"{strategy!r} is not a strategy. Give one, such as BestFit(), of: {', '.join(_native.STRATEGIES)}"
            )
        chosen = strategy.name if strategy is not None else fixed or "best-fit"
        if chosen not in _native.STRATEGIES or (fixed is not None and chosen != fixed):
            names = fixed or ", ".join(_native.STRATEGIES)
            raise ValueError(f"{cls.__name__} cannot use the strategy {chosen!r}. Give it one of: {names}")
        if block_capacity is not None and not 0 < block_capacity < 2**32:
            raise ValueError(f"a block_capacity of {block_capacity} is none: give 1 or more, or None for any number")
        number = _native.STRATEGIES.index(chosen)
        self = super().__new__(cls, space, number, parse_alignment(alignment), block_capacity or 0)
        self.name = name
        self.decay_s = decay_s
        return self

    def __class_getitem__(cls, strategy: Any) -> Any:
        """Return the heap type that was compiled for a strategy."""
        if getattr(strategy, "name", None) in _FUSED:
            heap_type: Any = cls  # mypy: a class as the key of a cache
            return _fused(heap_type, strategy)
        if isinstance(strategy, str) or (isinstance(strategy, type) and not _stands_for_many(strategy)):
            raise TypeError(
                f"{cls.__name__}[{getattr(strategy, '__name__', repr(strategy))}] names no strategy. Give the class of "
                f"one, such as {cls.__name__}[BestFit], of: {', '.join(_FUSED)}"
            )
        return super().__class_getitem__(strategy)  # type: ignore[misc]  # a type variable: for checkers only

    def __repr__(self) -> str:
        return f"Heap({self.name!r})" if self.name else f"Heap({self.strategy_name})"

    @property
    def strategy_name(self) -> str:
        """Which strategy, such as ``"best-fit"``."""
        return _native.STRATEGIES[self.strategy_number]

    def blocks(self) -> Iterator[BlockSeen]:
        """Yield every block and hole by address, as they are when the walk begins. O(n).

        Examples
        --------
        >>> import heapwright as hw
        >>> heap = hw.Heap(hw.AnonymousSpace(4096))
        >>> block = heap.allocate(100)
        >>> [(seen.offset_bytes, seen.size_bytes, seen.requested_bytes, seen.state.value) for seen in heap.blocks()]
        [(0, 112, 100, 'allocated'), (112, 3984, 0, 'free')]
        """
        base, permissions = self.space.address, self.space.permissions
        for offset, size, requested, live in self.walk():
            state = State.ALLOCATED if live else State.FREE
            yield BlockSeen(base + offset, size, permissions, state, requested, offset)

    def mark(self: Heap[StackingStrategy]) -> Mark:
        """Return a mark: `release` of it frees every block allocated since. O(1).

        Marks nest. As a context manager a mark is released at the end of the block.

        Raises
        ------
        UnsupportedByStrategy
            The strategy does not stack its blocks, as `Bump` does.

        Examples
        --------
        >>> import heapwright as hw
        >>> heap = hw.Heap[hw.Bump](hw.AnonymousSpace(4096))
        >>> kept = heap.allocate(100)
        >>> mark = heap.mark()
        >>> blocks = [heap.allocate(500) for _ in range(3)]
        >>> heap.draw()
        '[112] [512] [512] [512] 2448'
        >>> heap.release(mark)
        >>> heap.draw(), blocks[0].state.value
        ('[112] 3984', 'freed')
        """
        return Mark(self, *self.set_mark())

    def release(self: Heap[StackingStrategy], mark: Mark) -> None:
        """Free every block allocated since a mark, and end that mark and all later ones.

        Their handles are dead afterwards. O(blocks allocated since, whose handles must be told).

        Raises
        ------
        ViewExported
            A view of one of them is exported, or it is an array's; nothing was freed.
        InvalidMark
            It is another heap's, or was released, or an earlier one was; nothing was freed.
        UnsupportedByStrategy
            The strategy does not stack its blocks.
        """
        if not isinstance(mark, Mark):
            raise TypeError(f"expected a mark of this heap, not {type(mark).__name__}")
        mark.release_on(self)

    def draw(self) -> str:
        """Return the heap on one line: allocated bytes of live blocks in brackets, holes without. O(n)."""
        return " ".join(f"[{size}]" if live else str(size) for _, size, _, live in self.walk())

    def statistics(self) -> HeapStatistics:
        """Return exact figures. Asks the kernel which pages are resident: O(committed pages)."""
        return HeapStatistics(**self.counters())


def _stands_for_many(strategy: Any) -> bool:
    return strategy is Any or getattr(strategy, "_is_protocol", False)  # the types that annotations name


@cache
def _fused(heap_type: Any, strategy: Any) -> Any:
    bases = (heap_type, _FUSED[strategy.name])
    name = f"{heap_type.__name__}[{strategy.__name__}]"
    return type(name, bases, {"__slots__": (), "__module__": __name__, "_strategy_name": strategy.name})
