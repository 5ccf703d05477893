"""The progress line on a real pseudo-terminal: it is there, and the program's output is what it would be."""

import fcntl
import os
import pty
import struct
import sys
import termios
import textwrap
from pathlib import Path

import pytest
from running import OBSERVED, clean_environment
from terminal import Screen

from heapwright.cli import progress as module

ROWS, COLUMNS = 10, 60


def on_a_terminal(tmp_path: Path, body: str, *options: str, term: str = "xterm") -> str:
    """Run the program on a terminal with a progress line that comes after 0.2 s; everything written there."""
    (tmp_path / "prog.py").write_text(textwrap.dedent(body))
    (tmp_path / "soon.py").write_text(
        "import heapwright.cli.progress as p; p.SHOWN_AFTER_S = 0.2; p.EVERY_S = 0.1\n"
        "from heapwright.cli.main import main; main()"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        arguments = [sys.executable, "soon.py", "run", *options, "prog.py"]
        os.execve(sys.executable, arguments, clean_environment(TERM=term))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    seen = bytearray()
    try:
        while part := os.read(terminal, 4096):
            seen.extend(part)
    except OSError:
        pass  # EIO: everybody has closed the other end
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen
    return seen.decode()


def test_the_line_is_at_the_bottom_and_the_programs_lines_are_intact(tmp_path: Path) -> None:
    seen = on_a_terminal(
        tmp_path,
        """
        import sys, time
        print("begin ", end="", flush=True)
        time.sleep(1)
        for i in range(30):
            print("line", i, flush=True)
            time.sleep(0.02)
        """,
    )
    program, mark, _ = seen.partition("\x1b[1mheapwright run\x1b[0m  prog.py")
    assert mark, "there was no report"
    screen, bottom = Screen(ROWS, COLUMNS), set()
    for part in program.split("\x1b7"):
        screen.feed("\x1b7" + part)
        bottom.add(screen.lines()[-1])
    assert any(line.startswith("heapwright run  0:00  resident ") for line in bottom)
    written = [line for line in [*screen.scrolled, *screen.lines()] if line and "heapwright" not in line]
    assert written == ["begin line 0", *(f"line {i}" for i in range(1, 30))]
    assert screen.lines()[-1] == "", "the line was not taken away"
    assert (screen.top, screen.bottom) == (0, ROWS - 1), "the scrolling region was not given back"


@pytest.mark.parametrize("case", ["quiet", "no-progress", "dumb", "raw"])
def test_no_line_where_it_is_not_wanted(tmp_path: Path, case: str) -> None:
    body = "import sys, time, tty\n" + ("tty.setraw(0)\n" if case == "raw" else "") + "time.sleep(0.6)"
    options = {"quiet": ["--quiet"], "no-progress": ["--no-progress"]}.get(case, [])
    seen = on_a_terminal(tmp_path, body, *options, term="dumb" if case == "dumb" else "xterm")
    assert "resident 1" not in seen.partition("\x1b[1mheapwright run\x1b[0m  prog.py")[0]
    assert "\x1b7" not in seen


def test_no_line_where_stderr_is_no_terminal() -> None:
    progress = module.Progress()  # pytest has put something else there
    progress.show(10, "text")
    progress.close()
    assert OBSERVED
