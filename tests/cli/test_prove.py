"""The table and the JSON of `heapwright prove`, and what its exit code says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heapwright.cli import prove
from heapwright.cli.main import CommandLineError
from heapwright.prove import Effort, Finding, Held, Theorem, ToolMissing, theorem_named

SMALL = theorem_named("life-freed-once")


def hollow() -> Theorem:
    return replace(SMALL, name="hollow", check=lambda size, mutant: Held("whatever"))


def without_tool() -> Theorem:
    def check(size: int, mutant: str | None) -> Finding:
        raise ToolMissing("prover", "not installed", "Get it: somewhere")

    return replace(SMALL, name="without-tool", check=check)


def test_json_has_the_documented_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "proof.json"
    assert prove.main(["--short", "--only", "life-*", "--json", str(target)]) == 0
    document = json.loads(target.read_text())
    assert (document["schema_version"], document["form"]) == (1, "short")
    assert len(document["theorems"]) == 3
    for theorem in document["theorems"]:
        assert theorem.keys() >= {
            "name",
            "statement",
            "method",
            "scope",
            "assumptions",
            "seconds",
            "verdict",
            "mutants",
        }
        assert theorem["verdict"] == "PROVED"
        assert all(mutant["refuted_by"] for mutant in theorem["mutants"])
    assert "deallocate while freed" in capsys.readouterr().out


def test_json_on_standard_output_is_nothing_but_json(capsys: pytest.CaptureFixture[str]) -> None:
    prove.main(["--only=life-freed-once", "--json=-"])
    written = capsys.readouterr()
    assert json.loads(written.out)["theorems"][0]["name"] == "life-freed-once"
    assert "life-freed-once" in written.err


def test_a_hollow_theorem_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prove, "THEOREMS", (SMALL, hollow()))
    assert prove.main(["--short"]) == 1
    shown = capsys.readouterr().out
    assert "HOLLOW" in shown
    assert "LIVES  double-free" in shown
    assert "mutants refuted: 3 of 6" in shown


def test_a_missing_tool_fails_only_if_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prove, "THEOREMS", (without_tool(),))
    assert prove.main(["--short"]) == 0
    assert "Get it: somewhere" in capsys.readouterr().out
    assert prove.main(["--short", "--strict"]) == 1


@pytest.mark.parametrize("columns", [60, 80, 132, 160])
def test_the_table_keeps_to_the_width(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(prove, "THEOREMS", (SMALL, hollow()))
    prove.main(["--short"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert SMALL.statement in " ".join(" ".join(lines).split())


def test_list_checks_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(prove, "THEOREMS", (hollow(),))
    assert prove.main(["--list"]) == 0
    assert "hollow" in capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 132])
def test_the_list_keeps_to_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    prove.main(["--list"])
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= columns
    assert all(theorem.statement in " ".join(said.split()) for theorem in prove.THEOREMS)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--fast"], "--fast"), (["--only", "nothing-*"], "no theorem"), (["--json"], "needs a value")],
)
def test_a_command_line_that_cannot_be_followed(words: list[str], said: str) -> None:
    with pytest.raises(CommandLineError, match=said):
        prove.main(words)


def test_full_form_is_the_default() -> None:
    assert prove._Options([]).effort is Effort.FULL
