"""How late is the latest allocation? A voice engine's blocks, from three kinds of memory.

python examples/real_time.py [operations]

A synthesiser makes a buffer for each note that begins and drops it when the note ends: 256 B to 64 KiB, some hundred
at a time. The sound stops if one of them comes late, so the average does not matter. Each operation is timed by itself:
free a buffer, allocate another one, write to each of its pages.

    malloc       `bytearray`: the C library, and zeroed
    best fit     a heap as it comes: memory is committed and faulted in as it is first used
    real time    TLSF on memory that is in place, locked if this process may, with room for its books

The last line is what matters; and it cannot be better than the machine: a scheduler, an interrupt or the host of a
virtual machine that takes the processor away is in every column. Where the system allows it the program asks to be
scheduled first (SCHED_FIFO), and says so.
"""

import gc
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import heapwright as hw

VOICES = 300
ONES = bytes([1]) * (1 << 16)
PAGE = os.sysconf("SC_PAGESIZE")
BOUNDS_US = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)


def main(operations: int = 100_000) -> None:
    print(scheduling())
    space = real_time_space()
    heaps = {
        "best fit": hw.Heap[hw.BestFit](hw.AnonymousSpace("256MiB")),
        f"real time ({'locked' if space.locked else 'populated'})": hw.Heap[hw.TLSF](space, block_capacity=2 * VOICES),
    }
    samples = {"malloc": play(bytearray, operations)}
    samples |= {name: play(heap.allocate, operations) for name, heap in heaps.items()}
    report(samples)


def real_time_space() -> hw.AnonymousSpace:
    """Locked memory if that is allowed; else memory that is at least in place."""
    try:
        return hw.AnonymousSpace("64MiB", locked=True)
    except hw.MemoryLockRefused as refused:
        print(f"not locked: {refused}")
        return hw.AnonymousSpace("64MiB", populate=True)


def scheduling() -> str:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return "scheduled like any program: the worst case is the scheduler's too"
    return "scheduled first (SCHED_FIFO)"


def play(allocate: Callable[[int], Any], operations: int) -> list[int]:
    """Return the nanoseconds of each operation."""
    choose = random.Random(1)  # the same notes for everyone
    sizes = [int(2 ** choose.uniform(8, 16)) for _ in range(operations)]
    slots = [choose.randrange(VOICES) for _ in range(operations)]
    voices: list[Any] = [None] * VOICES
    taken = [0] * operations
    clock = time.perf_counter_ns
    gc.collect()
    gc.disable()  # as one does in such a program
    try:
        for i in range(operations):
            start = clock()
            voices[slots[i]] = None
            block = voices[slots[i]] = allocate(sizes[i])
            with memoryview(block) as view:
                view[::PAGE] = ONES[: len(view[::PAGE])]
            taken[i] = clock() - start
    finally:
        gc.enable()
    return taken


def report(samples: dict[str, list[int]]) -> None:
    print(f"{'':26}" + "".join(f"{name:>24}" for name in samples))
    lower = 0
    for bound in (*BOUNDS_US, None):
        label = f"{lower} to {bound} us" if bound else f"more than {lower} us"
        high = bound * 1000 if bound else 1 << 62
        counts = [sum(lower * 1000 <= ns < high for ns in taken) for taken in samples.values()]
        if any(counts):
            print(f"{label:26}" + "".join(f"{count:24,}" for count in counts))
        lower = bound or 0
    in_order = [sorted(taken) for taken in samples.values()]
    for label, share in (("median", 0.5), ("99.9 %", 0.999), ("99.99 %", 0.9999), ("latest", 1.0)):
        late = [taken[min(len(taken) - 1, int(share * len(taken)))] for taken in in_order]
        print(f"{label:26}" + "".join(f"{ns / 1000:21.1f} us" for ns in late))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
