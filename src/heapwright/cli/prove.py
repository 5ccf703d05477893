"""``heapwright prove``: checks every theorem, and that each check finds the faults planted for it.

    VERDICT      NAME                MUTANTS   TIME   STATEMENT, and below it what it quantifies over

Exit code 1 if a theorem is REFUTED, HOLLOW (a mutant lives) or UNDECIDED; NOT RUN says which tool is missing and how to
get it, and fails nothing unless ``--strict`` is given.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TextIO

from heapwright import __version__
from heapwright.cli.main import CommandLineError
from heapwright.prove import THEOREMS, Effort, Examination, Subject, Theorem, examine

SCHEMA_VERSION = 1
USAGE = """\
usage: heapwright prove [--short] [--only NAME]... [--json FILE] [--list] [--strict]

Checks the theorems about what heapwright does, and each check itself: every theorem comes with mutants, each one
planted fault, and a mutant that is not refuted by a counterexample fails the command.

  --short        smaller scopes: what CI runs. Without it: everything, which takes a while
  --only NAME    only these, in detail: each mutant with its counterexample; or a pattern such as 'heap-*'
  --json FILE    the results as JSON (docs/reference/theorems.md); - is the standard output
  --list         the theorems, without checking them
  --strict       a check that cannot be run is a failure, too
"""

_SUBJECTS = {
    Subject.TOOL: "The tools, on planted faults",
    Subject.MODEL: "The model",
    Subject.CODE: "The code that ships",
    Subject.BRIDGE: "Code and model, side by side",
}
_COLOURS = {"REFUTED": "31;1", "HOLLOW": "31;1", "UNDECIDED": "31", "NOT RUN": "33", "TESTED": "36", "MEASURED": "36"}


def main(words: list[str]) -> int:
    """Print the table."""
    options = _Options(words)
    if options.help:
        sys.stdout.write(USAGE)
        return 0
    theorems, left_out = options.chosen()
    if options.list:
        sys.stdout.writelines(f"{line}\n" for line in _listing(theorems, _width()))
        return 0
    table = _Table(sys.stderr if options.json == "-" else sys.stdout, options.effort, detailed=bool(options.only))
    examined = list(table.fill(theorems))
    table.leave_out(left_out)
    if options.json is not None:
        _write_json(options.json, document(examined, options.effort))
    strict = options.strict and any(e.verdict == "NOT RUN" for e in examined)
    return 1 if strict or any(e.failed for e in examined) else 0


class _Options:
    def __init__(self, words: Iterable[str]) -> None:
        self.effort = Effort.FULL
        self.only: list[str] = []
        self.json: str | None = None
        self.help = self.list = self.strict = False
        remaining = iter(words)
        for word in remaining:
            name, equals, value = word.partition("=")
            if name in ("--only", "--json"):
                value = value if equals else next(remaining, "")
                if not value:
                    raise CommandLineError(f"{name} needs a value; see `heapwright prove --help`")
                if name == "--only":
                    self.only += value.split(",")
                else:
                    self.json = value
            elif word in ("-h", "--help"):
                self.help = True
            elif word == "--short":
                self.effort = Effort.SHORT
            elif word == "--list":
                self.list = True
            elif word == "--strict":
                self.strict = True
            else:
                raise CommandLineError(f"prove does not know {word!r}; see `heapwright prove --help`")

    def chosen(self) -> tuple[tuple[Theorem, ...], tuple[Theorem, ...]]:
        """Return the theorems that --only names, or all of them; and those that the short form leaves out."""
        for pattern in self.only:
            if not fnmatch.filter((theorem.name for theorem in THEOREMS), pattern):
                raise CommandLineError(f"no theorem is called {pattern!r}; `heapwright prove --list` names them")
        named = [t for t in THEOREMS if any(fnmatch.fnmatch(t.name, pattern) for pattern in self.only)]
        if self.only:
            return tuple(named), ()
        late = tuple(t for t in THEOREMS if t.full_only and self.effort is Effort.SHORT and not self.list)
        return tuple(t for t in THEOREMS if t not in late), late


def document(examined: Sequence[Examination], effort: Effort) -> dict[str, object]:
    """Return the results as they are written to JSON: schema 1."""
    return {
        "schema_version": SCHEMA_VERSION,
        "heapwright": __version__,
        "form": effort.value,
        "seconds": round(sum(e.seconds for e in examined), 3),
        "theorems": [
            {
                "name": e.theorem.name,
                "subject": e.theorem.subject.value,
                "statement": e.theorem.statement,
                "formula": e.theorem.formula,
                "method": e.theorem.method,
                "scope": e.theorem.scope.says(effort),
                "assumptions": list(e.theorem.assumptions),
                "source": e.theorem.source,
                "seconds": round(e.seconds, 3),
                "verdict": e.verdict,
                "detail": e.detail,
                "mutants": [
                    {
                        "name": seen.mutant.name,
                        "fault": seen.mutant.fault,
                        "sketch": seen.mutant.sketch,
                        "refuted_by": seen.refuted_by,
                        "survived_because": seen.survived_because,
                    }
                    for seen in e.mutants
                ],
            }
            for e in examined
        ],
    }


def _write_json(target: str, results: dict[str, object]) -> None:
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CommandLineError(f"cannot write {target!r}: {error.strerror}") from None


def _width() -> int:
    return max(60, min(shutil.get_terminal_size((132, 24)).columns, 160))


def _listing(theorems: Sequence[Theorem], width: int) -> Iterator[str]:
    for subject, members in groupby(theorems, key=lambda theorem: theorem.subject):
        yield from ("", _SUBJECTS[subject])
        for theorem in members:
            head = f"  {theorem.name:24}{theorem.method:12}"
            yield from textwrap.wrap(head + theorem.statement, width, subsequent_indent=" " * len(head))


class _Table:
    """Rows as the checks end; on a terminal, the name of the one that is running."""

    def __init__(self, stream: TextIO, effort: Effort, *, detailed: bool) -> None:
        self._stream = stream
        self._effort = effort
        self._detailed = detailed
        self._tty = stream.isatty()
        self._colours = self._tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._width = _width()

    def fill(self, theorems: Sequence[Theorem]) -> Iterator[Examination]:
        """Examine and print; yield each examination."""
        examined = []
        form = f"{self._effort.value} form" + ("" if self._effort is Effort.FULL else ", smaller scopes")
        self._line(f"heapwright {__version__}; theorems: {len(theorems)}, {form}")
        for subject, members in groupby(theorems, key=lambda theorem: theorem.subject):
            self._line("")
            self._line(_SUBJECTS[subject])
            for theorem in members:
                self._running(theorem)
                one = examine(theorem, self._effort)
                examined.append(one)
                self._row(one)
                yield one
        self._line("")
        self._line(_summary(examined))

    def leave_out(self, theorems: Sequence[Theorem]) -> None:
        """Name what this form does not check."""
        if theorems:
            self._below(0, f"Only in the full form: {', '.join(theorem.name for theorem in theorems)}")

    def _row(self, e: Examination) -> None:
        theorem = e.theorem
        verdict = f"{e.verdict:<11}"
        if self._colours:
            verdict = f"\033[{_COLOURS.get(e.verdict, '32')}m{verdict}\033[0m"
        mutants = f"{e.refuted_mutants}/{len(e.mutants)}" if e.mutants else "-"
        head = f"  {verdict} {theorem.name:<22}{mutants:>6}{e.seconds:>7.1f} s  "
        indent = 2 + 11 + 1 + 22 + 6 + 9 + 2
        if self._width - indent < 48:  # narrow: the words go below
            self._line(head.rstrip())
            head, indent = " " * 6, 6
        for n, line in enumerate(textwrap.wrap(theorem.statement, self._width - indent)):
            self._line((head if n == 0 else " " * indent) + line)
        self._below(indent, f"{theorem.method}: {theorem.scope.says(self._effort)}")
        if self._detailed:
            self._below(6, theorem.formula)
            for assumption in theorem.assumptions:
                self._below(6, f"assuming {assumption}")
        if self._detailed or e.failed or e.verdict == "NOT RUN":
            self._below(6, f"found: {e.detail}")
        for seen in e.mutants:
            if seen.refuted_by is None:
                self._below(6, f"LIVES  {seen.mutant.name}: {seen.mutant.fault}. Because: {seen.survived_because}")
            elif self._detailed:
                self._below(6, f"†  {seen.mutant.name}: {seen.mutant.fault}. Refuted by: {seen.refuted_by}")

    def _below(self, indent: int, text: str) -> None:
        for line in textwrap.wrap(text, self._width - indent, subsequent_indent="   "):
            dim = f"\033[2m{line}\033[0m" if self._colours else line
            self._line(" " * indent + dim)

    def _running(self, theorem: Theorem) -> None:
        if self._tty:
            self._write(f"  …          {theorem.name}")

    def _line(self, text: str) -> None:
        self._write(("\r\033[K" if self._tty else "") + text + "\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _summary(examined: Sequence[Examination]) -> str:
    kinds = Counter(e.verdict.rstrip("0123456789") for e in examined)
    order = ("PROVED", "PROVED≤", "TESTED", "MEASURED", "CALIBRATED", "NOT RUN", "REFUTED", "HOLLOW", "UNDECIDED")
    counted = ", ".join(f"{kinds[kind]} {kind}" for kind in order if kinds[kind])
    refuted, planted = sum(e.refuted_mutants for e in examined), sum(len(e.mutants) for e in examined)
    return f"{counted}; mutants refuted: {refuted} of {planted}; {sum(e.seconds for e in examined):.0f} s"
