"""The incident in a real Request Tracker: what it is told of a run, once, whatever happens to the tracker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from trials.tools import Ended, Lab

from .rt import ask, environment, subjects, ticket

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.hosts("tracker")

# An ending of first or second level, without a fault to wait for.
ENDS = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement:
          verdict: {outcome: OUTCOME, user_message: "{% raw %}<b>{{ 7*7 }}</b>{% endraw %}"}
          findings: []
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a project whose diagnosis ends as it is told; the tracker is the lab's."""
    for name, value in {"RECONNECT_PROJECT": str(tmp_path / "project"), **environment()}.items():
        monkeypatch.setenv(name, value)

    def make(outcome: str) -> None:
        (tmp_path / "project" / "playbooks").mkdir(parents=True)
        for name in ("ansible.cfg", "collections", "plugins", "playbooks/cleanup.yml"):
            (tmp_path / "project" / name).symlink_to(ROOT / name)
        (tmp_path / "project" / "playbooks" / "diagnose-server.yml").write_text(ENDS.replace("OUTCOME", outcome))

    return make


def diagnose(reconnect: Callable[..., Ended], number: str) -> Ended:
    inventory = str(ROOT / "inventories" / "lab")
    return reconnect("diagnose-server", "pbx22", "--inventory", inventory, "--incident", f"rt:{number}")


def test_what_is_no_issue_is_closed_and_the_user_told(
    lab: Lab, reconnect: Callable[..., Ended], project: Callable[[str], None]
) -> None:
    project("not_an_issue")
    number = ticket()
    assert diagnose(reconnect, number).code == 0
    assert ask(f"ticket/{number}")["Status"] == "resolved"
    assert subjects(number) == ["report", "user"]


def test_what_is_escalated_moves_to_its_queue_and_owner(
    lab: Lab, reconnect: Callable[..., Ended], project: Callable[[str], None]
) -> None:
    project("escalate_second_level")
    number = ticket()
    assert diagnose(reconnect, number).code == 10
    moved = ask(f"ticket/{number}")
    assert moved["Owner"]["id"] == "second-level"
    assert ask(f"queue/{moved['Queue']['id']}")["Name"] == "Second level"
    assert subjects(number) == ["report"]


def test_a_tracker_that_is_down_is_told_once_when_it_is_back(
    lab: Lab, reconnect: Callable[..., Ended], project: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONNECT_REPORT_SECONDS", "1")
    project("not_an_issue")
    number = ticket()
    lab.run("tracker", "systemctl", "stop", "request-tracker.service")
    try:
        assert diagnose(reconnect, number).code == 14
        assert reconnect("resume", json_output=False).code == 14
    finally:
        lab.run("tracker", "systemctl", "start", "request-tracker.service")
        lab("up", "tracker", limit=300)
    for _ in range(2):
        assert reconnect("resume", json_output=False).code == 0
    assert subjects(number) == ["report", "user"]
    assert ask(f"ticket/{number}")["Status"] == "resolved"
