"""What the kernel says about a process's memory: its mappings, and which of their pages are resident."""

from __future__ import annotations

import re
from typing import NamedTuple

PAGE_BYTES = 4096

_MAPPING = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *([^\n]*)\n"
    rb".*?^Rss: +(\d+) kB\n.*?^Anonymous: +(\d+) kB\n.*?^AnonHugePages: +(\d+) kB\n",
    re.MULTILINE | re.DOTALL,
)
_HIGH_BITS = bytes(1 if top & 0x80 else 0 for top in range(256))
"""Top byte of a pagemap entry -> whether the page is present (bit 63 of proc_pid_pagemap(5))."""


class Mapping(NamedTuple):
    """One line of /proc/PID/smaps with the figures that matter here."""

    start: int
    end: int
    permissions: str
    inode: int
    path: str
    resident_bytes: int
    anonymous_bytes: int
    """Of the resident bytes, those that are this process's own, not the file's."""
    huge_bytes: int

    @property
    def size_bytes(self) -> int:
        """Return the length of the address range."""
        return self.end - self.start


def read_mappings(pid: int) -> list[Mapping]:
    """Read /proc/PID/smaps, in address order.

    Raises
    ------
    OSError
        If the process is gone (ENOENT, ESRCH) or belongs to somebody else (EACCES).
    """
    with open(f"/proc/{pid}/smaps", "rb") as file:  # noqa: PTH123
        content = file.read()
    return [
        Mapping(
            int(start, 16),
            int(end, 16),
            permissions.decode(),
            int(inode),
            path.decode("utf-8", "surrogateescape"),
            int(resident) << 10,
            int(anonymous) << 10,
            int(huge) << 10,
        )
        for start, end, permissions, inode, path, resident, anonymous, huge in _MAPPING.findall(content)
    ]


class Pagemap:
    """Which pages of a process are resident, by /proc/PID/pagemap; usable in a ``with`` statement."""

    def __init__(self, pid: int) -> None:
        self._file = open(f"/proc/{pid}/pagemap", "rb", buffering=0)  # noqa: PTH123, SIM115

    def __enter__(self) -> Pagemap:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def present(self, start: int, end: int) -> bytes:
        """One byte for each page of [start, end): 1 if it is resident.

        A page that is mapped to the kernel's zero page counts as present here, but not in smaps.
        """
        self._file.seek(start // PAGE_BYTES * 8)
        wanted = (end - start) // PAGE_BYTES
        entries = self._file.read(wanted * 8) or b""
        return entries[7::8].translate(_HIGH_BITS).ljust(wanted, b"\0")

    def resident_bytes(self, start: int, end: int) -> int:
        """Count the resident bytes of [start, end)."""
        return self.present(start, end).count(1) * PAGE_BYTES


class ResidentSize(NamedTuple):
    """The counters of /proc/PID/status, in bytes."""

    now_bytes: int
    peak_bytes: int


def resident_size(pid: int) -> ResidentSize:
    """Read VmRSS and VmHWM: cheap, and a little behind smaps, since the kernel batches these counters per CPU."""
    with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123
        fields = dict(line.split(b":", 1) for line in file.read().splitlines())
    return ResidentSize(int(fields[b"VmRSS"].split()[0]) << 10, int(fields[b"VmHWM"].split()[0]) << 10)
