"""What a remedy would change is shown before anybody says yes."""

from __future__ import annotations

from typing import Any

from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import changes
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.evidence import SCHEMA, Evidence


def evidence(before: str, after: str) -> Evidence:
    registry: dict[str, Any] = {"ok": True, "data": {"diff": {"before": before, "after": after}}}
    return Evidence({"schema": SCHEMA, "account": {"registry": registry}})


def test_lines_that_go_come_and_stay():
    shown = changes.of(
        evidence("auth 1006\n  password: ********", "auth 1006\n  password: ******** (changed)"), "fix_account"
    )
    assert shown == [" auth 1006", "-  password: ********", "+  password: ******** (changed)"]


def test_a_new_row_comes_whole():
    assert changes.of(evidence("", "aor 1006\n  max_contacts: 1"), "fix_account") == [
        "+aor 1006",
        "+  max_contacts: 1",
    ]


def test_there_is_an_end_to_it():
    shown = changes.of(evidence("", "\n".join(map(str, range(100)))), "fix_account")
    assert len(shown) == changes.LIMIT + 1
    assert shown[-1] == " … 40 more lines"


def test_what_is_not_about_the_account_changes_none_of_it():
    assert changes.of(evidence("a", "b"), "restart_asterisk") == []
    assert changes.of(Evidence({"schema": SCHEMA}), "fix_account") == []
