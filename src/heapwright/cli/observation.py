"""Looks at the program while it runs, and gathers what all its processes left behind."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heapwright.cli.command_line import RunOptions
    from heapwright.cli.session import Session
    from heapwright.cli.supervisor import Ending, Supervisor

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Outcome:
    """Everything that the report and the JSON speak of."""

    program: list[str]
    options: RunOptions
    ending: Ending
    peak_resident_bytes: int
    final_resident_bytes: int
    failures: list[str] = field(default_factory=list)


class Observation:
    """The supervisor's eyes."""

    def __init__(self, session: Session, supervisor: Supervisor) -> None:
        self._session = session
        self._supervisor = supervisor
        self._pid = supervisor.pid
        self._peak_bytes = 0
        self._final_bytes = 0

    def look(self, elapsed_s: float) -> None:
        """Note the resident size."""
        try:
            with open(f"/proc/{self._pid}/statm", "rb") as file:
                self._final_bytes = int(file.read().split()[1]) * PAGE_BYTES
        except (OSError, IndexError):
            return
        self._peak_bytes = max(self._peak_bytes, self._final_bytes)

    def last_look(self) -> None:
        """Look while the program holds still, and let it go."""
        self.look(time.monotonic() - self._supervisor.started_s)
        open(self._session.path(self._pid, "seen"), "w").close()

    def outcome(self, options: RunOptions, command: list[str], ending: Ending) -> Outcome:
        """Gather everything once the program has ended."""
        return Outcome(
            command,
            options,
            ending,
            max(self._peak_bytes, ending.rusage.ru_maxrss * 1024),
            self._final_bytes,
            self._failures(),
        )

    def _failures(self) -> list[str]:
        lines = []
        for pid in self._session.pids("error"):
            with open(self._session.path(pid, "error")) as file:
                lines += [f"process {pid}: {line.rstrip()}" for line in file]
        return lines
