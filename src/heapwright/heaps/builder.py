"""HeapBuilder: a heap put together step by step, checked as a whole, and explained. A composition point.

Here concrete spaces, strategies and adaptors meet; elsewhere they know each other by protocol only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from heapwright import _native
from heapwright.heaps.adaptor import Adaptor
from heapwright.heaps.failure_callback import FailureCallback
from heapwright.heaps.fallback import Fallback
from heapwright.heaps.heap import Heap
from heapwright.heaps.limiting import Limiting
from heapwright.heaps.logging import LogEvent, Logging
from heapwright.heaps.statistics import Statistics
from heapwright.heaps.thread_safe import ThreadSafe
from heapwright.heaps.tracking import Tracking
from heapwright.model.errors import HeapwrightError
from heapwright.model.protocols import Strategy
from heapwright.model.sizes import Size, format_size, parse_alignment, parse_size
from heapwright.model.space import Permissions
from heapwright.spaces.anonymous import AnonymousSpace
from heapwright.strategies.fits import BestFit


class InvalidConfiguration(HeapwrightError, ValueError):
    """Parts that do not go together; the message says which, and what to change."""


@dataclass(frozen=True, slots=True)
class Layer:
    """An adaptor to be put around what is there: its line in `explain`, and how it is made over an upstream."""

    name: str
    sentence: str
    make: Callable[[Any], Adaptor[Any]]


@dataclass(frozen=True, slots=True)
class _LimitLayer(Layer):
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class HeapBuilder:
    """A recipe for a heap. Every step returns a new builder, so a recipe can be kept and varied.

    The order of most steps does not matter. That of adaptors does: each is put around what the steps before it have
    made. So ``limit(...).statistics()`` counts what the limit refuses as failed, and ``statistics().limit(...)`` never
    hears of it.

    Examples
    --------
    >>> import heapwright as hw
    >>> recipe = hw.HeapBuilder().capacity("1GiB").alignment(64).strategy(hw.FirstFit()).limit("800MiB").statistics()
    >>> print(recipe.explain())
    space      1 GiB of anonymous memory, reserved now, committed as it is used
    strategy   first-fit
    alignment  64 B unless a request says otherwise
    limit      800 MiB requested at any time, else LimitExceeded
    statistics counted, in all and by context
    >>> heap = recipe.build()
    >>> heap
    Statistics(Limiting(Heap(first-fit), 838860800))
    >>> heap.allocate(100).address % 64
    0
    """

    _capacity: int | None = None
    _space: _native.Space | None = None
    _alignment: int = 16
    _strategy: Strategy = BestFit()  # noqa: RUF009  # immutable
    _layers: tuple[Layer, ...] = ()  # the innermost first
    _huge_pages: bool = False
    _permissions: Permissions | None = None
    _populate: bool = False
    _locked: bool = False
    _block_capacity: int | None = None
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

    def populate(self, *, locked: bool = False) -> HeapBuilder:
        """Bring the new space into memory at once, and if `locked` keep it there: see `AnonymousSpace`."""
        return replace(self, _populate=True, _locked=locked)

    def block_capacity(self, blocks: int | None) -> HeapBuilder:
        """Have room for so many live blocks from the start, and no more: see `Heap`."""
        return replace(self, _block_capacity=blocks)

    def alignment(self, alignment: Size) -> HeapBuilder:
        """Align requests that name no alignment to this power of two, in bytes."""
        return replace(self, _alignment=parse_alignment(alignment))

    def strategy(self, strategy: Strategy) -> HeapBuilder:
        """Find blocks by this strategy."""
        return replace(self, _strategy=strategy)

    def limit(self, size_bytes: Size) -> HeapBuilder:
        """Never have more than this requested: see `Limiting`. A recipe has one limit; another one takes its place."""
        limit = parse_size(size_bytes)
        sentence = f"{format_size(limit)} requested at any time, else LimitExceeded"
        layer = _LimitLayer("limit", sentence, lambda upstream: Limiting(upstream, limit), limit)
        if self._limit is None:
            return self._around(layer)
        return replace(self, _layers=tuple(layer if other is self._limit else other for other in self._layers))

    def statistics(self) -> HeapBuilder:
        """Count what goes through: see `Statistics`."""
        return self._around(Layer("statistics", "counted, in all and by context", Statistics))

    def tracking(self, stack_depth: int = 1) -> HeapBuilder:
        """Know every block that is out, and where it was allocated: see `Tracking`."""
        sentence = f"size, age and {stack_depth} frames of every block that is out"
        return self._around(Layer("tracking", sentence, lambda upstream: Tracking(upstream, stack_depth=stack_depth)))

    def logging(self, sink: str | os.PathLike[str] | Callable[[LogEvent], object]) -> HeapBuilder:
        """Log every call: see `Logging`."""
        where = "a callable" if callable(sink) else os.fspath(sink)
        return self._around(Layer("logging", f"every call, to {where}", lambda upstream: Logging(upstream, sink)))

    def on_failure(self, callback: Callable[[int], object], *, attempts: int = 16) -> HeapBuilder:
        """Where there is no memory, let the program free some and try again: see `FailureCallback`."""
        sentence = f"at most {attempts} calls of {getattr(callback, '__name__', 'a callable')} before a request fails"
        return self._around(
            Layer("on failure", sentence, lambda upstream: FailureCallback(upstream, callback, attempts=attempts))
        )

    def fallback(self, second: Any) -> HeapBuilder:
        """Where there is no memory, ask another resource: see `Fallback`."""
        return self._around(Layer("fallback", repr(second), lambda upstream: Fallback(upstream, second)))

    def thread_safe(self) -> HeapBuilder:
        """Let one thread at a time into what the steps before have made, adaptors of one's own: see `ThreadSafe`."""
        return self._around(Layer("thread safe", "one call at a time", ThreadSafe))

    def adapt(self, make: Callable[[Any], Adaptor[Any]]) -> HeapBuilder:
        """Put an adaptor of one's own around what the steps before have made; `make` is called with that."""
        return self._around(Layer("adaptor", getattr(make, "__name__", repr(make)), make))

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
            when = "reserved now, committed as it is used"
            if self._populate:
                when = "in memory from the start, and locked there" if self._locked else "in memory from the start"
            where = f"{format_size(self._capacity or 0)} of {pages}, {when}"
        lines = [
            f"space      {where}",
            f"strategy   {self._strategy.name}",
            f"alignment  {format_size(self._alignment)} unless a request says otherwise",
        ]
        if self._block_capacity is not None:
            lines.append(f"blocks     room for {self._block_capacity} from the start; it does not grow")
        if self._decay_s is not None:
            lines.append(
                f"decay      what {self._decay_s:g} s of demand did not need goes back to the operating system"
            )
        lines += [f"{layer.name:<10} {layer.sentence}" for layer in self._layers]
        return "\n".join(lines)

    def build(self) -> Heap[Any] | Adaptor[_native.Block]:
        """Make the heap; with adaptors, the outermost one, which owns it: `Heap` or `Adaptor`.

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
                populate=self._populate,
                locked=self._locked,
            )
        resource: Heap[Any] | Adaptor[_native.Block] = Heap(
            space,
            strategy=self._strategy,
            alignment=self._alignment,
            name=self._name,
            block_capacity=self._block_capacity,
            decay_s=self._decay_s,
        )
        for layer in self._layers:
            resource = layer.make(resource)
        return resource

    def _around(self, layer: Layer) -> HeapBuilder:
        return replace(self, _layers=(*self._layers, layer))

    @property
    def _limit(self) -> _LimitLayer | None:
        return next((layer for layer in self._layers if isinstance(layer, _LimitLayer)), None)

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
            if size is not None or self._huge_pages or self._permissions is not None or self._populate:
                raise InvalidConfiguration(
                    "space(...) comes with a size, pages and permissions of its own. Leave out capacity(), "
                    "huge_pages(), permissions() and populate(), or leave out space()"
                )
            if self._alignment > space.alignment:
                raise InvalidConfiguration(
                    f"alignment {self._alignment} B is more than the {space.alignment} B that the space is aligned "
                    f"to. Create the space with alignment={self._alignment}"
                )
            size = space.size_bytes
        if not isinstance(self._strategy, Strategy):
            raise InvalidConfiguration(
                f"{self._strategy!r} is not a strategy. Give strategy() one, such as BestFit(), "
                f"of: {', '.join(_native.STRATEGIES)}"
            )
        if self._strategy.name not in _native.STRATEGIES:
            raise InvalidConfiguration(
                f"the strategy {self._strategy.name!r} is not built for heaps yet. "
                f"Use one of: {', '.join(_native.STRATEGIES)}"
            )
        if self._decay_s is not None and not self._decay_s >= 0:
            raise InvalidConfiguration(f"decay over {self._decay_s} s: give 0 or more, or None to keep what is free")
        if self._decay_s is not None and (self._locked or (space is not None and space.locked)):
            raise InvalidConfiguration("a locked space gives nothing back. Leave out decay(), or do not lock it")
        if self._block_capacity is not None and not 0 < self._block_capacity < 2**32:
            raise InvalidConfiguration(
                f"room for {self._block_capacity} blocks: give 1 or more, or None for any number"
            )
        if self._limit is not None and size is not None and self._limit.limit_bytes > size:
            raise InvalidConfiguration(
                f"the limit of {self._limit.limit_bytes} B can never be met: the space has {size} B. "
                "Lower the limit or raise the capacity"
            )
