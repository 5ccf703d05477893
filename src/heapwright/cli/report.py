"""The report on stderr: what one would show a colleague, in eighty-odd columns."""

from __future__ import annotations

import os
import signal
from itertools import groupby
from typing import TYPE_CHECKING, TextIO

from heapwright.observe import resident

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heapwright.cli.observation import Child, Look, Outcome
    from heapwright.observe.record import Record, SizeClass

WIDTH = 92
SITES_SHOWN = 10
CHILDREN_SHOWN = 8
WORTH_A_LINE_BYTES = 64 << 10
WORTH_A_REASON_BYTES = 1 << 20
BAR_WIDTH = 16
MULTIPROCESSING = {
    "from multiprocessing.spawn import": "multiprocessing worker (spawn)",
    "from multiprocessing.forkserver import": "multiprocessing fork server, and its workers",
    "from multiprocessing.resource_tracker import": "multiprocessing resource tracker",
}
"""What is in the command line -> what to call it."""
SIZE_BANDS = ((1 << 10, "< 1 KiB"), (16 << 10, "< 16 KiB"), (256 << 10, "< 256 KiB"), (4 << 20, "< 4 MiB"))
SIZE_BANDS_END = ((64 << 20, "< 64 MiB"), (1 << 62, ">= 64 MiB"))


def write_report(outcome: Outcome, stream: TextIO) -> None:
    """Write the report, separated by an empty line from what the program wrote."""
    colours = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    lines = ["", *report_lines(outcome, _Ink(colours))]
    try:
        stream.write("\n".join(lines) + "\n")
        stream.flush()
    except OSError:
        pass  # stderr is closed or full: the program's exit code is still to be passed on


def report_lines(outcome: Outcome, ink: _Ink) -> Iterator[str]:
    """The report, line by line."""
    yield from _run(outcome, ink)
    yield from _residence(outcome, ink)
    if outcome.record is not None:
        yield from _arrays(outcome.record, ink)
    yield from _sites(outcome, ink)
    if outcome.record is not None:
        yield from _given_back(outcome, outcome.record, ink)
    yield from _children(outcome.children, ink)
    if outcome.failures:
        yield ink.warning("  could not be observed")
        yield from (f"    {line}" for line in outcome.failures)


class _Ink:
    """Colours, on a terminal that wants them."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def heading(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._on else text

    def faint(self, text: str) -> str:
        return f"\033[2m{text}\033[0m" if self._on else text

    def bar(self, text: str) -> str:
        return f"\033[36m{text}\033[0m" if self._on else text

    def warning(self, text: str) -> str:
        return f"\033[33m{text}\033[0m" if self._on else text


def _run(outcome: Outcome, ink: _Ink) -> Iterator[str]:
    ending, usage = outcome.ending, outcome.ending.rusage
    end = f"exit {ending.status}"
    if ending.signal is not None:
        try:
            end = f"killed by {signal.Signals(ending.signal).name}"
        except ValueError:
            end = f"killed by signal {ending.signal}"
    program = " ".join(word.replace("\n", " ") for word in outcome.command[1:])
    room = WIDTH - len("heapwright run  ") - len(end) - 2
    if len(program) > room:
        program = program[: room - 1] + "…"
    yield f"{ink.heading('heapwright run')}  {program:{room}}  {end}"
    end_size = _size(outcome.final_resident_bytes) if outcome.final_resident_bytes else "not seen"
    faults = f"{usage.ru_minflt:,} page faults" + (f" + {usage.ru_majflt:,} from disk" if usage.ru_majflt else "")
    times = f"  {ending.elapsed_s:.2f} s wall   {usage.ru_utime + usage.ru_stime:.2f} s CPU"
    sizes = f"peak {_size(outcome.peak_resident_bytes)}   end {end_size}"
    if len(whole := f"{times}   {faults}   {sizes}") <= WIDTH:
        yield whole
    else:  # millions of faults, some of them from disk
        yield f"{times}   {sizes}"
        yield f"  {faults}"


def _residence(outcome: Outcome, ink: _Ink) -> Iterator[str]:
    peak, end = outcome.peak, outcome.end
    if peak is None or end is None:
        yield ink.faint("  The program was gone before its memory could be looked at.")
        return
    if outcome.orderly:
        at_end = "at the end"
    else:
        at_end = f"{max(0.0, outcome.ending.elapsed_s - end.elapsed_s):.1f} s before the end"
    share = peak.breakdown.resident_bytes / max(1, outcome.peak_resident_bytes)
    at_peak = f"at {peak.elapsed_s:.1f} s" + (f", {share:.0%} of the peak" if share < 0.995 else ", the peak")
    yield ""
    yield f"  {ink.heading('resident memory'):{_pad(ink, 28)}}{at_peak:>28}{at_end:>{BAR_WIDTH + 16}}"
    holders = [
        name
        for name in resident.HOLDERS
        if name == resident.UNEXPLAINED
        or max(peak.breakdown.holders[name], end.breakdown.holders[name]) >= WORTH_A_LINE_BYTES
    ]
    small = [name for name in resident.HOLDERS if name not in holders]
    rows = [(name, peak.breakdown.holders[name], end.breakdown.holders[name]) for name in holders]
    if small:
        sums = [sum(look.breakdown.holders[name] for name in small) for look in (peak, end)]
        if any(sums):
            rows.insert(-1, ("other", sums[0], sums[1]))
    for name, at_peak_bytes, at_end_bytes in rows:
        yield (
            f"    {name:28}{_share_bar(at_peak_bytes, peak, ink)}{_size(at_peak_bytes):>12}"
            f"{'':4}{_share_bar(at_end_bytes, end, ink)}{_size(at_end_bytes):>12}"
        )
    total = f"    {'the kernel says':28}{'':{BAR_WIDTH}}{_size(peak.breakdown.resident_bytes):>12}"
    yield ink.heading(f"{total}{'':4}{'':{BAR_WIDTH}}{_size(end.breakdown.resident_bytes):>12}")
    huge = (peak.breakdown.huge_bytes, end.breakdown.huge_bytes)
    if any(huge):
        yield ink.faint(f"    of it in huge pages: {_size(huge[0])}, and {_size(huge[1])} at the end")


def _share_bar(size_bytes: int, look: Look, ink: _Ink) -> str:
    eighths = round(size_bytes / max(1, look.breakdown.resident_bytes) * BAR_WIDTH * 8)
    full, part = divmod(min(eighths, BAR_WIDTH * 8), 8)
    text = "█" * full + (" ▏▎▍▌▋▊▉"[part] if part else "")
    return ink.bar(text) + " " * (BAR_WIDTH - len(text))


def _arrays(record: Record, ink: _Ink) -> Iterator[str]:
    if record.hook is None or not record.size_classes:
        return  # NumPy was not imported, or made no array
    where = {
        "pooled": f"pooled allocator, in {record.hook}",
        "system": f"NumPy's own allocator, watched in {record.hook}",
    }[record.allocator]
    yield ""
    yield f"  {ink.heading('arrays')}  {where}"
    count = sum(size.requests for size in record.size_classes)
    total = sum(size.total_bytes for size in record.size_classes)
    yield (
        f"    peak {_size(record['peak_bytes'])} live; {count:,} allocations of {_size(total)} in all"
        + (f"; {record['failed_blocks']:,} refused" if record["failed_blocks"] else "")
    )
    served = record["reused_bytes"] + record["fresh_bytes"]
    if served:
        yield (
            f"    {record['reused_bytes'] / served:.0%} of {_size(served)} came from memory that was resident:"
            f" {record['reused_bytes'] // 4096:,} page faults that did not happen"
        )
    if record.size_classes:
        yield "    by size   " + "   ".join(_histogram(record.size_classes))
    if record.hook_is_raw:
        yield ink.faint(
            "    The raw domain also serves CPython's own blocks of more than 512 B; they count as arrays here."
        )


def _histogram(classes: tuple[SizeClass, ...]) -> Iterator[str]:
    lower = 0
    for upper, label in (*SIZE_BANDS, *SIZE_BANDS_END):
        count = sum(size.requests for size in classes if lower <= size.low_bytes < upper)
        if count:
            yield f"{label} {_count(count)}"
        lower = upper


def _sites(outcome: Outcome, ink: _Ink) -> Iterator[str]:
    if not outcome.sites:
        return
    shown = [site for site in outcome.sites if site.live_bytes_peak or site.live_bytes_end][:SITES_SHOWN]
    if not shown:
        return
    yield ""
    sampled = "every allocation" if not outcome.options.sample else f"sampled every {_size(outcome.options.sample)}"
    title = f"call sites ({sampled})"
    yield f"  {ink.heading(title):{_pad(ink, WIDTH - 38)}}{'live at peak':>12}{'at end':>12}{'in all':>12}"
    for site in shown:
        label = site.label()
        name = label if len(label) <= WIDTH - 40 else "…" + label[-(WIDTH - 41) :]
        yield (
            f"    {name:{WIDTH - 40}}{_size(site.live_bytes_peak):>12}{_size(site.live_bytes_end):>12}"
            f"{_size(site.total_bytes):>12}"
        )
    if len(outcome.sites) > len(shown):
        yield ink.faint(f"    and {len(outcome.sites) - len(shown)} more")


def _given_back(outcome: Outcome, record: Record, ink: _Ink) -> Iterator[str]:
    given = [
        (record["returned_cap_bytes"], "arrays: recent demand did not justify keeping it"),
        (record["returned_idle_bytes"], "arrays: nothing asked for it for a while"),
        (record["returned_asked_bytes"], "arrays: trim() asked for it"),
        (
            record["libc_trimmed_bytes"],
            f"C library heap: trimmed {record['libc_trims']:,} times while the program was idle",
        ),
    ]
    lines = [f"    {_size(amount):>12}  {why}" for amount, why in given if amount >= WORTH_A_REASON_BYTES]
    if lines:
        yield ""
        yield f"  {ink.heading('given back to the system')}, in all"
        yield from lines
    if outcome.end is None:
        return
    holders = outcome.end.breakdown.holders
    kept = [
        (holders[resident.ARRAYS_RETAINED], "arrays: kept for the next request; goes back when the program is idle"),
        (
            holders[resident.HEAPS_REST],
            "heaps that the program put under its arrays: what is not an array; see Heap.trim()",
        ),
        (holders[resident.OBJECTS_FREE], "CPython: an arena of 1 MiB goes back when its last object dies"),
        (holders[resident.LIBC_FREE], "C library: free blocks below live ones, or too small for a page of their own"),
    ]
    lines = [f"    {_size(amount):>12}  {why}" for amount, why in kept if amount >= WORTH_A_REASON_BYTES]
    if lines:
        yield ""
        yield f"  {ink.heading('free, and not given back')}, at the end"
        yield from lines


def _children(children: list[Child], ink: _Ink) -> Iterator[str]:
    if not children:
        return
    yield ""
    title = f"{len(children)} child process" + ("es" if len(children) > 1 else "")
    yield f"  {ink.heading(title):{_pad(ink, WIDTH - 38)}}{'CPU':>12}{'peak':>12}{'arrays':>12}"
    groups = [(command, list(group)) for command, group in groupby(sorted(children, key=_command), key=_command)]
    groups.sort(key=lambda item: -max(child.record["peak_resident_bytes"] for child in item[1]))
    for command, group in groups[:CHILDREN_SHOWN]:
        name = f"{len(group)} x {command}" if len(group) > 1 else command
        name = name if len(name) <= WIDTH - 42 else name[: WIDTH - 43] + "…"
        cpu_s = sum(child.record["cpu_ns"] for child in group) / 1e9
        peak_bytes = max(child.record["peak_resident_bytes"] for child in group)
        arrays_bytes = max(child.record["peak_bytes"] for child in group)
        yield f"    {name:{WIDTH - 40}}{cpu_s:>10.2f} s{_size(peak_bytes):>12}{_size(arrays_bytes):>12}"
    if len(groups) > CHILDREN_SHOWN:
        yield ink.faint(f"    and {len(groups) - CHILDREN_SHOWN} other commands")
    if any(len(group) > 1 for _, group in groups):
        yield ink.faint("    CPU is summed over a group; peaks are those of its largest process")


def _command(child: Child) -> str:
    """Name a child's program; what multiprocessing starts differs only in numbers that nobody reads."""
    text = " ".join(word.replace("\n", " ") for word in child.command[1:])
    for marker, name in MULTIPROCESSING.items():
        if marker in text:
            return name
    return text or "python"


def _pad(ink: _Ink, width: int) -> int:
    """Columns for a heading, whose colour codes take none."""
    return width + len(ink.heading(""))


def _count(count: int) -> str:
    for unit, factor in (("M", 10**6), ("k", 10**3)):
        if count >= 10 * factor:
            return f"{count / factor:.0f}{unit}"
    return f"{count:,}"


def _size(size_bytes: float) -> str:
    """Bytes for a person: at least three digits.

    Examples
    --------
    >>> _size(0), _size(1000), _size(5 << 20), _size(3 << 40)
    ('0', '1000 B', '5.0 MiB', '3.0 TiB')
    """
    if size_bytes < 1024:
        return f"{size_bytes:.0f} B" if size_bytes else "0"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= 1024
        if size_bytes < 1000:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} TiB"
