"""heapwright: memory management for Python programs.

    managed memory = Space (where) x Strategy (which) x Owner (how long) x Access (how seen),
                     observed, and proved

Names load on first use (PEP 562), so ``import heapwright`` costs next to nothing: it also happens at the
start of every process under ``heapwright run``.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = (
    False  # importing typing (10 ms) would cost more than everything else here; checkers know the name
)
if TYPE_CHECKING:
    from typing import Any

    from heapwright import adapters as adapters

__version__ = "0.1.0"

#: public name -> the module that defines it
_HOME: dict[str, str] = {}
_ROOMS = frozenset({"adapters", "model"})

__all__ = ["__version__", "adapters"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _ROOMS:
        value = import_module(f"heapwright.{name}")
    else:
        raise AttributeError(f"module 'heapwright' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()))
