"""First, best, worst and next fit: a hole is searched, split, and coalesced when it is freed.

All four answer in O(log n) for n holes, and never fail to find a hole that fits. They differ in the holes they leave.
Bounds: with at most M bytes live and blocks of 1 to n, any strategy can be made to need about ``M/2 log2 n`` bytes of
space (Robson, JACM 21, 1974). Definitions that can be run: `heapwright.model.fits`; code: native/core/fit_fused.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FirstFit:
    """The lowest address that fits: keeps the far end of the space untouched, so that `trim` gives most back.

    Worst case about ``M log2 n`` bytes of space (Robson, The Computer Journal 20, 1977): within a factor of two of the
    best that any strategy can promise.

    Examples
    --------
    >>> FirstFit().name
    'first-fit'
    """

    name: ClassVar[str] = "first-fit"


@dataclass(frozen=True, slots=True)
class BestFit:
    """The smallest hole that fits: with first fit the least waste on real programs (Wilson et al., IWMM 1995).

    Its worst case, about ``M n`` bytes of space, is bad (Robson, 1977), and has not been seen in programs.
    """

    name: ClassVar[str] = "best-fit"


@dataclass(frozen=True, slots=True)
class WorstFit:
    """The largest hole: what is left of it is useful; but no large hole survives. For study and comparison."""

    name: ClassVar[str] = "worst-fit"


@dataclass(frozen=True, slots=True)
class NextFit:
    """The first hole after the latest block: neighbours in time become neighbours in space.

    Usually the most fragmented of the four (Wilson et al., 1995, section 3.4).
    """

    name: ClassVar[str] = "next-fit"
