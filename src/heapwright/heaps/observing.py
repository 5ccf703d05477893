"""Observing: an adaptor that hears of the birth, change and death of every block, exactly once each, without a lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import ref

from heapwright.heaps.adaptor import Adaptor, B, Served
from heapwright.model.errors import InvalidFree
from heapwright.model.protocols import Resource
from heapwright.model.sizes import Size, parse_size

N = TypeVar("N")


class Observing(Adaptor[B], Generic[B, N]):
    """Keeps a note on every block that is out. What a note is, and what is done with it, is the subclass.

    A subclass says what happens at five moments; only `_born` must be there:

    - `_admit` before the upstream is asked; it may refuse by raising
    - `_withdraw` when what was admitted was not served
    - `_born` when a block is out: returns the note
    - `_resized` when one handle has replaced another: returns the note of the new one
    - `_died` when a block was deallocated, or its last handle is gone

    A handle may die anywhere: in the cycle collector, in a signal handler, in the middle of a method of this very
    object. No lock may be waited for there, so there is none. The notes are a dictionary under weak references
    whose callback is ``deque.append``: C code, in one step with the freeing of the memory. So whoever is given the
    same address next finds the dead handle in the queue; it is taken from there, and `_died` called, before anything
    else is done here (`_settle`). Only a weak reference of the program's own, younger and with a callback in Python,
    comes before: then a death is heard of that much later, which keeps figures true, and a charge is returned late
    rather than early. A note leaves the dictionary by one ``pop``, so that a block dies once here,
    however many threads free it. Figures that hooks change should be an `Account`, which is exact under the same
    conditions.

    Invariants, for whoever looks while no method runs and the queue is settled:
      - the notes are those of the blocks that are out, no more and no fewer
      - a request that was not served has left nothing but what `_withdraw` leaves

    Examples
    --------
    >>> import heapwright as hw
    >>> class Counting(hw.Observing):
    ...     live = 0
    ...     def _born(self, block, size_bytes, alignment):
    ...         self.live += 1
    ...     def _died(self, size_bytes, note):
    ...         self.live -= 1
    >>> counting = Counting(hw.Heap(hw.AnonymousSpace(4096)))
    >>> a, b = counting.allocate(10), counting.allocate(20)
    >>> counting.deallocate(a)
    >>> counting.live
    1
    """

    def __init__(self, upstream: Resource[B]) -> None:
        super().__init__(upstream)
        self._notes: dict[ref[B], tuple[int, N]] = {}  # handle -> requested bytes, note
        self._dropped: deque[ref[B]] = deque()

    def deallocate(self, block: B) -> None:  # noqa: D102  # as Adaptor's
        self._settle()
        self._noted(block)
        handle = ref(block)  # now: where the block is freed, nothing may fail for want of memory any more
        self._upstream.deallocate(block)
        self._forget(handle)

    def reallocate(self, block: B, size_bytes: Size) -> B:
        """Replace a block by one of another size.

        A block that grows may move, and then both are out for a moment: so the whole new size is admitted beside the
        old one. One that shrinks does so in place and is always admitted.

        Raises
        ------
        OutOfMemory, InvalidFree, ViewExported
            As by `allocate` and `deallocate`; the block is as it was.
        MemoryError
            Python itself has no memory for the note on the new block: then that and the old one are freed.
        """
        self._settle()
        size = parse_size(size_bytes)
        old_size, note = self._noted(block)
        handle, old_address, admitted = ref(block), block.address, 0
        if size > old_size:
            self._admit(size)
            admitted = size
        try:
            new = self._upstream.reallocate(block, size)
        except BaseException as error:
            self._withdraw(admitted, error)
            raise
        self._notes.pop(handle, None)
        try:
            new_note = self._resized(old_size, note, new, size, moved=new.address != old_address)
        except BaseException as error:  # the old block is gone, and nobody will have the new one
            self._withdraw(admitted, error)
            self._died(old_size, note)
            raise
        self._keep(new, size, new_note)
        return new

    def holds(self, block: B) -> bool:
        """Say whether a block was allocated here and is live. O(1).

        `owns` speaks of addresses, and of all of the memory below; this of one handle, and of this adaptor.
        """
        return ref(block) in self._notes

    # What a subclass says. Sizes are what was requested.

    def _admit(self, size_bytes: int) -> None:
        """Let a request pass, or raise."""

    def _withdraw(self, size_bytes: int, error: BaseException | None) -> None:
        """Undo `_admit`: the upstream did not serve the request, or answered None. 0 where nothing was admitted."""

    def _born(self, block: B, size_bytes: int, alignment: int | None) -> N:
        """Return the note on a block that has just been allocated."""
        raise NotImplementedError(f"{type(self).__name__} has to say what its notes are: override _born()")

    def _resized(self, old_size_bytes: int, note: N, new: B, size_bytes: int, *, moved: bool) -> N:
        """Return the note on the handle that replaced another; the bytes moved or the block changed in place."""
        note_on_new = self._born(new, size_bytes, None)
        self._died(old_size_bytes, note)
        return note_on_new

    def _died(self, size_bytes: int, note: N) -> None:
        """Take leave of a block."""

    # How it hears of everything.

    def _serve(self, ask: Callable[..., Served], size_bytes: int, *alignment: int) -> Served:
        self._settle()
        self._admit(size_bytes)
        try:
            block: Any = ask(size_bytes, *alignment)
            note: Any = None if block is None else self._born(block, size_bytes, *(alignment or (None,)))
        except BaseException as error:
            self._withdraw(size_bytes, error)
            raise
        if block is None:
            self._withdraw(size_bytes, None)
        else:
            self._keep(block, size_bytes, note)
        return block  # type: ignore[no-any-return]  # what ask() returned

    def _keep(self, block: B, size_bytes: int, note: N) -> None:
        try:
            self._notes[ref(block, self._dropped.append)] = size_bytes, note
        except BaseException:  # no memory for it: nobody will have the block
            self._died(size_bytes, note)
            raise

    def _noted(self, block: B) -> tuple[int, N]:
        try:
            return self._notes[ref(block)]
        except KeyError:
            reason = "double" if getattr(block.state, "value", "") == "freed" else "foreign"
            raise InvalidFree(address=block.address, size_bytes=block.size_bytes, reason=reason) from None

    def _settle(self) -> None:
        """Take leave of the blocks whose handles died since the last time."""
        while self._dropped:
            try:
                handle = self._dropped.popleft()
            except IndexError:
                return  # another thread was faster
            self._forget(handle)

    def _forget(self, handle: ref[B]) -> None:
        noted = self._notes.pop(handle, None)
        if noted is not None:
            self._died(*noted)
