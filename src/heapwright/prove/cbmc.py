"""CBMC: found, asked, and its answer read. Anything but "holds" and a counterexample decides nothing.

Source: Kroening, Clarke, Lerda, A Tool for Checking ANSI-C Programs, TACAS 2004. ``make prove-tools`` gets it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from heapwright.prove.theorem import ToolMissing, Undecided

TIMEOUT_S = 900

#: Memory safety where CBMC sees it, and no undefined arithmetic. Pointer checks are left out: there are no pointers in
#: what the core keeps, and the arrays' bounds are checked.
_CHECKS = (
    "--no-standard-checks",
    "--bounds-check",
    "--signed-overflow-check",
    "--undefined-shift-check",
    "--div-by-zero-check",
    "--unwinding-assertions",
)


def find() -> str:
    """Return CBMC: HEAPWRIGHT_CBMC, the one of `make prove-tools`, or the one in PATH.

    Raises
    ------
    ToolMissing
        There is none.
    """
    beside = Path(__file__).parents[3] / "build" / "cbmc" / "cbmc"
    for candidate in (os.environ.get("HEAPWRIGHT_CBMC"), str(beside), "cbmc"):
        if candidate and (found := shutil.which(candidate)):
            return found
    raise ToolMissing(
        "CBMC", "not found", "Get it: `make prove-tools` in a checkout (Debian, Ubuntu), or put it in PATH"
    )


def ask(file: Path, function: str, *options: str) -> str | None:
    """Run CBMC; return None, or the property that fails, with the values that were chosen.

    Raises
    ------
    Undecided
        Out of time, or anything but an answer.
    """
    command = [find(), str(file), "--function", function, "--stop-on-fail", "--trace", *_CHECKS, *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Undecided(f"CBMC gave no answer in {TIMEOUT_S} s: {function}") from None
    if done.returncode == 0:
        return None
    failed = re.search(r"Violated property:\n.*\n +(.+)\n", done.stdout)
    if done.returncode != 10 or failed is None:  # 0: holds, 10: a counterexample, and everything else is broken
        said = (done.stdout.strip().splitlines() or ["nothing"])[-1]
        raise Undecided(f"CBMC ended with {done.returncode}: {said}")
    return f"{function}: {failed[1]} is false{_shown(done.stdout)}"


def _shown(trace: str) -> str:
    """Return the heap and the arguments of a counterexample, as far as the trace has them.

    A heap is what its parts were last; an argument what it was first: later values are what the core made of it.
    """
    said = re.findall(r"^  ([\w.]+(?:\[\d+l\])?)=(\w+?)u?l? \(", trace, re.MULTILINE)
    values = dict(said) | {name: value for name, value in reversed(said) if not name.startswith("before.")}
    heap = []
    for block in range(int(values.get("before.count", 0))):
        granules, live = values.get(f"before.size[{block}l]", "?"), values.get(f"before.live[{block}l]") == "TRUE"
        heap.append(f"[{granules}]" if live else granules)
    given: tuple[str, ...] = ("size_bytes", "alignment") if heap else ("n", "hole", "size")
    if "return_value_any_handle.number" in values:
        given = ("handle.number", "handle.offset_bytes")
    arguments = [f"{name} = {values[name]}" for name in given if name in values]
    return "".join(
        [f", in {' '.join(heap)} granules" if heap else "", f", with {', '.join(arguments)}" if arguments else ""]
    )
