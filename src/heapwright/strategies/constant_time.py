"""TLSF and buddy: what a request costs does not depend on how many blocks there are.

Both find a hole by its class of size, with a few bit operations, and merge what is freed at once. Definitions that can
be run: `heapwright.model.tlsf`, `heapwright.model.buddy`; code: native/core/two_level.h, native/core/buddy_fused.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class TLSF:
    """A good fit in constant time: two levels of segregated lists (Masmano et al., ECRTS 2004). For real time.

    A request finds a hole whenever one is larger by a 32nd, and may find none where only a tighter one is left. Every
    operation takes a constant number of instructions: no loop depends on the number of blocks or on their sizes.

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap[hw.TLSF](hw.AnonymousSpace("1MiB"))
    >>> block = heap.allocate(1000)
    >>> heap.draw()
    '[1008] 1047568'
    """

    name: ClassVar[str] = "tlsf"


@dataclass(frozen=True, slots=True)
class Buddy:
    """Powers of two, halved, and merged with the other half (Knowlton, CACM 8, 1965).

    Every block lies at a multiple of its own size, and less than half of it is unasked for. One request takes at most
    as many steps as the capacity has binary digits.

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap[hw.Buddy](hw.AnonymousSpace("4KiB"))
    >>> block = heap.allocate(1000)
    >>> heap.draw()
    '[1024] 1024 2048'
    """

    name: ClassVar[str] = "buddy"
