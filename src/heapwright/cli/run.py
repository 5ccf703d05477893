"""``heapwright run``: the composition of session, supervisor, observation and report."""

from __future__ import annotations

import sys

from heapwright.cli import command_line, program
from heapwright.cli.main import CommandLineError
from heapwright.cli.session import KNOCK, Session
from heapwright.cli.supervisor import Supervisor, end_like


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
    session = Session(options)
    try:
        supervisor = Supervisor(command, session.environment(), KNOCK)
        # Everything below is imported while the program starts on another core.
        from heapwright.cli.observation import Observation
        from heapwright.cli.report import write_report
        from heapwright.cli.run_json import write_json

        observation = Observation(session, supervisor)
        ending = supervisor.wait(observation.look, observation.last_look)
        outcome = observation.outcome(options, command, ending)
        if options.json is not None:
            write_json(outcome, options.json)
        if not options.quiet:
            write_report(outcome, sys.stderr)
        supervisor.close()
    finally:
        session.close()
    end_like(ending)
    return ending.status


def _claim(path: str) -> None:
    """Say now, not after an hour's run, that the file cannot be written."""
    try:
        open(path, "a").close()
    except OSError as error:
        raise CommandLineError(
            f"cannot write --json {path}: {error.strerror}; name a file in a directory you own"
        ) from None
