"""What an incident is told, in its language."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.outcomes import endings
from reconnect.incidents.delivery import tellings
from reconnect.incidents.trackers.tracker import Comment
from reconnect.names import Incident
from reconnect.result import Result, Verdict
from reconnect.runs.request import Request
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

from ..conftest import Workplace

ENDED = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement:
          findings: []
          verdict: {outcome: not_an_issue, user_message: {id: user.no_internet}}
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Literal["en", "it"]], Run]:
    def made(language: Literal["en", "it"]) -> Run:
        request = Request(
            playbook="diagnose-server.yml",
            mode="diagnose",
            named=["alpha"],
            servers=["alpha"],
            inventory="i",
            incident=Incident("rt", "7"),
            language=language,
            command=["diagnose-server", "alpha"],
        )
        return Runs(Settings(state_dir=tmp_path)).create(request)

    return made


def told(run: Run, **verdict: object) -> list[Comment]:
    result = Result(
        run_id=run.run_id,
        state="succeeded",
        playbook="diagnose-server.yml",
        mode="diagnose",
        server="alpha",
        started_at=run.record.started_at,
        finished_at=run.record.started_at,
        verdict=Verdict.model_validate({"outcome": "not_an_issue", "next_step": "Close it.", **verdict}),
    )
    return [one for one in tellings(run, [result], Settings()) if isinstance(one, Comment)]


@pytest.mark.parametrize(
    ("language", "to_staff", "to_user"),
    [
        ("en", ["diagnosis of alpha", "Next:", "tell the user: Your device has no internet"], "Your device has no"),
        (
            "it",
            ["diagnosi di alpha", "Prossimi passi:", "comunicare all'utente: Il Suo dispositivo"],
            "Il Suo dispositivo",
        ),
    ],
)
def test_comment_page_and_message_are_in_the_language_of_the_incident(
    run: Callable[[Literal["en", "it"]], Run], language: Literal["en", "it"], to_staff: list[str], to_user: str
) -> None:
    report, message = told(run(language), user_message={"id": "user.no_internet", "arguments": {}})
    assert [words for words in to_staff if words not in report.text] == []
    assert message.to_user
    assert message.text.startswith(to_user)
    page = report.attachments[0].content.decode()
    assert f'<html lang="{language}">' in page
    assert ("Tappa per tappa" in page) == (language == "it")


@pytest.mark.parametrize(
    ("language", "title", "level"),
    [("en", "A disk is full", "escalate to third level"), ("it", "Un disco è pieno", "inoltrare al terzo livello")],
)
def test_what_engineers_read_is_english_beside_the_title_of_the_cause(
    run: Callable[[Literal["en", "it"]], Run], language: Literal["en", "it"], title: str, level: str
) -> None:
    root = {
        "cause": "disk_full",
        "subject": "host",
        "policy": "human",
        "title": "A disk is full",
        "summary": "/srv has 0 bytes left.",
    }
    [report] = told(
        run(language),
        outcome="escalate_third_level",
        root_causes=[root],
        escalate_to=endings()["escalate_third_level"].escalate_to,
    )
    for words in (f"{title}: disk_full", "/srv has 0 bytes left.", "Close it.", level):
        assert words in report.text
        assert words in report.attachments[0].content.decode()


def test_a_sentence_of_the_site_is_told_as_it_is(run: Callable[[Literal["en", "it"]], Run]) -> None:
    _, message = told(run("it"), user_message="<b>{0} {{ 7*7 }}</b>")
    assert message.text == "<b>{0} {{ 7*7 }}</b>"


def test_the_settings_of_the_tracker_give_the_language(workplace: Workplace, tmp_path: Path) -> None:
    workplace.playbook(ENDED)
    incident = tmp_path / "incident.md"
    workplace.environment["RECONNECT_FILE_LANGUAGE"] = "it"
    ended = workplace.diagnose("alpha", "--incident", f"file:{incident}", "--json")
    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout)["verdict"]["user_message"]["id"] == "user.no_internet"
    assert "Il Suo dispositivo non è connesso a Internet." in incident.read_text()
    question = workplace.reconnect(
        "fix-account-config", "--incident", f"file:{incident}", "--inventory", str(workplace.inventory)
    )
    assert question.code == 2
    assert "Non è stato eseguito nulla." in incident.read_text()
