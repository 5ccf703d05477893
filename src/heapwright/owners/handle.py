"""Handles of memory that several processes own: an array in one of them is the same bytes as in the others.

The memory has no name: it is a file descriptor (memfd), which a socket or `multiprocessing` carries from one process to
the next (`heapwright.owners.passing`), and its first page says who owns it. A process that is killed owns nothing from
that moment on, which the kernel sees to (docs/adr/0044).
"""

from __future__ import annotations

import json
import math
import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from heapwright import _native
from heapwright.model.errors import HandleReleased

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Buffer


class SharedHandle:
    """One of several owners, in one or more processes, of an array or of bytes. `share` makes the first one.

    It can be pickled, for `multiprocessing` by any start method, and sent with `send_handle`. What arrives is another
    handle of the same memory: nothing is copied. A message under way is an owner, and so is every array and view: who
    closes a handle may go on using the array that it gave.

    Raises
    ------
    HandleReleased
        By every use after `close`.
    HandleNotYours
        In a child that was forked by other means than Python's.

    Examples
    --------
    >>> import heapwright as hw
    >>> handle = hw.SharedHandle.zeros((2, 3), "f4")
    >>> handle.value[0, 1] = 7
    >>> other = handle.clone()
    >>> other.value[0].tolist(), handle.strong_count
    ([0.0, 7.0, 0.0], 2)
    """

    __slots__ = ("__weakref__", "_owner")

    def __init__(self, owner: memoryview) -> None:
        self._owner = owner  # of a segment: each export of it is an owner, and this one is the handle

    @staticmethod
    def zeros(shape: int | tuple[int, ...], dtype: npt.DTypeLike = "f8") -> SharedHandle:
        """Return a handle of a new array of zeros, to be filled in place. Needs NumPy.

        Raises
        ------
        SystemCallFailed
            There is not that much memory.
        TypeError
            The type holds references to Python objects.
        """
        import numpy as np

        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return _make_array(np.dtype(dtype), shape, "C")

    @property
    def value(self) -> Any:
        """The array, or the bytes as a memoryview: writable, shared, and one owner more for as long as it is there."""
        segment = self._segment()
        about = segment.about
        return _array(segment, about) if about else memoryview(segment)

    @property
    def closed(self) -> bool:
        """Whether this handle has given up its part."""
        try:
            self._segment()
        except HandleReleased:
            return True
        return False

    @property
    def strong_count(self) -> int:
        """How many owners there are in all processes: handles, arrays, views, messages. O(processes) system calls."""
        return sum(self.owners().values())

    def owners(self) -> dict[int, int]:
        """Return the number of owners by process; under 0, the messages that nobody has received yet."""
        owners: dict[int, int] = {}
        for pid, count in self._segment().owners():
            owners[pid] = owners.get(pid, 0) + count
        return owners

    def clone(self) -> SharedHandle:
        """Return one more owner, in this process."""
        return SharedHandle(memoryview(self._segment()))

    __copy__ = clone

    def downgrade(self) -> WeakHandle:
        """Return a handle that knows the memory without owning it."""
        return WeakHandle(self._segment())

    def ptr_eq(self, other: SharedHandle) -> bool:
        """Say whether both are about the same memory."""
        return self._segment() is other._segment()

    def close(self) -> None:
        """Give up this handle's part. The last owner of all, in whichever process, ends the memory."""
        self._owner.release()

    def dispatch(self) -> tuple[int, int]:
        """Return a new descriptor and a number that make an owner in whichever process gets both: `receive_handle`.

        For other ways to pass descriptors than those in `heapwright.owners.passing`. Until then the descriptor is the
        owner: closing it, by whatever end of the process, takes the owner back.
        """
        return self._segment().dispatch()

    def __enter__(self) -> Any:
        return self.value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        from heapwright.owners.passing import to_pickle

        return to_pickle(self)

    def __repr__(self) -> str:
        if self.closed:
            return "SharedHandle(closed)"
        about = self._segment().about
        what = "{dtype}, shape {shape}".format_map(json.loads(about)) if about else "bytes"
        return f"<SharedHandle of {what}, {self._owner.nbytes} B>"

    def _segment(self) -> _native.Segment:
        try:
            return self._owner.obj  # type: ignore[return-value]  # what of, typeshed does not know
        except ValueError:  # it was released
            raise HandleReleased("shared handle") from None


class WeakHandle:
    """A handle that knows shared memory without owning it; `SharedHandle.downgrade` makes it. It stays in its process.

    Examples
    --------
    >>> import heapwright as hw
    >>> handle = hw.share(b"some bytes")
    >>> weak = handle.downgrade()
    >>> bytes(weak.upgrade().value)
    b'some bytes'
    >>> handle.close()
    >>> weak.upgrade() is None
    True
    """

    __slots__ = ("__weakref__", "_segment")

    def __init__(self, segment: _native.Segment) -> None:
        self._segment = segment

    def upgrade(self) -> SharedHandle | None:
        """Return a handle that owns the memory, if anybody in any process still does; else None, and None for ever."""
        owner = self._segment.own()
        return None if owner is None else SharedHandle(owner)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a weak handle stays in its process: send a SharedHandle, and downgrade() it there")


def share(value: npt.NDArray[Any] | Buffer) -> SharedHandle:
    """Return a handle of an array or of bytes that processes can share: a copy, unless it is shared already.

    Parameters
    ----------
    value
        A NumPy array, of any type without references to Python objects, or whatever has bytes: a `Block`, `bytes`, a
        memoryview. Copied once, into the shared memory; `SharedHandle.zeros` makes an array there at once. An array
        that is all of a shared memory, as `SharedHandle.value` gives it, is not copied: there is one handle more.

    Raises
    ------
    SystemCallFailed
        There is not that much memory.
    TypeError
        It has no bytes, or they refer to Python objects.

    Examples
    --------
    >>> import heapwright as hw, numpy as np, pickle
    >>> handle = hw.share(np.arange(3))
    >>> arrived = pickle.loads(pickle.dumps(handle))        # in any process of this program
    >>> arrived.value[0] = 10
    >>> handle.value.tolist()
    [10, 1, 2]
    >>> hw.share(handle.value).ptr_eq(handle)
    True

    Source: memfd_create(2), fcntl(2) on open file description locks, unix(7) on SCM_RIGHTS.
    """
    numpy = sys.modules.get("numpy")  # who has no NumPy has no array either
    if numpy is not None and isinstance(value, numpy.ndarray):
        return _share_array(value)
    with memoryview(value) as source:  # type: ignore[arg-type]  # mypy does not narrow it by a module in a variable
        handle = SharedHandle(_native.segment_create(b"", source.nbytes))
        if source.nbytes:
            with handle.value as target:
                target[:] = source.cast("B") if source.c_contiguous else source.tobytes()
    return handle


# ---- arrays ----------------------------------------------------------------------------------------------------------


def _share_array(array: npt.NDArray[Any]) -> SharedHandle:
    of = _whole_segment(array)
    if of is not None:
        return SharedHandle(memoryview(of))
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    handle = _make_array(array.dtype, array.shape, order)
    handle.value[...] = array
    return handle


def _make_array(dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> SharedHandle:
    from numpy.lib import format as npy

    if dtype.hasobject:
        raise TypeError(f"{dtype} holds references to Python objects, which mean nothing in another process")
    about = json.dumps({"dtype": npy.dtype_to_descr(dtype), "shape": shape, "order": order}).encode()
    return SharedHandle(_native.segment_create(about, dtype.itemsize * math.prod(shape)))


def _array(segment: _native.Segment, about: bytes) -> npt.NDArray[Any]:
    import numpy as np
    from numpy.lib import format as npy

    said = json.loads(about)
    dtype = npy.descr_to_dtype(_descr(said["dtype"]))
    flat = np.asarray(memoryview(segment))  # keeps the view; np.ndarray(buffer=...) alone would let go of it
    return np.ndarray(tuple(said["shape"]), dtype, buffer=flat, order=said["order"])


def _descr(said: Any) -> Any:
    """Return NumPy's description of a type out of JSON, which has no tuples: fields are tuples in lists."""
    if not isinstance(said, list):
        return said
    return [tuple(_descr(part) if i == 1 else tuple(part) if isinstance(part, list) else part
                  for i, part in enumerate(field)) for field in said]  # fmt: skip


def _whole_segment(array: npt.NDArray[Any]) -> _native.Segment | None:
    base: Any = array
    while base is not None and not isinstance(base, _native.Segment):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    if base is None or not base.about:
        return None
    whole = _array(base, base.about)
    same = array.__array_interface__ == whole.__array_interface__ and array.dtype == whole.dtype
    return base if same else None


# A child that is forked has every handle that its parent has: it is given owners of its own for them.
os.register_at_fork(
    before=_native.segment_before_fork,
    after_in_parent=lambda: _native.segment_after_fork(False),
    after_in_child=lambda: _native.segment_after_fork(True),
)
