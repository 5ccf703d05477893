from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from tests.testing import mutants

import heapwright as hw
from heapwright.testing import (
    ADAPTOR_CLAUSES,
    CLAUSES,
    Clause,
    Nonconformance,
    PlainResource,
    adaptor_conformance,
    conformance,
)


@pytest.mark.parametrize("clause", CLAUSES, ids=str)
def test_a_plain_resource_keeps_each_clause(clause: Clause) -> None:
    clause(PlainResource)
    assert clause.statement.endswith(".")


@pytest.mark.parametrize("clause", CLAUSES, ids=str)
@pytest.mark.parametrize(
    "strategy",
    [hw.FirstFit, hw.BestFit, hw.WorstFit, hw.NextFit, hw.TLSF, hw.Buddy, hw.Slab],
    ids=lambda kind: kind.__name__,
)
def test_a_heap_keeps_each_clause(strategy: Any, clause: Clause) -> None:
    clause(lambda: hw.Heap[strategy](hw.AnonymousSpace("1MiB")), examples=15)


@pytest.mark.parametrize("clause", CLAUSES, ids=str)
@pytest.mark.parametrize("build", [hw.TieredPool, lambda heap: hw.Statistics(hw.Tracking(hw.TieredPool(heap)))])
def test_a_pool_keeps_each_clause_and_so_do_adaptors_on_it(build: Any, clause: Clause) -> None:
    clause(lambda: build(hw.Heap(hw.AnonymousSpace("8MiB"))), examples=15)


@pytest.mark.parametrize("mutant", mutants.RESOURCES, ids=lambda mutant: mutant.__name__)
def test_a_wrong_resource_is_refuted(mutant: Any) -> None:
    with pytest.raises(Nonconformance) as caught:
        conformance(mutant)
    assert caught.value.clause in {clause.name for clause in CLAUSES}
    assert caught.value.detail in str(caught.value)


@pytest.mark.parametrize("mutant", mutants.ADAPTORS, ids=lambda mutant: mutant.__name__)
def test_a_wrong_adaptor_is_refuted(mutant: Any) -> None:
    with pytest.raises(Nonconformance):
        adaptor_conformance(mutant)


@pytest.mark.parametrize("mutant", mutants.LIMITS, ids=lambda mutant: mutant.__name__)
def test_a_wrong_limit_is_refuted(mutant: Any) -> None:
    with pytest.raises(Nonconformance, match="limit"):
        adaptor_conformance(mutant, limit_bytes=mutants.LIMIT)


@pytest.mark.parametrize("clause", [*CLAUSES[:-1], *ADAPTOR_CLAUSES], ids=str)
def test_every_clause_refutes_something(clause: Clause) -> None:
    """One that refutes nothing would be hollow. For the random programs this is the next test."""
    suspects = [*mutants.ADAPTORS, *mutants.LIMITS] if clause in ADAPTOR_CLAUSES else mutants.RESOURCES
    if clause.name == "keeps_its_limit":
        suspects = [lambda: mutants.LimitsBirthOnly(PlainResource())]
    for suspect in suspects:
        try:
            clause(suspect, limit_bytes=mutants.LIMIT if "limit" in clause.name else None)
        except Nonconformance:
            return
    pytest.fail(f"{clause} lets every mutant pass")


def test_a_random_program_that_refutes_is_shown() -> None:
    with pytest.raises(Nonconformance) as caught:
        CLAUSES[-1](mutants.FreesTwice)
    program = "\n".join(caught.value.__notes__)
    assert "state.free_again(" in program
    assert len(program.splitlines()) < 30  # shrunk, with what Hypothesis adds of its own; 400 steps before


def test_an_overshoot_under_threads_is_found_each_time() -> None:
    """Not by luck: the suite's own upstream lets the threads meet between the look and the charge."""
    clause = next(clause for clause in ADAPTOR_CLAUSES if clause.name == "keeps_its_limit_when_asked_at_once")
    for _ in range(5):
        with pytest.raises(Nonconformance, match="were out at one time"):
            clause(mutants.LooksThenCharges, limit_bytes=mutants.LIMIT)
        clause(lambda upstream: hw.Limiting(upstream, mutants.LIMIT), limit_bytes=mutants.LIMIT)


def test_the_counter_example_is_in_the_error() -> None:
    with pytest.raises(Nonconformance) as caught:
        conformance(mutants.OneByteShort)
    error = caught.value
    assert error.clause == "serves_requests"
    assert "got a block of" in error.detail
    assert isinstance(error, AssertionError)
    assert str(error).startswith("breaks the clause 'serves_requests' (A block has the size")


def test_without_hypothesis_only_the_random_programs_are_missing() -> None:
    program = """
import sys
sys.modules["hypothesis"] = None
import heapwright as hw
for clause in hw.testing.CLAUSES[:-1]:
    clause(hw.testing.PlainResource)
try:
    hw.testing.CLAUSES[-1](hw.testing.PlainResource)
except hw.testing.Nonconformance:
    print("a missing tool is no counter-example")
except ImportError as error:
    print("heapwright[test]" in str(error))
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "True"
