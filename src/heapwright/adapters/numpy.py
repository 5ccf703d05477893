"""heapwright under NumPy: every array of every thread, served by the pooled allocator.

NumPy's own door (NEP 49, ``PyDataMem_SetHandler``) is local to a context: worker threads, executors and fresh contexts
go on with the default. So this adapter goes one step below it:

* NumPy 2.5 and later take array data from CPython's raw domain (PEP 445): the hook goes there, by the official call.
* Before, every array has NumPy's default handler unless somebody chose another: the hook replaces the four functions in
  that handler's structure.

Both take effect at once, in every thread and context. Arrays from before and after are told apart by their address, so
it may come late, and it stays in place, forwarding, for as long as blocks of its own live.

>>> import numpy as np, heapwright as hw
>>> with hw.adapters.numpy.using():
...     a = np.ones(1_000_000)
...     hw.adapters.numpy.owns(a), a.ctypes.data % 64
(True, 0)
>>> a.sum()          # an array may outlive the hook
np.float64(1000000.0)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from heapwright import _native

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Mode",
    "check",
    "install",
    "install_for_run",
    "installed",
    "owns",
    "statistics",
    "trim",
    "uninstall",
    "using",
]

#: ``pooled`` serves arrays of 1 KiB and more; ``system`` only counts what NumPy's own allocator serves; ``off`` neither.
Mode = Literal["off", "system", "pooled"]
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


def install() -> None:
    """Serve NumPy's arrays from the pooled allocator, in the whole process, from now on.

    Blocks of 1 KiB and more are aligned to 64 bytes; from 4 MiB on, fresh ones to 2 MiB, on huge pages where the kernel
    grants them.
    Arrays that exist already stay where they are. Calling it again changes nothing.

    Raises
    ------
    RuntimeError
        In a subinterpreter; or if NumPy's handler structure has an unknown version.
    OSError
        If no memory can be mapped, or the page size is not 4 KiB.
    """
    install_for_run("pooled")


def uninstall() -> bool:
    """Serve no further array. Live arrays of ours stay valid, and are freed properly, for as long as they live.

    Returns
    -------
    bool
        Whether the hook is out. False: blocks of ours live, or another hook lies on top of it; it goes on forwarding.
    """
    return _native.numpy_uninstall()


@contextmanager
def using() -> Iterator[None]:
    """Install for a block of code, then go back to what was before. For the whole process, not only this thread."""
    before = installed()
    install()
    try:
        yield
    finally:
        if before == "off":
            uninstall()
        else:
            install_for_run(before)


def installed() -> Mode:
    """What new arrays get now."""
    return _MODES[_native.numpy_installed()[0]]


def owns(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bool:
    """Whether the array's data lie in the pooled allocator's memory."""
    return _native.pooled_owns(array.ctypes.data)


def trim(keep_bytes: int = 0) -> int:
    """Give memory that is kept for the next array back to the system, down to `keep_bytes`; returns the bytes given."""
    return _native.pooled_trim(keep_bytes)


def check() -> None:
    """Walk every invariant of the heap under the arrays (``native/core/page_heap.h`` names them).

    Raises
    ------
    RuntimeError
        If one does not hold: some code has written where it should not.
    """
    broken = _native.pooled_check()
    if broken is not None:
        raise RuntimeError(f"the array heap is corrupted at byte {broken[1]}: {broken[0]}")


def statistics() -> dict[str, int]:
    """Bytes and blocks of the pooled allocator: requested <= allocated <= committed; retained and resident besides."""
    return _native.pooled_statistics()
