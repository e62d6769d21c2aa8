"""What waits for a person is told once, over every channel, however often a channel fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from reconnect.incidents import escalation
from reconnect.names import Incident
from reconnect.result import now
from reconnect.runs import erasing, tables
from reconnect.runs.database import writing
from reconnect.runs.record import Pending
from reconnect.runs.store import Run
from reconnect.service.desk import Desk
from reconnect.service.outgoing.notifier import Notifier
from reconnect.service.people import Person
from reconnect.settings.notifications import NotificationSettings

from ...incidents.conftest import Answer, Recorder
from ..conftest import plan_step
from .conftest import Smtp, due_now, states

Make = Callable[..., Run]
End = Callable[..., Run]


def texts_of(server: Recorder) -> list[str]:
    return [str(asked.json["text"]) for asked in server.asked]


def approval(desk: Desk, run_of: Make, ended: End) -> str:
    """A plan that waits for a second person."""
    run = ended(run_of().run_id, plan_step("restart_asterisk", "service", "approval"))
    kept = run.kept()
    assert kept is not None
    return desk.plans.request(run, str(kept.plan_hash), "ann", Person("ann", "first_level"), "")


def escalated(desk: Desk, run_of: Make, ended: End, **own: Any) -> Run:
    """A run that gives its incident to second level."""
    run = ended(run_of(**own).run_id)
    (result,) = run.results()
    assert result.verdict is not None
    cause = {"cause": "disk_full", "subject": "host", "title": "A disk is full", "summary": "secret", "policy": "human"}
    verdict = {"outcome": "escalate_second_level", "root_causes": [cause]}
    run.save_result(result.model_copy(update={"verdict": type(result.verdict).model_validate(verdict)}))
    return run


def test_an_approval_is_told_once_with_its_page(
    notifier: Notifier, desk: Desk, run_of: Make, ended: End, smtp: Smtp, server: Recorder
) -> None:
    approval(desk, run_of, ended)
    for _ in range(3):
        notifier.look()
        due_now(desk)
    (text,) = texts_of(server)
    ((_, mail),) = smtp.mails
    first, since, link = text.splitlines()
    assert first.startswith("A plan for alpha waits for a second person: restart_asterisk (peer_stale). Decide before ")
    assert since.startswith("Waiting since 20")
    assert link == "https://reconnect.example.org/approvals"
    assert mail.get_content().strip().splitlines() == text.splitlines()  # type: ignore[attr-defined]
    assert "1005" not in text
    assert states(desk) == {"mail": "sent", "chat": "sent"}


def test_an_escalation_names_cause_and_incident_and_nothing_else(
    notifier: Notifier, desk: Desk, run_of: Make, ended: End, notified: NotificationSettings, server: Recorder
) -> None:
    notified.language = "it"
    run = escalated(desk, run_of, ended)
    notifier.look()
    (text,) = texts_of(server)
    assert text.splitlines()[0] == (
        "alpha: il secondo livello prende in carico la segnalazione rt:17. Causa: Un disco è pieno (disk_full)."
    )
    assert text.splitlines()[2] == f"https://reconnect.example.org/runs/{run.run_id}"
    assert ("secret" in text, "1005" in text) == (False, False)


@pytest.mark.parametrize("why", ["no incident", "joined", "fixed"])
def test_what_waits_for_nobody_is_not_told(
    notifier: Notifier, desk: Desk, run_of: Make, ended: End, server: Recorder, monkeypatch: Any, why: str
) -> None:
    if why == "fixed":
        ended(run_of().run_id)
    else:
        escalated(desk, run_of, ended, incident=None if why == "no incident" else "rt:17")
    if why == "joined":
        first = escalation.Joined(Incident("rt", "16"), "", None)
        monkeypatch.setattr(escalation, "joined", lambda run, settings: first)
    notifier.look()
    assert (texts_of(server), states(desk)) == ([], {})


def test_a_report_that_is_given_up_is_told_each_time_that_it_is(
    notifier: Notifier, desk: Desk, run_of: Make, ended: End, server: Recorder
) -> None:
    run = ended(run_of().run_id)
    for rounds in (0, 0, 1):
        run.record.delivery = "pending"
        run.record.pending = Pending(since=now(), given_up=True, rounds=rounds, error_message="<@everybody>")
        run.save()
        notifier.look()
    assert [text.splitlines()[0] for text in texts_of(server)] == [
        f"The incident rt:17 does not know of run {run.run_id} for alpha: its report is not sent again. "
        "Find out why, then send it."
    ] * 2
    assert texts_of(server)[0].splitlines()[2] == "https://reconnect.example.org/outbox"


def test_a_channel_that_fails_is_tried_again_and_the_other_one_is_not(
    notifier: Notifier, desk: Desk, run_of: Make, ended: End, smtp: Smtp, server: Recorder
) -> None:
    server.instead = Answer(500)
    approval(desk, run_of, ended)
    notifier.look()
    assert states(desk) == {"mail": "sent", "chat": "waiting"}
    notifier.look()
    assert len(server.asked) == 1
    server.instead = None
    due_now(desk)
    notifier.look()
    assert (states(desk), len(server.asked), len(smtp.mails)) == ({"mail": "sent", "chat": "sent"}, 2, 1)


def test_a_defect_of_a_channel_is_tried_again_like_a_failure(
    notifier: Notifier, desk: Desk, run_of: Make, ended: End, smtp: Smtp, monkeypatch: Any
) -> None:
    def broken(message: object) -> None:
        raise UnicodeEncodeError("ascii", "ü", 0, 1, "no")

    monkeypatch.setattr(notifier._channels["chat"], "send", broken)
    approval(desk, run_of, ended)
    notifier.look()
    assert (states(desk), len(smtp.mails)) == ({"mail": "sent", "chat": "waiting"}, 1)


def test_a_channel_is_given_up_in_the_end(
    notifier: Notifier, desk: Desk, run_of: Make, ended: End, server: Recorder
) -> None:
    server.instead = Answer(500)
    escalated(desk, run_of, ended)
    notifier.look()
    with writing(desk.engine) as connection:
        long_ago = now() - timedelta(days=1)
        connection.execute(sa.update(tables.notifications).values(next_at=now(), since=long_ago))
    notifier.look()
    assert states(desk) == {"mail": "sent", "chat": "given_up"}
    due_now(desk)
    notifier.look()
    assert len(server.asked) == 2


def test_what_is_decided_meanwhile_is_not_told_any_more(
    notifier: Notifier, desk: Desk, run_of: Make, ended: End, server: Recorder
) -> None:
    server.instead = Answer(500)
    identifier = approval(desk, run_of, ended)
    notifier.look()
    (found,) = desk.plans.approvals()
    desk.plans.decide(identifier, Person("bob", "second_level"), False, found["plan_hash"], "no", "")
    due_now(desk)
    notifier.look()
    assert (states(desk)["chat"], len(server.asked)) == ("over", 1)


def test_what_was_there_before_is_not_told(
    notified: NotificationSettings, desk: Desk, run_of: Make, ended: End, server: Recorder
) -> None:
    escalated(desk, run_of, ended)
    first = Notifier(desk)
    first.look()
    assert server.asked == []
    escalated(desk, run_of, ended)
    # Another process takes it.
    Notifier(desk).look()
    first.look()
    assert len(server.asked) == 1


def test_what_happened_while_nobody_was_told_stays_untold(
    notifier: Notifier, desk: Desk, run_of: Make, ended: End, server: Recorder
) -> None:
    run = run_of()
    ended(run.run_id, minutes_ago=2 * 24 * 60)
    escalated(desk, run_of, lambda _: run)
    notifier.look()
    assert (server.asked, states(desk)) == ([], {})


def test_a_notification_is_erased_with_its_run(
    notifier: Notifier, desk: Desk, run_of: Make, ended: End, server: Recorder
) -> None:
    server.instead = Answer(500)
    run = escalated(desk, run_of, ended)
    notifier.look()
    assert erasing.erase(desk.settings, "1005", None, lambda connection, runs: None) == [run.run_id]
    assert states(desk) == {}
    escalated(desk, run_of, ended)
    notifier.look()
    assert states(desk) == {"mail": "sent", "chat": "waiting"}
