"""The sampler, driven through the calls that an allocator makes: what it books, and on whom."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heapwright import _native
from heapwright.observe.site_table import Frame, SiteTable, read_site_table

HERE = __file__
pytestmark = pytest.mark.skipif(
    not _native.SAMPLER_SEES_FRAMES, reason="the layout of this interpreter's frames is not known"
)


class Session:
    """A session directory; the sampler is stopped when the test ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def start(self, mean_bytes: int = 0, seed: int = 1) -> None:
        _native.sampler_start(str(self.directory), mean_bytes, seed=seed)

    def read(self, pid: int | None = None) -> SiteTable:
        return read_site_table(self.directory / f"{os.getpid() if pid is None else pid}.sites")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    yield Session(tmp_path)
    _native.sampler_stop()


def allocate(address: int, size_bytes: int = 64) -> None:
    _native.sampler_allocated(address, size_bytes)


def line_of(function: Callable[..., object], offset: int) -> int:
    return function.__code__.co_firstlineno + offset


def only_stack(session: Session) -> list[tuple[str, int]]:
    """Return function and line of the frames in this file of the one stack, innermost first."""
    (stack,) = session.read().stacks
    return [(frame.function, frame.line) for frame in stack.frames if frame.file == HERE]


# ------------------------------------------------------------------ bookkeeping


def site_a(address: int, size_bytes: int) -> None:
    allocate(address, size_bytes)


def site_b(address: int, size_bytes: int) -> None:
    allocate(address, size_bytes)


def site_c(address: int, size_bytes: int) -> None:
    allocate(address, size_bytes)


SITES = {"site_a": site_a, "site_b": site_b, "site_c": site_c}
STEP = st.one_of(
    st.tuples(st.sampled_from(sorted(SITES)), st.integers(1, 12), st.integers(1, 1 << 40)),
    st.tuples(st.just("free"), st.integers(1, 12), st.just(0)),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(STEP, max_size=60))
def test_exact_mode_equals_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    session = Session(tmp_path_factory.mktemp("session"))
    live: dict[int, tuple[str, int]] = {}
    total: Counter[str] = Counter()
    peak_bytes, at_peak = 0, Counter[str]()
    session.start(mean_bytes=0)
    try:
        for action, number, size_bytes in steps:
            address = number << 12
            if action == "free":
                _native.sampler_freed(address)
                live.pop(address, None)
            else:
                SITES[action](address, size_bytes)
                live[address] = action, size_bytes  # an address that is handed out again was free
                total[action] += size_bytes
            held: Counter[str] = Counter()
            for site, held_bytes in live.values():
                held[site] += held_bytes
            if held.total() > peak_bytes:
                peak_bytes, at_peak = held.total(), held
        table = session.read()
    finally:
        _native.sampler_stop()
    by_site = {stack.frames[1].function: stack for stack in table.stacks}
    assert {name: stack.total_bytes for name, stack in by_site.items()} == total
    assert {name: stack.live_bytes_end for name, stack in by_site.items() if stack.live_bytes_end} == held_at_end(live)
    assert {name: stack.live_bytes_peak for name, stack in by_site.items() if stack.live_bytes_peak} == at_peak
    assert table.peak_bytes == peak_bytes
    assert table.live_bytes == sum(size for _, size in live.values())


def held_at_end(live: dict[int, tuple[str, int]]) -> dict[str, int]:
    held: Counter[str] = Counter()
    for site, size_bytes in live.values():
        held[site] += size_bytes
    return held


@pytest.mark.parametrize("size_bytes", [1, 100, 4096, 65536, 1 << 20, 1 << 30, 1 << 40])
def test_estimate_is_unbiased_for_blocks_of_any_size(session: Session, size_bytes: int) -> None:
    mean_bytes = 64 << 10
    expected_samples = 10_000 * -math.expm1(-size_bytes / mean_bytes)
    count = 10_000
    if expected_samples < 4_000:  # so many blocks that some 4,000 are sampled
        count = int(count * 4_000 / expected_samples)
        if count > 50_000_000:
            mean_bytes, count = 1_000, 4_000_000
    session.start(mean_bytes, seed=12345)
    _native.sampler_exercise(1 << 20, size_bytes, count)
    table = session.read()
    (stack,) = table.stacks
    true_bytes = count * size_bytes
    assert stack.total_bytes == pytest.approx(
        true_bytes, rel=4 / math.sqrt(stack.samples) if size_bytes < 1 << 19 else 1e-3
    )
    assert stack.live_bytes_end == 0
    assert table.live_bytes == 0


def test_estimate_is_unbiased_for_a_mixture(session: Session) -> None:
    session.start(64 << 10, seed=7)
    dice = random.Random(7)
    true_bytes = 0
    for number in range(1, 60_001):
        size_bytes = int(math.exp(dice.uniform(0, math.log(1 << 20))))
        true_bytes += size_bytes
        allocate(number << 12, size_bytes)
    table = session.read()
    assert table.live_bytes == pytest.approx(true_bytes, rel=0.02)
    for number in range(1, 60_001):
        _native.sampler_freed(number << 12)
    assert session.read().live_bytes == 0
    assert session.read().peak_bytes == table.live_bytes


def test_live_samples_outgrow_their_table(session: Session) -> None:
    session.start()
    for number in range(1, 20_001):
        allocate(number * 64, 10)
    assert session.read().live_bytes == 200_000
    for number in range(1, 20_001, 2):
        _native.sampler_freed(number * 64)
    assert session.read().live_bytes == 100_000
    assert session.read().samples == 20_000


def test_more_call_sites_than_the_first_index_holds(session: Session) -> None:
    session.start()
    for number in range(3_000):
        source = "\n" * number + f"def made_{number}(allocate): allocate({number + 1} * 64, {number + 1})"
        namespace: dict[str, Callable[..., None]] = {}
        exec(compile(source, f"<made {number % 7}>", "exec"), namespace)
        namespace[f"made_{number}"](_native.sampler_allocated)
    seen = {stack.frames[0]: stack.live_bytes_end for stack in session.read().stacks}
    assert seen == {Frame(f"<made {n % 7}>", n + 1, f"made_{n}"): n + 1 for n in range(3_000)}


def test_code_at_a_reused_address_is_not_taken_for_the_former(session: Session) -> None:
    """The frame cache must not confuse a code object with one that was freed: same place and size."""
    session.start()
    addresses = set()
    for number in range(1_000):
        namespace: dict[str, Callable[..., None]] = {}
        exec(f"def f_{number:04}(allocate): allocate({number + 1} << 8, 8)", namespace)
        function = namespace.pop(f"f_{number:04}")
        addresses.add(id(function.__code__))
        function(_native.sampler_allocated)
        del function
    assert len(addresses) < 1_000, "the test is void: no address was used twice"
    assert {stack.frames[0].function for stack in session.read().stacks} == {f"f_{n:04}" for n in range(1_000)}


# ------------------------------------------------------------------------ frames


def test_nested_functions(session: Session) -> None:
    session.start()

    def inner() -> None:
        allocate(64)

    def outer() -> None:
        inner()

    outer()
    assert only_stack(session)[:3] == [
        ("allocate", line_of(allocate, 1)),
        ("test_nested_functions.<locals>.inner", line_of(inner, 1)),
        ("test_nested_functions.<locals>.outer", line_of(outer, 1)),
    ]


def test_a_call_over_many_lines_has_the_line_that_allocates(session: Session) -> None:
    session.start()

    def spread() -> None:
        print(
            "",
            allocate(64),
            end="",
        )

    spread()
    assert only_stack(session)[1][1] == line_of(spread, 3)


def test_generator_and_comprehension(session: Session) -> None:
    session.start()

    def generator() -> Iterator[int]:
        allocate(64)
        yield 1

    def consumer() -> list[int]:
        return [number + 1 for number in generator()]

    consumer()
    names = [name.rpartition(".")[2] for name, _ in only_stack(session)]
    if sys.version_info < (3, 12):  # PEP 709: comprehensions have no frame of their own any more
        assert names[:4] == ["allocate", "generator", "<listcomp>", "consumer"]
    else:
        assert names[:3] == ["allocate", "generator", "consumer"]
    assert only_stack(session)[1][1] == line_of(generator, 1)


def test_coroutine(session: Session) -> None:
    session.start()

    async def leaf() -> None:
        await asyncio.sleep(0)
        allocate(64)

    async def main() -> None:
        await leaf()

    asyncio.run(main())
    names = [name.rpartition(".")[2] for name, _ in only_stack(session)]
    assert names[:3] == ["allocate", "leaf", "main"]


def test_lambda_method_and_callback_from_c(session: Session) -> None:
    session.start()

    class Thing:
        def method(self) -> None:
            sorted([1], key=lambda _: allocate(64))

    Thing().method()
    names = [name.split(".<locals>.")[-1] for name, _ in only_stack(session)]
    assert only_stack(session)[0][0] == "allocate"
    assert names[1] == "<lambda>"
    assert names[2] == "Thing.method"


def test_class_body_and_partial(session: Session) -> None:
    session.start()

    class Body:
        functools.partial(allocate, 64)()

    assert Body is not None
    assert only_stack(session)[1][0].endswith("Body")


def test_frame_entered_from_a_destructor(session: Session) -> None:
    """On 3.11 the frame whose locals are being cleared is still the current one."""
    session.start()

    class Dying:
        def __del__(self) -> None:
            allocate(64)

    def owner() -> None:
        dying = Dying()  # noqa: F841

    owner()
    names = [name.split(".<locals>.")[-1] for name, _ in only_stack(session)]
    assert names[:2] == ["allocate", "Dying.__del__"]


def test_callback_while_a_running_frame_loses_its_code(session: Session) -> None:
    """A weak reference to a code object calls back while that object is being taken apart."""
    import weakref

    session.start()
    called = []

    def callback(_: object) -> None:
        allocate(64)
        called.append(1)

    namespace: dict[str, Callable[[], None]] = {}
    exec("def vanishing(): pass", namespace)
    reference = weakref.ref(namespace["vanishing"].__code__, callback)
    namespace.pop("vanishing")()
    assert called
    assert reference() is None
    assert only_stack(session)[0][0] == "allocate"


def test_deep_recursion_keeps_the_innermost_frames(session: Session) -> None:
    session.start()

    def descend(levels: int) -> None:
        if levels == 0:
            allocate(64)
        else:
            descend(levels - 1)

    descend(100)
    (stack,) = session.read().stacks
    assert stack.truncated
    assert len(stack.frames) == 32
    assert [frame.function.rpartition(".")[2] for frame in stack.frames] == ["allocate"] + ["descend"] * 31
    assert stack.frames[1].line == line_of(descend, 2)
    assert {frame.line for frame in stack.frames[2:]} == {line_of(descend, 4)}


@pytest.mark.parametrize(
    ("file", "function"),
    [
        ("/home/ada/módulo.py", "größe"),  # one byte per character in memory
        ("/home/ada/内存/程序.py", "分配"),  # two
        ("/home/ada/🐍/内存.py", "分配"),  # four
        ("/plain/ascii.py", "分配"),
    ],
)
def test_texts_of_every_width(session: Session, file: str, function: str) -> None:
    namespace: dict[str, Callable[..., None]] = {}
    exec(compile(f"def {function}(allocate):\n    allocate(64, 8)", file, "exec"), namespace)
    session.start()
    namespace[function](_native.sampler_allocated)
    assert session.read().stacks[0].frames[0] == Frame(file, 2, function)


def test_undecodable_and_overlong_names(session: Session) -> None:
    namespace: dict[str, Callable[..., None]] = {}
    session.start()
    for number, file in enumerate(["/x/\udc80.py", "/" + "é" * 3_000 + ".py", "/" + "y" * 3_000 + ".py"], 1):
        exec(compile(f"def f(allocate): allocate({number} * 64, 8)", file, "exec"), namespace)
        namespace["f"](_native.sampler_allocated)
    undecodable, accented, plain = (stack.frames[0].file for stack in session.read().stacks)
    assert undecodable == "/x/\\udc80.py"
    assert accented == "é" * 510 + ".py"  # 1,024 bytes hold 510 of two and three of one: cut between characters
    assert plain == "y" * 1021 + ".py"


# --------------------------------------------------------------- threads, GIL


def test_without_python_the_site_is_native(session: Session) -> None:
    session.start()
    _native.sampler_allocated_on_native_thread(64, 10)
    _native.sampler_allocated_without_gil(128, 20)
    (stack,) = session.read().stacks
    assert stack.frames == ()
    assert not stack.overflow
    assert stack.live_bytes_end == 30


def test_threads_book_on_their_own_stacks(session: Session) -> None:
    session.start()

    def work(number: int) -> None:
        for i in range(500):
            address = (number * 1_000 + i + 1) << 8
            (site_a if number % 2 else site_b)(address, number + 1)
            if i % 2:
                _native.sampler_freed(address)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    held: Counter[str] = Counter()
    for stack in session.read().stacks:
        held[stack.frames[1].function] += stack.live_bytes_end
    assert held == {"site_a": 250 * (2 + 4 + 6 + 8), "site_b": 250 * (1 + 3 + 5 + 7)}


def test_threads_without_the_gil_do_not_disturb_each_other(session: Session) -> None:
    session.start()
    threads = [
        threading.Thread(target=_native.sampler_exercise, args=((number + 1) << 24, 100, 100_000, True))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for number in range(1, 2_001):
        site_a(number * 64, 10)
    for thread in threads:
        thread.join()
    by_frames = {stack.frames[1].function if stack.frames else "": stack for stack in session.read().stacks}
    assert by_frames[""].total_bytes == 4 * 100_000 * 100
    assert by_frames[""].live_bytes_end == 0
    assert by_frames["site_a"].live_bytes_end == 20_000


# ------------------------------------------------------- fork, death, start, stop


def test_forked_child_has_its_own_table(session: Session) -> None:
    session.start()
    site_a(64, 1_000)
    site_b(128, 500)
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ready, 1)  # the parent has changed its own table by now
        _native.sampler_freed(64)
        site_c(256, 10_000)
        os._exit(0)
    _native.sampler_freed(128)
    site_a(512, 7)
    os.write(go, b"x")
    os.waitpid(child, 0)
    parents, childs = session.read(), session.read(child)
    assert held_by(parents) == {"site_a": 1_007}
    assert childs.parent_pid == os.getpid()
    assert held_by(childs) == {
        "site_b": 500,
        "site_c": 10_000,
    }  # what was live at the fork is live in the child
    assert {s.frames[1].function: s.total_bytes for s in childs.stacks if s.samples} == {"site_c": 10_000}
    assert childs.peak_bytes == 10_500
    assert parents.samples == 3


def held_by(table: SiteTable) -> dict[str, int]:
    held: Counter[str] = Counter()
    for stack in table.stacks:
        held[stack.frames[1].function] += stack.live_bytes_end
    return {site: held_bytes for site, held_bytes in held.items() if held_bytes}


def test_fork_while_other_threads_allocate(session: Session) -> None:
    session.start()
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            _native.sampler_exercise(1 << 30, 100, 1_000, True)

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                site_a(64, 10)
                os._exit(0)
            assert os.waitpid(child, 0) == (child, 0)
            table = session.read(child)
            assert table.live_bytes == sum(stack.live_bytes_end for stack in table.stacks)
            assert {s.frames[1].function for s in table.stacks if s.samples} == {"site_a"}
    finally:
        stop.set()
        for thread in threads:
            thread.join()


KILLED = """
import sys
from heapwright import _native
_native.sampler_start(sys.argv[1], 0)
def work(number):
    for i in range(64):
        _native.sampler_allocated((i + 1) * 64, number % 1000 + i)
        if i % 3:
            _native.sampler_freed((i + 1) * 64)
number = 0
print("running", flush=True)
while True:
    exec(f"def f_{number}(): work({number})\\nf_{number}()")
    number += 1
"""


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.05, 0.2])
def test_killed_at_any_moment(tmp_path: Path, seconds: float) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    reading = read_site_table(tmp_path / f"{process.pid}.sites")  # while it runs
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    table = read_site_table(tmp_path / f"{process.pid}.sites")
    assert reading.damaged == table.damaged == 0
    assert table.samples >= reading.samples
    one_sample = 2_000
    assert abs(table.live_bytes - sum(stack.live_bytes_end for stack in table.stacks)) <= one_sample
    assert abs(table.peak_bytes - sum(stack.live_bytes_peak for stack in table.stacks)) <= one_sample
    assert abs(table.samples - sum(stack.samples for stack in table.stacks)) <= 1


def test_off_books_nothing(session: Session) -> None:
    session.start()
    allocate(64)
    _native.sampler_stop()
    allocate(128)
    _native.sampler_freed(64)
    table = session.read()
    assert (table.samples, table.live_bytes) == (1, 64)
    session.start()
    _native.sampler_freed(64)
    allocate(192, 5)
    table = session.read()
    assert (table.samples, table.live_bytes) == (1, 5)


def test_start_explains_what_it_refuses(session: Session) -> None:
    with pytest.raises(ValueError, match="mean_bytes is -1"):
        _native.sampler_start(str(session.directory), -1)
    with pytest.raises(ValueError, match="absolute path"):
        _native.sampler_start("somewhere", 0)
    with pytest.raises(FileNotFoundError):
        _native.sampler_start(str(session.directory / "missing"), 0)
    session.start()
    with pytest.raises(RuntimeError, match="running already"):
        session.start()


def test_table_is_private_to_the_user(session: Session) -> None:
    session.start()
    assert (session.directory / f"{os.getpid()}.sites").stat().st_mode & 0o777 == 0o600
