"""Looks at the program while it runs, and gathers what all its processes left behind.

What is looked at, and what it may cost: the resident size twenty times a second (30 us each); a full breakdown (2 ms
for a program that has imported NumPy, 10 ms for one of some hundred MiB) when that size has reached a new high, or some
seconds after the last one, and never more than 1 % of the time, with a small advance for programs that are short. The
last one is taken while the program holds still before its interpreter ends. Programs that end in another way
(`os._exit`, a signal) have the last regular one instead.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from heapwright.observe.arenas import read_arenas
from heapwright.observe.record import Record, read_record
from heapwright.observe.resident import ARRAYS_LIVE, UNEXPLAINED, Breakdown, breakdown

if TYPE_CHECKING:
    from heapwright.cli.command_line import RunOptions
    from heapwright.cli.progress import Progress
    from heapwright.cli.session import Session
    from heapwright.cli.supervisor import Ending, Supervisor
    from heapwright.observe.sites import CallSite

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
NEW_HIGH = 1.08
"""A new high is worth a breakdown when it is this much above the last one that was broken down."""
SETTLED = 1.01
"""A size that has grown by less than this since the look before has settled: imports are not worth a look each."""
COST_SHARE = 0.01
COST_ADVANCE_S = 0.05
REFRESH_EVERY_S = 2.0
ARENAS_SAMPLED = 32
"""In how many of CPython's arenas to count live objects while the program runs; at its end in all of them."""
REFRESH_COST_SHARE = 0.0025


class Look(NamedTuple):
    """One breakdown, with what the program's own record said at that moment."""

    elapsed_s: float
    breakdown: Breakdown
    record: Record | None


class Child(NamedTuple):
    """What another process of the run left behind."""

    pid: int
    parent_pid: int
    command: list[str]
    record: Record


class Outcome(NamedTuple):
    """Everything that the report and the JSON speak of.

    Parameters
    ----------
    peak, end
        Breakdowns nearest to the peak, and at the end; None if the program was gone before the first look.
    orderly
        Whether `end` was taken while the program held still before its interpreter ended.
    sites
        Call sites, most bytes at the peak first; None if there was no sampler.
    """

    options: RunOptions
    command: list[str]
    ending: Ending
    pid: int
    peak_resident_bytes: int
    final_resident_bytes: int
    peak: Look | None
    end: Look | None
    orderly: bool
    record: Record | None
    sites: list[CallSite] | None
    children: list[Child]
    failures: list[str]

    def final_holders(self) -> dict[str, int]:
        """Return the breakdown of `final_resident_bytes`."""
        return self.end.breakdown.holders if self.end else {UNEXPLAINED: self.final_resident_bytes}


class Observation:
    """The supervisor's eyes."""

    def __init__(self, session: Session, supervisor: Supervisor, progress: Progress | None = None) -> None:
        self._progress = progress
        self._session = session
        self._supervisor = supervisor
        self._pid = supervisor.pid
        self._peak_bytes = 0
        self._last_bytes = 0
        self._peak: Look | None = None
        self._end: Look | None = None
        self._orderly = False
        self._failed = False
        self._spent_s = 0.0
        self._sites_at_end: list[CallSite] | None = None
        self._refusals: list[str] = []

    def look(self, elapsed_s: float) -> None:
        """Note the resident size; break it down if that is worth its price. Never raises."""
        if self._failed:
            return
        try:
            self._look(elapsed_s)
            if self._progress is not None:
                self._progress.show(elapsed_s, self._status(elapsed_s))
        except Exception as error:
            self._give_up(error)

    def last_look(self) -> None:
        """Look while the program holds still, and let it go. Never raises."""
        try:
            self._orderly = self._break_down(time.monotonic() - self._supervisor.started_s, None)
            # The interpreter's end will free much of what is live now.
            self._sites_at_end = self._sites(self._end.record) if self._end else None
        except Exception as error:
            self._give_up(error)
        finally:
            open(self._session.path(self._pid, "seen"), "w").close()

    def _status(self, elapsed_s: float) -> str:
        minutes, seconds = divmod(int(elapsed_s), 60)
        text = f"heapwright run  {minutes}:{seconds:02}  resident {self._last_bytes / 2**20:,.0f} MiB"
        text += f", peak {self._peak_bytes / 2**20:,.0f} MiB"
        if self._end is not None:
            arrays = self._end.breakdown.holders[ARRAYS_LIVE]
            text += f"  (arrays {arrays / 2**20:,.0f} MiB {max(0.0, elapsed_s - self._end.elapsed_s):.0f} s ago)"
        return text

    def _give_up(self, error: Exception) -> None:
        """Go on without looking: a fault of ours must not end the program."""
        self._failed = True
        self._refusals.append(f"observation: {type(error).__name__}: {error}")

    def _look(self, elapsed_s: float) -> None:
        try:
            with open(f"/proc/{self._pid}/statm", "rb") as file:
                resident_bytes = int(file.read().split()[1]) * PAGE_BYTES
        except (OSError, IndexError):
            return
        if resident_bytes == 0:
            return  # it is ending: its memory is gone already
        settled = resident_bytes <= SETTLED * self._last_bytes
        self._last_bytes = resident_bytes
        self._peak_bytes = max(self._peak_bytes, resident_bytes)
        since_s = elapsed_s - self._end.elapsed_s if self._end else elapsed_s
        cost_s = self._end.breakdown.cost_s if self._end else 0.0
        if self._peak is None or resident_bytes > NEW_HIGH * self._peak.breakdown.resident_bytes:
            advance_s = COST_ADVANCE_S if settled else 0.0
            due = self._spent_s + cost_s <= COST_SHARE * elapsed_s + advance_s
        else:
            due = since_s >= REFRESH_EVERY_S and since_s * REFRESH_COST_SHARE >= cost_s
        if due:
            self._break_down(elapsed_s)

    def _break_down(self, elapsed_s: float, arenas_looked_into: int | None = ARENAS_SAMPLED) -> bool:
        record = read_record(self._session.path(self._pid, "record"))
        arenas = read_arenas(self._session.path(self._pid, "arenas"))
        try:
            found = breakdown(self._pid, record, arenas, self._session.directory, arenas_looked_into)
        except PermissionError as error:
            refusal = f"not broken down: {error}"  # it runs under another user by now
            if refusal not in self._refusals:
                self._refusals.append(refusal)
            return False
        except (OSError, KeyError):
            return False  # it ended while we looked
        if found.resident_bytes == 0:
            return False
        self._end = Look(elapsed_s, found, record)
        self._spent_s += found.cost_s
        self._peak_bytes = max(self._peak_bytes, found.peak_resident_bytes, found.resident_bytes)
        # Of two that are equal the earlier one: it has what the later one only retains.
        if self._peak is None or found.resident_bytes > SETTLED * self._peak.breakdown.resident_bytes:
            self._peak = self._end
        return True

    def outcome(self, options: RunOptions, command: list[str], ending: Ending) -> Outcome:
        """Gather everything once the program has ended."""
        record = read_record(self._session.path(self._pid, "record"))
        children = self._children()
        peak_bytes = max(self._peak_bytes, record["peak_resident_bytes"] if record else 0)
        if not children:
            # The kernel's own figure is the larger of the program's and its waited-for children's.
            peak_bytes = max(peak_bytes, ending.rusage.ru_maxrss << 10)
        final_bytes = self._last_bytes or (record["resident_bytes"] if record else 0)
        return Outcome(
            options,
            command,
            ending,
            self._pid,
            peak_bytes,
            self._end.breakdown.resident_bytes if self._end else final_bytes,
            self._peak,
            self._end,
            self._orderly,
            record,
            self._sites_at_end or self._sites(record),
            children,
            self._failures(),
        )

    def _children(self) -> list[Child]:
        found: dict[int, Child] = {}
        for pid in self._session.pids("record"):
            record = read_record(self._session.path(pid, "record"))
            if record is None or pid == self._pid:
                continue
            command = self._command(pid)
            parent = found.get(record["parent_pid"])
            if command is None:  # forked: it runs what its parent runs
                command = parent.command if parent else self._command(self._pid) or []
            found[pid] = Child(pid, record["parent_pid"], command, record)
        return list(found.values())

    def _command(self, pid: int) -> list[str] | None:
        try:
            with open(self._session.path(pid, "command"), errors="surrogateescape") as file:
                return file.read().split("\0")
        except OSError:
            return None

    def _sites(self, record: Record | None) -> list[CallSite] | None:
        if record is None or not record["hook"]:
            return None  # NumPy was never imported
        path = self._session.path(self._pid, "sites")
        if not os.path.exists(path):
            return None
        from pathlib import Path

        from heapwright.observe.sites import read_sites  # 25 ms, wanted only where there is something to read

        try:
            return read_sites(Path(path))
        except (ValueError, OSError) as error:
            self._refusals.append(f"call sites: {error}")
            return None

    def _failures(self) -> list[str]:
        lines = list(self._refusals)
        for pid in self._session.pids("error"):
            with open(self._session.path(pid, "error")) as file:
                lines += [f"process {pid}: {line.rstrip()}" for line in file]
        return lines
