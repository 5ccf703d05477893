"""The report at exit: what is still alive when the interpreter ends, with where it is from and what keeps it."""

from __future__ import annotations

import atexit
import os
import sys

from heapwright.observe.births import Watch
from heapwright.observe.leaks import describe, left_since

_asked: dict[int, Watch] = {}  # by process: a forked child was not asked, and its parent's blocks are no leaks of its


def report_leaks_at_exit() -> None:
    """Write to stderr, when the interpreter ends, what was made from now on and is alive then. Asking twice is once.

    ``HEAPWRIGHT_LEAKS=1`` in the environment does the same, from the import of heapwright on and in every process that
    inherits it. Nothing is written where nothing is left, and the exit code is as it would be. A process that is
    killed, or ends by `os._exit`, writes nothing; nor does a forked child, unless it asks for itself.

    Examples
    --------
    >>> import subprocess, sys
    >>> program = '''
    ... import heapwright as hw
    ... hw.report_leaks_at_exit()
    ... heap = hw.Heap(hw.AnonymousSpace("1MiB"))
    ... cache = {"a": heap.allocate(1000)}
    ... '''
    >>> print(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stderr)
    heapwright: at the end of process ... there were left 1000 B in 1 survivor:
    1000 B, ... s old, kept by module __main__.cache['a'] -> Block
        <string>:5 in <module>
    """
    pid = os.getpid()
    if pid not in _asked:
        _asked[pid] = Watch()
        atexit.register(_report, pid)


def _report(pid: int) -> None:
    if pid != os.getpid():
        return
    watch = _asked.pop(pid)
    survivors = left_since(watch)
    watch.close()
    if survivors and sys.stderr is not None:
        sys.stderr.write(f"heapwright: at the end of process {pid} there were left {describe(survivors)}\n")
        sys.stderr.flush()
