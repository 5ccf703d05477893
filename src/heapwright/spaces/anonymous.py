"""Anonymous space: address space that is backed by nothing but memory."""

from __future__ import annotations

from typing import Self

from heapwright import _native
from heapwright.model.sizes import Size, format_size, parse_alignment, parse_size
from heapwright.model.space import Permissions


class AnonymousSpace(_native.Space):
    """Private memory of this process: reserved at once, committed as a heap hands it out.

    Reserving costs address space and no memory, so be generous. A space lives as long as its heap, or any
    block or view in it.

    Parameters
    ----------
    size_bytes
        Bytes, or text such as ``"1GiB"``; rounded up to whole pages.
    huge_pages
        Ask the kernel for 2 MiB pages, fewer faults and a wider reach of the TLB, and commit in such units.
        Where it has none, the space is the same without them, and `huge_pages` is False.
    alignment
        Power of two in bytes that the address is a multiple of: the most that a block can be promised.
    permissions
        What may be done with the bytes; see `protect`.
    populate
        Commit all of it now and bring it into memory, so that no use of it faults.
    locked
        The same, and keep it there: no page is written to swap or given back, and `trim` and decay do nothing. A forked
        child has it unlocked.

    Raises
    ------
    InvalidSize, InvalidAlignment
        An argument is not what it should be.
    SystemCallFailed
        There is not that much address space; or, with `populate`, not that much memory.
    MemoryLockRefused
        The process may not lock that much, or there is not that much memory.

    Examples
    --------
    >>> space = AnonymousSpace("1GiB")
    >>> space.size_bytes, space.committed_bytes, space.permissions.letters
    (1073741824, 0, 'RW')

    Source: mmap(2), mprotect(2), madvise(2).
    """

    def __new__(  # noqa: D102  # the class says it
        cls,
        size_bytes: Size,
        *,
        huge_pages: bool = False,
        alignment: Size = "2MiB",
        permissions: Permissions = Permissions.READ | Permissions.WRITE,
        populate: bool = False,
        locked: bool = False,
    ) -> Self:
        size = parse_size(size_bytes)
        if size == 0:
            size = 1  # one page: a space without addresses has no blocks, not even empty ones
        return super().__new__(
            cls, min(size, 2**63 - 1), parse_alignment(alignment), huge_pages, permissions, populate, locked
        )

    def __repr__(self) -> str:
        size = format_size(self.size_bytes)
        return f"<{type(self).__name__} {size} at {self.address:#x} {self.permissions.letters}>"
