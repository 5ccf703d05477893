"""The report on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from heapwright.cli.observation import Outcome


def write_report(outcome: Outcome, stream: TextIO) -> None:
    """Write the report, separated by an empty line from what the program wrote."""
    usage = outcome.ending.rusage
    stream.write(
        f"\nheapwright run  wall {outcome.ending.elapsed_s:.2f} s, CPU "
        f"{usage.ru_utime + usage.ru_stime:.2f} s, peak {outcome.peak_resident_bytes / 2**20:.1f} MiB, "
        f"end {outcome.final_resident_bytes / 2**20:.1f} MiB\n"
    )
    stream.writelines(f"  {failure}\n" for failure in outcome.failures)
    stream.flush()
