"""Definitions: every strategy that merges its holes, by its name, as a mathematical object of so many bytes.

Slab and bump, which do not, have walks of their own: `heapwright.model.slab`, `heapwright.model.bump`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from heapwright.model.buddy import BuddyModel
from heapwright.model.fits import FITS, FitModel
from heapwright.model.tlsf import TlsfModel

#: name -> capacity in bytes -> something with allocate, deallocate, resize, holes, live and draw
DEFINITIONS: dict[str, Callable[[int], Any]] = {
    **{name: partial(FitModel, choice=choice) for name, choice in FITS.items()},
    "tlsf": TlsfModel,
    "buddy": BuddyModel,
}
