"""A memory resource in plain Python that notices a second call in the middle of one."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import heapwright as hw


class Fragile(hw.Adaptor[hw.Block]):
    """Not for two threads, nor for a finalizer in the middle."""

    def __init__(self, upstream: Any, in_the_middle: Any = None) -> None:
        super().__init__(upstream)
        self.inside = 0
        self.in_the_middle = in_the_middle

    @contextmanager
    def _call(self) -> Iterator[None]:
        assert self.inside == 0, "a call in the middle of another"
        self.inside = os.getpid()
        time.sleep(0)  # let others try
        if self.in_the_middle is not None:
            self.in_the_middle()
        try:
            yield
        finally:
            self.inside = 0

    def _serve(self, ask: Any, size_bytes: int, *alignment: int) -> Any:
        with self._call():
            return super()._serve(ask, size_bytes, *alignment)

    def deallocate(self, block: hw.Block) -> None:
        with self._call():
            super().deallocate(block)

    def reallocate(self, block: hw.Block, size_bytes: Any) -> hw.Block:
        with self._call():
            return super().reallocate(block, size_bytes)
