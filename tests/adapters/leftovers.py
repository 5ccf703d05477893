"""What may keep the hook in after a test, besides a mistake."""

from heapwright import _native
from heapwright.adapters import numpy as adapter

RAW = 2


def interpreter_holds_blocks() -> bool:
    """Whether CPython itself took blocks while the pool served the raw domain, and has them still: a list, a table."""
    return _native.numpy_installed()[1] == RAW and adapter.statistics().block_count > 0
