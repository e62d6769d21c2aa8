"""A simulated month: the same incidents for the same seed, how each has to end, and what the table calls a miss."""

from __future__ import annotations

import collections
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from month import command, draw, table, trial
from month.draw import SERVERS, SHARES, Happening
from mutations import saved
from trials.tools import ToolError


def drawn(incidents: int, *servers: str) -> list[Happening]:
    return draw.month(5, incidents, servers or SERVERS)


def incident(must: str = "closed", **more: object) -> dict[str, Any]:
    """An account that was fixed."""
    return {
        "id": "5/1/pbx22/account/account_missing/0",
        "case": 1,
        "host": "pbx22",
        "outage": "",
        "must": must,
        "right_endings": ["fixed_"],
        "endings": ["fixed_account"],
        "expected": ["account_missing"],
        "causes": ["account_missing"],
        "named": ["account_missing"],
        "remedies": [{"remedy": "fix_account", "cause": "account_missing", "state": "done"}],
        "incident": "17",
        "first": "17",
        "points_to": [],
        "in_time": True,
        "status": "resolved",
        "questions": 0,
        "diagnoses": 1,
        "begun": 1,
        "markers": ["reconnect-1-report", "reconnect-1-user"],
        "seconds": 30.0,
        **more,
    }


ESCALATED = incident(
    "open", status="open", endings=["escalate_third_level"], right_endings=["escalate_"], remedies=[], seconds=None
)
ASKED = incident(
    "asked", status="open", endings=[], remedies=[], questions=1, diagnoses=0, markers=["reconnect-question-1"]
)
STORM = [
    incident("storm", begun=int(n == 0), remedies=[], incident=str(17 + n), points_to=["rt:17"], markers=[])
    for n in range(3)
]
STORM[0] |= {"remedies": incident()["remedies"], "markers": ["reconnect-1-report"]}


def missed(*results: dict[str, Any]) -> set[str]:
    return {one.name for one in table.figures(results) if not one.reached}


def test_a_seed_gives_the_same_incidents_and_each_kind_its_share() -> None:
    month = drawn(300)
    assert [one.id for one in month] == [one.id for one in drawn(300)]
    *others, storm = month
    assert (storm.kind, len(storm.incidents)) == ("storm", 30)
    assert 270 <= sum(len(one.incidents) for one in others) <= 271
    first = collections.Counter(one.kind for one in others[: sum(SHARES.values())])
    assert first == SHARES
    # A bar of the month is that policy allows at least so many.
    assert sum(len(one.incidents) for one in others if one.must == "closed") >= 150
    assert {one.must for one in month} == {"closed", "approved", "open", "asked", "storm"}
    assert {one.outage for one in drawn(15)} == {"", "service", "hook", "tracker"}


def test_an_incident_says_what_its_case_does_and_ends_as_the_case_says() -> None:
    for one in drawn(300):
        fault = one.fault
        assert (one.incidents[0].get("Server") in SERVERS) == (one.kind not in ("incomplete", "nonsense"))
        if fault is None or one.kind in ("temporary", "incomplete", "storm"):
            continue
        assert one.incidents[0]["Server"] == one.server
        assert one.incidents[0].get("Account", "") == fault.account
        assert (one.must == "closed") == fault.must_fix
        assert one.must != "approved" or fault.expects["fixed_approved"]
    (wrong,) = {one.incidents[0]["Client settings"] for one in drawn(300) if one.id.endswith("client_wrong_port")}
    assert wrong == "port: 5071"


def test_servers_that_cannot_have_a_kind_have_the_others() -> None:
    kinds = {one.kind for one in drawn(60, "pgsql")}
    assert {one.server for one in drawn(60, "pgsql")} == {"pgsql"}
    assert kinds == {*SHARES, "storm"} - {"temporary", "settings"}


@pytest.mark.parametrize(
    ("result", "names"),
    [
        (incident(status="open"), {"closed without a person"}),
        (incident(in_time=False), {"closed without a person", "wrongly closed"}),
        (incident(endings=["not_an_issue"]), {"closed without a person", "wrongly closed"}),
        (incident("approved", endings=["refused"], status="open"), {"closed after an approval"}),
        (ESCALATED | {"named": ["database_stopped"]}, {"rightly escalated"}),
        (ESCALATED | {"status": "resolved"}, {"rightly escalated", "wrongly closed"}),
        (ESCALATED | {"remedies": incident()["remedies"]}, {"wrong fixes"}),
        (incident(expected=["aor_missing"]), {"wrong fixes"}),
        (ASKED | {"diagnoses": 1}, {"asked for what is missing", "reports lost"}),
        (incident(calls=1, calls_dropped=1), {"calls dropped"}),
        (incident(markers=["reconnect-1-user"]), {"reports lost"}),
        (incident(diagnoses=0), {"reports lost"}),
        (incident(markers=["reconnect-1-report"] * 2), {"reports doubled"}),
        (incident(diagnoses=2, markers=["reconnect-1-report", "reconnect-2-report"]), {"reports doubled"}),
    ],
)
def test_what_goes_wrong_misses_its_bar(result: dict[str, Any], names: set[str]) -> None:
    assert missed(incident(), ESCALATED, ASKED) == set()
    assert missed(result) == names


def test_what_is_no_harm_misses_none() -> None:
    approved = incident("approved", diagnoses=2, markers=["reconnect-1-report", "reconnect-2-report"])
    assert missed(approved | {"calls": 1, "calls_dropped": 1}) == set()
    # The fault itself ended the call; the lab failed.
    assert missed(ESCALATED | {"calls": 1, "calls_dropped": 1}) == set()
    assert missed(incident(), {"id": "5/2/pbx22/network/0", "case": 2, "host": "pbx22", "error": "no lab"}) == set()


def test_a_storm_has_one_diagnosis_one_remedy_and_answers_that_point_to_it() -> None:
    assert missed(*STORM) == {"reports lost"}
    told = [one | {"markers": ["reconnect-1-report"]} for one in STORM]
    assert missed(*told) == set()
    assert missed(*(one | {"begun": 1} for one in told)) == {"storm: diagnoses beyond the first"}
    assert missed(*told, told[1] | {"points_to": []}) >= {"storm: answers that point to it"}


def test_the_seconds_are_of_what_closed_by_itself() -> None:
    by_itself = [incident(seconds=float(n)) for n in range(1, 101)]
    assert table.seconds([*by_itself, incident("approved", seconds=999.0)]) == {"median": 50.5, "p95": 96.0}
    assert table.seconds([ESCALATED]) == {}


def test_the_next_call_goes_on_and_the_table_names_what_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "CACHE", tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(saved, "LOCKS", tmp_path / "locks")
    ran: list[int] = []

    class Site:
        def __init__(self, _folder: Path) -> None: ...
        def __enter__(self) -> Site:
            return self

        def __exit__(self, *_: object) -> None: ...

    def run(case: Happening, _site: object) -> list[dict[str, Any]]:
        ran.append(case.number)
        if case.number == 1:
            raise ToolError("no lab")
        return [{**incident(), "id": f"{case.id}/{n}", "case": case.number} for n in range(len(case.incidents))]

    monkeypatch.setattr(command, "Site", Site)
    monkeypatch.setattr(trial, "run", run)
    options = ["--seed", "3", "--json", str(tmp_path / "month.json"), "--server", "pbx22"]
    assert command.main([*options, "--incidents", "3", "--minutes", "0"]) == 3
    assert command.main([*options, "--incidents", "2"]) == 0
    assert command.main([*options, "--incidents", "3"]) == 0
    assert sorted(ran) == [0, 1, 2]
    assert "not counted\n  3/1/" in capsys.readouterr().out
    kept = json.loads((tmp_path / "month.json").read_text())
    assert (kept["seed"], len(kept["incidents"]), kept["seconds"]["median"]) == (3, 3, 30)
