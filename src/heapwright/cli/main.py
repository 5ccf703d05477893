"""The ``heapwright`` command: finds the subcommand and hands over.

``heapwright run`` stands in front of every program that it observes, so nothing is imported here that is not
needed: argparse alone costs 11 ms, a third of an interpreter's start.
"""

from __future__ import annotations

import sys
from importlib import import_module

from heapwright import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

COMMANDS = {
    "run": ("heapwright.cli.run", "run a program on managed memory and report where every byte went"),
    "prove": ("heapwright.cli.prove", "check the theorems, and that each check finds planted faults"),
    "doctor": ("heapwright.cli.doctor", "what this machine offers: yes / denied (why) / absent"),
}
NOT_YET = ("report", "top", "replay", "advise", "bench")

USAGE = f"""\
usage: heapwright COMMAND [options]

  run [options] program.py [args...]        {COMMANDS["run"][1]}
  run [options] -m package.module [args...]
  prove [--short] [--only NAME]             {COMMANDS["prove"][1]}
  doctor [--json]                           {COMMANDS["doctor"][1]}

  --version, --help

Not yet: {", ".join(NOT_YET)}. `heapwright run --help` lists the options of run.
"""


class CommandLineError(Exception):
    """A command line that cannot be followed: what, why, how to fix; exit code 2."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process as the command says."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        sys.exit(_dispatch(arguments))
    except CommandLineError as error:
        if sys.stderr is not None:
            sys.stderr.write(f"heapwright: {error}\n")
        sys.exit(2)


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        raise CommandLineError("no command given; try `heapwright run program.py` or `heapwright --help`")
    name, rest = arguments[0], arguments[1:]
    if name == "help" and rest and rest[0] in COMMANDS:
        name, rest = rest[0], ["--help"]
    if name in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0
    if name in ("-V", "--version"):
        sys.stdout.write(f"heapwright {__version__}\n")
        return 0
    if name in NOT_YET:
        raise CommandLineError(f"`{name}` is not built yet in {__version__}; built are: {', '.join(COMMANDS)}")
    if name not in COMMANDS:
        hint = f"; to observe a program: heapwright run {name}" if name.endswith(".py") else ""
        raise CommandLineError(f"no command {name!r}; there are: {', '.join(COMMANDS)}{hint}")
    command = import_module(COMMANDS[name][0])
    code: int = command.main(rest)
    return code
