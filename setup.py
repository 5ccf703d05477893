"""Builds the one extension module: a C11 core, its system calls, and one thin binding (docs/adr/0001, 0002)."""

import os
from pathlib import Path

from setuptools import Extension, setup

HERE = Path(__file__).parent
SOURCES = sorted(str(path.relative_to(HERE)) for path in (HERE / "native").rglob("*.c"))
HEADERS = sorted(str(path.relative_to(HERE)) for path in (HERE / "native").rglob("*.h"))

setup(
    ext_modules=[
        Extension(
            "heapwright._native",
            sources=SOURCES,
            depends=HEADERS,
            include_dirs=["native"],
            libraries=["m"],
            define_macros=[("_GNU_SOURCE", "1")],
            extra_compile_args=[
                "-std=c11",
                "-O2",
                "-g0",
                "-fvisibility=hidden",
                "-Wall",
                "-Wextra",
                "-Wno-unused-parameter",
                *os.environ.get("HEAPWRIGHT_CFLAGS", "").split(),
            ],
            extra_link_args=["-pthread", *os.environ.get("HEAPWRIGHT_LDFLAGS", "").split()],
        )
    ]
)
