"""TypedPool: blocks that are records of one NumPy dtype, constructed and destroyed exactly once each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from heapwright import _native
from heapwright.model.protocols import Resource
from heapwright.model.sizes import Size
from heapwright.pools.fixed import FixedPool
from heapwright.pools.lease import Lease

#: Gets the record as a NumPy view on its bytes; a constructor also what `acquire` was called with.
Hook: TypeAlias = Callable[..., object]


class TypedBuffer(_native.Buffer):
    """A record in a pool: a buffer whose bytes have a dtype. `TypedPool.acquire` makes them."""

    __slots__ = ("_constructed",)

    _constructed: bool  # and not yet destroyed

    @property
    def array(self) -> npt.NDArray[Any]:
        """Return the record as an array without a dimension (or of the dtype's own shape): a view, no copy.

        Raises
        ------
        BlockFreed
            It was released.
        """
        # Not np.ndarray(buffer=self): NumPy would keep no view, and so the handle would count as one while it lives.
        record: npt.NDArray[Any] = np.frombuffer(self.view(), self.pool.dtype)[0, ...]
        return record

    def __getitem__(self, field: str) -> Any:
        return self.array[field][()]

    def __setitem__(self, field: str, value: Any) -> None:
        self.array[field] = value

    def __del__(self) -> None:
        # Only when no view is left: each holds a reference to this.
        if getattr(self, "_constructed", False):
            self.pool._destroy(self)


class TypedPool(FixedPool):
    """Records of one dtype from one resource, kept for the next request: a `FixedPool` that knows what is in it.

    A record is a view on its block, so reading and writing fields copies nothing else. It is constructed once, when
    it is acquired, and destroyed once, when it is released or the last reference to it and its views is gone,
    before its block may be acquired again:

    - if `construct` raises, nothing was acquired, and `destroy` is not called;
    - if `destroy` raises, the record was destroyed: its block goes back all the same, as soon as nothing looks at it.

    Parameters
    ----------
    dtype
        What a record is; anything that `numpy.dtype` takes. A dtype with a shape, such as ``("f4", (480, 640))``, makes
        a pool of arrays. No Python objects in it.
    upstream
        Where the chunks come from; owned.
    construct
        Called with the record's array and the arguments of `acquire`. None: the record is all zeros.
    destroy
        Called with the record's array.
    capacity, alignment, name
        As for `FixedPool`.

    Raises
    ------
    TypeError
        The dtype holds Python objects, whose references nobody would count.

    Examples
    --------
    >>> import heapwright as hw
    >>> heap = hw.Heap(hw.AnonymousSpace("64MiB"))
    >>> pool = hw.TypedPool([("x", "f8"), ("y", "f8")], upstream=heap)
    >>> point = pool.acquire()
    >>> point["x"] = 1.5
    >>> print(point["x"], point.array)
    1.5 (1.5, 0.0)
    >>> pool.release(point)

    >>> def construct(point, x, y):
    ...     point["x"], point["y"] = x, y
    >>> pool = hw.TypedPool(pool.dtype, upstream=heap, construct=construct, destroy=print)
    >>> with pool.lease(3, 4) as point:
    ...     point["x"] += 1
    (4.0, 4.0)
    """

    __slots__ = ("_construct", "_destructor", "_zeros", "dtype")

    dtype: np.dtype[Any]
    _construct: Hook | None
    _destructor: Hook | None
    _zeros: bytes

    def __new__(  # noqa: D102  # the class says it
        cls,
        dtype: npt.DTypeLike,
        upstream: Resource[Any],
        *,
        construct: Hook | None = None,
        destroy: Hook | None = None,
        capacity: int | None = None,
        alignment: int | str = 16,
        name: str = "",
    ) -> Self:
        kind = np.dtype(dtype)
        if kind.hasobject or kind.itemsize == 0:
            why = "holds Python objects, whose references nobody would count" if kind.hasobject else "has no bytes"
            raise TypeError(f"cannot pool records of {kind}: it {why}. Give a dtype of numbers, flags or text")
        self = super().__new__(
            cls, upstream, kind.itemsize, capacity, alignment=alignment, name=name, buffer_type=TypedBuffer
        )
        self.dtype = kind
        self._construct = construct
        self._destructor = destroy
        self._zeros = bytes(kind.itemsize)
        return self

    def acquire(self, *args: Any, **kwargs: Any) -> TypedBuffer:
        """Return a record that `construct` was called for.

        Raises
        ------
        PoolExhausted, OutOfMemory, LimitExceeded
            As from `FixedPool.acquire`.
        Exception
            What `construct` raised; nothing was acquired.
        """
        return self._made(super().acquire(), args, kwargs)

    def try_acquire(self, *args: Any, **kwargs: Any) -> TypedBuffer | None:
        """Do the same, or return None where `acquire` raises for want of memory."""
        buffer = super().try_acquire()
        return None if buffer is None else self._made(buffer, args, kwargs)

    def release(self, buffer: _native.Buffer, /) -> None:
        """Destroy a record and give its block back.

        Raises
        ------
        ViewExported, InvalidFree
            As from `FixedPool.release`; `destroy` was not called.
        Exception
            What `destroy` raised.
        """
        if isinstance(buffer, TypedBuffer) and buffer.pool is self and not buffer.exports and buffer._constructed:
            self._destroy(buffer)
        super().release(buffer)

    def allocate(self, size_bytes: Size, alignment: Size = 16) -> NoReturn:
        """Refuse: a typed pool is no memory resource, since what it hands out was constructed with arguments.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError("a TypedPool hands out records, not bytes. Use acquire(), or a FixedPool as a memory resource")

    try_allocate = reallocate = allocate  # type: ignore[assignment]  # refused alike

    def deallocate(self, buffer: _native.Buffer, /) -> None:
        """Do the same as release."""
        self.release(buffer)

    def lease(self, *args: Any, **kwargs: Any) -> Lease[TypedBuffer]:
        """Return a context manager: a record for the length of a ``with`` block."""
        return Lease(partial(self.acquire, *args, **kwargs), self.release)

    def _made(self, buffer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TypedBuffer:
        record: TypedBuffer = buffer
        record._constructed = False
        if self._construct is None:
            memoryview(record)[:] = self._zeros
            if args or kwargs:
                raise TypeError("acquire() takes arguments only where the pool was made with construct=...")
        else:
            self._construct(record.array, *args, **kwargs)
        record._constructed = True
        return record

    def _destroy(self, record: TypedBuffer) -> None:
        record._constructed = False  # first: once, whatever happens
        if self._destructor is not None:
            self._destructor(record.array)
