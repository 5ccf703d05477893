"""A signal reaches the program exactly once, whoever it was sent to; the shell sees what it would without us."""

import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import OBSERVED, clean_environment

COUNTS = """
import signal, sys, time
seen = []
signal.signal(signal.SIG{name}, lambda *_: seen.append(1))
print("ready", flush=True)
deadline = time.monotonic() + 10
while not seen and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.3)  # would there be another?
print(len(seen), "{name}", flush=True)
sys.exit(7)
"""


@pytest.fixture(autouse=True)
def dispositions_of_a_terminal() -> Iterator[None]:
    """Whoever starts pytest in the background or with nohup makes it, and all that it starts, ignore these."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program under `heapwright run` in a session of its own, and wait until it says that it is ready."""
    started: list[subprocess.Popen[str]] = []

    def run(body: str, *options: str) -> subprocess.Popen[str]:
        (tmp_path / "prog.py").write_text(textwrap.dedent(body))
        process = subprocess.Popen(
            [*OBSERVED, *options, "prog.py"],
            cwd=tmp_path,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "USR1", "USR2", "QUIT", "WINCH", "CONT"])
@pytest.mark.parametrize("to", ["supervisor", "group"])
def test_a_signal_arrives_once(start: Callable, name: str, to: str) -> None:
    process = start(COUNTS.format(name=name))
    (os.kill if to == "supervisor" else os.killpg)(process.pid, signal.Signals[f"SIG{name}"])
    out, err = process.communicate(timeout=20)
    assert out == f"1 {name}\n"
    assert process.returncode == 7
    assert "heapwright run" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGALRM])
def test_a_signal_that_kills_the_program_kills_us(start: Callable, number: int) -> None:
    process = start("import time; print('ready', flush=True); time.sleep(30)")
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == -number
    assert f"killed by {signal.Signals(number).name}" in err
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT)


def test_a_signal_to_the_program_alone(start: Callable) -> None:
    process = start("import os, time; print('ready', flush=True); os.kill(os.getpid(), 10); time.sleep(30)")
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGUSR1


def test_an_ignored_interrupt_stays_ignored(tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text("import signal; print(int(signal.getsignal(2)), int(signal.getsignal(1)))")
    done = subprocess.run(
        ["sh", "-c", f"trap '' INT HUP; exec {' '.join(OBSERVED)} prog.py"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1 1\n"


def test_signal_dispositions_and_mask_are_a_shells(tmp_path: Path) -> None:
    # without bit 32: the C library's own signal 33, which it catches in a process that has had a thread
    program = """import re; s = open('/proc/self/status').read()
print(*(hex(int(x, 16) & ~(1 << 32)) for x in re.findall(r'Sig(?:Blk|Ign|Cgt):\\s*(\\w+)', s)))"""
    outputs = [
        subprocess.run([*command, "-c", program], env=clean_environment(), capture_output=True, text=True).stdout
        for command in ([sys.executable], OBSERVED)
    ]
    assert outputs[0] == outputs[1]


def test_killing_the_supervisor_kills_the_program(start: Callable) -> None:
    process = start(
        "import os, time; print('ready', os.getpid(), flush=True); print(os.getpid(), flush=True); time.sleep(60)"
    )
    pid = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
        assert time.monotonic() < deadline, "the program outlived its supervisor"
        time.sleep(0.01)


def test_a_program_that_stops_itself_stops_the_job(start: Callable) -> None:
    process = start(
        "import os, sys; print('ready', flush=True); os.kill(os.getpid(), 19); print('on', flush=True); sys.exit(3)"
    )
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    os.kill(process.pid, signal.SIGCONT)
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == ("on\n", 3)


STOPS = """
import os, signal, sys
seen = []
signal.signal(signal.SIGCONT, lambda *_: seen.append(1))
print("ready", flush=True)
print(os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
import time; time.sleep(0.3)
print("on", len(seen), flush=True)
sys.exit(3)
"""


@pytest.mark.parametrize("to", ["program", "supervisor", "group"])
def test_a_stopped_program_goes_on_whoever_is_continued(start: Callable, to: str) -> None:
    process = start(STOPS)
    program = int(process.stdout.readline())
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    if to == "group":
        os.killpg(process.pid, signal.SIGCONT)
    else:
        os.kill(program if to == "program" else process.pid, signal.SIGCONT)
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == ("on 1\n", 3)


def test_a_stopped_program_that_is_killed(start: Callable) -> None:
    process = start(STOPS)
    program = int(process.stdout.readline())
    os.waitpid(process.pid, os.WUNTRACED)
    os.kill(program, signal.SIGKILL)
    _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL
    assert "killed by SIGKILL" in err


def on_a_terminal(tmp_path: Path, body: str, keys: Callable[[int, Callable[[bytes], None]], None]) -> tuple[int, str]:
    """Run under a pseudo-terminal of its own; `keys` gets the terminal and a way to wait for output."""
    (tmp_path / "prog.py").write_text(textwrap.dedent(body))
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(sys.executable, [*OBSERVED, "prog.py"], clean_environment(TERM="xterm"))
    seen = bytearray()

    def wait_for(text: bytes) -> None:
        while text not in seen:
            seen.extend(os.read(terminal, 4096))

    keys(terminal, wait_for)
    try:
        while part := os.read(terminal, 4096):
            seen.extend(part)
    except OSError:
        pass  # EIO: everybody has closed the other end
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), seen.decode(errors="replace")


def test_control_c_on_a_terminal(tmp_path: Path) -> None:
    body = """
    import time
    try:
        print("ready", flush=True)
        time.sleep(30)
    except KeyboardInterrupt:
        try:
            time.sleep(0.3)
        except KeyboardInterrupt:
            print("twice")
        print("interrupted")
        raise SystemExit(5)
    """

    def keys(terminal: int, wait_for: Callable[[bytes], None]) -> None:
        wait_for(b"ready")
        os.write(terminal, b"\x03")

    code, seen = on_a_terminal(tmp_path, body, keys)
    assert code == 5
    assert "interrupted" in seen
    assert "twice" not in seen
    assert "heapwright run" in seen


def test_input_on_a_terminal(tmp_path: Path) -> None:
    body = "import sys; print('ready', flush=True); print(input()); sys.exit(6)"

    def keys(terminal: int, wait_for: Callable[[bytes], None]) -> None:
        wait_for(b"ready")
        os.write(terminal, b"hello\n")

    code, seen = on_a_terminal(tmp_path, body, keys)
    assert code == 6
    assert "hello" in seen
