"""Processes that own one memory together, killed at random; then, who owns what, and how many bytes there are.

python tests/owners/kill_rounds.py ROUNDS [SEED]

In a round some workers clone, drop, view, send to each other, receive, upgrade and fork as fast as they can, and are
killed by SIGKILL after a random time of some milliseconds. Then exactly the owners of the survivor are left; where it
had given up its own before, none are, for ever, and the bytes are gone.
"""

import ctypes
import os
import random
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import heapwright as hw

WORKERS = 3
FORKS = 4  #: of each worker: whoever is late to kill them must not find a thousand
SIZE_BYTES = 1 << 16
PATTERN = bytes(range(1, 256))
PR_SET_CHILD_SUBREAPER = 36
FILES = Path("/proc/self/fd")


def main() -> None:
    rounds = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    choose = random.Random(seed)
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:  # the children of the killed come to us
        raise OSError("this process cannot wait for its grandchildren")
    hw.share(b"warm")
    before = resources()
    killed = sum(one_round(choose, keeps=i % 2 == 0) for i in range(rounds))
    if resources() != before:
        raise AssertionError(f"descriptors and mappings were {before} and are {resources()}")
    print(f"{rounds} rounds, {killed} processes killed, nothing lost and nothing left")


def one_round(choose: random.Random, keeps: bool) -> int:
    handle = hw.share(PATTERN * (SIZE_BYTES // len(PATTERN)))
    weak = handle.downgrade()
    full_bytes = held_bytes()
    ring = [socket.socketpair() for _ in range(WORKERS)]
    reader, writer = os.pipe()
    group = 0
    for number in range(WORKERS):
        seed = choose.random()
        pid = os.fork()
        if pid == 0:
            try:
                os.setpgid(0, group)
                work(handle, weak, ring[number][0], ring[number - 1][1], random.Random(seed))
            except BaseException as error:
                os.write(writer, f"a worker: {error!r}\n".encode())
            finally:
                os._exit(1)
        group = group or pid
        with suppress(OSError):  # the worker did it itself
            os.setpgid(pid, group)
    for pair in ring:
        for end in pair:
            end.close()
    os.close(writer)
    if not keeps:
        handle.close()
    time.sleep(choose.expovariate(150))
    killed = kill_all(group)

    said = os.read(reader, 1000).decode()
    os.close(reader)
    assert not said, said
    if keeps:
        assert handle.owners() == {os.getpid(): 1}, handle.owners()
        assert bytes(handle.value[:255]) == PATTERN
        assert held_bytes() == full_bytes
        handle.close()
    assert weak.upgrade() is None
    assert held_bytes() <= full_bytes - SIZE_BYTES
    return killed


def work(
    handle: hw.SharedHandle, weak: hw.WeakHandle, to: socket.socket, of: socket.socket, choose: random.Random
) -> None:
    to.setblocking(False)
    of.setblocking(False)
    to.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # a few messages: each takes a row of the table
    mine, forks_left = [handle], FORKS
    while True:
        act = choose.randrange(7)
        with suppress(BlockingIOError, ConnectionError, EOFError):
            if act == 0:
                mine.append(mine[-1].clone())
            elif act == 1 and len(mine) > 1:
                mine.pop(choose.randrange(len(mine))).close()
            elif act == 2:
                hw.send_handle(to, mine[-1])
            elif act == 3:
                mine.append(hw.receive_handle(of))
            elif act == 4:
                upgraded = weak.upgrade()
                assert upgraded is not None, "it ended while it was owned"
                upgraded.close()
            elif act == 5 and forks_left and choose.random() < 0.1:
                # The child goes on as its parent does, in the same ring, but has none of its own.
                forks_left = forks_left - 1 if os.fork() else 0
            elif act == 6 and choose.random() < 0.1:
                assert mine[-1].owners()[os.getpid()] == len(mine), mine[-1].owners()
        del mine[20:]
        assert bytes(mine[-1].value[:255]) == PATTERN, "the bytes went while they were owned"


def kill_all(group: int) -> int:
    """Kill the workers and theirs until none is left: one may be forked meanwhile. Return how many there were."""
    killed = 0
    while True:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return killed
        killed += 1


def resources() -> tuple[int, int]:
    return len(list(FILES.iterdir())), Path("/proc/self/maps").read_text().count("memfd:heapwright")


def held_bytes() -> int:
    links = [link for link in FILES.iterdir() if link.is_symlink() and "memfd:heapwright" in str(link.readlink())]
    return sum(link.stat().st_blocks * 512 for link in links)


if __name__ == "__main__":
    main()
