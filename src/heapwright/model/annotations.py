"""Annotations of a class whose fields mean something: evaluated where it stands, with names that do not exist yet."""

from __future__ import annotations

import builtins
import types
from collections.abc import Iterator
from typing import Any, ForwardRef
from weakref import WeakValueDictionary


class _Names(dict[str, Any]):
    """Names as an annotation sees them; one that does not exist yet stands for itself.

    So does the name of the class: what it names until then is another class, if a cell of a notebook is run again.
    """

    def __init__(self, cls: type, frame: types.FrameType) -> None:
        super().__init__(vars(builtins) | frame.f_globals | frame.f_locals)
        self[cls.__name__] = ForwardRef(cls.__name__)

    def __missing__(self, name: str) -> ForwardRef:
        return ForwardRef(name)  # which | knows, as it does not know str


def evaluated(cls: type, frame: types.FrameType) -> Iterator[tuple[str, Any]]:
    """Yield (name, annotation) of each field of a class that is being made in that frame.

    Raises
    ------
    ValueError
        An annotation that is text is no expression; its first argument is the field's name.
    """
    names: _Names | None = None
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        if isinstance(annotation, str):
            names = names or _Names(cls, frame)
            try:
                annotation = eval(annotation, {}, names)
            except Exception as error:
                raise ValueError(name, f"{annotation!r} cannot be evaluated ({error})") from error
        yield name, annotation


class ClassesByName:
    """Classes by where they stand, so that annotations can name those that come later."""

    def __init__(self) -> None:
        self._classes: WeakValueDictionary[tuple[str, str, str], type] = WeakValueDictionary()

    def add(self, cls: type) -> None:
        """Know a class from now on."""
        self._classes[self._place(cls, cls.__name__)] = cls

    def find(self, beside: type, name: str) -> type | None:
        """Return the class of that name that stands beside another, if there is one."""
        return self._classes.get(self._place(beside, name))

    @staticmethod
    def _place(cls: type, name: str) -> tuple[str, str, str]:
        return cls.__module__, cls.__qualname__.rpartition(".")[0], name
