"""``heapwright run``: the composition of session, supervisor, observation and report."""

from __future__ import annotations

import os
import sys

from heapwright.cli import command_line, program
from heapwright.cli.main import CommandLineError
from heapwright.cli.progress import Progress
from heapwright.cli.session import KNOCK, Session
from heapwright.cli.supervisor import Supervisor, end_like

TYPE_CHECKING = False
if TYPE_CHECKING:
    from heapwright.cli.command_line import RunOptions
    from heapwright.cli.supervisor import Ending


def main(words: list[str]) -> int:
    """Run the program; ends the process as the program ended."""
    try:
        options = command_line.parse(words)
    except command_line.HelpRequested:
        sys.stdout.write(command_line.USAGE)
        return 0
    command = program.interpreter_command(options)
    if options.json is not None:
        _claim(options.json)
    _occupy_closed_descriptors()
    session = Session(options)
    progress = Progress() if options.progress and not options.quiet else None  # notes the terminal as it is now
    try:
        supervisor = Supervisor(command, session.environment(), KNOCK)
        watched = options.wants_figures
        ending = _observe(options, command, session, supervisor, progress) if watched else supervisor.wait()
        supervisor.close()
    finally:
        session.close()
    end_like(ending)
    return ending.status


def _observe(
    options: RunOptions, command: list[str], session: Session, supervisor: Supervisor, progress: Progress | None
) -> Ending:
    # Imported while the program starts on another core.
    from heapwright.cli.observation import Observation

    observation = Observation(session, supervisor, progress)
    ending = supervisor.wait(observation)
    if progress is not None:
        progress.close()
    try:
        outcome = observation.outcome(options, command, ending)
        if options.json is not None:
            from heapwright.cli.run_json import write_json

            write_json(outcome, options.json)
        if not options.quiet:
            from heapwright.cli.report import write_report

            if sys.stderr is not None:  # None: it was closed when we started
                write_report(outcome, sys.stderr)
    except Exception as error:  # the program's exit code is worth more than our report
        _complain(f"heapwright: there is no report: {type(error).__name__}: {error}\n")
    return ending


def _complain(text: str) -> None:
    try:
        os.write(2, text.encode(errors="backslashreplace"))
    except OSError:
        pass  # stderr is closed


def _occupy_closed_descriptors() -> None:
    """Keep our own files off 0, 1 and 2; what is opened here closes on exec, so the program finds them closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def _claim(path: str) -> None:
    """Say now, not after an hour's run, that the file cannot be written."""
    try:
        open(path, "a").close()
    except OSError as error:
        raise CommandLineError(
            f"cannot write --json {path}: {error.strerror}; name a file in a directory you own"
        ) from None
