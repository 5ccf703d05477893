"""The C that ships: where it lies, a copy of it with one planted fault, and a private build of that.

A fault is a patch of the text: so it is planted in the very source that the extension module is compiled from. A patch
that does not apply any more is an error, and never an excuse.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from heapwright.prove.theorem import ToolMissing, Undecided

HARNESS = Path(__file__).parent / "harness"

#: Undefined behaviour, and overruns of arrays inside structures, end the program: see `tool-ubsan`.
SANITIZE = ("-fsanitize=undefined", "-fno-sanitize-recover=all")


class Patch(NamedTuple):
    """A planted fault: in one file below native/, one text for another."""

    file: str
    old: str
    new: str


def native() -> Path:
    """Return the folder of the C sources.

    Raises
    ------
    ToolMissing
        They are not beside the package: it was installed as a wheel.
    """
    for root in (os.environ.get("HEAPWRIGHT_SOURCE"), Path(__file__).parents[3]):
        if root is not None and (found := Path(root) / "native").joinpath("core", "strategy.h").is_file():
            return found
    raise ToolMissing(
        "the C sources", "not beside this package", "Run it in a checkout, or name one in HEAPWRIGHT_SOURCE"
    )


@cache
def _workshop() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="heapwright-prove-")


def sources(patches: tuple[Patch, ...] = ()) -> Path:
    """Return a folder that stands for native/, with the patches in it; made once.

    Raises
    ------
    Undecided
        A patch does not fit the source as it is now.
    """
    if not patches:
        return native()
    folder = Path(_workshop().name, "native-" + hashlib.sha256(repr(patches).encode()).hexdigest()[:16])
    if folder.exists():
        return folder
    texts: dict[str, str] = {}
    for file, old, new in patches:
        text = texts.get(file) or native().joinpath(file).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise Undecided(f"the fault cannot be planted: {file} has {old!r} {text.count(old)} times, not once")
        texts[file] = text.replace(old, new)
    for room in ("core", "heap", "os"):
        shutil.copytree(native() / room, folder / room)
    for file, text in texts.items():
        folder.joinpath(file).write_text(text, encoding="utf-8")
    return folder


def compiler() -> str:
    """Return the C compiler.

    Raises
    ------
    ToolMissing
        There is none.
    """
    found = shutil.which(os.environ.get("CC") or "cc")
    if found is None:
        raise ToolMissing("a C compiler", "no cc in PATH", "Install gcc or clang, or name one in CC")
    return found


def _closure(folder: Path, *starts: str) -> list[Path]:
    """Return source files and those of all the headers that they lead to."""
    seen, todo = set(starts), list(starts)
    while todo:
        text = folder.joinpath(todo.pop()).read_text(encoding="utf-8")
        for header in re.findall(r'^#include "(core/\w+)\.h"', text, re.MULTILINE):
            found = {f"{header}.h", *(f"core/{path.name}" for path in folder.glob(f"{header}*.c"))} - seen
            todo += found
            seen |= found
    return [folder / file for file in sorted(seen) if file.endswith(".c")]


def _built(files: list[Path], options: list[str], target: Path) -> Path:
    command = [compiler(), "-std=c11", "-g0", "-w", "-DNDEBUG", *options, *map(str, files), "-o", str(target)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise Undecided(
            f"it does not compile: {built.stderr.strip().splitlines()[0] if built.stderr else built.returncode}"
        )
    return target


@cache
def program(
    harness: str, core: str | tuple[str, ...], patches: tuple[Patch, ...] = (), sanitize: tuple[str, ...] | None = None
) -> Path:
    """Return a program: a harness over one file of the core or several, with the patches in it.

    Built as `sanitize` says, or else without patches under UBSan, and with them plainly.

    Raises
    ------
    Undecided
        It does not compile.
    """
    folder = sources(patches)
    files = [
        HARNESS / harness,
        *_closure(folder, *(f"core/{file}" for file in ([core] if isinstance(core, str) else core))),
    ]
    target = Path(_workshop().name, f"{folder.name}-{Path(harness).stem}")
    if sanitize is None:
        sanitize = () if patches else SANITIZE
    return _built(files, [f"-I{folder}", "-O1", *sanitize], target)


@cache
def library(patches: tuple[Patch, ...] = ()) -> Path:
    """Return a shared library of the strategies with the patches in it, or, without any, under UBSan; built once.

    Raises
    ------
    Undecided
        It does not compile.
    """
    folder = sources(patches)
    target = Path(_workshop().name, f"{folder.name}.so")
    files = [HARNESS / "lockstep.c", *_closure(folder, "core/strategies.c")]
    options = ["-fPIC", "-shared", f"-I{folder}"]
    options += ["-O0"] if patches else ["-O1", *SANITIZE]  # a mutant is built to be refuted at once, not to run long
    return _built(files, options, target)
