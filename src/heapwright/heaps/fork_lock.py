"""ForkLock: a reentrant lock that a fork waits for, so that no child is born with it held by a thread that it lacks."""

from __future__ import annotations

import os
import threading
import weakref
from itertools import count


class ForkLock:
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

    __slots__ = ("__weakref__", "_age", "_lock", "_owner")

    _ages = count()

    def __init__(self) -> None:
        self._age = next(self._ages)
        self._lock = threading.RLock()
        self._owner: list[int] = []  # the thread that has it, as often as it has it; changed by that thread only
        _alive[self._age] = self

    def acquire(self, blocking: bool = True) -> bool:
        """Take it; False where it is another thread's and there is to be no waiting."""
        taken = self._lock.acquire(blocking)
        if taken:
            self._owner.append(threading.get_ident())
        return taken

    def release(self) -> None:
        """Give it back."""
        self._owner.pop()
        self._lock.release()

    def is_mine(self) -> bool:
        """Say whether this thread has it."""
        return self._owner[-1:] == [threading.get_ident()]

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()


_alive: weakref.WeakValueDictionary[int, ForkLock] = weakref.WeakValueDictionary()  # by age
_held: list[ForkLock] = []


def _before_fork() -> None:
    locks = [lock for reference in _alive.valuerefs() if (lock := reference()) is not None]
    locks.sort(key=lambda lock: lock._age, reverse=True)
    for lock in locks:
        lock.acquire()
    _held[:] = locks


def _after_fork() -> None:
    for lock in reversed(_held):
        lock.release()
    _held.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
