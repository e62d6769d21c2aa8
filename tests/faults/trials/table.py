"""The table of a run, for people."""

from __future__ import annotations

from collections.abc import Iterable

from .figures import confusion, figures
from .trial import Outcome

HEAD = ("cause", "platform", "expected", "named", "symptoms", "seconds", "fixed")


def row(one: Outcome) -> tuple[str, ...]:
    name = one.case.removesuffix(f"-{one.server}")
    fixed = {True: "yes", False: "NO", None: "—"}[one.fixed]
    return (
        name,
        one.server,
        ", ".join(one.expected) or "nothing",
        ", ".join(one.named) or "nothing",
        ", ".join(one.symptoms) or "—",
        f"{one.seconds:.1f}",
        fixed,
    )


def table(outcomes: Iterable[Outcome]) -> str:
    """Rows in columns; under a row that missed, what it missed."""
    every = sorted(outcomes, key=lambda one: (one.kind != "fault", one.case))
    rows = [row(one) for one in every]
    widths = [max(len(line[column]) for line in (HEAD, *rows)) for column in range(len(HEAD))]

    def line(words: tuple[str, ...]) -> str:
        return "  ".join(word.ljust(width) for word, width in zip(words, widths, strict=True)).rstrip()

    lines = [line(HEAD), "  ".join("─" * width for width in widths)]
    for one, words in zip(every, rows, strict=True):
        lines.append(line(words))
        lines += [f"    ✗ {miss}" for miss in one.misses]
    return "\n".join(lines)


def summary(outcomes: list[Outcome], seconds: float) -> str:
    """The figures, and what was taken for what."""
    lines = [str(one) for one in figures(outcomes) if one.all]
    lines.append(f"{len(outcomes)} cases in {seconds / 60:.1f} min")
    mixed = confusion(outcomes)
    if mixed:
        lines += ["", "taken for something else", *(f"  {a} → {b}: {n}" for (a, b), n in sorted(mixed.items()))]
    return "\n".join(lines)
