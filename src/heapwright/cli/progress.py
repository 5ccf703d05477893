"""One line about a long run, at the bottom of the terminal, without touching what the program writes there.

The bottom row is taken out of the scrolling region (DECSTBM, as `apt` does it), so the program's lines scroll above it,
and every update saves and restores the cursor. That is safe for programs that write lines. It is not for programs that
draw, so nothing is shown unless all of this holds:

* stderr is a terminal that is no `dumb` one, this process is in its foreground, and it has some rows to spare;
* the program has run for two seconds;
* the terminal is in the mode in which it was at the start: whoever draws or edits lines (curses, readline, a debugger,
  a password prompt) changes that first, and while it is changed nothing is written.
"""

from __future__ import annotations

import os
import sys
import termios

SHOWN_AFTER_S = 2.0
EVERY_S = 0.5
ROWS_LEAST = 6
FLAGS_OF_LINE_MODE = 3
"""Index of the local modes (ICANON, ECHO) in what tcgetattr returns."""


class Progress:
    """The line. Every method does nothing where it could do harm."""

    def __init__(self) -> None:
        self._terminal = -1
        self._rows = 0
        self._shown_s = 0.0
        try:
            descriptor = sys.stderr.fileno() if sys.stderr is not None else -1
            if descriptor < 0 or not os.isatty(descriptor) or os.environ.get("TERM", "dumb") == "dumb":
                return
            self._mode = termios.tcgetattr(descriptor)
        except (OSError, ValueError, termios.error):
            return
        self._terminal = descriptor

    def show(self, elapsed_s: float, text: str) -> None:
        """Show `text` if it is time to."""
        if self._terminal < 0 or elapsed_s < max(SHOWN_AFTER_S, self._shown_s + EVERY_S):
            return
        self._shown_s = elapsed_s
        try:
            if self._somebody_draws():
                self._rows = 0  # whoever draws sets a scrolling region of their own
                return
            size = os.get_terminal_size(self._terminal)
            if size.lines < ROWS_LEAST:
                return
            if size.lines != self._rows:
                self._reserve(size.lines)
            line = text[: size.columns - 1]
            self._write(f"\0337\033[{size.lines};1H\033[2K\033[2m{line}\033[0m\0338")
        except (OSError, termios.error):
            self._terminal = -1  # the terminal is gone

    def close(self) -> None:
        """Give the row back."""
        if self._terminal < 0 or not self._rows:
            return
        try:
            if not self._somebody_draws():
                self._write(f"\0337\033[{self._rows};1H\033[2K\033[r\0338")
        except (OSError, termios.error):
            pass
        self._rows = 0

    def _reserve(self, rows: int) -> None:
        """Keep the last row out of the scrolling region.

        If the cursor is there, its line moves up first: index (which scrolls, and keeps the column), then up again.
        """
        self._write(f"\033D\0337\033[1;{rows - 1}r\0338\033[A")
        self._rows = rows

    def _somebody_draws(self) -> bool:
        now = termios.tcgetattr(self._terminal)
        foreground = os.tcgetpgrp(self._terminal) == os.getpgrp()
        return now[FLAGS_OF_LINE_MODE] != self._mode[FLAGS_OF_LINE_MODE] or not foreground

    def _write(self, sequence: str) -> None:
        os.write(self._terminal, sequence.encode())  # one write: the terminal does not mix it with the program's
