"""A terminal that is just large enough to say what a user would see."""

import re

TOKEN = re.compile(r"\x1b\[([\d;]*)([A-Za-z])|\x1b([78D])|(.)", re.DOTALL)


class Screen:
    """Rows and columns, a cursor, a scrolling region: the part of a VT100 that programs of lines use."""

    def __init__(self, rows: int = 10, columns: int = 60) -> None:
        self.rows = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.top, self.bottom = 0, rows - 1
        self.saved = (0, 0)
        self.scrolled: list[str] = []

    def feed(self, text: str) -> None:
        for arguments, command, escape, character in TOKEN.findall(text):
            numbers = [int(number) for number in arguments.split(";") if number]
            if command == "H":
                self.row, self.column = numbers[0] - 1, numbers[1] - 1
            elif command == "K":
                self.rows[self.row] = [" "] * len(self.rows[0])
            elif command == "A":
                self.row = max(0, self.row - 1)
            elif command == "r":
                self.top, self.bottom = (numbers[0] - 1, numbers[1] - 1) if numbers else (0, len(self.rows) - 1)
                self.row = self.column = 0
            elif escape == "7":
                self.saved = (self.row, self.column)
            elif escape == "8":
                self.row, self.column = self.saved
            elif escape == "D" or character == "\n":
                self._down()
            elif character == "\r":
                self.column = 0
            elif character >= " ":
                self.rows[self.row][min(self.column, len(self.rows[0]) - 1)] = character
                self.column += 1

    def _down(self) -> None:
        if self.row == self.bottom:
            self.scrolled.append("".join(self.rows.pop(self.top)).rstrip())
            self.rows.insert(self.bottom, [" "] * len(self.rows[0]))
        else:
            self.row = min(self.row + 1, len(self.rows) - 1)

    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.rows]
