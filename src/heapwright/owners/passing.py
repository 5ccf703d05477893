"""How handles of shared memory go from one process to another: over a UNIX socket, or pickled by `multiprocessing`.

Either way the message carries a descriptor that is an owner by itself: the sender may close its handle as soon as the
message is out, and a message that nobody receives gives its owner up when the kernel drops it.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

from heapwright import _native
from heapwright.model.errors import InvalidHandle
from heapwright.owners.handle import SharedHandle

_MESSAGE = struct.Struct("<4sI")  # and a descriptor
_MAGIC = b"hwSH"


def send_handle(sock: socket.socket, handle: SharedHandle) -> None:
    """Send an owner over a connected UNIX socket: `receive_handle` at the other end makes a handle of it.

    The sender keeps its own. The message is an owner from when this returns until it is received or dropped.

    Raises
    ------
    HandleReleased
        The handle is closed.
    TooManyOwners
        Too many messages are under way.
    OSError
        What the socket says; then nothing was sent.

    Examples
    --------
    >>> import heapwright as hw, socket
    >>> here, there = socket.socketpair()     # or any connected UNIX socket
    >>> handle = hw.share(b"a frame")
    >>> hw.send_handle(here, handle)
    >>> handle.close()                     # the message owns it now
    >>> bytes(hw.receive_handle(there).value)
    b'a frame'
    >>> here.close(), there.close()
    (None, None)

    Source: unix(7), SCM_RIGHTS.
    """
    descriptor, row = handle.dispatch()
    try:
        socket.send_fds(sock, [_MESSAGE.pack(_MAGIC, row)], [descriptor])
    finally:
        os.close(descriptor)


def receive_handle(sock: socket.socket) -> SharedHandle:
    """Wait for a handle that `send_handle` sent, and return it.

    Raises
    ------
    EOFError
        The other end was closed.
    InvalidHandle
        Something else was sent.
    OSError
        What the socket says.
    """
    message, descriptors, _, _ = socket.recv_fds(sock, _MESSAGE.size, 1, socket.MSG_CMSG_CLOEXEC)
    try:
        if not message:
            raise EOFError("no handle was received: the other end of the socket was closed")
        if len(message) != _MESSAGE.size or not message.startswith(_MAGIC) or not descriptors:
            raise InvalidHandle(why=f"{message!r} with {len(descriptors)} descriptors is not what send_handle() sends")
        _, row = _MESSAGE.unpack(message)
        return SharedHandle(_native.segment_adopt(descriptors[0], row))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


# ---- multiprocessing -------------------------------------------------------------------------------------------------


def to_pickle(handle: SharedHandle) -> tuple[Any, ...]:
    """Return what a handle is pickled as: where its descriptor can be fetched, once.

    `multiprocessing` keeps the descriptor in this process until then. A pickle that is never loaded is an owner
    until this process ends.
    """
    from multiprocessing.resource_sharer import DupFd

    descriptor, row = handle.dispatch()
    try:
        return from_pickle, (vars(DupFd(descriptor)), row)  # it has a descriptor of its own, of the same open file
    finally:
        os.close(descriptor)


def from_pickle(state: dict[str, Any], row: int) -> SharedHandle:
    """Return the handle that `to_pickle` wrote down.

    Raises
    ------
    InvalidHandle
        The process that pickled it has ended, or it was loaded before.
    """
    from multiprocessing.resource_sharer import DupFd

    fetched = DupFd.__new__(DupFd)
    vars(fetched).update(state)  # half as long as what DupFd pickles itself as
    try:
        descriptor = fetched.detach()
    except (OSError, EOFError) as error:
        raise InvalidHandle(why="who pickled it has ended, or it was unpickled before") from error
    try:
        return SharedHandle(_native.segment_adopt(descriptor, row))
    finally:
        os.close(descriptor)
