"""Run one workload once and print what it cost as one line of JSON.

    python -m benchmarks.workload NAME
    heapwright run --quiet -m benchmarks.workload NAME

The figures are the process's own: CPU time and minor faults of the measured section, the peak of resident
memory over the whole life of the process, resident memory after the results were dropped, and the same one
second later.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
IDLE_S = 1.0

#: Substrings of the libraries that a preload maps; a rival that did not load must not pass for the default.
RIVALS = ("mimalloc", "jemalloc", "tcmalloc")


class Clock(NamedTuple):
    """CPU seconds and minor faults of this process so far, all threads."""

    cpu_s: float
    system_s: float
    minor_faults: int

    @classmethod
    def now(cls) -> "Clock":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(usage.ru_utime + usage.ru_stime, usage.ru_stime, usage.ru_minflt)

    def since(self, start: "Clock") -> "Clock":
        return Clock(*(end - begin for end, begin in zip(self, start, strict=True)))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def peak_resident_bytes() -> int:
    """VmHWM; unlike ``ru_maxrss`` it is not inherited from the process that started this one."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not report VmHWM in /proc/self/status; these benchmarks need it")


def allocators_present() -> list[str]:
    """What sits under this process beside the C library, as the process itself can see it."""
    maps = Path("/proc/self/maps").read_text()
    present = [name for name in RIVALS if f"lib{name}" in maps]
    adapter = sys.modules.get("heapwright.adapters.numpy")
    if adapter is not None:
        present.append(f"heapwright {adapter.installed()}")
    return present


def measure(name: str) -> dict[str, object]:
    # Imported late: under `heapwright run` NumPy then comes after start-up, as in a user's program.
    from benchmarks.digest import digest
    from benchmarks.workloads import prepare

    work = prepare(name)
    before = Clock.now()
    os.getloadavg()  # marks the start of the section for benchmarks.instructions
    result = work()
    os.getpriority(os.PRIO_PROCESS, 0)  # ... and its end
    section = Clock.now().since(before)
    fingerprint = digest(result)
    del result
    at_end = resident_bytes()
    time.sleep(IDLE_S)
    return {
        "workload": name,
        "digest": fingerprint,
        "cpu_s": section.cpu_s,
        "system_s": section.system_s,
        "minor_faults": section.minor_faults,
        "peak_resident_bytes": peak_resident_bytes(),
        "end_resident_bytes": at_end,
        "later_resident_bytes": resident_bytes(),
        "allocators": allocators_present(),
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
