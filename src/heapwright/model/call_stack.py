"""CallStack: where a program stands. The frames that led to a call, without heapwright's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import CodeType
from typing import NamedTuple, TypeAlias

#: Frames of files in here are not where a program allocates.
OURS = str(Path(__file__).parent.parent) + os.sep

#: As it is kept: names are looked up when somebody asks.
RawStack: TypeAlias = tuple[tuple[CodeType, int], ...]


class Frame(NamedTuple):
    """One line of a stack."""

    filename: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.line} in {self.function}"


def call_stack(depth: int) -> RawStack:
    """Return the innermost frames of whoever called heapwright, innermost first, `depth` of them at most. O(depth).

    Examples
    --------
    >>> def ask():
    ...     return call_stack(1)
    >>> print(named(ask())[0])
    <doctest ...>:2 in ask
    """
    if depth == 0:
        return ()
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(OURS):
        frame = frame.f_back
    stack = []
    for _ in range(depth):
        stack.append((frame.f_code, frame.f_lineno))
        if frame.f_back is None:
            break
        frame = frame.f_back
    return tuple(stack)


def named(stack: RawStack) -> tuple[Frame, ...]:
    """Return a stack as file, line and function."""
    return tuple(Frame(code.co_filename, line, code.co_qualname) for code, line in stack)
