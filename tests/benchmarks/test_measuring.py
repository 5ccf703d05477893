"""The instruments themselves: a benchmark that cannot see a difference proves nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import instructions, programs
from benchmarks.configurations import Configuration, chosen, configurations
from benchmarks.digest import digest
from benchmarks.launch import ProgramFailedError, launch
from benchmarks.paired import Paired, geometric_mean, table
from benchmarks.samples import Samples, interleave
from benchmarks.workloads import HOME


class TestDigest:
    def test_sees_one_bit(self) -> None:
        a = np.linspace(0, 1, 1000)
        b = a.copy()
        b[500] = np.nextafter(b[500], 2)
        assert digest(a) == digest(a.copy())
        assert digest(a) != digest(b)

    def test_sees_type_and_shape(self) -> None:
        zeros = np.zeros(16)
        assert digest(zeros) != digest(zeros.reshape(4, 4))
        assert digest(zeros) != digest(zeros.view(np.int64))

    def test_does_not_see_layout(self) -> None:
        a = np.arange(60_000.0).reshape(200, 300)
        assert digest(a) == digest(np.asfortranarray(a)) == digest(np.repeat(a, 2, axis=1)[:, ::2])

    def test_takes_scalars_and_tuples(self) -> None:
        assert digest((1, 2.0, "x")) != digest((1, 2.0, "y"))
        assert digest([np.float64(1), (2,)]) != digest([np.float64(1), 2])

    def test_refuses_what_it_cannot_see_into(self) -> None:
        with pytest.raises(TypeError, match="cannot digest object"):
            digest(object())


class TestSamples:
    def measure(self, subject: str, configuration: str) -> dict[str, Any]:
        self.calls.append((subject, configuration))
        cpu = {"default": 2.0, "fast": 1.0}[configuration] * (1 + len(self.calls))
        return {"cpu_s": cpu, "digest": "same"}

    @pytest.fixture
    def samples(self, tmp_path: Path) -> Samples:
        self.calls: list[tuple[str, str]] = []
        return Samples(tmp_path / "s.json", "programs")

    def test_reverses_every_other_round(self, samples: Samples) -> None:
        interleave(samples, ["p"], ["default", "fast"], 2, self.measure)
        assert [name for _, name in self.calls] == ["default", "fast", "fast", "default"]

    def test_goes_on_where_it_stopped(self, samples: Samples) -> None:
        interleave(samples, ["p"], ["default"], 1, self.measure)
        again = Samples(samples.path, "programs")
        interleave(again, ["p"], ["default", "fast"], 1, self.measure)
        assert self.calls == [("p", "default"), ("p", "fast")]

    def test_refuses_another_machine(self, samples: Samples) -> None:
        interleave(samples, ["p"], ["default"], 1, self.measure)
        document = json.loads(samples.path.read_text())
        document["machine"]["cpu"] = "another"
        samples.path.write_text(json.dumps(document))
        with pytest.raises(SystemExit, match="another machine"):
            Samples(samples.path, "programs")

    def test_pairs_within_a_round(self, samples: Samples) -> None:
        for round_, (default, fast) in enumerate([(10.0, 5.0), (30.0, 10.0), (40.0, 10.0)]):
            samples.add(round_, "p", "default", {"cpu_s": default})
            samples.add(round_, "p", "fast", {"cpu_s": fast})
        paired = Paired(samples)
        assert paired.ratio("p", "fast", "default", "cpu_s") == pytest.approx(1 / 3)
        assert paired.ratio_of_best("p", "fast", "default", "cpu_s") == pytest.approx(0.5)
        assert np.isnan(paired.ratio("p", "absent", "default", "cpu_s"))


def test_geometric_mean_skips_what_was_not_measured() -> None:
    assert geometric_mean([0.5, 2.0, float("nan")]) == pytest.approx(1.0)


def test_table_is_markdown() -> None:
    assert table(["a", "b"], [["x", "10"]]).splitlines() == ["| a |  b |", "| - | -: |", "| x | 10 |"]


def test_report_says_when_results_differ_and_keeps_losing_rows(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "s.json", "programs")
    figures = dict.fromkeys(programs.TITLES, 1.0)
    samples.add(0, "good", "default", {**figures, "digest": "a"})
    samples.add(0, "good", "pooled", {**figures, "minor_faults": 0.1, "digest": "a"})
    samples.add(0, "bad", "default", {**figures, "digest": "a"})
    samples.add(0, "bad", "pooled", {**figures, "cpu_s": 2.0, "digest": "b"})
    report = programs.render(Paired(samples))
    assert "RESULTS DIFFER between configurations in: bad" in report
    assert "bad 0.50" in report
    assert "- minor_faults above 0.20: 1 of 2: bad 1.00" in report


def test_there_are_twenty_workloads() -> None:
    assert len(HOME) == 20


def test_unknown_configuration_is_explained() -> None:
    with pytest.raises(SystemExit, match="unknown configuration nonsense"):
        chosen("nonsense")


def test_an_allocator_that_did_not_load_stops_the_run(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text("import json; print(json.dumps({'allocators': []}))")
    default = configurations()["default"]
    assert launch(default, [str(script)]).output == {"allocators": []}
    pretender = Configuration("mimalloc", default.prefix, {}, ("mimalloc",))
    with pytest.raises(ProgramFailedError, match="mimalloc is not in the process"):
        launch(pretender, [str(script)])


def test_a_program_that_fails_is_told_with_its_stderr(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text("raise ValueError('told')")
    with pytest.raises(ProgramFailedError, match="told"):
        launch(configurations()["default"], [str(script)])


class TestInstructions:
    DUMP = "# callgrind format\ncmd:  python -m benchmarks.workload x\n{}\nevents: Ir\nfn=(1) f\n1 5\n\ntotals: 12345\n"

    def test_only_the_dump_at_the_end_of_the_section_counts(self) -> None:
        assert instructions.section(self.DUMP.format("desc: Trigger: --dump-before=getpriority")) == 12345
        assert instructions.section(self.DUMP.format("desc: Trigger: Program termination")) is None

    def test_says_what_is_added(self, tmp_path: Path) -> None:
        samples = Samples(tmp_path / "x.json", "instructions")
        for name, count in (("default", 1_000_000_000), ("watched", 1_005_000_000)):
            samples.add(0, "a program", name, {"instructions": count})
        assert "| 1,000 M |  +0.50% |" in instructions.render(Paired(samples))
