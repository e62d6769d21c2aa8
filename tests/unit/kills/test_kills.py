"""Killed workers: the same failures for the same seed, and what the table finds in made-up records."""

from __future__ import annotations

import collections
import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kills import command, draw, records, table
from kills.draw import Failure
from kills.records import Asked, Happened, Note, Stored

KILLED = Happened(Failure(1, 0, "machine", 1.0, 5.0), "here", 100.0, 100.2, ("run",), 5.0)
#: A run that was killed here after ten seconds and taken over there, as its playbook says it.
NOTES = (
    Note("run", "begin", 90.0, "1", "here", "pbx1"),
    Note("run", "tick", 95.0, "1", "here", "pbx1"),
    Note("run", "taken", 122.0),
    Note("run", "begin", 124.0, "2", "there", "pbx1"),
    Note("run", "tick", 124.5, "2", "there", "pbx1"),
    Note("run", "end", 130.0, "2", "there", "pbx1"),
)
ASKED = Asked(0, "pbx1", "run", by_incident=True)
STORED = Stored("run", "pbx1", 131.0, 0, "delivered", results=1, ended=1, reports=1, messages=1, closed=1)


def results(
    *stored: Stored,
    asked: Asked = ASKED,
    happened: Happened = KILLED,
    notes: tuple[Note, ...] = NOTES,
) -> list[dict[str, Any]]:
    known = stored or (STORED,)
    finished = {one.run: one.finished for one in known}
    found = records.runs("1/now", [asked], known, [happened], notes)
    # As they are kept.
    return [json.loads(json.dumps(one)) for one in [*found, *records.takeovers([happened], finished, notes)]]


def missed(found: list[dict[str, Any]]) -> set[str]:
    return {one.name for one in table.figures(found) if not one.reached}


def test_a_seed_gives_the_same_failures() -> None:
    drawn = draw.failures(1, 100, 20, 10, 5)
    assert drawn == draw.failures(1, 100, 20, 10, 5) != draw.failures(2, 100, 20, 10, 5)
    counts = collections.Counter(one.what for one in drawn)
    assert counts == {"machine": 60, "worker": 20, "run": 20, "database": 20, "cut": 10, "service": 5}
    assert len({one.id for one in drawn}) == 135
    assert collections.Counter(one.what for one in draw.failures(1, 3, 0, 0, 0)).total() == 3


def test_a_run_that_was_taken_over_and_told_once_misses_nothing() -> None:
    assert missed(results()) == set()
    assert (results()[-1]["taken"], results()[-1]["playbooks"]) == ({"run": 22.0}, {"run": 24.0})
    over_the_api = (
        replace(ASKED, by_incident=False),
        replace(STORED, delivery="none", reports=0, messages=0, closed=0),
    )
    assert missed(results(over_the_api[1], asked=over_the_api[0])) == set()


LOST, TWICE, TOLD = "runs lost", "runs kept twice", "incidents not told exactly once"
ENDED, BESIDE, REASON = "playbooks not ended exactly once", "went on beside another", "begun again without a reason"
SLOW = "takeover: worker killed ≤ 30 s"


@pytest.mark.parametrize(
    ("stored", "names"),
    [
        (replace(STORED, finished=None), {LOST}),
        (replace(STORED, exit_code=1), {LOST}),
        (replace(STORED, delivery="pending"), {LOST}),
        (replace(STORED, results=0), {LOST}),
        (replace(STORED, results=2), {TWICE}),
        (replace(STORED, ended=2), {TWICE}),
        (replace(STORED, reports=2), {TOLD}),
        (replace(STORED, messages=2), {TOLD}),
        (replace(STORED, closed=0), {TOLD}),
    ],
)
def test_what_the_store_or_the_incident_says_wrongly_is_found(stored: Stored, names: set[str]) -> None:
    assert missed(results(stored)) == names


def test_a_run_that_nobody_has_and_one_that_nobody_asked_for_are_found() -> None:
    assert missed(results(asked=replace(ASKED, run=None))) >= {LOST, TWICE}
    assert missed(results(STORED, replace(STORED, run="other"))) >= {TWICE}


@pytest.mark.parametrize(
    ("notes", "names"),
    [
        (NOTES[:-1], {ENDED}),
        ((*NOTES, replace(NOTES[-1], at=130.5)), {ENDED}),
        # It was begun, and never again.
        (NOTES[:2], {ENDED, SLOW}),
        ((*NOTES[:2], *(replace(note, at=note.at + 20) for note in NOTES[2:])), {SLOW}),
        # Its killed attempt goes on.
        ((*NOTES[:5], replace(NOTES[1], at=125.0), NOTES[5]), {BESIDE}),
        # Another run on the server goes on beside it.
        (
            (*NOTES[:5], replace(NOTES[1], run="other", attempt="0", at=91.0), replace(NOTES[1], at=92.0), NOTES[5]),
            {BESIDE},
        ),
        ((*NOTES[:5], replace(NOTES[3], at=160.0, attempt="3"), replace(NOTES[5], at=170.0, attempt="3")), {REASON}),
    ],
)
def test_what_the_playbooks_did_wrongly_is_found(notes: tuple[Note, ...], names: set[str]) -> None:
    assert missed(results(notes=notes)) == names


def test_a_worker_that_is_cut_off_begins_nothing_that_counts_as_a_takeover() -> None:
    cut = replace(KILLED, failure=Failure(1, 0, "cut", 1.0, 30.0))
    own = replace(NOTES[2], at=104.0)
    assert records.taken(cut, "run", 131.0, [own, *NOTES[2:]]) == 22.0
    assert records.taken(cut, "run", 131.0, [own]) == records.NEVER
    # It had ended before.
    assert records.taken(cut, "run", 99.0, []) is None


def test_the_second_kill_has_the_takeover_and_a_worker_alone_has_none() -> None:
    second = replace(KILLED, at=110.0, until=110.1)
    first, later = records.takeovers([KILLED, second], {"run": 131.0}, NOTES)
    assert (first["taken"], later["taken"]) == ({}, {"run": 12.0})
    restart = Happened(Failure(1, 1, "database", 1.0, 2.0), "", 115.0, 118.0, ())
    disturbed, _ = records.takeovers([KILLED, restart], {"run": 131.0}, NOTES)
    assert (disturbed["taken"], disturbed["disturbed"]) == ({}, {"run": 22.0})
    alone = replace(KILLED, failure=Failure(1, 0, "worker", 1.0, 5.0))
    assert records.taken(alone, "run", 131.0, NOTES) is None


def test_the_command_keeps_what_happened_and_its_code_says_what_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Site:
        asked = (ASKED,)
        stored_twice = False

        def fail(self, failure: Failure, _stop: object) -> Happened:
            return replace(KILLED, failure=failure)

        def drained(self) -> None: ...
        def keep(self, _folder: Path) -> None: ...
        def notes(self) -> tuple[Note, ...]:
            return NOTES

        def stored(self) -> Iterator[Stored]:
            yield replace(STORED, results=1 + self.stored_twice)

    site = Site()
    monkeypatch.setattr(command, "CACHE", tmp_path)
    monkeypatch.setattr(command, "battered", lambda *_: contextlib.nullcontext(site))
    monkeypatch.setattr(command, "stopped_by_signals", lambda: None)
    options = [
        "--kills",
        "1",
        "--restarts",
        "0",
        "--cuts",
        "0",
        "--services",
        "0",
        "--json",
        str(tmp_path / "kills.json"),
    ]
    assert command.main([*options, "--minutes", "0"]) == 3
    assert command.main(options) == 0
    assert "22.0 s" in capsys.readouterr().out
    site.stored_twice = True
    assert command.main([*options, "--seed", "2"]) == 1
    assert f"  {TWICE}: " in capsys.readouterr().out
    assert json.loads((tmp_path / "kills.json").read_text())["seed"] == 2
