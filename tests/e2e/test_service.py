"""The service: an incident calls by itself, over the hook that Reconnect ships for the lab's Request Tracker."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from reconnect.incidents.trackers import changes
from reconnect.settings import Settings
from trials import tools
from trials.kept import runs
from trials.tools import until

from . import rt

SERVER = "pgsql"
pytestmark = pytest.mark.hosts(SERVER, "tracker")


def test_an_incident_that_is_made_is_fixed_and_closed(
    broken: Callable[..., AbstractContextManager[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rt.served(tmp_path, tools.surroundings(tmp_path)), broken(SERVER, "account_missing"):
        number = rt.ticket(fields={"Server": SERVER, "Account": "1005", "Internet connection": "yes"}, user="root")
        until(lambda: rt.ask(f"ticket/{number}")["Status"] == "resolved", 150)
        until(lambda: rt.subjects(number) == ["report", "user"])
    # Its own answers are events of the incident, too: they begin nothing.
    [run] = runs(tmp_path)
    assert (str(run.record.request.incident), run.record.endings) == (f"rt:{number}", {SERVER: "fixed_account"})
    kept = run.kept()
    assert kept is not None
    assert (kept.asker.requester, kept.asker.trigger) == (None, "hook")
    # A poller sees it, too, and that the last change was our own.
    for name, value in rt.environment().items():
        monkeypatch.setenv(name, value)
    polled = {one.incident.id: one for one in changes("rt", Settings(), 10)}
    assert polled[number].user == rt.own()["user"]
