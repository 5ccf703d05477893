"""ForkLock: a reentrant lock that a fork waits for, so that no child is born with it held by a thread that it lacks."""

from __future__ import annotations

import os
import threading
import weakref
from itertools import count
from typing import Any

_RLock: Any = type(threading.RLock())


class ForkLock(_RLock):  # type: ignore[misc]  # a class of C, which checkers do not know as one
    """`threading.RLock`, held around every `os.fork` of the process by whoever forks.

    What it guards is therefore whole in a child. Before a fork the locks are taken from the youngest to the oldest: an
    adaptor is younger than its upstream and calls downwards, so this is the order in which calls take them.

    Examples
    --------
    >>> lock = ForkLock()
    >>> with lock:
    ...     lock.is_mine()
    True
    >>> lock.is_mine()
    False
    """

    __slots__ = ("age",)

    _ages = count()

    def __init__(self) -> None:
        self.age = next(self._ages)
        _alive[self.age] = self

    def is_mine(self) -> bool:
        """Say whether this thread has it."""
        return bool(self._is_owned())  # as `threading.Condition` asks


_alive: weakref.WeakValueDictionary[int, ForkLock] = weakref.WeakValueDictionary()  # by age
_held: list[ForkLock] = []


def _before_fork() -> None:
    locks = [lock for reference in _alive.valuerefs() if (lock := reference()) is not None]
    locks.sort(key=lambda lock: lock.age, reverse=True)
    for lock in locks:
        lock.acquire()
    _held[:] = locks


def _after_fork() -> None:
    for lock in reversed(_held):
        lock.release()
    _held.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
