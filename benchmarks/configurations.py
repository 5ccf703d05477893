"""What a program can run on: NumPy's default, glibc tuned, three allocators by preload, and heapwright."""

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20

#: One thread everywhere: CPU time then means work done, and results do not depend on how it was split.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "PYTHONHASHSEED": "0",
}

LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
)


@dataclass(frozen=True)
class Configuration:
    """One way to start the same program.

    ``expects`` are the allocators that the program must find in its own address space, as told by
    `benchmarks.workload.allocators_present`; ``missing`` says why this machine cannot run it, if it cannot.
    """

    name: str
    prefix: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    expects: tuple[str, ...] = ()
    missing: str | None = None

    def command(self, arguments: Sequence[str]) -> list[str]:
        return [*self.prefix, *arguments]

    def environ(self) -> dict[str, str]:
        inherited = {
            key: value
            for key, value in os.environ.items()
            if key not in ("LD_PRELOAD", "GLIBC_TUNABLES") and not key.startswith(("HEAPWRIGHT", "MALLOC_"))
        }
        return {**inherited, **ONE_THREAD, **self.environment}


def preload(name: str, library: str, package: str) -> Configuration:
    found = [path for folder in LIBRARY_FOLDERS if (path := Path(folder, library)).exists()]
    missing = None if found else f"{library} is not installed (Debian: apt-get install {package})"
    environment = {"LD_PRELOAD": str(found[0])} if found else {}
    return Configuration(name, (sys.executable,), environment, (name,), missing)


def heapwright(allocator: str, *options: str, name: str | None = None) -> Configuration:
    prefix = (sys.executable, "-m", "heapwright", "run", "--quiet", "--allocator", allocator, *options)
    missing = None
    if not all(map(importlib.util.find_spec, ("heapwright", "heapwright.adapters.numpy"))):
        missing = "this environment has no heapwright with an allocator under NumPy"
    return Configuration(name or allocator, prefix, {}, (f"heapwright {allocator}",), missing)


def configurations() -> dict[str, Configuration]:
    """Every configuration by name, the default first; `default2` is the default again, the A/A control."""
    python = (sys.executable,)
    tunables = f"glibc.malloc.mmap_threshold={32 * MIB}:glibc.malloc.trim_threshold={256 * MIB}"
    return {
        configuration.name: configuration
        for configuration in (
            Configuration("default", python),
            Configuration("default2", python),
            Configuration("thr", python, {"GLIBC_TUNABLES": tunables}),
            heapwright("pooled"),
            heapwright("pooled", "--huge-pages", "always", name="pooled-huge"),
            heapwright("system"),
            # With --quiet alone nothing is sampled or looked at, since nobody would read it.
            heapwright("system", "--json", os.devnull, name="watched"),
            preload("mimalloc", "libmimalloc.so.2", "libmimalloc2.0"),
            preload("jemalloc", "libjemalloc.so.2", "libjemalloc2"),
            preload("tcmalloc", "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
        )
    }


def chosen(names: str | None) -> list[Configuration]:
    """The configurations of a comma-separated list (all if ``None``) that this machine can run."""
    known = configurations()
    wanted = names.split(",") if names else list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SystemExit(f"unknown configuration {', '.join(unknown)}: choose from {', '.join(known)}")
    usable = []
    for name in dict.fromkeys(["default", *wanted]):
        if known[name].missing:
            print(f"skipping {name}: {known[name].missing}", file=sys.stderr)
        else:
            usable.append(known[name])
    return usable
