"""The JSON of a run: the documented keys, and figures that add up."""

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heapwright.observe.resident import ARRAYS_LIVE, HEAPS_REST, HOLDERS, UNEXPLAINED

ROOT = Path(__file__).parents[2]
SURFACE_KEYS = {
    *("schema_version", "program", "exit_code", "wall_s", "cpu_s", "minor_faults", "peak_resident_bytes"),
    *("final_resident_bytes", "resident_breakdown", "call_sites", "children"),
}


@pytest.fixture
def run_json(observed: Callable, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(body: str, *options: str, exit_code: int = 0) -> dict[str, Any]:
        (tmp_path / "prog.py").write_text(textwrap.dedent(body))
        result = observed("--json", "out.json", *options, "prog.py")
        assert result.exit_code == exit_code, result
        return json.loads((tmp_path / "out.json").read_text()) | {"stderr": result.stderr + result.report}

    return run


def total(holders: list[dict[str, Any]]) -> int:
    return sum(holder["bytes"] for holder in holders)


def test_keys_are_those_documented(run_json: Callable) -> None:
    document = run_json("import numpy; x = numpy.ones(1 << 20)")
    document.pop("stderr")
    assert set(document) >= SURFACE_KEYS
    documented = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs/reference/run-json.md").read_text(), re.MULTILINE))
    assert set(document) <= documented
    assert {holder["holder"] for holder in document["resident_breakdown"]} == set(HOLDERS)


def test_the_breakdown_adds_up_at_the_end_and_at_the_peak(run_json: Callable) -> None:
    document = run_json("""
        import numpy, time
        x = numpy.ones(12 << 20)
        time.sleep(1)  # time for a look, also on a busy machine
        del x
        y = numpy.ones(2 << 20)
    """)
    assert document["at_end"]["orderly"]
    assert total(document["resident_breakdown"]) == document["final_resident_bytes"]
    assert document["resident_breakdown"] == document["at_end"]["resident_breakdown"]
    peak = document["at_peak"]
    assert total(peak["resident_breakdown"]) == peak["resident_bytes"] <= document["peak_resident_bytes"]
    held = {holder["holder"]: holder["bytes"] for holder in peak["resident_breakdown"]}
    assert 96 << 20 <= held[ARRAYS_LIVE] < 100 << 20
    assert held[UNEXPLAINED] < 2 << 20
    assert document["arrays"]["allocator"] == "pooled"
    assert document["arrays"]["peak_bytes"] >= 96 << 20
    assert document["minor_faults"] > 0
    assert document["wall_s"] >= 0.4


def test_watching_only(run_json: Callable) -> None:
    document = run_json("import numpy; x = numpy.ones(5 << 20)", "--allocator", "system")
    held = {holder["holder"]: holder["bytes"] for holder in document["resident_breakdown"]}
    assert 38 << 20 <= held[ARRAYS_LIVE] < 42 << 20
    assert document["arrays"]["allocator"] == "system"
    assert document["arrays"]["heap_committed_bytes"] == 0


@pytest.mark.parametrize(
    ("ending", "exit_code", "signal"),
    [("os._exit(3)", 3, None), ("os.kill(os.getpid(), 9)", -9, "SIGKILL"), ("os.abort()", -6, "SIGABRT")],
)
def test_abrupt_ends_still_report(run_json: Callable, ending: str, exit_code: int, signal: str | None) -> None:
    document = run_json(
        f"import os, time, numpy; x = numpy.ones(5 << 20); time.sleep(0.5); {ending}", exit_code=exit_code
    )
    assert (document["exit_code"], document["signal"]) == (exit_code, signal)
    assert not document["at_end"]["orderly"]
    assert document["peak_resident_bytes"] > 40 << 20
    assert document["at_peak"]["resident_bytes"] > 40 << 20
    assert total(document["resident_breakdown"]) == document["final_resident_bytes"] > 40 << 20
    assert document["arrays"]["peak_bytes"] >= 40 << 20


def test_children_have_figures_of_their_own(run_json: Callable) -> None:
    document = run_json("""
        import multiprocessing, os, subprocess, sys, numpy
        def work(n):
            return float(numpy.ones(n).sum())
        if __name__ == "__main__":
            for method in ("fork", "spawn"):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    pool.map(work, [1 << 20])
                    pool.close(); pool.join()
            subprocess.run([sys.executable, "-c", "import numpy; numpy.ones(3 << 20)"])
    """)
    assert "multiprocessing worker (spawn)" in document["stderr"]
    peaks = {" ".join(child["program"][1:])[:20]: child["peak_array_bytes"] for child in document["children"]}
    assert len(document["children"]) >= 3
    assert max(peaks.values()) >= 24 << 20
    assert sum(child["peak_array_bytes"] >= 8 << 20 for child in document["children"]) >= 3, document["children"]
    # those that leave by os._exit, as forked workers do, have the figures of their last tick
    assert all(child["peak_resident_bytes"] > 5 << 20 for child in document["children"] if child["orderly"])
    assert any(child["orderly"] for child in document["children"])


def test_a_child_that_leaves_at_once_has_figures_of_its_own(run_json: Callable) -> None:
    document = run_json("""
        import os, time, numpy
        a = numpy.ones(6 << 20)
        time.sleep(0.3)  # the keeper has taken the parent's figures
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    """)
    (child,) = document["children"]
    assert child["peak_resident_bytes"] > 5 << 20
    assert 0 < child["minor_faults"] < document["minor_faults"] / 2  # the parent's were the parent's


def test_children_of_a_program_without_numpy_are_seen(run_json: Callable) -> None:
    document = run_json("""
        import os, subprocess, sys
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        subprocess.run([sys.executable, "-c", "pass"])
    """)
    forked, started = sorted(document["children"], key=lambda child: child["orderly"])
    assert not forked["orderly"]
    assert started["orderly"]
    assert forked["peak_resident_bytes"] > 5 << 20
    assert started["peak_resident_bytes"] > 5 << 20


def test_who_only_watches_looks_again_after_a_fork(run_json: Callable) -> None:
    document = run_json(
        """
        import os, time, numpy
        if (pid := os.fork()) == 0:
            x = numpy.ones(8 << 20)
            time.sleep(0.3)  # for the keeper: the child says no last word
            os._exit(0)
        os.waitpid(pid, 0)
        """,
        *("--allocator", "system"),
    )
    (child,) = document["children"]
    assert child["peak_resident_bytes"] > 64 << 20


def test_arrays_in_a_heap_of_the_programs_own(run_json: Callable) -> None:
    document = run_json("""
        import numpy, heapwright
        heap = heapwright.Heap(heapwright.AnonymousSpace("256MiB"))
        heapwright.adapters.numpy.install(heap)
        kept = numpy.ones(8 << 20)
        gone = numpy.ones(4 << 20)
        block = heap.allocate("16MiB")
        block.view()[:] = bytes(16 << 20)
        del gone
    """)
    held = {holder["holder"]: holder["bytes"] for holder in document["resident_breakdown"]}
    assert 64 << 20 <= held[ARRAYS_LIVE] < 68 << 20
    assert 48 << 20 <= held[HEAPS_REST] < 49 << 20
    assert held[UNEXPLAINED] < 2 << 20
    assert total(document["resident_breakdown"]) == document["final_resident_bytes"]
    assert document["arrays"]["peak_bytes"] >= 96 << 20
    assert "heaps that the program put under its arrays" in document["stderr"]


def test_quiet_writes_json_only(run_json: Callable) -> None:
    assert run_json("pass", "--quiet")["stderr"] == ""


def test_the_report_names_what_there_is(run_json: Callable) -> None:
    text = run_json("""
        import numpy
        x = [numpy.ones(1 << 20) for _ in range(4)]
        del x[2:]
    """)["stderr"]
    for words in (
        "resident memory",
        "arrays, live",
        "the kernel says",
        "unexplained",
        "by size",
        "page faults",
        "exit 0",
    ):
        assert words in text
    assert max(map(len, text.splitlines())) <= 100
    assert "\033" not in text
