"""Programs that must not pass: each marked line is an error of exactly these kinds, and no other line is one."""

import heapwright as hw


@hw.record
class Station:
    name: str
    lines: hw.u8
    next: hw.Ref["Station"]


@hw.record
class Line:
    colour: bytes


def wrong_values(station: Station, line: Line) -> None:
    station.name = 1  # error: mypy[assignment] pyright[reportAttributeAccessIssue]
    station.lines = "two"  # error: mypy[assignment] pyright[reportAttributeAccessIssue]
    station.next = "Barbican"  # error: mypy[assignment] pyright[reportAttributeAccessIssue]
    station.next = line  # error: mypy[assignment] pyright[reportAttributeAccessIssue]
    station.nothing = 1  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]


def without_asking(station: Station, line: Line) -> None:
    print(station.next.name)  # error: mypy[union-attr] pyright[reportOptionalMemberAccess]
    print(line.name)  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]


def collectors() -> None:
    hw.Incremental(budget="short")  # error: mypy[call-arg] pyright[reportCallIssue]
    hw.MarkSweep(0.5)  # error: mypy[call-arg] pyright[reportCallIssue]
    hw.RecordHeap("incremental")  # error: mypy[arg-type] pyright[reportArgumentType]
