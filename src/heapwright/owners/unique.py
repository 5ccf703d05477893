"""Unique: the one owner of a value. Ownership moves; it is never copied."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from heapwright import _native
from heapwright.model.errors import HandleReleased
from heapwright.owners.payloads import Deleter, deleter_of

T = TypeVar("T")


class Unique(Generic[T]):
    """The one owner of a value: with it the value ends, exactly once, whether by ``with``, `close` or its own end.

    Parameters
    ----------
    value
        A block, an array, anything with ``close()``, or any object.
    deleter
        Called with the value at its end. If not given: `Heap.deallocate` for a block, ``close()`` where there is one,
        else nothing but letting go.

    Raises
    ------
    HandleReleased
        By every use of a handle that was closed, or whose value has moved on.

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap(hw.AnonymousSpace(4096))
    >>> with hw.Unique(heap.allocate(100)) as block:
    ...     heap.draw()
    '[112] 3984'
    >>> heap.draw()
    '4096'
    >>> first = hw.Unique(heap.allocate(100))
    >>> second = first.move()
    >>> first.value
    Traceback (most recent call last):
    heapwright.model.errors.HandleReleased: the unique handle was moved from. ...
    """

    __slots__ = ("__weakref__", "_deleter", "_gone", "_value")

    _value: T
    _deleter: Deleter | None
    _gone: str

    def __init__(self, value: T, deleter: Deleter | None = None) -> None:
        self._gone = "never given anything"  # until the next line is through: __del__ runs even if it raises
        if isinstance(value, Unique | _native.Shared | _native.Weak):
            raise TypeError(f"a {type(value).__name__} owns its value already. Use move(), share() or try_unwrap()")
        self._value, self._deleter = value, deleter if deleter is not None else deleter_of(value)
        self._gone = ""

    @property
    def value(self) -> T:
        """What is owned: borrowed, for as long as this handle has it."""
        if self._gone:
            self._raise()
        return self._value

    @property
    def closed(self) -> bool:
        """Whether this handle owns nothing any more."""
        return bool(self._gone)

    def move(self) -> Unique[T]:
        """Return a handle that owns the value from now on, instead of this one."""
        return of(*self.give())

    def share(self) -> _native.Shared[T]:
        """Return the first `Shared` of the value, which this handle gives up."""
        return _native.Shared(self)

    def release(self) -> T:
        """Return the value, which nobody owns from now on: the caller sees to its end."""
        value, _ = self.give("released")
        return value

    def give(self, how: str = "moved from") -> tuple[T, Deleter | None]:
        """Return the value and its deleter to a new owner. `move`, `share` and `release` are what programs use."""
        if self._gone:
            self._raise()
        owned = self._value, self._deleter
        self._gone = how
        del self._value, self._deleter
        return owned

    def close(self) -> None:
        """End the value. What its deleter raises is raised, and it is not run again. A second close() does nothing."""
        if not self._gone:
            value, deleter = self.give("closed")
            if deleter is not None:
                deleter(value)

    def __enter__(self) -> T:
        return self.value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_gone"):  # a call with wrong arguments never came to __init__
            self.close()

    def __copy__(self) -> NoReturn:
        raise TypeError("a Unique has one owner: move() it, or share() it")

    def __deepcopy__(self, memo: Any) -> NoReturn:
        self.__copy__()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Unique owns something in this process and cannot be pickled. Send its value")

    def __repr__(self) -> str:
        return f"Unique({self._gone})" if self._gone else f"Unique({self._value!r})"

    def _raise(self) -> NoReturn:
        raise HandleReleased("unique handle", self._gone)


def of(value: Any, deleter: Deleter | None) -> Unique[Any]:
    """Return a Unique with exactly this deleter: None means that letting go of the value is all."""
    unique: Unique[Any] = Unique.__new__(Unique)
    unique._value, unique._deleter, unique._gone = value, deleter, ""
    return unique
