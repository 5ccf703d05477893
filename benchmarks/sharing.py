"""What it costs to hand an array to another process, which reads one number of it and answers.

python -m benchmarks.sharing [--mib 64] [--rounds 9] [--json FILE]

The array is copied and handed over: `hw.share()` and a handle over a UNIX socket, or pickled into a pipe; a new
`SharedMemory`, its name into a pipe, unlinked afterwards; and the array itself, pickled into the pipe. Or it is in
shared memory already, and only the handle, or the name, goes over. Each time the worker maps it anew.

Claims: what is not shared yet is copied once, as into a `SharedMemory`; what is there already is not copied. A name is
cheaper to hand over than a handle, which makes an owner that outlives its sender; how much cheaper is here. Wall time
of a round trip, since two processes take part; contenders take turns; medians.
"""

import argparse
import json
import multiprocessing
import pickle
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import heapwright as hw


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.sharing", description=__doc__.split("\n")[0])
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    figures = {"mib": options.mib, "rounds": options.rounds, **measured(options.mib << 20, options.rounds)}
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def measured(size_bytes: int, rounds: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    pipe, far_pipe = context.Pipe()
    sock, far_sock = socket.socketpair()
    workers = [
        context.Process(target=answer_pipe, args=(far_pipe,)),
        context.Process(target=answer_socket, args=(far_sock,)),
    ]
    for worker in workers:
        worker.start()
    far_pipe.close(), far_sock.close()
    array = np.ones(size_bytes // 8)
    handle = hw.share(array)
    segment = SharedMemory(create=True, size=size_bytes)
    np.ndarray(array.shape, array.dtype, buffer=segment.buf)[:] = array

    def by_socket(handle: hw.SharedHandle) -> None:
        hw.send_handle(sock, handle)
        assert sock.recv(1) == b"1"

    def by_pipe(message: object) -> None:
        pipe.send(message)
        assert pipe.recv() == 1

    def copied_into_shared_memory() -> None:
        fresh = SharedMemory(create=True, size=size_bytes)
        np.ndarray(array.shape, array.dtype, buffer=fresh.buf)[:] = array
        by_pipe(fresh.name)
        fresh.close()
        fresh.unlink()

    contenders: dict[str, Callable[[], None]] = {
        "copied: hw.share, by socket": lambda: by_socket(hw.share(array)),
        "copied: hw.share, pickled": lambda: by_pipe(hw.share(array)),
        "copied: SharedMemory": copied_into_shared_memory,
        "copied: the array, pickled": lambda: by_pipe(array),
        "there already: handle by socket": lambda: by_socket(handle),
        "there already: handle, pickled": lambda: by_pipe(handle),
        "there already: name of a SharedMemory": lambda: by_pipe(segment.name),
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, hand_over in contenders.items():
            start = time.perf_counter()
            hand_over()
            if number:  # the first warms up
                taken[name].append((time.perf_counter() - start) * 1e6)
    pipe.close(), sock.close()
    for worker in workers:
        worker.join()
    segment.close()
    segment.unlink()
    sizes = {"handle": len(pickle.dumps(handle)), "name": len(pickle.dumps(segment.name)), "array": size_bytes}
    return {"us": {name: round(median(us), 1) for name, us in taken.items()}, "message_bytes": sizes}


def answer_socket(sock: socket.socket) -> None:
    """Read the first number of the array of each handle that comes, until the socket is closed."""
    with suppress(EOFError):
        while True:
            with hw.receive_handle(sock) as array:
                first = int(array[0])
            del array
            sock.send(b"%d" % first)


def answer_pipe(pipe: Connection) -> None:
    """Read the first number of the array that each message is, has, or names."""
    with suppress(EOFError):
        while True:
            message = pipe.recv()
            if isinstance(message, str):
                segment = SharedMemory(message)
                first = float(np.ndarray((1,), buffer=segment.buf)[0])
                segment.close()
            elif isinstance(message, np.ndarray):
                first = float(message[0])
            else:
                with message as array:
                    first = float(array[0])
                del array
            del message
            pipe.send(first)


if __name__ == "__main__":
    main()
