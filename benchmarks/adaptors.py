"""What an adaptor costs: allocate and drop 64 B through each, against the bare heap, `object()` and `tracemalloc`.

python -m benchmarks.adaptors [--rounds 21] [--json FILE]

No claim: the figures of decision 0035. An adaptor is Python, and exact; the table says what that costs per block. The
last row, less the second, is what the standard library asks for the line of each allocation.

CPU time of one thread; all contenders take turns in short batches; the least and the median of the rounds.
"""

import argparse
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import heapwright as hw
from benchmarks.beside_object import cpu_ns

BATCH = 1000


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.adaptors", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        samples = measure(contenders(Path(folder)), options.rounds)
    print(f"{'64 B, allocated and dropped':32} {'least ns':>9} {'median ns':>10}")
    for name, costs in samples.items():
        print(f"{name:32} {min(costs):9.0f} {median(costs):10.0f}")
    if options.json is not None:
        load = os.getloadavg()[0]
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"load": load, "ns": samples}, indent=1))


def contenders(folder: Path) -> dict[str, Callable[[], None]]:
    adaptors: dict[str, Callable[[Any], Any]] = {
        "Heap": lambda heap: heap,
        "Adaptor": hw.Adaptor,
        "Aligned": lambda heap: hw.Aligned(heap, 64),
        "ThreadSafe": hw.ThreadSafe,
        "Limiting": lambda heap: hw.Limiting(heap, "1MiB"),
        "Fallback": lambda heap: hw.Fallback(heap, new_heap()),
        "Statistics": hw.Statistics,
        "Tracking, no stack": lambda heap: hw.Tracking(heap, stack_depth=0),
        "Tracking, one frame": hw.Tracking,
        "Logging, callable": lambda heap: hw.Logging(heap, lambda event: None),
        "Logging, CSV": lambda heap: hw.Logging(heap, folder / "log.csv"),
    }
    batches = {"object()": batch(object), "bytearray(64)": batch(lambda: bytearray(64))}
    batches |= {name: batch(allocate_64(adapt(new_heap()))) for name, adapt in adaptors.items()}
    return batches | {"bytearray(64), tracemalloc(1)": batch(lambda: bytearray(64))}


def new_heap() -> Any:
    return hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))


def allocate_64(resource: Any) -> Callable[[], object]:
    allocate = resource.allocate
    return lambda: allocate(64)


def batch(make: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(BATCH):
            make()

    return run


def measure(batches: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in batches}
    for _ in range(rounds):
        for name, run in batches.items():
            if "tracemalloc" in name:
                tracemalloc.start(1)
            samples[name].append(cpu_ns(run) / BATCH)
            tracemalloc.stop()
    return samples


if __name__ == "__main__":
    main()
