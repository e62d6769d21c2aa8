"""What is known of failures and runs afterwards, and what follows from that."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .draw import Failure

Result = dict[str, Any]

#: What is killed with a run, so that somebody has to begin it again.
ENDS_RUNS = frozenset({"machine", "run", "cut"})
#: Seconds for which a playbook may still go on that is cut off: its process is lost after 10, and ends it.
LOST_SECONDS = 15.0
#: What stands for the seconds of a takeover that never came: a day.
NEVER = 86400.0


@dataclass(frozen=True)
class Note:
    """A line that a playbook wrote: `begin`, `tick` or `end` of an attempt at a run; or one that a worker logged:
    `taken`, when it begins a run, before it cleans up what an earlier attempt left."""

    run: str
    word: str
    at: float
    attempt: str = ""
    machine: str = ""
    server: str = ""

    @classmethod
    def parse(cls, line: str) -> Note:
        run, word, at, *others = line.split()
        return cls(run, word, float(at), *others)


@dataclass(frozen=True)
class Happened:
    """A failure that happened from `at` until `until`, when all was dead that died of it. `runs`: those that the
    machine had, or the one that the killed process carried out. `after`: seconds until it was there again."""

    failure: Failure
    machine: str
    at: float
    until: float
    runs: tuple[str, ...]
    after: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A run that somebody asked for, by an incident or over the API; without an id where nobody answered."""

    number: int
    server: str
    run: str | None
    by_incident: bool


@dataclass(frozen=True)
class Stored:
    """What store and incident say of a run: how often it has results, an end, a report, and so on."""

    run: str
    server: str
    finished: float | None
    exit_code: int | None
    delivery: str
    results: int
    ended: int
    reports: int = 0
    messages: int = 0
    closed: int = 0


def taken(
    failure: Happened, run: str, finished: float | None, notes: Sequence[Note], word: str = "taken"
) -> float | None:
    """Seconds until another process had begun the run again; NEVER where none did, None where none had to. With the
    word `begin`: until its playbook had."""
    if failure.failure.what not in ENDS_RUNS or (finished is not None and finished <= failure.until):
        return None
    # What is cut off begins nothing that is kept.
    since = failure.until + (LOST_SECONDS if failure.failure.what == "cut" else 0)
    again = (note.at - failure.at for note in notes if (note.run, note.word) == (run, word) and note.at > since)
    return next(again, NEVER)


def takeovers(
    happened: Sequence[Happened], finished: Mapping[str, float | None], notes: Sequence[Note]
) -> list[Result]:
    """A result for each failure, with the seconds of every takeover: `taken`, or `disturbed` where something else that
    it needs failed meanwhile. Where whoever took a run over was killed with it, the takeover is the later kill's."""
    results = []
    for one in happened:
        found: dict[str, dict[str, float]] = {"taken": {}, "disturbed": {}, "playbooks": {}}
        for run in one.runs:
            seconds = taken(one, run, finished.get(run), notes)
            if seconds is None:
                continue
            meanwhile = [
                other
                for other in happened
                if one.until < other.at < one.at + seconds and other.failure.what in {*ENDS_RUNS, "database"}
            ]
            if any(run in other.runs for other in meanwhile):
                continue
            found["disturbed" if meanwhile and seconds < NEVER else "taken"][run] = round(seconds, 1)
            found["playbooks"][run] = round(taken(one, run, finished.get(run), notes, "begin") or NEVER, 1)
        results.append(
            {
                "id": one.failure.id,
                "host": one.machine,
                "case": one.failure.number,
                "what": one.failure.what,
                "at": one.at,
                "after": round(one.after, 1),
                "runs": list(one.runs),
                **found,
            }
        )
    return results


def runs(
    session: str, asked: Sequence[Asked], stored: Iterable[Stored], happened: Sequence[Happened], notes: Sequence[Note]
) -> list[Result]:
    """A result for each run that was asked for, or that is in the store."""
    by_id = {one.run: one for one in stored}
    answered = {one.run: one for one in asked if one.run is not None}
    beside = _beside(notes)
    results: list[Result] = [
        {"id": f"{session}/asked/{one.number}", "host": one.server, "case": one.number, "run": "", "lost": True}
        for one in asked
        if one.run not in by_id
    ]
    for number, (run, one) in enumerate(sorted(by_id.items())):
        own = [note for note in notes if note.run == run]
        begins = [note.at for note in own if note.word == "begin"]
        ends = [note.at for note in own if note.word == "end" and begins and note.at > begins[-1]]
        tells = run in answered and answered[run].by_incident
        delivered = one.delivery == ("delivered" if tells else "none")
        told = (one.reports, one.messages, one.closed)
        results.append(
            {
                "id": f"{session}/run/{run}",
                "host": one.server,
                "case": number,
                "run": run,
                "lost": one.finished is None or one.exit_code != 0 or not delivered or one.results == 0,
                "asked": run in answered,
                "results": (one.results, one.ended),
                "told": told,
                "tells": tells,
                "begun": len(begins),
                "ends": len(ends),
                "beside": beside.get(run, 0),
                "without_reason": _without_reason(run, begins, happened),
            }
        )
    return results


def _beside(notes: Sequence[Note]) -> dict[str, int]:
    """How often a run did something on its server after another attempt had begun there."""
    found: dict[str, int] = {}
    latest: dict[str, str] = {}
    begun: set[str] = set()
    for note in sorted(notes, key=lambda note: note.at):
        if note.word == "taken":
            continue
        if note.attempt not in begun:
            begun.add(note.attempt)
            latest[note.server] = note.attempt
        elif latest[note.server] != note.attempt:
            found[note.run] = found.get(note.run, 0) + 1
    return found


def _without_reason(run: str, begins: Sequence[float], happened: Sequence[Happened]) -> int:
    """How often a run was begun again that nothing had ended."""
    reasons = [one.at for one in happened if one.failure.what in ENDS_RUNS and run in one.runs]
    return sum(
        not any(before - LOST_SECONDS < at < again for at in reasons) for before, again in itertools.pairwise(begins)
    )
