"""Ratios that survive a busy machine: taken within a round, then the median over rounds."""

import math
from collections.abc import Iterable
from statistics import median
from typing import Any

from benchmarks.samples import Samples

Sample = dict[str, Any]


class Paired:
    """The samples of one benchmark, asked for figures and for ratios to a rival of the same round."""

    def __init__(self, samples: Samples) -> None:
        self.by_key: dict[tuple[str, str], dict[int, Sample]] = {}
        for sample in samples:
            key = (sample["subject"], sample["configuration"])
            self.by_key.setdefault(key, {})[sample["round"]] = sample
        self.subjects = list(dict.fromkeys(sample["subject"] for sample in samples))
        self.configurations = list(dict.fromkeys(sample["configuration"] for sample in samples))

    def rounds(self, subject: str, configuration: str) -> dict[int, Sample]:
        return self.by_key.get((subject, configuration), {})

    def figure(self, subject: str, configuration: str, name: str) -> float:
        """Median over rounds; NaN if nothing was measured."""
        values = [sample[name] for sample in self.rounds(subject, configuration).values()]
        return median(values) if values else math.nan

    def ratio(self, subject: str, configuration: str, rival: str, name: str) -> float:
        """Median over rounds of ``configuration / rival``; below 1 means less of it."""
        ours, theirs = self.rounds(subject, configuration), self.rounds(subject, rival)
        pairs = [ours[r][name] / theirs[r][name] for r in ours if r in theirs and theirs[r][name] > 0]
        return median(pairs) if pairs else math.nan

    def ratio_of_best(self, subject: str, configuration: str, rival: str, name: str) -> float:
        """Ratio of the two minima over rounds: what the quietest moments say."""
        ours = [sample[name] for sample in self.rounds(subject, configuration).values()]
        theirs = [sample[name] for sample in self.rounds(subject, rival).values()]
        return min(ours) / min(theirs) if ours and theirs and min(theirs) > 0 else math.nan


def geometric_mean(ratios: Iterable[float]) -> float:
    """NaNs are rows that were not measured and do not count; a ratio of zero counts as a thousandth."""
    logs = [math.log(max(ratio, 1e-3)) for ratio in ratios if not math.isnan(ratio)]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, padded so that it also reads well as plain text."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: list[str]) -> str:
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    return "\n".join(line(row) for row in [header, rule, *rows])


def cell(ratio: float, digits: int = 2) -> str:
    return "-" if math.isnan(ratio) else f"{ratio:.{digits}f}"
