"""Nothing but arithmetic after start-up: memory that is there, descriptions that are there, and no system call."""

import os
import platform
import subprocess
import sys

import pytest

import heapwright as hw
from heapwright import _native

PAGE = os.sysconf("SC_PAGESIZE")
STRATEGIES = [hw.FirstFit, hw.BestFit, hw.WorstFit, hw.NextFit, hw.TLSF, hw.Buddy, hw.Slab]


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def locked_space(size: str) -> hw.AnonymousSpace:
    try:
        return hw.AnonymousSpace(size, locked=True)
    except hw.MemoryLockRefused as refused:
        pytest.skip(str(refused))


def test_a_populated_space_is_in_memory_from_the_start() -> None:
    space = hw.AnonymousSpace("4MiB", populate=True)
    assert space.populated
    assert not space.locked
    assert space.committed_bytes == space.resident_bytes() == 4 << 20
    heap = hw.Heap(space, strategy=hw.TLSF(), block_capacity=1000)
    assert heap.block_capacity == 1000
    heap.allocate("1MiB")
    assert heap.trim() >= 2 << 20  # who asks for it gets it
    assert not hw.AnonymousSpace("4MiB").populated
    heap.check()


def test_permissions_of_a_populated_space() -> None:
    space = hw.AnonymousSpace("1MiB", populate=True, permissions=hw.Permissions.READ)
    assert space.resident_bytes() == 1 << 20
    with pytest.raises(hw.PermissionDenied):
        hw.Heap(space).allocate(10).write(0, b"x")


def test_a_locked_space_gives_nothing_back() -> None:
    space = locked_space("1MiB")
    assert space.locked
    assert space.populated
    heap = hw.Heap(space, strategy=hw.TLSF(), block_capacity=100, decay_s=0)
    heap.deallocate(heap.allocate("512KiB"))
    assert heap.trim() == 0
    assert not heap.trim_step()
    assert not heap.decay_tick(now_s=1e9)
    assert space.resident_bytes() == 1 << 20
    heap.check()


def test_locking_more_than_allowed_says_what_is() -> None:
    program = """
import ctypes, os, pathlib, resource
import heapwright as hw
hw.AnonymousSpace, hw.MemoryLockRefused, hw.SystemCallFailed, hw.TLSF, hw.Heap  # loaded before rights are gone
resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 2 << 20))
if os.getuid() == 0:
    os.setuid(65534)  # who has no CAP_IPC_LOCK
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: may look at itself again
try:
    hw.AnonymousSpace("64MiB", locked=True)
except hw.MemoryLockRefused as error:
    assert isinstance(error, OSError) and isinstance(error, hw.SystemCallFailed)
    assert (error.size_bytes, error.limit_bytes, error.hard_limit_bytes) == (64 << 20, 1 << 20, 2 << 20), vars(error)
    assert error.locked_bytes == 0 and error.errno
    print(error)
space = hw.AnonymousSpace("512KiB", locked=True)
try:
    hw.Heap(space, strategy=hw.TLSF(), block_capacity=100_000)
except hw.MemoryLockRefused as error:
    assert error.locked_bytes == 512 << 10 and error.size_bytes > 1 << 20, vars(error)
hw.Heap(space, strategy=hw.TLSF(), block_capacity=100).allocate(1000)
print("done")
"""
    finished = run(program)
    assert finished.returncode == 0, finished.stderr
    assert "cannot lock 67108864 B in memory" in finished.stdout
    assert "may lock 1048576 B (RLIMIT_MEMLOCK), of which 0 B are taken" in finished.stdout
    assert "hard limit of 2097152 B" in finished.stdout
    assert "done" in finished.stdout


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_heap_has_room_for_the_blocks_it_was_made_for_and_says_when_it_has_no_more(strategy: type[hw.TLSF]) -> None:
    heap = hw.Heap[strategy](hw.AnonymousSpace("16MiB"), block_capacity=300)
    control = heap.statistics().control_bytes
    blocks = [heap.allocate(16, alignment=4096) for _ in range(300)]  # with a hole before each
    heap.deallocate(blocks.pop())
    while (block := heap.try_allocate(16, alignment=4096)) is not None:
        blocks.append(block)
    with pytest.raises(hw.OutOfMemory) as caught:
        heap.allocate(16, alignment=4096)
    assert len(blocks) >= 300
    assert heap.statistics().control_bytes == control
    if strategy not in (hw.Buddy, hw.Slab):  # they have room for more, since a block of theirs may need more than two
        assert caught.value.block_capacity == 300
        assert "made for 300 blocks" in str(caught.value)
    blocks.clear()
    heap.allocate(16)
    heap.check()


def test_there_is_room_for_a_slab_for_each_block() -> None:
    heap = hw.Heap[hw.Slab](hw.AnonymousSpace("16MiB"), block_capacity=20)
    assert len([heap.allocate(16 * n) for n in range(1, 21)]) == 20  # of twenty sizes, so of about as many classes
    heap.check()


def test_a_heap_that_grows_has_no_block_capacity() -> None:
    heap = hw.Heap(hw.AnonymousSpace("16MiB"))
    assert heap.block_capacity is None
    for bad in (0, -1, 2**32):
        with pytest.raises(ValueError, match="block_capacity"):
            hw.Heap(hw.AnonymousSpace("16MiB"), block_capacity=bad)
    with pytest.raises(hw.SystemCallFailed, match="control data"):
        hw.Heap(hw.AnonymousSpace("16MiB"), block_capacity=2**32 - 1)


def test_a_builder_makes_them() -> None:
    recipe = hw.HeapBuilder().capacity("1MiB").strategy(hw.TLSF()).populate().block_capacity(50)
    assert "1 MiB of anonymous memory, in memory from the start\n" in recipe.explain()
    assert "room for 50 from the start" in recipe.explain()
    heap = recipe.build()
    assert isinstance(heap, hw.Heap)
    assert (heap.space.populated, heap.space.locked, heap.block_capacity) == (True, False, 50)
    assert "locked there" in recipe.populate(locked=True).explain()
    with pytest.raises(hw.InvalidConfiguration, match="gives nothing back"):
        recipe.populate(locked=True).decay(10).build()
    with pytest.raises(hw.InvalidConfiguration, match="1 or more"):
        recipe.block_capacity(0).build()
    with pytest.raises(hw.InvalidConfiguration, match=r"populate\(\)"):
        hw.HeapBuilder().space(hw.AnonymousSpace("1MiB")).populate().build()


def test_every_system_call_of_start_up_can_fail() -> None:
    refused: list[str] = []
    try:
        for n in range(1, 30):
            _native.pages_fail_nth(n)
            for locked in (False, True):
                try:
                    hw.Heap(hw.AnonymousSpace("1MiB", populate=True, locked=locked), block_capacity=100).check()
                except hw.SystemCallFailed as error:
                    refused.append(type(error).__name__)
    finally:
        _native.pages_fail_nth(0)
    assert {"SystemCallFailed", "MemoryLockRefused"} == set(refused)


#: From here on every system call but the last one of a process ends it with SIGSYS.
ALLOW_NO_SYSTEM_CALL = """
import ctypes, gc, os, platform, resource, struct
def allow_no_system_call():
    exit_group = {"x86_64": 231, "aarch64": 94}[platform.machine()]
    code = b"".join(
        struct.pack("HBBI", *step)
        for step in ((0x20, 0, 0, 0), (0x15, 0, 1, exit_group), (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x80000000))
    )
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = ctypes.CDLL(None).prctl
    if prctl(38, 1, 0, 0, 0) != 0 or prctl(22, 2, ctypes.c_char_p(program)) != 0:
        os._exit(77)
"""

USE = """
import random
choose = random.Random(1)
sizes = [int(2 ** choose.uniform(4, 13)) for _ in range(10_000)]
slots = [choose.randrange(500) for _ in range(10_000)]
blocks = [heap.allocate(64) for _ in range(500)]
def use():
    allocate, deallocate = heap.allocate, heap.deallocate
    for size, slot in zip(sizes, slots):
        deallocate(blocks[slot])
        blocks[slot] = allocate(size)
use() if warm else None
gc.collect(), gc.disable()
allow_no_system_call()
use()
os._exit(0)
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="the numbers of system calls are not known")
def test_after_start_up_python_code_that_uses_a_heap_makes_no_system_call() -> None:
    start = "import heapwright as hw\nfrom heapwright import *\n" + ALLOW_NO_SYSTEM_CALL
    fixed = "heap = hw.Heap(hw.AnonymousSpace('16MiB', populate=True), strategy=hw.TLSF(), block_capacity=1000)\n"
    finished = run(start + fixed + "warm = True\n" + USE)
    if finished.returncode == 77:
        pytest.skip("seccomp is not to be had")
    assert finished.returncode == 0, finished
    grows = "heap = hw.Heap(hw.AnonymousSpace('16MiB'), strategy=hw.TLSF())\n"
    assert run(start + grows + "warm = False\n" + USE).returncode == -31, "a heap that commits as it goes makes some"
