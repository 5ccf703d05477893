"""The comparison of test suites sees every way in which a test can end."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SUITE = """
import pytest

def test_passes(): pass
def test_fails(): assert False
def test_skips(): pytest.skip("not here")

@pytest.mark.xfail
def test_expected(): assert False

@pytest.fixture
def broken(): raise RuntimeError

def test_error(broken): pass

@pytest.fixture
def messy():
    yield
    raise RuntimeError

def test_passes_but_cannot_clean_up(messy): pass
"""


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("suites_run", Path(__file__).with_name("run.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["suites_run"] = module
    spec.loader.exec_module(module)
    return module


def test_every_outcome_is_told_apart(runner: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(SUITE)
    suite = runner.Suite("pytest", (str(tmp_path),))
    outcomes = runner.run_pytest(suite, suite.targets, under=None)
    assert {test.rpartition("::test_")[2]: outcome for test, outcome in outcomes.items()} == {
        "passes": "passed",
        "fails": "failed",
        "skips": "skipped",
        "expected": "xfailed",
        "error": "error",
        "passes_but_cannot_clean_up": "error",
    }


def test_a_suite_that_cannot_start_is_an_outcome(runner: ModuleType, tmp_path: Path) -> None:
    suite = runner.Suite("pytest", (str(tmp_path / "absent"),))
    assert "pytest itself" in runner.run_pytest(suite, suite.targets, under=None)


def test_a_test_can_be_run_again_alone(runner: ModuleType, tmp_path: Path) -> None:
    import numpy as np

    test = "numpy/linalg/tests/test_linalg.py::TestEigvals::test_0_size"
    assert (Path(np.__file__).parents[1] / test.partition("::")[0]).exists()
    assert runner.run_alone(runner.SUITES["numpy"], test, None) == "passed"


@pytest.mark.parametrize(
    ("without", "under", "counts"),
    [
        (["passed", "passed"], ["failed", "failed"], True),
        (["passed", "passed"], ["passed", "failed"], True),
        (["passed", "failed"], ["failed", "failed"], False),
        (["passed", "passed"], ["passed", "passed"], False),
        (["absent", "absent"], ["absent", "absent"], True),
    ],
)
def test_judges(runner: ModuleType, without: list[str], under: list[str], counts: bool) -> None:
    assert (runner.judge(without, under) == runner.DIFFERENT) is counts
