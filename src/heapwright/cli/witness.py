"""Tells a signal to the process group from a signal to the supervisor alone.

A signal does not say whom else it was sent to. So one more process sits in the group, with the same signals
blocked, and writes down what it receives: what it got, the program got. Without it, ``kill -INT -- -GROUP``
(what many test harnesses and service managers do) would reach the program twice, and the second
KeyboardInterrupt would hit its cleanup.
"""

from __future__ import annotations

import os
import select
import signal

from heapwright.cli.bystander import Bystander

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PATIENCE_MS = 25
"""The kernel signals a group's members within microseconds of each other; the rest is for a busy machine."""


class Witness:
    """The process, and the pipe that it writes signal numbers into.

    Parameters
    ----------
    signals
        What it watches; the caller has blocked them all already.
    """

    def __init__(self, signals: Iterable[int]) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._seen: dict[int, int] = {}
        waited = set(signals)
        self._process = Bystander(
            "heapwright-witness",
            lambda: os.write(writer, bytes([signal.sigwaitinfo(waited).si_signo])),
            keep=writer,
        )
        os.close(writer)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)

    def saw(self, number: int) -> bool:
        """Say whether the witness received signal `number` as well; each sighting counts once."""
        while not self._seen.get(number):
            if not self._poll.poll(PATIENCE_MS):
                return False
            received = os.read(self._reader, 512)
            if not received:
                return False  # it was killed, or never was: better a signal too many than one too few
            for seen in received:
                self._seen[seen] = self._seen.get(seen, 0) + 1
        self._seen[number] = 0  # like pending signals, sightings do not queue
        return True

    def close(self) -> None:
        """End the process and reap it."""
        os.close(self._reader)
        self._process.close()
