import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import pytest

import heapwright as hw
from heapwright import _native

HERE = os.getpid()
FILES = Path("/proc/self/fd")


def run(program: str, *options: str) -> str:
    """In a fresh interpreter: pytest's may have threads, and a fork of it warns."""
    command = [sys.executable, "-W", "error", *options, "-c", "import heapwright as hw, numpy as np, os\n" + program]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@contextmanager
def child(handle: hw.SharedHandle, program: str) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    """A process that is no relation, with one end of a socket as `sock` and the handle received as `handle`."""
    ours, theirs = socket.socketpair()
    start = f"""
import heapwright as hw, numpy as np, os, signal, socket
sock = socket.socket(fileno={theirs.fileno()})
handle = hw.receive_handle(sock)
"""
    process = subprocess.Popen([sys.executable, "-c", start + program], pass_fds=[theirs.fileno()], text=True)
    theirs.close()
    hw.send_handle(ours, handle)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        ours.close()


def files() -> list[str]:
    return sorted(str(link.readlink()) for link in FILES.iterdir() if link.is_symlink())


def mappings() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:heapwright")


def held_bytes() -> int:
    """Of all our shared memory that this process has a descriptor of."""
    sizes = {}
    for link in FILES.iterdir():
        if link.is_symlink() and "memfd:heapwright" in str(link.readlink()):
            status = link.stat()
            sizes[status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


# ---- one process -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(20)[::3],
        np.array(7, "i1"),
        np.empty((0, 5)),
        np.array([("a", 1.5, [1, 2])], [("name", "U3"), ("x", ">f8"), ("pair", "i2", (2,))]),
        np.array([(1, (2.0, 3))], [("a", "i4"), ("b", [("c", "f8"), ("d", "u1")])]),
        np.array(["2026-11-22"], "M8[D]"),
    ],
    ids=lambda array: str(array.dtype),
)
def test_what_is_shared_is_the_array(array: np.ndarray) -> None:
    value = hw.share(array).value
    assert value.dtype == array.dtype
    assert value.shape == array.shape
    assert value.flags.f_contiguous == array.flags.f_contiguous or array.ndim < 2
    np.testing.assert_array_equal(value, array)
    assert value.flags.writeable


def test_bytes_of_any_kind() -> None:
    block = hw.Heap(hw.AnonymousSpace("1MiB")).allocate(5)
    block.write(0, b"block")
    strided = memoryview(b"0123456789")[::2]
    for source, expected in [(b"bytes", b"bytes"), (block, b"block"), (strided, b"02468"), (b"", b"")]:
        assert bytes(hw.share(source).value) == expected
    with pytest.raises(TypeError):
        hw.share(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="references to Python objects"):
        hw.share(np.array([object()]))


def test_views_and_handles_are_owners() -> None:
    before = files(), mappings()
    handle = hw.SharedHandle.zeros(1000)
    assert handle.owners() == {HERE: 1}
    array, other = handle.value, handle.clone()
    assert handle.strong_count == 3
    assert hw.share(array).ptr_eq(handle)
    assert not hw.share(array[1:]).ptr_eq(handle)
    handle.close()
    handle.close()
    assert handle.closed
    other.close()
    array[:] = 3  # it owns the memory by itself
    assert array.sum() == 3000
    again = hw.share(array)
    assert again.owners() == {HERE: 2}
    del array
    assert again.strong_count == 1
    again.close()
    assert (files(), mappings()) == before


def test_a_closed_handle_says_so() -> None:
    with hw.share(b"x") as view:
        assert bytes(view) == b"x"
    handle = hw.share(b"x")
    handle.close()
    uses: list[Callable[[], object]] = [
        lambda: handle.value,
        handle.clone,
        handle.owners,
        handle.downgrade,
        handle.dispatch,
        lambda: pickle.dumps(handle),
        lambda: handle.ptr_eq(handle),
    ]
    for use in uses:
        with pytest.raises(hw.HandleReleased):
            use()
    assert repr(handle) == "SharedHandle(closed)"


def test_weak_handles_never_bring_it_back() -> None:
    handle = hw.SharedHandle.zeros(1 << 17)
    weak = handle.downgrade()
    upgraded = weak.upgrade()
    assert upgraded is not None
    assert upgraded.ptr_eq(handle)
    handle.close()
    assert held_bytes() > 1 << 20
    upgraded.close()
    assert held_bytes() < 1 << 18  # at once, although the weak handle maps it
    assert weak.upgrade() is None
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(weak)


def test_the_table_of_owners_may_be_full() -> None:
    handle = hw.share(b"x")
    messages = []
    with pytest.raises(hw.TooManyOwners) as caught:
        messages.extend(handle.dispatch()[0] for _ in range(10_000))
    assert len(messages) == caught.value.rows - 1
    assert handle.owners() == {HERE: 1, 0: len(messages)}
    for descriptor in messages:
        os.close(descriptor)  # nobody tells the table
    descriptor, row = handle.dispatch()  # who finds it full looks who is alive
    assert handle.owners() == {HERE: 1, 0: 1}
    os.close(descriptor)
    assert handle.owners() == {HERE: 1}
    with pytest.raises(OSError, match="Bad file"):
        _native.segment_adopt(descriptor, row)


def test_what_is_no_handle_is_refused() -> None:
    handle = hw.share(b"x")
    descriptor, row = handle.dispatch()
    for wrong in (row + 1, 0, 504, 2**32 - 1):  # free; another's; none
        with pytest.raises(hw.InvalidHandle):
            _native.segment_adopt(descriptor, wrong)
    os.close(descriptor)
    for fd in (os.memfd_create("other"), os.open("/dev/null", os.O_RDWR), os.memfd_create("", os.MFD_ALLOW_SEALING)):
        with pytest.raises(hw.InvalidHandle):
            _native.segment_adopt(fd, 0)
        os.close(fd)
    ours, theirs = socket.socketpair()
    ours.send(b"something else")
    with pytest.raises(hw.InvalidHandle, match="not what send_handle"):
        hw.receive_handle(theirs)
    theirs.recv(100)
    ours.close()
    with pytest.raises(EOFError, match="closed"):
        hw.receive_handle(theirs)
    with pytest.raises(OSError, match="Broken pipe"):
        hw.send_handle(theirs, handle)
    theirs.close()
    assert handle.owners() == {HERE: 1}


def test_any_system_call_may_fail() -> None:
    def send_to_myself() -> None:
        descriptor, row = handle.dispatch()
        try:
            _native.segment_adopt(descriptor, row).release()
        finally:
            os.close(descriptor)

    handle = hw.share(b"kept")
    weak = hw.share(b"gone").downgrade()
    uses: list[Callable[[], object]] = [lambda: hw.share(b"new"), send_to_myself, handle.owners, weak.upgrade]
    for use in uses:
        before = files(), mappings(), handle.owners()
        refused, left = 0, 0
        for n in count(1):
            _native.pages_fail_nth(n)
            try:
                use()
            except hw.SystemCallFailed:
                refused += 1  # the others were not needed for what was asked
            finally:
                left = _native.pages_fail_nth(0)
            assert (files(), mappings(), handle.owners()) == before
            if left:
                break
        assert refused
    assert bytes(handle.value) == b"kept"


# ---- several ---------------------------------------------------------------------------------------------------------


def test_over_a_socket_to_a_process_that_is_no_relation() -> None:
    handle = hw.share(np.arange(6).reshape(2, 3))
    program = (
        "array = handle.value; handle.close(); array *= 2; sock.send(b'1'); sock.recv(1); del array; sock.send(b'2')"
    )
    with child(handle, program) as (process, sock):
        sock.recv(1)
        assert handle.value.tolist() == [[0, 2, 4], [6, 8, 10]]
        assert handle.owners() == {HERE: 1, process.pid: 1}
        sock.send(b"go on")
        sock.recv(1)
        assert handle.owners() == {HERE: 1}


def test_a_message_owns_and_is_dropped_by_the_kernel() -> None:
    handle = hw.share(b"letter")
    weak = handle.downgrade()
    here, there = socket.socketpair()
    hw.send_handle(here, handle)
    hw.send_handle(here, handle)
    assert handle.owners() == {HERE: 1, 0: 2}
    handle.close()
    here.close()
    received = hw.receive_handle(there)
    assert received.owners() == {HERE: 1, 0: 1}
    there.close()
    assert received.owners() == {HERE: 1}
    received.close()
    assert weak.upgrade() is None


@pytest.mark.parametrize("sender", ["closes", "is killed"])
def test_a_message_outlives_its_sender(sender: str) -> None:
    handle = hw.share(b"letter")
    weak = handle.downgrade()
    end = "handle.close()" if sender == "closes" else "os.kill(os.getpid(), signal.SIGKILL)"
    with child(handle, f"hw.send_handle(sock, handle); {end}") as (process, sock):
        handle.close()
        process.wait()
        again = weak.upgrade()
        assert again is not None
        assert again.owners() == {HERE: 1, 0: 1}
        again.close()
        received = hw.receive_handle(sock)
        assert bytes(received.value) == b"letter"
        assert received.owners() == {HERE: 1}


def test_the_killed_give_up_their_own() -> None:
    handle = hw.SharedHandle.zeros(1 << 17)
    weak = handle.downgrade()
    program = "more = [handle.clone() for _ in range(5)]; array = handle.value; sock.send(b'1'); sock.recv(1)"
    with child(handle, program) as (first, sock), child(handle, program) as (second, other):
        sock.recv(1), other.recv(1)
        assert handle.owners() == {HERE: 1, first.pid: 7, second.pid: 7}
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert handle.owners() == {HERE: 1, second.pid: 7}
        handle.close()
        second.send_signal(signal.SIGSTOP)  # asleep is not dead
        upgraded = weak.upgrade()
        assert upgraded is not None
        assert upgraded.owners() == {HERE: 1, second.pid: 7}
        upgraded.close()
        second.send_signal(signal.SIGKILL)
        second.wait()
        assert held_bytes() > 1 << 20
        assert weak.upgrade() is None
        assert held_bytes() < 1 << 18


def test_exec_ends_what_the_process_owned() -> None:
    handle = hw.share(b"x")
    program = "sock.set_inheritable(True); os.execlp('sh', 'sh', '-c', f'echo >&{sock.fileno()}; sleep 60')"
    with child(handle, program) as (_, sock):
        sock.recv(1)
        assert handle.owners() == {HERE: 1}


def test_a_forked_child_owns_by_itself() -> None:
    program = """
handle = hw.share(np.zeros(3))
weak, array, gone = handle.downgrade(), handle.value, hw.share(b"gone")
gone_weak = gone.downgrade()
gone.close()
to_child, to_parent = os.pipe(), os.pipe()
parent = os.getpid()
if (pid := os.fork()) == 0:
    assert handle.owners() == {parent: 2, os.getpid(): 2}, handle.owners()
    os.write(to_parent[1], b"1")
    assert os.read(to_child[0], 1) == b"1"      # the parent has closed everything
    assert handle.owners() == {os.getpid(): 2}
    array[0] = 5
    assert (grandchild := os.fork()) or handle.owners()[os.getpid()] == 2
    if not grandchild:
        os._exit(int(handle.value[0] != 5))
    assert os.waitpid(grandchild, 0)[1] == 0
    assert handle.owners() == {os.getpid(): 2}
    assert gone_weak.upgrade() is None
    os._exit(0)
os.read(to_parent[0], 1)
assert handle.owners() == {parent: 2, pid: 2}
del array
handle.close()
os.write(to_child[1], b"1")
assert os.waitpid(pid, 0)[1] == 0
assert weak.upgrade() is None
for fd in (*to_child, *to_parent):
    os.close(fd)
print("ok")
"""
    assert run(program) == "ok\n"


def test_a_parent_that_is_killed_leaves_its_child_the_memory() -> None:
    program = """
import signal, time
reader, writer = os.pipe()
if os.fork() == 0:
    handle = hw.share(np.arange(5))
    parent = os.getpid()
    if os.fork() == 0:
        while os.getppid() == parent:
            time.sleep(0.001)
        counts = handle.owners()
        os.write(writer, b"ok" if counts == {os.getpid(): 1} and handle.value.sum() == 10 else repr(counts).encode())
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
print(os.read(reader, 100).decode())
os.close(reader), os.close(writer)
"""
    assert run(program) == "ok\n"


def test_a_fork_that_python_did_not_make_gets_no_handles() -> None:
    program = """
import ctypes
handle = hw.share(b"x")
array, weak = handle.value, handle.downgrade()
parent = os.getpid()
pid = ctypes.CDLL(None).fork()
if pid == 0:
    said = 0
    for use in (handle.clone, handle.owners, handle.dispatch, weak.upgrade):
        try:
            use()
        except hw.HandleNotYours as error:
            said += (error.pid, error.owner_pid) == (os.getpid(), parent)
    assert bytes(array) == b"x"
    array.release()
    handle.close()                     # of the copy: the parent's count stays
    os._exit(said)
assert os.waitpid(pid, 0)[1] >> 8 == 4
assert handle.owners() == {parent: 2}
print("ok")
"""
    assert run(program) == "ok\n"


WORKER = """
import multiprocessing, os, sys
import heapwright as hw, numpy as np

def work(inbox, outbox, handle):
    handle.value[0] += 1
    received = inbox.get()
    received.value[1] += 10
    outbox.put((os.getpid(), hw.share(np.full(4, 7.0)), sorted(received.owners().items())))
    inbox.get()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    handle = hw.share(np.zeros(3))
    inbox, outbox = context.Queue(), context.Queue()
    process = context.Process(target=work, args=(inbox, outbox, handle))
    process.start()
    inbox.put(handle)
    pid, made, owners = outbox.get(timeout=30)
    assert handle.value.tolist() == [1, 10, 0], handle.value
    assert made.value.tolist() == [7] * 4
    assert dict(owners)[pid] == 2 and dict(owners)[os.getpid()] == 1, owners
    inbox.put(None)
    process.join()
    assert process.exitcode == 0
    assert handle.owners() == {os.getpid(): 1}, handle.owners()
    print("ok")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, tmp_path: Path) -> None:
    program = tmp_path / "worker.py"
    program.write_text(WORKER)
    finished = subprocess.run(
        [sys.executable, str(program), method], capture_output=True, text=True, timeout=60, check=False
    )
    assert (finished.stdout, finished.returncode) == ("ok\n", 0), finished.stderr


def test_a_pickle_is_short_and_one_handle() -> None:
    program = """
import pickle
handle = hw.share(np.zeros(1_000_000))
text = pickle.dumps(handle)
assert len(text) < 130, len(text)
assert handle.strong_count == 2
assert pickle.loads(text).ptr_eq(handle)
try:
    pickle.loads(text)
except hw.InvalidHandle as error:
    print(error.why)
assert handle.strong_count == 1
"""
    assert "unpickled before" in run(program, "-W", "ignore::ResourceWarning")


def test_threads_come_and_go() -> None:
    program = """
import threading
handle = hw.share(np.zeros(4))
weak = handle.downgrade()

def churn():
    for _ in range(300):
        mine = weak.upgrade()
        array = mine.value
        mine.close()
        fd, row = hw.share(array).dispatch()
        os.close(fd)

threads = [threading.Thread(target=churn) for _ in range(4)]
[thread.start() for thread in threads]
pids = []
for _ in range(10):
    pids.append(os.fork())
    if pids[-1] == 0:
        os._exit(int(handle.owners().get(os.getpid(), 0) < 1 or handle.value.sum() != 0))
[thread.join() for thread in threads]
print([os.waitpid(pid, 0)[1] for pid in pids], handle.owners() == {os.getpid(): 1})
"""
    assert run(program, "-W", "ignore::DeprecationWarning") == f"{[0] * 10} True\n"


def test_a_handle_waits_for_no_one_that_is_gone() -> None:
    """Whoever is killed while it changes the table holds nobody up."""
    handle = hw.share(b"x")
    with child(handle, "sock.send(b'1')\nwhile True: os.close(handle.dispatch()[0])") as (process, sock):
        sock.recv(1)
        time.sleep(0.05)
        process.kill()
        process.wait()
        assert handle.owners() == {HERE: 1}
