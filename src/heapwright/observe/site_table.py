"""Read a site table: the file in which a process keeps which call stacks hold how many bytes.

The file is the region of ``native/core/site_table.h``, mapped shared by the process that writes it. It may
be read at any moment: while that process runs, after it has ended in whatever way, or when the file was cut
short or overwritten since. So nothing in it is believed: every offset and number is checked against what is
there, a stack that does not hold together is left out and counted in ``damaged``, and no content makes the
reader fail in an undeclared way.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from heapwright import _native
from heapwright.model.errors import HeapwrightError

MAGIC = b"WSITES01"
NATIVE, OVERFLOW = 0, 1  #: numbers of the two stacks that have no frames
TRUNCATED = 1 << 31
FRAMES_MAX = 32

_HEADER = struct.Struct(f"<{len(_native.SITES_FIELDS)}Q")
_STACK = struct.Struct(f"<II{len(_native.SITES_STACK_FIELDS)}Q")
_FRAME = struct.Struct("<IIII")


class SiteTableError(HeapwrightError, ValueError):
    """The file is not a site table, or one of another version.

    Attributes
    ----------
    path : pathlib.Path
    reason : str
    """

    path: Path
    reason: str

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"cannot read {path} as a site table: {reason}. "
            "Give the <pid>.sites file of a session, as written by this version of heapwright.",
            path=path,
            reason=reason,
        )


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of one function. ``line`` is 0 where no source line stands for the instruction."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}"


@dataclass(frozen=True, slots=True)
class Stack:
    """A call stack, innermost frame first, and what was allocated under it.

    Bytes are estimates for all blocks, sampled or not (exact where every block was recorded); blocks and
    samples count sampled blocks only. ``peak`` is the moment when all call sites together held the most.
    """

    frames: tuple[Frame, ...]
    truncated: bool  #: there were more frames further out
    overflow: bool  #: not one stack, but all that found no place in the table
    live_bytes_peak: int
    live_blocks_peak: int
    live_bytes_end: int
    live_blocks_end: int
    total_bytes: int
    samples: int


@dataclass(frozen=True, slots=True)
class SiteTable:
    """What one process recorded. ``parent_pid`` is 0 unless it was forked from a process that was sampled."""

    pid: int
    parent_pid: int
    mean_bytes: int  #: mean distance between sampling points; 0: every block
    live_bytes: int
    peak_bytes: int
    samples: int
    untracked_bytes: int  #: in the totals, never as live: there was no memory to remember the blocks in
    damaged: int  #: stacks left out because the file does not hold together there
    stacks: tuple[Stack, ...]


def read_site_table(path: Path) -> SiteTable:
    """Read the site table in the file at ``path``.

    Parameters
    ----------
    path
        A ``<pid>.sites`` file.

    Returns
    -------
    SiteTable
        As far as the file holds together; empty if the process ended before it had written the header.

    Raises
    ------
    SiteTableError
        The file holds something else.
    OSError
        The file cannot be opened or read.

    Notes
    -----
    O(stacks) time and memory. The file looks large (71 MB), but most of it is a hole, which is not read.
    """
    with path.open("rb", buffering=0) as file:
        return _Reader(path, file).table()


class _Reader:
    """The sections of one file, and the frames and strings met so far."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._strings_seen: dict[int, str | None] = {}
        self._frames_seen: dict[int, Frame | None] = {}

    def table(self) -> SiteTable:
        header = self._header()
        # In this order: an entry refers only to what was complete before it, in the sections read after it.
        stacks = self._section(header, "stacks", _STACK.size)
        self._links = self._section(header, "links", 4)
        self._frames = self._section(header, "frames", _FRAME.size)
        self._strings = self._section(header, "strings", 1)
        found: list[Stack] = []
        damaged = 0
        for number in range(len(stacks) // _STACK.size):
            values = _STACK.unpack_from(stacks, number * _STACK.size)
            if not any(values[2:]):
                continue
            stack = self._stack(number, values, header["peak_epoch"])
            if stack is None:
                damaged += 1
            else:
                found.append(stack)
        return SiteTable(
            pid=header["pid"],
            parent_pid=header["parent_pid"],
            mean_bytes=header["mean_bytes"],
            live_bytes=header["live_bytes"],
            peak_bytes=header["peak_bytes"],
            samples=header["samples"],
            untracked_bytes=header["untracked_bytes"],
            damaged=damaged,
            stacks=tuple(found),
        )

    def _header(self) -> dict[str, int]:
        raw = self._read(0, _HEADER.size)
        if not any(raw[:8]):  # the magic is written last
            return dict.fromkeys(_native.SITES_FIELDS, 0)
        if raw[:8] != MAGIC:
            raise SiteTableError(self._path, f"it begins with {raw[:8]!r}, not {MAGIC!r}")
        if len(raw) < _HEADER.size:
            raise SiteTableError(self._path, f"its header has {len(raw)} B of {_HEADER.size} B")
        header = dict(zip(_native.SITES_FIELDS, _HEADER.unpack(raw), strict=True))
        if header["version"] != _native.SITES_VERSION:
            raise SiteTableError(self._path, f"it has version {header['version']}, this reader {_native.SITES_VERSION}")
        return header

    def _section(self, header: dict[str, int], name: str, unit_bytes: int) -> bytes:
        """Whole units of a section, as many as are there."""
        start = header[f"{name}_offset"]
        size = min(header[f"{name}_used"] * unit_bytes, max(self._size - start, 0))
        raw = self._read(start, size) if size else b""
        return raw[: len(raw) - len(raw) % unit_bytes]

    def _read(self, offset: int, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0 and (part := os.pread(self._file.fileno(), size, offset)):
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)

    def _stack(self, number: int, values: tuple[int, ...], peak_epoch: int) -> Stack | None:
        first, marked = values[:2]
        counters = dict(zip(_native.SITES_STACK_FIELDS, values[2:], strict=True))
        depth = marked & ~TRUNCATED
        if depth > FRAMES_MAX or (depth == 0) != (number <= OVERFLOW) or (first + depth) * 4 > len(self._links):
            return None
        frames: list[Frame] = []
        for link in struct.unpack_from(f"<{depth}I", self._links, first * 4) if depth else ():
            frame = self._frame(link)
            if frame is None:
                return None
            frames.append(frame)
        # Invariant T4 of native/core/site_table.h: a stack unchanged since the peak is as it was then.
        settled = counters["peak_epoch"] == peak_epoch
        return Stack(
            frames=tuple(frames),
            truncated=marked != depth,
            overflow=number == OVERFLOW,
            live_bytes_peak=counters["bytes_at_peak" if settled else "live_bytes"],
            live_blocks_peak=counters["blocks_at_peak" if settled else "live_blocks"],
            live_bytes_end=counters["live_bytes"],
            live_blocks_end=counters["live_blocks"],
            total_bytes=counters["total_bytes"],
            samples=counters["samples"],
        )

    def _frame(self, number: int) -> Frame | None:
        if number not in self._frames_seen:
            self._frames_seen[number] = self._read_frame(number)
        return self._frames_seen[number]

    def _read_frame(self, number: int) -> Frame | None:
        if (number + 1) * _FRAME.size > len(self._frames):
            return None
        file_offset, function_offset, line, _ = _FRAME.unpack_from(self._frames, number * _FRAME.size)
        file, function = self._string(file_offset), self._string(function_offset)
        return None if file is None or function is None else Frame(file, line, function)

    def _string(self, offset: int) -> str | None:
        if offset not in self._strings_seen:
            self._strings_seen[offset] = self._read_string(offset)
        return self._strings_seen[offset]

    def _read_string(self, offset: int) -> str | None:
        if offset + 4 > len(self._strings):
            return None
        (length,) = struct.unpack_from("<I", self._strings, offset)
        if offset + 4 + length > len(self._strings):
            return None
        raw = self._strings[offset + 4 : offset + 4 + length]
        try:
            text = raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            text = raw.decode("utf-8", "replace")
        # A lone surrogate stands for a byte of a file name that could not be decoded. Shown as \udc80, it is
        # no error when the report is printed or written as JSON.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
