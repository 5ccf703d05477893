"""Calibration: faults planted for the tools themselves. A tool that misses one is not to be believed about it.

Each tool is asked about the classes of fault that the theorems rely on it for. CBMC 6.6.0 passes an overrun of an array
that is the member of a structure, so nobody relies on it for that: private builds run under UBSan, which sees it.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from heapwright.prove import cbmc, shipped
from heapwright.prove.theorem import Counterexample, Finding, Grade, Held, Mutant, Scope, Subject, Theorem, Undecided

_SOUND = (
    "unsigned nondet_uint(void); int main(void) { unsigned x = nondet_uint(), a[8]; if (x < 8) a[x] = 1; return 0; }"
)

_FOR_CBMC = {
    "overrun": _SOUND.replace("x < 8", "x <= 8"),
    "overflow": "int nondet_int(void); int main(void) { int x = nondet_int(); return x + 1; }",
    "shift-too-far": "unsigned nondet_uint(void); int main(void) { unsigned x = nondet_uint(); return 1u << x; }",
    "loop-too-long": "int main(void) { for (int i = 0; i < 4; i++) {} return 0; }",
}

_FOR_UBSAN = {
    "member-overrun": """
        struct s { int a[4]; int n; };
        int main(int n, char **v) { struct s s, *p = &s; p->a[3 + n] = 1; return 0; }
    """,
    "overflow": "int main(int n, char **v) { int x = 2147483647; return x + n < 0; }",
    "shift-too-far": "int main(int n, char **v) { return 1 << (31 + n); }",
}


def _cbmc(size: int, mutant: str | None) -> Finding:
    with tempfile.TemporaryDirectory(prefix="heapwright-prove-") as folder:
        probe = Path(folder, "probe.c")
        probe.write_text(_SOUND if mutant is None else _FOR_CBMC[mutant], encoding="utf-8")
        wrong = cbmc.ask(probe, "main", "--unwind", "3")
    return Held("a program without fault passes") if wrong is None else Counterexample(wrong)


def _ubsan(size: int, mutant: str | None) -> Finding:
    with tempfile.TemporaryDirectory(prefix="heapwright-prove-") as folder:
        probe, built = Path(folder, "probe.c"), Path(folder, "probe")
        probe.write_text("int main(void) { return 0; }" if mutant is None else _FOR_UBSAN[mutant], encoding="utf-8")
        command = [shipped.compiler(), "-w", *shipped.SANITIZE, str(probe), "-o", str(built)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            raise Undecided("the compiler has no -fsanitize=undefined")
        done = subprocess.run([str(built)], capture_output=True, text=True, check=False)
    if "runtime error" in done.stderr:
        return Counterexample(done.stderr.partition("runtime error: ")[2].splitlines()[0])
    return Held("a program without fault runs")


THEOREMS = (
    Theorem(
        name="tool-cbmc",
        subject=Subject.TOOL,
        method="cbmc",
        grade=Grade.CALIBRATED,
        statement="The model checker reports overruns of arrays, undefined arithmetic and loops that it cut short.",
        formula="fault(p) ⇒ cbmc(p) fails;   sound(p) ⇒ cbmc(p) succeeds",
        scope=Scope("four programs with one fault each, and one without"),
        mutants=(
            Mutant("overrun", "an index that may be one too large"),
            Mutant("overflow", "a sum of integers that may overflow"),
            Mutant("shift-too-far", "a shift by more than the width"),
            Mutant("loop-too-long", "a loop with more rounds than are looked at"),
        ),
        check=_cbmc,
    ),
    Theorem(
        name="tool-ubsan",
        subject=Subject.TOOL,
        method="ubsan",
        grade=Grade.CALIBRATED,
        statement="A build for lock-step ends at an overrun inside a structure, and at undefined arithmetic.",
        formula="fault(p) ⇒ run(p) ends with a report",
        scope=Scope("three programs with one fault each, and one without"),
        mutants=(
            Mutant("member-overrun", "an array in a structure is written beyond its end, which CBMC does not see"),
            Mutant("overflow", "a sum of integers overflows"),
            Mutant("shift-too-far", "a shift by the width"),
        ),
        check=_ubsan,
    ),
)
