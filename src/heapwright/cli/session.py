"""The private directory that a run's processes write into, and the environment that leads them there."""

from __future__ import annotations

import os

import heapwright

TYPE_CHECKING = False
if TYPE_CHECKING:
    from heapwright.cli.command_line import RunOptions

PREFIX = "heapwright-"
ENTRY = os.path.join(os.path.dirname(os.path.abspath(heapwright.__file__)), "inject", "entry")
LIBC_HUGE_PAGES = "glibc.malloc.hugetlb"
KNOCK = 7
"""The last call of a program whose interpreter is about to end: an offset from SIGRTMIN. 0: do not call."""


class Session:
    """A directory of mode 0700 on a file system in memory; removed by `close`.

    Parameters
    ----------
    options
        What the processes of the run need to know goes into ``<directory>/options``.
    """

    def __init__(self, options: RunOptions) -> None:
        parent = _writable_parent()
        _sweep(parent)
        self._libc_huge = options.allocator == "pooled" and options.huge_pages == "always"
        self.directory = os.path.join(parent, f"{PREFIX}{os.getpid()}-{os.urandom(4).hex()}")
        os.mkdir(self.directory, 0o700)
        sample = "off" if options.sample is None or not options.wants_figures else str(options.sample)
        knock = KNOCK if options.wants_figures else 0
        with open(os.path.join(self.directory, "options"), "w") as file:
            file.write(f"allocator={options.allocator}\nsample={sample}\nsupervisor={os.getpid()}\nknock={knock}\n")
            file.write(f"huge_pages={options.huge_pages}\n")

    def path(self, pid: int, kind: str) -> str:
        """Name the file in which process `pid` keeps `kind`."""
        return os.path.join(self.directory, f"{pid}.{kind}")

    def pids(self, kind: str) -> list[int]:
        """Return the processes that left a file of `kind`, oldest first."""
        with os.scandir(self.directory) as entries:
            found = [(entry.stat().st_ctime_ns, entry.name) for entry in entries if entry.name.endswith("." + kind)]
        return [int(name.split(".")[0]) for _, name in sorted(found)]

    def environment(self) -> dict[str, str]:
        """Return the program's environment: ours, and two variables more; a third with ``--huge-pages always``.

        The C library reads its tunables when a program starts. This one makes its heap ask for huge pages, as NumPy
        does for large arrays. It cannot go by what they turn out to cost, so it is not part of ``auto``.
        """
        environment = dict(os.environ)
        environment["HEAPWRIGHT_SESSION"] = self.directory
        theirs = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry != ENTRY]
        environment["PYTHONPATH"] = os.pathsep.join([ENTRY, *theirs]) if theirs != [""] else ENTRY
        tunables = environment.get("GLIBC_TUNABLES", "")
        if self._libc_huge and LIBC_HUGE_PAGES not in tunables:
            environment["GLIBC_TUNABLES"] = ":".join(filter(None, [tunables, f"{LIBC_HUGE_PAGES}=1"]))
        return environment

    def close(self) -> None:
        """Remove the directory with everything in it."""
        _remove(self.directory)


def _writable_parent() -> str:
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm", os.environ.get("TMPDIR"), "/tmp"):
        if parent and os.path.isabs(parent) and os.access(parent, os.W_OK | os.X_OK) and os.path.isdir(parent):
            return parent
    return os.getcwd()


def _sweep(parent: str) -> None:
    """Remove what supervisors that were killed had no time to remove."""
    for name in os.listdir(parent):
        if name.startswith(PREFIX) and (pid := name[len(PREFIX) :].split("-")[0]).isdigit():
            directory = os.path.join(parent, name)
            try:
                if not os.path.exists(f"/proc/{pid}") and os.stat(directory).st_uid == os.getuid():
                    _remove(directory)
            except OSError:
                pass  # another run was faster


def _remove(directory: str) -> None:
    try:
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)
    except OSError:
        pass  # somebody was faster, or a process of the run is just making its files: the next sweep gets it
