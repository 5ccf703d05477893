"""The bridge: the driver sees differences, and every fault can still be planted in the source as it is."""

import shutil
from typing import Any

import pytest

import heapwright as hw
from heapwright import _native
from heapwright.model.fits import FitModel, best_fit, worst_fit
from heapwright.prove import Undecided, bounded, faults, lockstep, programs, shipped

FAULTS = [*faults.FITS, *faults.TLSF, *faults.BUDDY, *faults.BUMP, *faults.SLAB, *faults.RELOCATION]
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_can_be_planted(fault: faults.Fault) -> None:
    planted = shipped.sources((fault.patch,))
    assert planted != shipped.native()
    assert fault.patch.new in planted.joinpath(fault.patch.file).read_text()
    assert fault.strategy in _native.STRATEGIES


def test_what_the_model_checker_patches_is_there_to_be_patched() -> None:
    assert (shipped.sources(bounded.PATCHES) / "core" / "fit.c").is_file()


def test_a_fault_that_does_not_fit_is_no_kill() -> None:
    with pytest.raises(Undecided, match="0 times"):
        shipped.sources((shipped.Patch("core/fit.c", "what is not there", ""),))


def test_without_sources_it_says_where_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "a" / "b" / "c" / "shipped.py"))
    with pytest.raises(shipped.ToolMissing, match="HEAPWRIGHT_SOURCE"):
        shipped.native()


@pytest.mark.parametrize("strategy", _native.STRATEGIES)
def test_heaps_and_definitions_agree(strategy: str) -> None:
    assert lockstep.heap_differs(strategy, 7, 1200) is None
    assert programs.heap_differs_somewhere(strategy, 2)[0] is None


def test_another_decision_is_a_difference() -> None:
    import random

    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace(4096))
    shown = lockstep.differs(lockstep.OfHeap(heap), FitModel(4096, worst_fit), random.Random(1), 400)
    assert shown is not None
    assert "the model says" in shown
    heap = hw.Heap[hw.BestFit](hw.AnonymousSpace(4096))
    assert lockstep.differs(lockstep.OfHeap(heap), FitModel(4096, best_fit), random.Random(1), 400) is None


@needs_compiler
@pytest.mark.parametrize("name", ["double-free", "blocks-at-a-remembered-address"])
def test_a_planted_fault_is_found_in_a_private_build(name: str) -> None:
    fault = next(fault for fault in FAULTS if fault.name == name)
    library = str(shipped.library((fault.patch,)))
    assert lockstep.apart("random", library, fault.strategy, 1, 4000) is not None


@needs_compiler
def test_a_build_without_fault_is_not_refuted() -> None:
    library = str(shipped.library())
    assert lockstep.apart("random", library, "best-fit", 1, 1200) is None
    assert lockstep.apart("every", library, "tlsf", 2) is None
