"""How runs end and how long they take, counted over the runs that are kept."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reconnect.result import ending
from reconnect.runs import Run
from reconnect.text import one_line

_BAR = 24


@dataclass(frozen=True)
class Line:
    """One group of results: `share` of all in 0–1, the median of their seconds."""

    by: str
    name: str
    number: int
    share: float
    median_seconds: float


def stats(runs: Iterable[Run]) -> list[Line]:
    """The results of all runs by ending, by server and by root cause, the most frequent first."""
    seconds: dict[str, dict[str, list[float]]] = {"outcome": {}, "server": {}, "cause": {}}
    total = 0
    for run in runs:
        for result in run.results():
            total += 1
            took = (result.finished_at - result.started_at).total_seconds()
            causes = {cause.cause for cause in result.verdict.root_causes} if result.verdict else set()
            for by, names in (("outcome", {ending(result)}), ("server", {result.server}), ("cause", causes)):
                for name in names:
                    seconds[by].setdefault(name, []).append(took)
    return [
        Line(by, name, len(took), len(took) / total, round(statistics.median(took), 3))
        for by, groups in seconds.items()
        for name, took in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


def show(console: Console, lines: Iterable[Line]) -> None:
    """Prints the lines as a table whose last column is a plot of the shares."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("by", "name", "runs", "share", "median"):
        table.add_column(heading, justify="left" if heading in {"by", "name"} else "right")
    table.add_column("")
    for line in lines:
        table.add_row(
            line.by,
            Text(one_line(line.name, 60)),
            str(line.number),
            f"{line.share:.0%}",
            f"{line.median_seconds:.1f} s",
            "█" * max(round(line.share * _BAR), 1),
        )
    console.print(table)
