"""An adaptor of one's own: it says so when a heap gets full. A page, and the proof that it is right.

python examples/own_adaptor.py            # needs heapwright[test]

The first try counts where it seems natural to count, and the conformance suite shows what it has forgotten. The second
hears of every block from `Observing`, and counts in an `Account`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import heapwright as hw


@dataclass(frozen=True)
class WatermarkStatistics:
    requested_bytes: int
    watermark_bytes: int


class FirstTry(hw.Adaptor[Any]):
    """Counts in allocate and deallocate."""

    def __init__(self, upstream: Any, watermark_bytes: int, notify: Callable[[int], object]) -> None:
        super().__init__(upstream)
        self.out_bytes, self.watermark_bytes, self.notify = 0, watermark_bytes, notify

    def _serve(self, ask: Any, size_bytes: int, *alignment: int) -> Any:
        block = ask(size_bytes, *alignment)
        self.out_bytes += size_bytes
        if self.out_bytes > self.watermark_bytes:
            self.notify(self.out_bytes)
        return block

    def deallocate(self, block: Any) -> None:
        super().deallocate(block)
        self.out_bytes -= block.size_bytes

    def statistics(self) -> WatermarkStatistics:
        return WatermarkStatistics(self.out_bytes, self.watermark_bytes)


class SoftWatermark(hw.Observing[Any, None]):
    """Calls `notify` when more than `watermark_bytes` are out; again only after it was less in between."""

    def __init__(self, upstream: Any, watermark_bytes: int, notify: Callable[[int], object]) -> None:
        super().__init__(upstream)
        self.watermark_bytes, self.notify = watermark_bytes, notify
        self.account = hw.Account()
        self.above = False

    def statistics(self) -> WatermarkStatistics:
        self._settle()
        return WatermarkStatistics(self.account.figures()["requested_bytes"], self.watermark_bytes)

    def _born(self, block: Any, size_bytes: int, alignment: int | None) -> None:
        out_bytes = self.account.figures()["requested_bytes"] + size_bytes
        if out_bytes > self.watermark_bytes and not self.above:
            self.notify(out_bytes)  # before anything is counted: if it raises, the request fails and leaves nothing
            self.above = True
        self.account.take(size_bytes)

    def _died(self, size_bytes: int, note: None) -> None:
        self.account.give(size_bytes)
        self.above = self.account.figures()["requested_bytes"] > self.watermark_bytes


def main() -> None:
    try:
        hw.testing.adaptor_conformance(lambda upstream: FirstTry(upstream, 10_000, print_nothing))
    except hw.testing.Nonconformance as error:
        print(f"the first try {error}")

    hw.testing.adaptor_conformance(lambda upstream: SoftWatermark(upstream, 10_000, print_nothing))
    print("the second keeps every clause:")
    for clause in (*hw.testing.CLAUSES, *hw.testing.ADAPTOR_CLAUSES):
        print(f"    {clause.statement}")

    heap = hw.HeapBuilder().capacity("1MiB").adapt(lambda upstream: SoftWatermark(upstream, 1000, warn)).build()
    blocks = [heap.allocate(300) for _ in range(5)]
    blocks.clear()
    blocks.append(heap.allocate(2000))


def print_nothing(out_bytes: int) -> None:
    pass


def warn(out_bytes: int) -> None:
    print(f"getting full: {out_bytes} B are out")


if __name__ == "__main__":
    main()
