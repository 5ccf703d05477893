"""Every case up to a size, by a harness: a program in C over the C that ships, which tries them all by itself.

It is called with the name of a law and a size, and prints ``holds: N ...``, the number of cases, and ends with 0; or
``fails: ...``, the case, and ends with 3.
"""

from __future__ import annotations

import subprocess

from heapwright.prove.faults import Fault
from heapwright.prove.shipped import program
from heapwright.prove.theorem import Check, Counterexample, Finding, Held, Undecided

TIMEOUT_S = 600


def every_case(harness: str, core: str, law: str, faults: tuple[Fault, ...], cases: str) -> Check:
    """Return a check that runs a harness for each size up to the one of the scope: the smallest counterexample first.

    Parameters
    ----------
    harness, core
        The program in ``prove/harness``, and what of the core is compiled with it.
    law
        Its first argument.
    faults
        The mutants; each is planted in turn.
    cases
        What the harness counts, in words.
    """

    def check(size: int, mutant: str | None) -> Finding:
        built = program(harness, core, tuple(fault.patch for fault in faults if fault.name == mutant))
        count = 0
        for n in range(1, size + 1):
            try:
                ran = subprocess.run(
                    [built, law, str(n)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
                )
            except subprocess.TimeoutExpired as late:
                raise Undecided(f"size {n} took more than {TIMEOUT_S} s") from late
            said = ran.stdout.strip()
            if ran.returncode == 3 and said.startswith("fails: "):
                return Counterexample(said.removeprefix("fails: "))
            if ran.returncode != 0 or not said.startswith("holds: "):
                raise Undecided(f"the harness ended with {ran.returncode}: {(ran.stderr or said)[-200:]}")
            count += int(said.split()[1])
        return Held(f"{count:,} {cases}")

    return check
