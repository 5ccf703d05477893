"""The model checker: found or not, believed or not; and one law of the shipped C, checked for every value."""

import subprocess
from pathlib import Path

import pytest

from heapwright.prove import ToolMissing, Undecided, cbmc, examine, theorem_named


@pytest.fixture
def checker() -> str:
    try:
        return cbmc.find()
    except ToolMissing:
        pytest.skip("needs CBMC: make prove-tools")


def test_without_cbmc_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbmc.shutil, "which", lambda name: None)
    seen = examine(theorem_named("code-two-level"))
    assert seen.verdict == "NOT RUN"
    assert "make prove-tools" in seen.detail


@pytest.mark.parametrize(("code", "said"), [(6, "PARSING ERROR"), (10, "no property named"), (-9, "killed")])
def test_anything_but_an_answer_decides_nothing(code: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbmc, "find", lambda: "cbmc")
    done = subprocess.CompletedProcess([], code, stdout=said, stderr="")
    monkeypatch.setattr(cbmc.subprocess, "run", lambda *args, **kwargs: done)
    with pytest.raises(Undecided, match=str(code)):
        cbmc.ask(Path("harness.c"), "main")


def test_a_counterexample_names_the_property_and_the_values(checker: str, tmp_path: Path) -> None:
    program = tmp_path / "program.c"
    program.write_text(
        "unsigned nondet_uint(void);\n"
        'int main(void) { unsigned n = nondet_uint(); __CPROVER_assert(n != 7, "never seven"); return 0; }\n'
    )
    shown = cbmc.ask(program, "main")
    assert shown is not None
    assert "never seven" in shown
    assert "n = 7" in shown


def test_the_checker_is_calibrated(checker: str) -> None:
    seen = examine(theorem_named("tool-cbmc"))
    assert seen.verdict == "CALIBRATED", seen


def test_a_law_of_the_shipped_code_holds_for_all_values(checker: str) -> None:
    seen = examine(theorem_named("code-two-level"))
    assert seen.verdict == "PROVED", seen
