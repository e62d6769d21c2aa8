"""What a remedy would change is shown before anybody says yes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import changes
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.evidence import SCHEMA, Evidence
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.remedies import remedies

FIX = remedies()["fix_account"]


def evidence(before: str, after: str) -> Evidence:
    registry: dict[str, Any] = {"ok": True, "data": {"diff": {"before": before, "after": after}}}
    return Evidence({"schema": SCHEMA, "account": {"registry": registry}})


def test_lines_that_go_come_and_stay() -> None:
    shown = changes.of(evidence("auth 1006\n  password: ********", "auth 1006\n  password: ******** (changed)"), FIX)
    assert shown == [" auth 1006", "-  password: ********", "+  password: ******** (changed)"]


def test_a_new_row_comes_whole() -> None:
    assert changes.of(evidence("", "aor 1006\n  max_contacts: 1"), FIX) == [
        "+aor 1006",
        "+  max_contacts: 1",
    ]


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (
            {"filter": "nft", "table": "inet filter", "chain": "input", "digest": "d", "text": "tcp dport 5061 drop"},
            "-inet filter input: tcp dport 5061 drop",
        ),
        ({"jail": "asterisk", "member": "203.0.113.7"}, "-asterisk: 203.0.113.7"),
        ({"name": "sip-proxy.service", "unit": "sip-proxy.service", "triggers": ""}, "-sip-proxy.service"),
        ({"name": "evil\n+nothing", "pid": 4711, "started": 1}, "-evil +nothing"),
    ],
)
def test_what_a_remedy_takes_away_goes(target: dict[str, Any], line: str) -> None:
    assert changes.of(Evidence({"schema": SCHEMA}), remedies()["open_host_firewall"], [target]) == [line]


def test_there_is_an_end_to_it() -> None:
    shown = changes.of(evidence("", "\n".join(map(str, range(100)))), FIX)
    assert len(shown) == changes.LIMIT + 1
    assert shown[-1] == " … 40 more lines"


def test_what_is_not_about_the_account_changes_none_of_it() -> None:
    assert changes.of(evidence("a", "b"), remedies()["restart_asterisk"]) == []
    assert changes.of(Evidence({"schema": SCHEMA}), FIX) == []


def asterisk(**probes: Any) -> Evidence:
    return Evidence({"schema": SCHEMA, "asterisk": {name: {"ok": True, "data": data} for name, data in probes.items()}})


RUNS = {"process": {"pid": 7}, "calls": {"calls": 2, "channels": 4}, "contacts": {"total": 20, "reachable": 14}}


@pytest.mark.parametrize(
    ("seen", "remedy", "found", "said"),
    [
        (
            asterisk(**RUNS),
            "restart_asterisk",
            {"calls": 2, "registrations": 14, "seconds": 30},
            " It may interrupt 2 calls and 14 registrations for up to 30 s.",
        ),
        (
            asterisk(process={"pid": 7}),
            "free_sip_port",
            {"calls": None, "registrations": None, "seconds": 30},
            " It may interrupt an unknown number of calls and an unknown number of registrations for up to 30 s.",
        ),
        (
            asterisk(**{**RUNS, "contacts": {"total": 1, "reachable": 1}}),
            "restart_database",
            {"registrations": 1, "seconds": 60},
            " It may interrupt 1 registration for up to 60 s.",
        ),
        (
            Evidence({"schema": SCHEMA, "asterisk": {"process": {"ok": False, "error": "missing"}}}),
            "restart_asterisk",
            {"calls": 0, "registrations": 0, "seconds": 30},
            "",
        ),
        (
            Evidence({"schema": SCHEMA, "database": {"process": {"ok": False, "error": "missing"}}}),
            "restart_database",
            {"registrations": 0, "seconds": 60},
            "",
        ),
        (asterisk(**RUNS), "fix_account", None, ""),
    ],
)
def test_what_a_remedy_may_interrupt_is_said_beforehand(
    seen: Evidence, remedy: str, found: dict[str, Any] | None, said: str
) -> None:
    assert changes.interruption(seen, remedies()[remedy]) == found
    assert changes.interruption_text(changes.interruption(seen, remedies()[remedy]), remedies()[remedy]) == said
