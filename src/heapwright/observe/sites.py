"""Call sites: the lines of a program that hold its memory, from the stacks that were sampled.

A stack says everything, but a reader thinks in lines of their own program. So every stack is booked on one
of its frames, the innermost that is the user's own code: not NumPy's, not another installed package's, not
the standard library's. ``a = numpy.linalg.svd(b)`` is then a line of the program, whatever NumPy does inside,
and where the allocation happened further in is kept as ``via``. A stack without any such frame (a thread of a
library, a program that is itself an installed package) is booked on its innermost frame outside NumPy.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from heapwright.observe.site_table import Frame, SiteTable, Stack, read_site_table

__all__ = ["CallSite", "call_sites", "read_sites"]

NATIVE_SITE = "<native>"  #: no Python code was running on the allocating thread, or it did not hold the GIL
OVERFLOW_SITE = "<further call sites>"  #: the table was full

_INSTALLED = ("/site-packages/", "/dist-packages/")
_STANDARD_LIBRARY = str(Path(os.__file__).parent) + os.sep
_OURSELVES = str(Path(__file__).parents[1]) + os.sep


@dataclass(frozen=True, slots=True)
class CallSite:
    """A line that holds memory.

    Bytes are unbiased estimates for all blocks, exact where every block was recorded. The relative standard
    error of an estimate from ``samples`` samples is about ``1 / sqrt(samples)``, less for blocks larger than
    the mean.
    """

    site: str  #: "file:line function", or a name in angle brackets where there was no frame
    frames: tuple[Frame, ...]  #: of the stack that held the most of it at the peak, innermost first
    via: str  #: where in a library the allocation happened: "pandas/core/frame.py:12 DataFrame.copy", or ""
    live_bytes_peak: int  #: live when all call sites together held the most
    live_bytes_end: int  #: live when the table was last written: at the end of the process, however it ended
    total_bytes: int  #: allocated in the whole run; by this process only, not by one that it was forked from
    samples: int  #: sampled blocks behind ``total_bytes``

    def label(self, directory: str | None = None) -> str:
        """Return ``site`` with a shorter path, relative to ``directory`` (default: the working one)."""
        for frame in self.frames:
            if str(frame) == self.site:
                return f"{short_path(frame.file, directory)}:{frame.line} {frame.function}"
        return self.site


def read_sites(path: Path) -> list[CallSite]:
    """Read the call sites of one process, the largest at its peak first.

    Parameters
    ----------
    path
        A ``<pid>.sites`` file. The process may still be running, or may have ended in any way.

    Returns
    -------
    list of CallSite
        Each site once. A part of the file that does not hold together is left out.

    Raises
    ------
    SiteTableError
        The file holds something else.
    OSError
        The file cannot be opened or read.

    Examples
    --------
    >>> import tempfile
    >>> from heapwright import _native
    >>> with tempfile.TemporaryDirectory() as session:
    ...     _native.sampler_start(session, mean_bytes=0)
    ...     _native.sampler_allocated(0x1000, 4096)
    ...     _native.sampler_stop()
    ...     [site] = read_sites(next(Path(session).glob("*.sites")))
    >>> site.live_bytes_end, site.samples
    (4096, 1)
    """
    return call_sites(read_site_table(path))


def call_sites(*tables: SiteTable) -> list[CallSite]:
    """Aggregate the stacks of one or more processes by call site, the largest at the peak first. O(stacks).

    Several processes have their peaks at different moments: the sum of their ``live_bytes_peak`` is then an
    upper bound of what a site held at any one of them.
    """
    by_site: dict[str, list[Stack]] = {}
    for table in tables:
        for stack in table.stacks:
            by_site.setdefault(_site_of(stack), []).append(stack)
    sites = [_aggregate(site, stacks) for site, stacks in by_site.items()]
    sites.sort(key=lambda s: (-s.live_bytes_peak, -s.live_bytes_end, -s.total_bytes, s.site))
    return sites


def short_path(file: str, directory: str | None = None) -> str:
    """Return the path as a reader needs it: from the package on, or relative to ``directory`` if below it.

    >>> short_path("/usr/lib/python3.11/site-packages/pandas/core/frame.py")
    'pandas/core/frame.py'
    >>> short_path("/home/ada/work/model.py", "/home/ada")
    'work/model.py'
    >>> short_path("/srv/model.py", "/home/ada")
    '/srv/model.py'
    """
    for installed in _INSTALLED:
        _, found, rest = file.rpartition(installed)
        if found:
            return rest
    below = (str(Path.cwd()) if directory is None else directory).rstrip(os.sep) + os.sep
    for root in (below, _STANDARD_LIBRARY):
        if file.startswith(root):
            return file.removeprefix(root)
    return file


def _site_of(stack: Stack) -> str:
    frame = _users_frame(stack.frames)
    if frame is not None:
        return str(frame)
    return OVERFLOW_SITE if stack.overflow else NATIVE_SITE


def _users_frame(frames: Iterable[Frame]) -> Frame | None:
    """Return the frame to book a stack on; None if it has none."""
    outside_numpy = innermost = None
    for frame in frames:
        if not _is_library(frame.file):
            return frame
        if innermost is None:
            innermost = frame
        if outside_numpy is None and not _is_numpy(frame.file) and not frame.file.startswith("<"):
            outside_numpy = frame
    return outside_numpy or innermost


def _is_library(file: str) -> bool:
    """Return whether the file is not the user's. A package's own tests are: of whoever runs them."""
    if any(installed in file for installed in _INSTALLED):
        return "/tests/" not in file
    if file.startswith("<"):  # "<string>", "<stdin>" and the like are the user's
        return file.startswith(("<frozen ", "<__array_function__"))
    return file.startswith((_STANDARD_LIBRARY, _OURSELVES))


def _is_numpy(file: str) -> bool:
    return any(f"{installed}numpy/" in file for installed in _INSTALLED)


def _aggregate(site: str, stacks: list[Stack]) -> CallSite:
    heaviest = max(stacks, key=lambda stack: (stack.live_bytes_peak, stack.total_bytes))
    return CallSite(
        site=site,
        frames=heaviest.frames,
        via=_via(site, heaviest.frames),
        live_bytes_peak=sum(stack.live_bytes_peak for stack in stacks),
        live_bytes_end=sum(stack.live_bytes_end for stack in stacks),
        total_bytes=sum(stack.total_bytes for stack in stacks),
        samples=sum(stack.samples for stack in stacks),
    )


def _via(site: str, frames: tuple[Frame, ...]) -> str:
    leaf = next((frame for frame in frames if not frame.file.startswith("<")), None)
    if leaf is None or str(leaf) == site:
        return ""
    return f"{short_path(leaf.file)}:{leaf.line} {leaf.function}"
