"""The catalogue as a whole: well-formed, documented, and able to fail."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from heapwright.prove import THEOREMS, Effort, Grade, Theorem, theorem_named
from heapwright.prove.page import page

ROOT = Path(__file__).parents[2]


def test_names_are_unique_and_lead_to_the_theorem() -> None:
    assert len({theorem.name for theorem in THEOREMS}) == len(THEOREMS)
    for theorem in THEOREMS:
        assert theorem_named(theorem.name) is theorem
    with pytest.raises(KeyError, match="heap-exact"):
        theorem_named("no such theorem")


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.name)
def test_a_theorem_says_what_it_is(theorem: Theorem) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", theorem.name)
    assert theorem.statement.endswith(".")
    assert theorem.formula
    assert len(theorem.mutants) >= 3, "a check that cannot fail proves nothing"
    assert len({mutant.name for mutant in theorem.mutants}) == len(theorem.mutants)
    assert all(mutant.fault for mutant in theorem.mutants)
    if theorem.grade in (Grade.PROVED_TO, Grade.TESTED):
        assert theorem.scope.size(Effort.FULL) >= theorem.scope.size(Effort.SHORT) > 0
        assert "{n}" in theorem.scope.over, "a bound that nobody reads"


def test_the_theorems_that_assumptions_name_are_there() -> None:
    names = {theorem.name for theorem in THEOREMS}
    said = " ".join(assumption for theorem in THEOREMS for assumption in theorem.assumptions)
    assert set(re.findall(r"\b[a-z]+-[a-z-]+\b", said)) <= names, "a word with a hyphen is the name of a theorem here"


def test_faults_of_the_sketches_are_in_the_list_of_them() -> None:
    sections = re.findall(r"^## (\w+) ", (ROOT / "docs" / "seed-corrections.md").read_text(), re.MULTILINE)
    sketches = {mutant.sketch for theorem in THEOREMS for mutant in theorem.mutants} - {""}
    assert sketches
    assert sketches <= set(sections)


def test_the_page_is_what_the_theorems_say() -> None:
    written = (ROOT / "docs" / "reference" / "theorems.md").read_text(encoding="utf-8")
    assert written == page(), "run `make theorems`"


def test_importing_the_room_does_not_import_the_provers() -> None:
    program = "import heapwright.prove, sys; print(*{'z3', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == ""
