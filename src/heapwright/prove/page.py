"""The page docs/reference/theorems.md, written from the catalogue: ``python -m heapwright.prove.page FILE``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from heapwright.prove.catalogue import THEOREMS
from heapwright.prove.theorem import Effort, Subject, Theorem

_INTRODUCTION = """\
# Theorems

What heapwright states about itself, and how each statement is checked: `heapwright prove` checks all of it anew
([how to](../how-to/prove.md)). This page is written from the theorems' own data (`make theorems`); a test keeps it so.

A theorem about the *model* says nothing of the *code*, and the other way round: hence the *bridge*. The grades are
PROVED (every case), PROVED≤k (every case up to a bound), TESTED (the cases that were drawn), MEASURED, and CALIBRATED
for the tools themselves. Each theorem comes with mutants: the same thing with one planted fault. A check that does not
refute all of them with a counterexample is HOLLOW and fails the command.

## The JSON of `heapwright prove --json`

Schema 1. At the top: `schema_version`, `heapwright` (version), `form` (`short` or `full`), `seconds`, `theorems`. Each
theorem: `name`, `subject`, `statement`, `formula`, `method`, `scope`, `assumptions`, `source`, `seconds`, `verdict`
(a grade, or `REFUTED`, `HOLLOW`, `UNDECIDED`, `NOT RUN`), `detail`, `mutants`. Each mutant: `name`, `fault`, `sketch`
(where [the first sketches](../seed-corrections.md) had this very fault), `refuted_by` (the counterexample, or null),
`survived_because`.
"""

_HEADINGS = {
    Subject.TOOL: "The tools",
    Subject.MODEL: "The model",
    Subject.CODE: "The code",
    Subject.BRIDGE: "The bridge",
}


def page() -> str:
    """Return the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    for subject, members in groupby(THEOREMS, key=lambda theorem: theorem.subject):
        yield f"## {_HEADINGS[subject]}\n"
        for theorem in members:
            yield from _entry(theorem)


def _entry(theorem: Theorem) -> Iterator[str]:
    yield f"### {theorem.name}\n"
    yield f"{theorem.statement}\n"
    yield f"    {theorem.formula}\n"
    grades = [theorem.grade_in(effort) for effort in Effort]
    over = [theorem.scope.says(effort) for effort in Effort]
    if theorem.full_only:
        grades, over = grades[1:] * 2, over[1:] * 2
    grade, scope = (" or ".join(dict.fromkeys(forms)) for forms in (grades, [over[1]]))
    yield f"- {grade} by {theorem.method}, over {scope}" + (f"; short form: {over[0]}" if over[0] != over[1] else "")
    for assumption in theorem.assumptions:
        yield f"- assuming {assumption}"
    if theorem.source:
        yield f"- source: {theorem.source}"
    yield "- mutants: " + "; ".join(
        f"*{mutant.name}*, {mutant.fault}"
        + (f" (so in [{mutant.sketch}](../seed-corrections.md))" if mutant.sketch else "")
        for mutant in theorem.mutants
    )
    yield ""


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
