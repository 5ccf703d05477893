"""Starts observation inside one process of a run; never raises, never prints.

Whatever fails here is written to ``<session>/<pid>.error`` and becomes a line of the report: a program must
not break because somebody looks at it.
"""

import _signal  # type: ignore[import-not-found]  # `signal` brings enum with it: 4 ms
import atexit
import errno
import os
import sys
import time

from heapwright import _native
from heapwright.inject import numpy_watch

LEAVING_WAIT_S = 2.0
"""How long a program that is about to end waits for the supervisor's last look at its memory."""

_started: set[str] = set()


def start(session: str) -> None:
    """Start what ``<session>/options`` asks for; once per process image, whatever imports this how often."""
    if _started:
        return
    _started.add(session)
    try:
        options = _read_options(session)
    except OSError:
        return  # the run that this environment speaks of is over
    try:
        _native.arenas_start(session)
    except OSError as error:
        if error.errno == errno.EALREADY:
            return  # a subinterpreter (3.11 lets it import us): the process is observed as a whole
        record_failure(session, "table of arenas", error)
    # Registered before the program can register anything, so it runs after everything that the program
    # registered.
    atexit.register(_leave, session, int(options["supervisor"]), int(options["knock"]))
    for step in (_describe, _start_native, _watch_numpy):
        try:
            step(session, options)
        except Exception as error:
            record_failure(session, step.__name__.strip("_").replace("_", " "), error)


def record_failure(session: str, what: str, error: BaseException) -> None:
    """Leave one line for the report."""
    try:
        with open(f"{session}/{os.getpid()}.error", "a") as file:
            file.write(f"{what}: {type(error).__name__}: {error}\n")
    except OSError:
        pass


def _read_options(session: str) -> dict[str, str]:
    with open(f"{session}/options") as file:
        return dict(line.rstrip("\n").split("=", 1) for line in file)


def _describe(session: str, options: dict[str, str]) -> None:
    with open(f"{session}/{os.getpid()}.command", "w", errors="surrogateescape") as file:
        file.write("\0".join(sys.orig_argv))


def _start_native(session: str, options: dict[str, str]) -> None:
    _native.process_start(session, options["allocator"], options["huge_pages"])
    if options["sample"] != "off":
        _native.sampler_start(session, int(options["sample"]))


def _watch_numpy(session: str, options: dict[str, str]) -> None:
    def install() -> None:
        try:
            from heapwright.adapters.numpy import install_for_run

            install_for_run("pooled" if options["allocator"] == "pooled" else "system")
        except Exception as error:
            record_failure(session, "hook under NumPy", error)

    numpy_watch.arm(install)


def _leave(session: str, supervisor: int, knock: int) -> None:
    """Take the last figures, and hold still until the supervisor has taken its own."""
    _native.process_finish()
    if not knock or os.getppid() != supervisor:
        return  # nobody looks, or only at its parent: the record is enough
    seen = f"{session}/{os.getpid()}.seen"
    deadline = time.monotonic() + LEAVING_WAIT_S
    try:
        os.kill(supervisor, _signal.SIGRTMIN + knock)
        while not os.access(seen, os.F_OK) and time.monotonic() < deadline:
            time.sleep(0.0005)
    except OSError:
        pass  # the program changed its user, or its limits: the last regular look has to do
