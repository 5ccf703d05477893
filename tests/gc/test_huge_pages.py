from pathlib import Path

import numpy as np
import pytest

import heapwright as hw


@hw.record
class Node:
    key: hw.i64
    next: hw.Ref["Node"]


def flags_of_mapping(address: int) -> list[str]:
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if "-" in first and not first.endswith(":"):
            low, high = (int(end, 16) for end in first.split("-"))
            inside = low <= address < high
        elif inside and first == "VmFlags:":
            return rest
    raise AssertionError(f"{address:#x} is not mapped")


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="the kernel has no huge pages")
@pytest.mark.parametrize(("count", "huge"), [(100_000, False), (2_000_000, True)])
def test_a_large_class_of_records_asks_for_huge_pages(count: int, huge: bool) -> None:
    heap = hw.RecordHeap()
    keys = heap.extend(Node, key=np.arange(count)).column("key")
    assert ("hg" in flags_of_mapping(keys.ctypes.data)) is huge
