"""Slab: size classes over a best fit, for many small blocks.

Definition that can be run: `heapwright.model.slab`; code: native/core/slab_fit.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Slab:
    """Requests of up to 1 KiB get a slot of their size class, out of slabs of 64; larger ones are placed by best fit.

    A slot exceeds its request, rounded up to its alignment, by less than 16 B or an eighth of it, whichever is more.
    A slab that becomes empty goes back to the fit, but for one of each class. Source: Bonwick, USENIX Summer 1994.

    Examples
    --------
    >>> Slab().name
    'slab'
    """

    name: ClassVar[str] = "slab"
