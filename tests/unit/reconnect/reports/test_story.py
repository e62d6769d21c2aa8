"""What the comment and the page say of a remedy."""

from __future__ import annotations

import pytest
from reconnect.reports import story
from reconnect.reports.changes import changes
from reconnect.result import AppliedRemedy
from reconnect.texts import Language


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "interrupted: calls 0, registrations 14, seconds 4.2"),
        ("it", "interrotto: calls 0, registrations 14, seconds 4.2"),
    ],
)
def test_what_a_remedy_did_interrupt_is_told(language: Language, said: str) -> None:
    interrupted = {"calls": 0, "registrations": 14, "seconds": 4.2}
    remedy = AppliedRemedy.model_validate({"remedy": "restart_asterisk", "state": "done", "interrupted": interrupted})
    assert story._done(remedy, language).below == [said]


def test_what_a_remedy_changed_is_told_line_by_line() -> None:
    before, after = {"down": ["eth1"], "mtu": 1500, "secret": "old"}, {"down": [], "mtu": 1500, "secret": "new"}
    remedy = AppliedRemedy.model_validate({"remedy": "x", "state": "done", "before": before, "after": after})
    told = story._done(remedy, "en", diff=True).below
    assert told[:3] == ['-down: ["eth1"]', "+down: []", " mtu: 1500"]
    assert [line[:8] for line in told[3:]] == ["-secret:", "+secret:"]
    assert "old" not in told[3] + told[4]
    # What the plan showed has the values, where before and after only name what changed.
    planned = remedy.model_copy(update={"changes": [" auth 1006", "-  realm: a", "+  realm: \x1bb"]})
    assert story._done(planned, "en", diff=True).below == [" auth 1006", "-  realm: a", "+  realm: \\x1bb"]


@pytest.mark.parametrize("state", ["refused", "not_needed"])
def test_what_changed_nothing_shows_no_change(state: str) -> None:
    seen = {"before": {"wrong": ["realm"]}, "after": {"account": "same"}, "changes": ["-  realm: a", "+  realm: b"]}
    remedy = AppliedRemedy.model_validate({"remedy": "x", "state": state, "reason": "It is right.", **seen})
    assert story._done(remedy, "en", diff=True).below == ["It is right."]
    assert changes(remedy) == []
