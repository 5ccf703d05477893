import pickle

import pytest

from heapwright.model import errors

EXAMPLES: list[tuple[errors.HeapwrightError, type[Exception], tuple[str, ...]]] = [
    (errors.InvalidSize("4 gigs", "it is not a number with a unit"), ValueError, ("4 gigs", "1.5GiB")),
    (errors.InvalidAlignment(24), ValueError, ("24", "power of two")),
    (errors.InvalidAlignment(1 << 22, 1 << 21), ValueError, ("4194304", "2097152")),
    (
        errors.OutOfMemory(
            size_bytes=4096,
            alignment=64,
            capacity_bytes=8192,
            free_bytes=6144,
            largest_free_bytes=2048,
            resource="Heap('frames')",
        ),
        MemoryError,
        (
            "cannot allocate 4096 B (align 64) in Heap('frames')",
            "largest free run is 2048 B of 6144 B free",
            "Free a neighbouring block",
        ),
    ),
    (
        errors.OutOfMemory(size_bytes=1, alignment=1, capacity_bytes=9, free_bytes=9, largest_free_bytes=9, errno=12),
        MemoryError,
        ("Cannot allocate memory",),
    ),
    (errors.LimitExceeded(size_bytes=10, current_bytes=95, limit_bytes=100), MemoryError, ("5 B are left",)),
    (errors.InvalidFree(address=4096, size_bytes=1, reason="double"), ValueError, ("freed before",)),
    (errors.InvalidFree(address=4096, size_bytes=1, reason="foreign"), ValueError, ("another resource",)),
    (errors.BlockFreed(address=4096, size_bytes=7), ValueError, ("0x1000", "7 B")),
    (errors.ViewExported(address=4096, size_bytes=7, exports=2), BufferError, ("2 views are exported",)),
    (
        errors.BlockLeased(address=4096, size_bytes=7, exports=2, what="free the block", borrower="the kernel, read 7"),
        BufferError,
        ("cannot free the block at 0x1000 (7 B)", "lent to the kernel, read 7", "close the lease"),
    ),
    (errors.PermissionDenied(wanted="W", permissions="R"), PermissionError, ("W", "protect")),
    (
        errors.OutOfBounds(access="read", offset_bytes=60, size_bytes=8, block_bytes=64),
        IndexError,
        ("cannot read 8 B at offset 60", "has 64 B"),
    ),
    (errors.CorruptedHeap(invariant="I2", offset_bytes=48), RuntimeError, ("I2", "48")),
    (errors.SpaceInUse(address=4096, size_bytes=7), ValueError, ("has a heap already",)),
    (errors.SystemCallFailed(call="reserving address space", errno=12), OSError, ("Cannot allocate memory",)),
    (errors.MemoryLockRefused(size_bytes=1 << 40, errno=12), OSError, ("cannot lock 1099511627776 B", "smaller")),
    (errors.InstallRefused(reason="subinterpreter"), RuntimeError, ("subinterpreter", "main interpreter")),
    (errors.InstallRefused(reason="handler", handler_version=2), RuntimeError, ("version 2", "Update heapwright")),
    (errors.UnsuitableResource(resource="Limiting", why="it is Python"), TypeError, ("Limiting", "upstream", "None")),
    (errors.UnsuitableUpstream(upstream="Bytes()", why="it is bytes"), TypeError, ("Bytes()", "such as a Heap")),
    (errors.TooManyMarks(open_count=63), RuntimeError, ("63 are open", "Release")),
    (errors.InvalidMark(mark="Mark(1)", resource="Heap('a')", reason="released"), ValueError, ("Mark(1)", "new one")),
    (errors.UnsupportedByStrategy(operation="mark", strategy="tlsf", use="bump"), TypeError, ("tlsf", "bump")),
    (
        errors.PoolExhausted(pool="FixedPool", block_bytes=64, capacity=3, live_count=3),
        MemoryError,
        ("3 of 3", "greater capacity"),
    ),
    (errors.ReentrantCall(operation="allocate", resource="ThreadSafe"), RuntimeError, ("allocate", "after the call")),
    (errors.HandleNotYours(pid=7, owner_pid=6), RuntimeError, ("in process 7", "process 6 owns", "os.fork()")),
    (errors.InvalidHandle(), ValueError, ("took it back", "Send another")),
    (errors.TooManyOwners(rows=504), RuntimeError, ("all 504 rows", "Close handles")),
    (errors.HandleReleased("unique handle", "moved from"), ValueError, ("handle was moved from", "share()")),
    (errors.HandleReleased("shared handle"), ValueError, ("handle was closed", "clone()")),
    (errors.LargerThanBlock(pool="FixedPool", size_bytes=65, block_bytes=64), MemoryError, ("65 B", "have 64 B")),
    (errors.InvalidTransition(state="freed", event="move", allowed="reuse"), ValueError, ("freed", "reuse")),
]


@pytest.mark.parametrize(("error", "builtin", "words"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_each_error_says_why_and_is_the_builtin_that_one_expects(
    error: errors.HeapwrightError, builtin: type[Exception], words: tuple[str, ...]
) -> None:
    assert isinstance(error, builtin)
    for word in words:
        assert word in str(error)


@pytest.mark.parametrize(("error", "builtin", "words"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_an_error_crosses_processes_with_its_figures(
    error: errors.HeapwrightError, builtin: type[Exception], words: tuple[str, ...]
) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.__dict__ == error.__dict__


def test_every_error_has_an_example() -> None:
    classes = {kind for kind in vars(errors).values() if isinstance(kind, type)} - {errors.HeapwrightError}
    assert {kind for kind in classes if issubclass(kind, errors.HeapwrightError)} == {type(e) for e, *_ in EXAMPLES}
