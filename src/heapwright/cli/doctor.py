"""``heapwright doctor``: what this machine offers, as a table or as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from itertools import groupby

from heapwright import __version__
from heapwright.cli.capabilities import Capability, capabilities
from heapwright.cli.main import CommandLineError

SCHEMA_VERSION = 1
USAGE = """\
usage: heapwright doctor [--json]

Tries every kernel, C library and machine feature that heapwright can use, and says yes / denied (why) / absent.
Nothing is left behind; everything that is missing has a fallback, so the exit code is 0 in any case.
"""


def main(words: list[str]) -> int:
    """Print the table."""
    if any(word in ("-h", "--help") for word in words):
        sys.stdout.write(USAGE)
        return 0
    if unknown := [word for word in words if word != "--json"]:
        raise CommandLineError(f"doctor does not know {unknown[0]!r}; usage: heapwright doctor [--json]")
    found = list(capabilities())
    if "--json" in words:
        json.dump(_document(found), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        sys.stdout.write("\n".join(_table(found)) + "\n")
    return 0


def _machine() -> dict[str, str | int]:
    return {
        "heapwright": __version__,
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    }


def _document(found: list[Capability]) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "machine": _machine(),
        "capabilities": [
            {"group": c.group, "name": c.name, "answer": c.answer, "detail": c.detail, "errno": c.errno} for c in found
        ],
    }


def _table(found: list[Capability]) -> list[str]:
    machine = _machine()
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    paint = {"yes": "\033[32m", "denied": "\033[33m", "absent": "\033[2m"} if colours else {}
    reset = "\033[0m" if colours else ""
    lines = [
        f"heapwright {machine['heapwright']} on Linux {machine['kernel']} {machine['architecture']}, "
        f"{machine['cpus']} CPUs, {int(machine['memory_bytes']) / 2**30:.1f} GiB"
    ]
    for group, members in groupby(found, key=lambda capability: capability.group):
        lines += ["", group]
        for capability in members:
            answer = f"{paint.get(capability.answer, '')}{capability.answer:8}{reset}"
            lines.append(f"  {capability.name:28}{answer}{capability.detail}".rstrip())
    return lines
