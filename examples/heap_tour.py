"""A tour of heaps: where x which, what a block is, and what the figures mean.

python examples/heap_tour.py

Four strategies get the same requests in the same order. The drawing of each heap shows what the strategy is about.
"""

import random

import numpy as np

import heapwright as hw


def main() -> None:
    blocks_are_buffers()
    strategies_differ()
    memory_goes_back()
    errors_help()


def blocks_are_buffers() -> None:
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1GiB"), name="tour")
    block = heap.allocate("8KB", alignment=64)
    column = np.frombuffer(block.view(), dtype="f8")
    column[:] = np.arange(1000)
    print(f"1. an array of {column.nbytes} B in a block at {block.address:#x}; its sum is {column.sum():.0f}")
    try:
        heap.deallocate(block)
    except BufferError as refused:
        print(f"   not freed under it: {refused}")
    del column
    heap.deallocate(block)
    print(f"   freed: {block!r}")


def strategies_differ() -> None:
    print("\n2. the same program on a heap of 4 KiB; [live] and free bytes by address")
    for strategy in (hw.FirstFit, hw.BestFit, hw.WorstFit, hw.NextFit):
        heap = hw.Heap[strategy](hw.AnonymousSpace(4096))
        choose = random.Random(6)
        live: list[hw.Block] = []
        for _ in range(40):
            if live and choose.random() < 0.45:
                heap.deallocate(live.pop(choose.randrange(len(live))))
            else:
                live.append(heap.allocate(choose.choice((60, 120, 250))))
        figures = heap.statistics()
        print(f"   {strategy.name:10} {heap.draw()}")
        print(
            f"   {'':10} internal fragmentation {figures.internal_fragmentation:.0%}, "
            f"external {figures.external_fragmentation:.0%}"
        )


def memory_goes_back() -> None:
    heap = hw.Heap(hw.AnonymousSpace("1GiB"), strategy=hw.FirstFit())
    blocks = [heap.allocate("1MiB") for _ in range(64)]
    for block in blocks:
        block.view()[::4096] = bytes(256)
    before = heap.statistics().resident_bytes
    del block
    del blocks[::2]  # a handle that goes frees its block
    after = heap.trim(keep_bytes="4MiB")
    print(f"\n3. resident {hw.format_size(before)}; half freed; trim gave {hw.format_size(after)} back to the system")
    print(f"   now resident {hw.format_size(heap.statistics().resident_bytes)}")


def errors_help() -> None:
    heap = hw.HeapBuilder().capacity("1MiB").limit("64KiB").name("small").build()
    kept = heap.allocate("60KiB")
    print("\n4. errors say what, why and how to fix:")
    for request in ("5KiB", "lots"):
        try:
            heap.allocate(request)
        except hw.HeapwrightError as error:
            print(f"   {type(error).__name__}: {error}")
    heap.deallocate(kept)


if __name__ == "__main__":
    main()
