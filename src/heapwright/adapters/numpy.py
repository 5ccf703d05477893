"""heapwright under NumPy: every array of every thread, served by the pooled allocator.

NumPy's own door (NEP 49, ``PyDataMem_SetHandler``) is local to a context: worker threads, executors and fresh contexts
go on with the default. So this adapter goes one step below it:

* NumPy 2.5 and later take array data from CPython's raw domain (PEP 445): the hook goes there, by the official call.
* Before, every array has NumPy's default handler unless somebody chose another: the hook replaces the four functions in
  that handler's structure.

A heap always goes into the handler's structure, which NumPy 2.5 has as well: a heap's lock is the GIL, and the raw
domain is also called without it.

Both take effect at once, in every thread and context. Arrays from before and after are told apart by their address, so
it may come late, and it stays in place, forwarding, for as long as blocks of its own live.

>>> import numpy as np, heapwright as hw
>>> with hw.adapters.numpy.using():
...     a = np.ones(1_000_000)
...     hw.adapters.numpy.owns(a), a.ctypes.data % 64
(True, 0)
>>> a.sum()          # an array may outlive the hook
np.float64(1000000.0)

>>> heap = hw.Heap(hw.AnonymousSpace("64MiB"))
>>> with hw.adapters.numpy.using(heap):
...     b = np.zeros(1_000_000)
>>> heap.statistics().requested_bytes, hw.adapters.numpy.heap_of(b) is heap
(8000000, True)
>>> del b
>>> heap.draw()
'67108864'
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import MethodDescriptorType
from typing import TYPE_CHECKING, Any, Literal

from heapwright import _native
from heapwright.model.errors import CorruptedHeap, UnsuitableResource
from heapwright.model.statistics import PooledStatistics

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = [
    "Mode",
    "Served",
    "check",
    "heap_of",
    "install",
    "install_for_run",
    "installed",
    "owns",
    "statistics",
    "trim",
    "uninstall",
    "using",
]

#: ``pooled`` serves arrays of 1 KiB and more; ``system`` only counts those of NumPy's own allocator; ``off`` neither.
Mode = Literal["off", "system", "pooled"]
#: The same, or ``heap``: a heap serves them, and what it has no room for goes where the mode says.
Served = Literal["off", "system", "pooled", "heap"]
_MODES: tuple[Mode, ...] = ("off", "system", "pooled")
_RAW_SINCE = (2, 5)


def _multiarray() -> object:
    """NumPy's extension module, which exports its C API."""
    import numpy as np

    core = "numpy._core" if int(np.__version__.partition(".")[0]) >= 2 else "numpy.core"
    return import_module(f"{core}._multiarray_umath")


def _takes_raw_memory() -> bool:
    """Whether to hook the raw domain.

    Not while tracemalloc is tracing: when it stops it puts back what was there when it started, and our blocks would go
    to the C library's ``free``. The handler's structure, which also exists in NumPy 2.5, has no such neighbour.
    """
    import numpy as np

    major, minor = (int(part) for part in np.__version__.split(".")[:2])
    tracemalloc = sys.modules.get("tracemalloc")
    tracing = tracemalloc is not None and tracemalloc.is_tracing()
    return (major, minor) >= _RAW_SINCE and not tracing


def install_for_run(mode: Mode) -> None:
    """Put the hook in with `mode`; where it is in, change the mode. What ``heapwright run`` calls."""
    _native.numpy_install(_multiarray(), _MODES.index(mode), _takes_raw_memory())


def install(resource: _native.Heap | None = None, *, fallback: bool = True) -> None:
    """Serve NumPy's arrays from a memory resource, in the whole process, from now on.

    Requests of 1 KiB and more are served by it, aligned to 64 bytes; smaller ones stay with NumPy, which keeps a cache
    for them. From the pooled allocator, fresh blocks of 4 MiB and more are aligned to 2 MiB, on huge pages where the
    kernel grants them. Arrays that exist already stay where they are. Whatever was installed before serves no more; an
    array that is resized moves to what serves now.

    A heap and its space live as long as arrays lie in them. The heap shows them in `blocks` and `statistics`; nobody
    but NumPy can free them. While there are any, the space's permissions cannot be narrowed.

    Parameters
    ----------
    resource
        A `Heap`, of any strategy on any space; None: the pooled allocator.
    fallback
        For a heap without room. True: the array comes from what served before the heap, NumPy's own allocator or the
        pooled one; counted in the heap's ``failed_count`` and in the ``spilled_bytes`` of `statistics`. False:
        MemoryError.

    Raises
    ------
    UnsuitableResource
        It is not a `Heap`, or a subclass that allocates in Python.
    InstallRefused
        In a subinterpreter; or if NumPy's handler structure has an unknown version.
    SystemCallFailed
        No memory can be mapped, or the page size is not 4 KiB.

    Examples
    --------
    >>> import heapwright as hw, numpy as np
    >>> heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    >>> hw.adapters.numpy.install(heap, fallback=False)
    >>> np.empty(2 << 20, "u1")
    Traceback (most recent call last):
    numpy._core._exceptions._ArrayMemoryError: Unable to allocate 2.00 MiB for an array with shape (2097152,)...
    >>> everything_returned = hw.adapters.numpy.uninstall()
    """
    if resource is None:
        install_for_run("pooled")
        _native.numpy_serve(None, None, True)
        return
    _require_native(resource)
    _native.numpy_serve(_multiarray(), resource, fallback)


def _require_native(resource: object) -> None:
    kind = type(resource)
    if not isinstance(resource, _native.Heap):
        raise UnsuitableResource(resource=repr(resource), why=f"{kind.__name__} is not a Heap but Python code")
    for name in ("allocate", "try_allocate", "deallocate", "reallocate"):
        if not isinstance(getattr(kind, name), MethodDescriptorType):
            raise UnsuitableResource(resource=repr(resource), why=f"its class, {kind.__name__}, has its own {name}()")


def uninstall() -> bool:
    """Serve no further array. Live arrays of ours stay valid, and are freed properly, for as long as they live.

    Returns
    -------
    bool
        Whether the hook is out. False: blocks of ours live, or another hook lies on top of it; it goes on forwarding.
    """
    heap_is_out = _native.numpy_serve(None, None, True)
    return _native.numpy_uninstall() and heap_is_out


@contextmanager
def using(resource: _native.Heap | None = None, *, fallback: bool = True) -> Iterator[None]:
    """Install for a block of code, then go back to what was before. For the whole process, not only this thread.

    Parameters and errors are those of `install`.
    """
    mode, (heap, falls_back) = _MODES[_native.numpy_installed()[0]], _native.numpy_serving()
    install(resource, fallback=fallback)
    try:
        yield
    finally:
        if mode == "off":
            _native.numpy_uninstall()
        else:
            install_for_run(mode)
        _native.numpy_serve(_multiarray(), heap, falls_back)


def installed() -> Served:
    """What new arrays get now."""
    return "heap" if _native.numpy_serving()[0] is not None else _MODES[_native.numpy_installed()[0]]


def owns(array: Array) -> bool:
    """Whether the array's data lie in memory of ours: the pooled allocator's, or a heap's that `install` was given."""
    return _native.pooled_owns(array.ctypes.data) or heap_of(array) is not None


def heap_of(array: Array) -> _native.Heap | None:
    """Return the heap that the array's data lie in, if `install` put it under NumPy; else None."""
    return _native.numpy_heap_of(array.ctypes.data)


def trim(keep_bytes: int = 0) -> int:
    """Give memory that is kept for the next array back to the system, down to `keep_bytes`; returns the bytes given."""
    return _native.pooled_trim(keep_bytes)


def check() -> None:
    """Walk every invariant of the pooled allocator, as named in ``native/core/page_heap.h``; a heap has its own check.

    Raises
    ------
    CorruptedHeap
        If one does not hold: some code has written where it should not.
    """
    broken = _native.pooled_check()
    if broken is not None:
        raise CorruptedHeap(invariant=broken[0], offset_bytes=broken[1])


def statistics() -> PooledStatistics:
    """Return exact figures of the pooled allocator; a heap has its own. Asks the kernel for resident pages.

    Examples
    --------
    >>> import heapwright as hw, numpy as np
    >>> with hw.adapters.numpy.using():
    ...     before = hw.adapters.numpy.statistics()
    ...     a = np.empty(1_000_000)
    ...     now = hw.adapters.numpy.statistics()
    >>> now.requested_bytes - before.requested_bytes, now.block_count - before.block_count
    (8000000, 1)
    """
    return PooledStatistics(**_native.pooled_statistics())
