"""The figures of the cases, and those that went wrong, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from reconnect.result import UNKNOWN_CAUSE

Result = dict[str, Any]
HEALTHY = ("healthy", "not_an_issue")


def counts(one: Result) -> bool:
    """Whether a case says something of the product: labelled for the whole of the diagnosis, by nobody disturbed."""
    return (
        one.get("can_register") is not None
        and bool(one.get("steady"))
        and not (one.get("error") or one.get("disturbed"))
    )


def is_false_healthy(one: Result) -> bool:
    """Nobody can register, and the product says that the server is healthy."""
    return counts(one) and not one["can_register"] and one["outcome"] in HEALTHY


def is_false_alarm(one: Result) -> bool:
    """The phone registers, and a root cause is named all the same: to be looked at by a person."""
    return counts(one) and bool(one["can_register"]) and bool(one["root_causes"])


def named(one: Result) -> list[str]:
    """The root causes of the catalogue."""
    return [cause for cause in one.get("root_causes") or [] if cause != UNKNOWN_CAUSE]


def is_wrong(one: Result) -> bool:
    """Nobody can register, and a root cause is named that the mutation does not allow, where it says which."""
    allowed = set((one.get("mutation") or {}).get("causes") or [])
    return counts(one) and not one["can_register"] and bool(allowed) and bool(set(named(one)) - allowed)


def summary(results: Iterable[Result]) -> str:
    """The table of the figures, by host and by kind, and what went wrong, a line each."""
    every = list(results)
    groups = [("all", every)]
    for field in ("host", "kind"):
        groups += [
            (name, [one for one in every if one[field] == name]) for name in sorted({one[field] for one in every})
        ]
    head = (
        "",
        "cases",
        "can't register",
        "said healthy",
        "named",
        "wrong",
        "unknown",
        "can register",
        "named all the same",
    )
    rows = [head, *(figures(name, among) for name, among in groups)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for title, chosen in (
        ("can't register, said healthy", is_false_healthy),
        ("can't register, a root cause that the mutation does not allow", is_wrong),
        ("can register, a root cause is named", is_false_alarm),
        (
            "can't register, no root cause",
            lambda one: counts(one) and not one["can_register"] and not named(one) and not is_false_healthy(one),
        ),
        ("not counted", lambda one: not counts(one)),
        ("not reverted by itself, the host was booted again", lambda one: one.get("reverted") == "booted"),
    ):
        found = [one for one in every if chosen(one)]
        lines += ["", f"{title}: {len(found)}", *(line(one) for one in found)]
    causes = Counter(cause for one in every for cause in named(one))
    lines += ["", "named: " + (", ".join(f"{cause} {times}" for cause, times in causes.most_common()) or "nothing")]
    return "\n".join(lines)


def figures(name: str, among: list[Result]) -> tuple[str, ...]:
    """A row of the table."""
    counted = [one for one in among if counts(one)]
    cannot = [one for one in counted if not one["can_register"]]
    return (
        name,
        str(len(among)),
        str(len(cannot)),
        str(sum(map(is_false_healthy, cannot))),
        str(sum(bool(named(one)) for one in cannot)),
        str(sum(map(is_wrong, cannot))),
        str(sum(not named(one) and not is_false_healthy(one) for one in cannot)),
        str(len(counted) - len(cannot)),
        str(sum(map(is_false_alarm, counted))),
    )


def line(one: Result) -> str:
    """A case in a line."""
    mutation = one.get("mutation")
    if not mutation:
        return f"  {one['id']}: {one.get('error', 'not applied')}"
    said = ", ".join(one.get("root_causes") or []) or "no cause"
    labels: dict[bool | None, str] = {True: "registers", False: "can't register"}
    label = labels.get(one.get("can_register"), "no label")
    change = f"{mutation['before'][:60]} → {mutation['after'][:80]}".replace("\n", " ")
    error = f" | {one['error'][:160]}" if one.get("error") else ""
    return (
        f"  {one['id']} {mutation['kind']} {mutation['target']}: {change} [{mutation['effect']}] | {label} | "
        f"{one.get('outcome') or one.get('state')}, {said}{error}"
    )
