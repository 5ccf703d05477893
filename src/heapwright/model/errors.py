"""Every error: what could not be done, why, and how to fix it; the same figures as attributes.

One root, `HeapwrightError`; and each error is also the built-in that a Python programmer expects there.
"""

from __future__ import annotations

import os
from typing import Any


class HeapwrightError(Exception):
    """The root of all errors that heapwright raises on purpose.

    Parameters
    ----------
    message
        What, why, and how to fix it.
    **data
        The figures in the message; each becomes an attribute. They survive pickling, as between processes.
    """

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.__dict__.update(data)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class InvalidSize(HeapwrightError, ValueError):
    """A size that is not one.

    Attributes
    ----------
    size : the value as given
    """

    size: Any

    def __init__(self, size: Any, why: str) -> None:
        super().__init__(
            f"{size!r} is not a size: {why}. Give bytes: 4096, '64KiB', '1.5GiB'",
            size=size,
        )


class InvalidAlignment(HeapwrightError, ValueError):
    """An alignment that is not a power of two, or more than the space can promise.

    Attributes
    ----------
    alignment : int, bytes
    space_alignment : int or None, bytes; the most that the space can promise
    """

    alignment: int
    space_alignment: int | None

    def __init__(self, alignment: int, space_alignment: int | None = None) -> None:
        if space_alignment is None:
            message = f"alignment {alignment} is not a power of two. Give 1, 2, 4, ..., such as 64 or '2MiB'"
        else:
            message = (
                f"cannot align to {alignment} B: the space starts at a multiple of {space_alignment} B only. "
                f"Create it with alignment={alignment}"
            )
        super().__init__(message, alignment=alignment, space_alignment=space_alignment)


class OutOfMemory(HeapwrightError, MemoryError):
    """No hole of the heap takes the request, or the operating system gave no memory.

    Attributes
    ----------
    size_bytes, alignment : int; the request
    capacity_bytes, free_bytes, largest_free_bytes : int; the heap when it was refused
    resource : str; which heap
    errno : int; what the operating system said, or 0 where the heap itself is full
    block_capacity : int; the blocks that the heap was made for where those are all taken, or 0
    """

    size_bytes: int
    alignment: int
    capacity_bytes: int
    free_bytes: int
    largest_free_bytes: int
    resource: str
    errno: int
    block_capacity: int

    def __init__(
        self,
        *,
        size_bytes: int,
        alignment: int,
        capacity_bytes: int,
        free_bytes: int,
        largest_free_bytes: int,
        resource: str = "Heap",
        errno: int = 0,
        block_capacity: int = 0,
    ) -> None:
        what = f"cannot allocate {size_bytes} B (align {alignment}) in {resource}"
        if errno:
            why = f"the operating system gives no memory ({os.strerror(errno)})"
            fix = "Free memory elsewhere, or raise the limit (ulimit -v, cgroup, vm.overcommit_memory)"
        elif block_capacity:
            why = f"it was made for {block_capacity} blocks and has no room to describe another"
            fix = "Free blocks, or create the heap with a larger block_capacity"
        elif size_bytes > capacity_bytes:
            why, fix = f"the heap has {capacity_bytes} B in all", "Create the space larger"
        else:
            why = f"largest free run is {largest_free_bytes} B of {free_bytes} B free"
            scattered = free_bytes >= size_bytes
            fix = "Free a neighbouring block" if scattered else "Free blocks"
            fix += (
                ", create the space larger, or ask for less alignment" if scattered else ", or create the space larger"
            )
        super().__init__(
            f"{what}: {why}. {fix}",
            size_bytes=size_bytes,
            alignment=alignment,
            capacity_bytes=capacity_bytes,
            free_bytes=free_bytes,
            largest_free_bytes=largest_free_bytes,
            resource=resource,
            errno=errno,
            block_capacity=block_capacity,
        )


class LimitExceeded(HeapwrightError, MemoryError):
    """A limit would be passed; it was not.

    Attributes
    ----------
    size_bytes : int; what was asked for
    current_bytes, limit_bytes : int; what is held against the limit, and the limit
    """

    size_bytes: int
    current_bytes: int
    limit_bytes: int

    def __init__(self, *, size_bytes: int, current_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"cannot allocate {size_bytes} B: {current_bytes} B of the limit of {limit_bytes} B are taken, "
            f"{limit_bytes - current_bytes} B are left. Free blocks or raise the limit",
            size_bytes=size_bytes,
            current_bytes=current_bytes,
            limit_bytes=limit_bytes,
        )


class PoolExhausted(HeapwrightError, MemoryError):
    """A bounded pool has as many live buffers as it may have.

    Attributes
    ----------
    pool : str; which
    block_bytes : int; what each of its buffers has
    capacity, live_count : int; buffers that may be live, and are
    """

    pool: str
    block_bytes: int
    capacity: int
    live_count: int

    def __init__(self, *, pool: str, block_bytes: int, capacity: int, live_count: int) -> None:
        super().__init__(
            f"cannot acquire {block_bytes} B from {pool}: {live_count} of {capacity} buffers are live. "
            "Release buffers, or create the pool with a greater capacity",
            pool=pool,
            block_bytes=block_bytes,
            capacity=capacity,
            live_count=live_count,
        )


class LargerThanBlock(HeapwrightError, MemoryError):
    """A pool of blocks of one size was asked for more than one block.

    Attributes
    ----------
    pool : str; which
    size_bytes, block_bytes : int; what was asked for, and what a block has
    """

    pool: str
    size_bytes: int
    block_bytes: int

    def __init__(self, *, pool: str, size_bytes: int, block_bytes: int) -> None:
        super().__init__(
            f"cannot allocate {size_bytes} B in {pool}: its blocks have {block_bytes} B. Ask for less, take a "
            "TieredPool, or put a Segregator in front that sends large requests elsewhere",
            pool=pool,
            size_bytes=size_bytes,
            block_bytes=block_bytes,
        )


class InvalidFree(HeapwrightError, ValueError):
    """A block given back to a resource that does not hold it: freed before, or another's. Nothing was freed.

    Attributes
    ----------
    address, size_bytes : int; the block
    reason : "double" or "foreign"
    """

    address: int
    size_bytes: int
    reason: str

    def __init__(self, *, address: int, size_bytes: int, reason: str) -> None:
        why, fix = {
            "double": (
                "it was freed before",
                "Free a block once; a reallocated block is replaced by the new one",
            ),
            "foreign": (
                "another resource allocated it",
                "Give it back to the resource that handed it out",
            ),
        }[reason]
        super().__init__(
            f"cannot free the block at {address:#x} ({size_bytes} B): {why}. {fix}",
            address=address,
            size_bytes=size_bytes,
            reason=reason,
        )


class BlockFreed(HeapwrightError, ValueError):
    """A handle of a block that was freed was used.

    Attributes
    ----------
    address, size_bytes : int; the block that was
    """

    address: int
    size_bytes: int

    def __init__(self, *, address: int, size_bytes: int) -> None:
        super().__init__(
            f"the block at {address:#x} ({size_bytes} B) was freed and has no bytes any more. "
            "Take what is needed before that, or keep the block",
            address=address,
            size_bytes=size_bytes,
        )


class ViewExported(HeapwrightError, BufferError):
    """Something still looks at the bytes. Nothing was freed, moved or protected.

    Attributes
    ----------
    address, size_bytes : int; the block, or the space
    exports : int; buffers handed out and not released
    pinned : bool; one of them is the block's own handle, for NumPy has it without a buffer: it ends when that dies
    site : str or None; where the block was allocated, "file:line in function", if anybody recorded it
    """

    address: int
    size_bytes: int
    exports: int
    pinned: bool
    site: str | None

    def __init__(
        self,
        *,
        address: int,
        size_bytes: int,
        exports: int,
        what: str = "free the block",
        pinned: bool = False,
        site: str | None = None,
    ) -> None:
        views = "1 view is" if exports == 1 else f"{exports} views are"
        if pinned:
            fix = (
                "One is its handle, since np.ndarray(buffer=block): drop arrays and handle, and the block is freed; or "
                "make arrays by np.frombuffer(block), which it hears the end of"
            )
        else:
            fix = "Release them (view.release(), del array) and try again"
        super().__init__(
            f"cannot {what} at {address:#x} ({size_bytes} B{f', allocated at {site}' if site else ''}): {views} "
            f"exported. {fix}",
            address=address,
            size_bytes=size_bytes,
            exports=exports,
            pinned=pinned,
            site=site,
        )


class BlockLeased(ViewExported):
    """A block is lent to somebody who may write to it at any time. Nothing was freed, moved or shown.

    Attributes
    ----------
    borrower : str; who has it
    address, size_bytes, exports, site : as of `ViewExported`
    """

    borrower: str

    def __init__(
        self, *, address: int, size_bytes: int, exports: int, what: str, borrower: str, site: str | None = None
    ) -> None:
        super().__init__(address=address, size_bytes=size_bytes, exports=exports, what=what, site=site)
        self.args = (
            f"cannot {what} at {address:#x} ({size_bytes} B{f', allocated at {site}' if site else ''}): it is lent to "
            f"{borrower}. Wait until that is done with it, close the lease, and try again",
        )
        self.borrower = borrower


class PermissionDenied(HeapwrightError, PermissionError):
    """The space does not permit this access.

    Attributes
    ----------
    wanted, permissions : str; such as "W" and "R"
    """

    wanted: str
    permissions: str

    def __init__(self, *, wanted: str, permissions: str) -> None:
        super().__init__(
            f"access {wanted} is not permitted: the space permits {permissions or 'nothing'}. "
            "Widen it with space.protect(...)",
            wanted=wanted,
            permissions=permissions,
        )


class OutOfBounds(HeapwrightError, IndexError):
    """An access that leaves its block, by however little. No byte was read or written.

    Attributes
    ----------
    access : "read" or "write"
    offset_bytes, size_bytes : int; the range that was wanted
    block_bytes : int; how many there are
    """

    access: str
    offset_bytes: int
    size_bytes: int
    block_bytes: int

    def __init__(self, *, access: str, offset_bytes: int, size_bytes: int, block_bytes: int) -> None:
        super().__init__(
            f"cannot {access} {size_bytes} B at offset {offset_bytes}: the block has {block_bytes} B, "
            f"offsets 0 to {block_bytes}. Offsets count from the start, sizes are not negative, and nothing is clipped",
            access=access,
            offset_bytes=offset_bytes,
            size_bytes=size_bytes,
            block_bytes=block_bytes,
        )


class CorruptedHeap(HeapwrightError, RuntimeError):
    """check() found an invariant broken: stray writes into the control data, or a bug in heapwright.

    Attributes
    ----------
    invariant : str; its name in native/core/fit.h (I1 ... I7) or native/core/ordered.h (O1 ... O6), or for the
        pooled allocator in native/core/page_heap.h and slab.h, for pools in slots.h (F1 ... F7) and depot.h
        (M1 ... M7); for record heaps in records.h (G1 ... G7), with the class or handle that it was found at
    offset_bytes : int; where in the space
    """

    invariant: str
    offset_bytes: int

    def __init__(self, *, invariant: str, offset_bytes: int) -> None:
        super().__init__(
            f"invariant {invariant} does not hold at offset {offset_bytes}: its control data was "
            "overwritten, or this is a bug in heapwright. Stop using the heap and report it",
            invariant=invariant,
            offset_bytes=offset_bytes,
        )


class InvalidMark(HeapwrightError, ValueError):
    """A mark that cannot be released here. Nothing was freed.

    Attributes
    ----------
    mark, resource : str; what was given, and to whom
    reason : "released" or "foreign"
    """

    mark: str
    resource: str
    reason: str

    def __init__(self, *, mark: str, resource: str, reason: str) -> None:
        how = {
            "released": "it, or one before it, was released already. Take a new one with mark()",
            "foreign": "it belongs to somebody else. Release it on its own: mark.heap.release(mark)",
        }[reason]
        super().__init__(f"cannot release {mark} on {resource}: {how}", mark=mark, resource=resource, reason=reason)


class TooManyMarks(HeapwrightError, RuntimeError):
    """An arena with as many marks open as it can tell apart. Nothing was changed.

    Attributes
    ----------
    open_count : int; marks that are open
    """

    open_count: int

    def __init__(self, *, open_count: int) -> None:
        super().__init__(
            f"cannot set a mark: {open_count} are open, one inside the other. Release some, with arena.release(mark) "
            "or by setting them in with statements",
            open_count=open_count,
        )


class UnsupportedByStrategy(HeapwrightError, TypeError):
    """The heap's strategy has no such operation. Nothing was changed.

    Attributes
    ----------
    operation, strategy, use : str; what was asked for, of which strategy, and which one has it
    """

    operation: str
    strategy: str
    use: str

    def __init__(self, *, operation: str, strategy: str, use: str) -> None:
        super().__init__(
            f"a {strategy} heap has no {operation}: its blocks do not lie in the order of their allocation. "
            f"Make the heap with the strategy {use}",
            operation=operation,
            strategy=strategy,
            use=use,
        )


class SpaceInUse(HeapwrightError, ValueError):
    """A second heap on one space: two strategies would hand out the same bytes.

    Attributes
    ----------
    address, size_bytes : int; the space
    """

    address: int
    size_bytes: int

    def __init__(self, *, address: int, size_bytes: int) -> None:
        super().__init__(
            f"the space at {address:#x} ({size_bytes} B) has a heap already. Use that heap, or create another space",
            address=address,
            size_bytes=size_bytes,
        )


class SystemCallFailed(HeapwrightError, OSError):
    """The operating system refused.

    Attributes
    ----------
    call : str; what was asked of it
    errno : int
    """

    call: str
    errno: int

    def __init__(self, *, call: str, errno: int) -> None:
        super().__init__(f"{call} failed: {os.strerror(errno)}", call=call)
        self.errno = errno


class MemoryLockRefused(SystemCallFailed):
    """Memory cannot be kept in RAM: more than this process may lock, or than there is.

    Attributes
    ----------
    size_bytes : int; what was to be locked
    limit_bytes : int or None; RLIMIT_MEMLOCK, None without a limit
    hard_limit_bytes : int or None; what the process may raise it to
    locked_bytes : int or None; what the process has locked already, None where it may not be told
    errno : int
    """

    size_bytes: int
    limit_bytes: int | None
    hard_limit_bytes: int | None
    locked_bytes: int | None

    def __init__(self, *, size_bytes: int, errno: int) -> None:
        from resource import RLIM_INFINITY, RLIMIT_MEMLOCK, getrlimit  # for this one error only

        limit, hard = (None if value == RLIM_INFINITY else value for value in getrlimit(RLIMIT_MEMLOCK))
        taken = _locked_bytes()
        if limit is None:
            why, fix = "there is not enough", "Make the space smaller"
        else:
            of_which = "" if taken is None else f", of which {taken} B are taken"
            why = f"this process may lock {limit} B (RLIMIT_MEMLOCK){of_which}"
            fix = (
                f"Raise that with resource.setrlimit, up to the hard limit of {hard} B, or beyond it with ulimit -l, "
                "LimitMEMLOCK= of a systemd unit or memlock in /etc/security/limits.conf; give the process "
                "CAP_IPC_LOCK; or make the space smaller"
            )
        HeapwrightError.__init__(
            self,
            f"cannot lock {size_bytes} B in memory ({os.strerror(errno)}): {why}. {fix}",
            call="locking memory",
            size_bytes=size_bytes,
            limit_bytes=limit,
            hard_limit_bytes=hard,
            locked_bytes=taken,
        )
        self.errno = errno


def _locked_bytes() -> int | None:
    from pathlib import Path

    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # a process that has changed its user may not look at itself
        return None
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmLck:"))


class InstallRefused(HeapwrightError, RuntimeError):
    """The process's allocator cannot be replaced from here. Nothing was changed.

    Attributes
    ----------
    reason : "subinterpreter" or "handler"
    handler_version : int or None; that of NumPy's memory handler
    """

    reason: str
    handler_version: int | None

    def __init__(self, *, reason: str, handler_version: int | None = None) -> None:
        why, fix = {
            "subinterpreter": (
                "it is the whole process's, and this is a subinterpreter",
                "Install from the main interpreter, before the subinterpreter starts",
            ),
            "handler": (
                f"NumPy's memory handler has version {handler_version}, and this heapwright knows version 1 "
                "(NumPy 1.22 and later)",
                "Update heapwright, or run with --allocator system",
            ),
        }[reason]
        super().__init__(
            f"cannot install an allocator under NumPy: {why}. {fix}", reason=reason, handler_version=handler_version
        )


class UnsuitableResource(HeapwrightError, TypeError):
    """A memory resource that cannot lie under NumPy: only C code may run where arrays are allocated.

    Attributes
    ----------
    resource : str; what was given
    """

    resource: str

    def __init__(self, *, resource: str, why: str) -> None:
        super().__init__(
            f"cannot serve NumPy's arrays from {resource}: {why}, and what serves arrays may not call Python. "
            "Pass the Heap itself (an adaptor's is its upstream; to limit it, create its space that large), or None "
            "for the pooled allocator",
            resource=resource,
        )


class ReentrantCall(HeapwrightError, RuntimeError):
    """A resource that takes one call at a time was called in the middle of one, by the same thread. Nothing was done.

    Attributes
    ----------
    operation : str; what was called
    resource : str; on which resource
    """

    operation: str
    resource: str

    def __init__(self, *, operation: str, resource: str) -> None:
        super().__init__(
            f"cannot {operation} in {resource}: this thread is in the middle of a call of it, which a finalizer, a "
            "signal handler or a callback interrupted. From there call deallocate() only; do the rest after the call",
            operation=operation,
            resource=resource,
        )


class UnsuitableUpstream(HeapwrightError, TypeError):
    """What a pool or an adaptor cannot draw from: no memory resource, or one whose blocks are not what was asked for.

    Attributes
    ----------
    upstream : str; the resource
    """

    upstream: str

    def __init__(self, *, upstream: str, why: str) -> None:
        super().__init__(
            f"cannot draw from {upstream}: {why}. Give a resource whose blocks are writable buffers of the size and "
            "alignment that was asked for, such as a Heap",
            upstream=upstream,
        )


class InvalidTransition(HeapwrightError, ValueError):
    """The life cycle has no such step from here, or the handle was moved from: its memory went on with another one.

    Attributes
    ----------
    state, event : str; where the block is, and what was to happen to it
    allowed : str; what can happen to it from there, through this handle
    moved_by : str; the method that returned the handle which is good now, or ""
    """

    state: str
    event: str
    allowed: str
    moved_by: str

    def __init__(self, *, state: str, event: str, allowed: str, moved_by: str = "") -> None:
        if moved_by:
            message = (
                f"cannot {event} through this handle: {moved_by}() moved its memory, {state} now, into the handle "
                "that it returned. Use that one"
            )
        else:
            message = f"a block that is {state} cannot {event}. From here it can: {allowed or 'nothing'}"
        super().__init__(message, state=state, event=event, allowed=allowed, moved_by=moved_by)


class HandleReleased(HeapwrightError, ValueError):
    """An owner was used after it had given up what it owned.

    Attributes
    ----------
    handle : str; which kind
    how : str; "closed", "moved from" or "released"
    """

    handle: str
    how: str

    def __init__(self, handle: str, how: str = "closed") -> None:
        several = "share() it" if handle.startswith("unique") else "clone()"
        super().__init__(
            f"the {handle} was {how}. Use the handle that owns it now, or {several} before you give one away",
            handle=handle,
            how=how,
        )


class HandleNotYours(HeapwrightError, RuntimeError):
    """A copy, in a forked child, of a handle of shared memory: Python did not make the fork, or no row could be had.

    Attributes
    ----------
    pid, owner_pid : int; this process, and the one whose copy this is
    """

    pid: int
    owner_pid: int

    def __init__(self, *, pid: int, owner_pid: int) -> None:
        super().__init__(
            f"this handle is a copy, in process {pid}, of one that process {owner_pid} owns. Fork by os.fork() or "
            "multiprocessing, which gives the child handles of its own; or send it one",
            pid=pid,
            owner_pid=owner_pid,
        )


class InvalidHandle(HeapwrightError, ValueError):
    """What was received is no handle of shared memory, or no longer.

    Attributes
    ----------
    why : str
    """

    why: str

    def __init__(self, *, why: str = "it is no shared memory of ours, or its sender took it back") -> None:
        super().__init__(f"no handle was received: {why}. Send another; one message is one handle, once", why=why)


class TooManyOwners(HeapwrightError, RuntimeError):
    """The table of a shared memory is full: too many processes own it, or too many messages are under way.

    Attributes
    ----------
    rows : int; one for each process, whatever number of handles it has, and one for each message
    """

    rows: int

    def __init__(self, *, rows: int) -> None:
        super().__init__(
            f"all {rows} rows of the table of owners are taken, each by a process or by a message that nobody has "
            "received. Close handles in some processes, or receive what was sent",
            rows=rows,
        )


def _restore(kind: type[HeapwrightError], args: tuple[Any, ...], data: dict[str, Any]) -> HeapwrightError:
    # Not kind.__new__: between Exception and OSError, which has fields of its own, Python finds no safe one by itself.
    error: HeapwrightError = (OSError if issubclass(kind, OSError) else Exception).__new__(kind)
    error.args = args
    error.__dict__.update(data)
    return error
