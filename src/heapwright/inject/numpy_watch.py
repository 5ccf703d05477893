"""Calls back once, right after NumPy was imported.

A finder in front of ``sys.meta_path`` asks the other finders for NumPy and hooks its loader *instance*, so
every object that the program can see (``numpy.__spec__``, ``numpy.__loader__``) is the one it would see
without us.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing typing would cost 10 ms at the start of every process
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


def arm(callback: Callable[[], None]) -> None:
    """Call `callback` once NumPy's package body has run, in the thread that imported it."""
    sys.meta_path.insert(0, _Watch(callback))


class _Watch:
    """A meta-path finder that finds nothing itself."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "numpy":
            self._catch_up()
            return None
        for finder in sys.meta_path:
            if finder is self or (find := getattr(finder, "find_spec", None)) is None:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                self._hook(spec)
                return spec
        return None

    def _hook(self, spec: ModuleSpec) -> None:
        """Shadow the loader's `exec_module` by an instance attribute, for one call."""
        loader: Any = spec.loader
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            execute(module)
            self._fire()

        try:
            loader.exec_module = exec_module
        except AttributeError:
            pass  # a loader with slots: `_catch_up` comes a little later instead

    def _catch_up(self) -> None:
        """Notice a NumPy that some finder in front of us has loaded."""
        module = sys.modules.get("numpy")
        if module is not None and not getattr(module.__spec__, "_initializing", False):
            self._fire()

    def _fire(self) -> None:
        callback, self._callback = (
            self._callback,
            None,
        )  # one bytecode apart at most, and a second call is harmless
        if callback is None:
            return
        # Out of the path first: what the callback imports must not come back here.
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        callback()
