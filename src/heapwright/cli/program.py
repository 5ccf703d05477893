"""The command line of the real interpreter that runs the program."""

from __future__ import annotations

import os
import sys

from heapwright.cli.main import CommandLineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from heapwright.cli.command_line import RunOptions


def interpreter_command(options: RunOptions) -> list[str]:
    """``python [our own interpreter flags] program args``, exactly as one would have typed it."""
    if not sys.executable:
        raise CommandLineError("this Python does not know its own executable (sys.executable is empty)")
    command = [sys.executable, *interpreter_flags(sys.orig_argv)]
    if options.form:
        return [*command, options.form, options.program, *options.arguments]
    return [*command, _locate(options.program), *options.arguments]


def interpreter_flags(words: list[str]) -> list[str]:
    """Return the flags that the supervisor's own interpreter got, so that the program gets them too.

    Taken from the command line itself: reconstructing them from `sys.flags` would also repeat what the
    environment says (``PYTHONWARNINGS``), and the program inherits that anyway.

    Examples
    --------
    >>> interpreter_flags(["python", "-X", "dev", "-Werror", "-um", "heapwright", "run", "-m", "x"])
    ['-X', 'dev', '-Werror', '-u']
    """
    flags: list[str] = []
    rest = words[1:]
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word.startswith("--"):
            flags += [word, *rest[:1]] if "=" not in word else [word]
            del rest[: "=" not in word]
            continue
        for position, letter in enumerate(word[1:], start=1):
            if letter in "mc":
                if position > 1:
                    flags.append(word[:position])
                return _observable(flags)
            if letter in "WX":
                flags.append(word)
                if position == len(word) - 1:
                    flags += rest[:1]
                    del rest[:1]
                break
        else:
            flags.append(word)
    return _observable(flags)


def _observable(flags: list[str]) -> list[str]:
    for flag in flags:
        if flag[1:2] not in ("W", "X", "-") and (blind := set(flag) & set("IES")):
            raise CommandLineError(
                f"under python -{min(blind)} a program cannot be observed: that flag makes the "
                "interpreter ignore PYTHONPATH or sitecustomize, which is the way in; leave the flag out"
            )
    return flags


def _locate(program: str) -> str:
    """Resolve the path for the interpreter: a file as given, else a console script of this environment."""
    if program == "-" or os.sep in program or os.path.lexists(program):
        return program
    for directory in os.get_exec_path():
        path = os.path.join(directory, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return _console_script(program, path)
    return program  # nothing of that name: let the interpreter say so in its own words


def _console_script(program: str, path: str) -> str:
    with open(path, "rb") as file:
        head = file.read(512).decode("utf-8", "replace").splitlines()[:2]
    shebang = head[0] if head else ""
    if not shebang.startswith("#!"):
        raise CommandLineError(f"{program!r} is not a file here, and {path} is not a Python script")
    words = shebang[2:].split()
    if words and os.path.basename(words[0]) == "sh" and len(head) > 1 and "exec'" in head[1]:
        words = [head[1].split("'")[-1].split()[0].strip('"')] if head[1].split("'")[-1].split() else words
    if words and os.path.basename(words[0]) == "env":
        words = [_which(word) for word in words[1:] if not word.startswith("-") and "=" not in word][:1]
    interpreter = words[0] if words else ""
    if "python" not in os.path.basename(interpreter):
        raise CommandLineError(f"{program!r} is not a file here, and {path} is not a Python script but {shebang}")
    if os.path.dirname(interpreter) != os.path.dirname(sys.executable) and interpreter != sys.executable:
        raise CommandLineError(
            f"{path} belongs to another Python ({interpreter}); install heapwright there, or use "
            f"`heapwright run -m ...` with a module of {sys.executable}"
        )
    return path


def _which(name: str) -> str:
    for directory in os.get_exec_path():
        path = os.path.join(directory, name)
        if os.access(path, os.X_OK):
            return path
    return name
