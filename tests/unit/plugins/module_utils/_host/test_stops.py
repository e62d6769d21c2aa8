# SPDX-License-Identifier: GPL-3.0-or-later
"""Who stopped a service: a person, as the journal tells, or nobody."""

from __future__ import annotations

import json

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import stops

AT = 1767225600.0
OWN = "192.0.2.9"
SUDO = "   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND={}"
POLKIT = (
    "Operator of unix-session:3 successfully authenticated as unix-user:root to gain ONE-SHOT authorization for action "
    "org.freedesktop.systemd1.manage-units for system-bus-name::1.45 [systemctl stop mariadb] (owned by unix-user:bob)"
)
OPENED = "pam_unix({}:session): session opened for user root(uid=0) by {}"
CLOSED = "pam_unix({}:session): session closed for user root"


def line(seconds: float, text: str, pid: str = "7") -> stops.Line:
    return {"at": AT + seconds, "pid": pid, "text": text}


@pytest.mark.parametrize(
    ("lines", "who"),
    [
        ([line(-0.1, SUDO.format("/usr/bin/systemctl stop mariadb"))], "alice (/usr/bin/systemctl stop mariadb)"),
        ([line(-1, SUDO.format("/usr/sbin/service mariadb stop"))], "alice (/usr/sbin/service mariadb stop)"),
        ([line(-1, SUDO.format("/etc/init.d/asterisk stop"))], "alice (/etc/init.d/asterisk stop)"),
        ([line(0.2, POLKIT)], "bob (systemctl stop mariadb)"),
        ([line(-900, OPENED.format("su-l", "alice(uid=1000)"))], "alice (a root session of su-l)"),
        (
            [line(0.3, OPENED.format("su", "(uid=0)")), line(0.6, CLOSED.format("su"))],
            "root (a root session of su)",
        ),
        (
            [
                line(-60, "Accepted publickey for root from 203.0.113.4 port 50000 ssh2: ED25519 SHA256:x"),
                line(-60, OPENED.format("sshd", "root(uid=0)")),
            ],
            "root from 203.0.113.4 (an SSH session)",
        ),
    ],
    ids=["sudo", "service", "init script", "polkit", "su", "su by root", "ssh"],
)
def test_what_a_person_did_right_then_names_the_author(lines: list[stops.Line], who: str) -> None:
    assert stops.author(lines, AT, OWN) == who


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line(-30, SUDO.format("/usr/bin/systemctl stop mariadb"))],
        [line(-1, SUDO.format("/usr/bin/systemctl status mariadb"))],
        [line(-1, SUDO.format("/bin/cat /tmp/systemctl stop"))],
        [line(-900, OPENED.format("su", "alice(uid=1000)")), line(-600, CLOSED.format("su"))],
        [line(5, OPENED.format("su", "alice(uid=1000)"))],
        [
            line(-60, f"Accepted publickey for root from {OWN} port 50000 ssh2: ED25519 SHA256:x"),
            line(-60, OPENED.format("sshd", "root(uid=0)")),
        ],
    ],
    ids=["nothing", "long before", "no stop", "no tool", "session over", "session later", "our own session"],
)
def test_without_a_trace_there_is_no_author(lines: list[stops.Line]) -> None:
    assert stops.author(lines, AT, OWN) is None


def test_a_crash_is_nobodys_wish_and_a_mask_is_one_whatever_the_state() -> None:
    def unit(name: str, *values: str) -> str:
        names = ("LoadState", "ActiveState", "Result", "UnitFileState", "ActiveExitTimestamp")
        return "\n".join([f"Id={name}", *(f"{key}={value}" for key, value in zip(names, values, strict=True))])

    text = "\n\n".join(
        [
            unit("a.service", "loaded", "inactive", "success", "enabled", "Thu 2026-01-01 00:00:00 UTC"),
            unit("b.service", "loaded", "failed", "oom-kill", "enabled", "Thu 2026-01-01 00:00:00 UTC"),
            unit("c.service", "loaded", "active", "success", "enabled", ""),
            unit("d.service", "masked", "active", "success", "masked", ""),
            unit("e.service", "loaded", "inactive", "success", "disabled", ""),
        ]
    )
    found = stops.parse_stopped(text)
    assert [(one["Id"], stops._how(one)) for one in found] == [
        ("a.service", "stopped"),
        ("d.service", "masked"),
        ("e.service", "disabled"),
    ]
    assert [stops._seconds(one["ActiveExitTimestamp"]) for one in found] == [AT, None, None]


@pytest.mark.parametrize(
    ("state", "by"),
    [("active", "keepalived, which decides on which node it runs"), ("inactive", None)],
)
def test_what_a_cluster_stopped_here_is_no_fault(monkeypatch: pytest.MonkeyPatch, state: str, by: str | None) -> None:
    def run(command: list[str], _limit: float) -> str:
        if "asterisk.service" in command:
            return (
                "Id=asterisk.service\nLoadState=loaded\nActiveState=inactive\nResult=success\n"
                "UnitFileState=enabled\nActiveExitTimestamp=Fri 2026-01-30 03:00:00 UTC\n"
            )
        return f"Id=pacemaker.service\nActiveState=inactive\n\nId=keepalived.service\nActiveState={state}\n"

    monkeypatch.setattr(stops, "run", run)
    monkeypatch.setattr(stops, "_journal", lambda _at: [])
    found = stops.stops(["asterisk.service"])
    at = "2026-01-30T03:00:00Z"
    assert found == ({"asterisk.service": {"how": "stopped", "at": at, "by": by}} if by else {})


def test_the_journal_is_read_oldest_first_and_what_is_not_text_is_left_out() -> None:
    rows = [
        {"MESSAGE": "second", "__REALTIME_TIMESTAMP": "2000000", "_PID": "9", "SYSLOG_PID": "8"},
        {"MESSAGE": [255, 0], "__REALTIME_TIMESTAMP": "1500000"},
        {"MESSAGE": "first", "__REALTIME_TIMESTAMP": "1000000", "_PID": "9"},
    ]
    text = "\n".join([*map(json.dumps, rows), "no JSON"])
    assert stops.parse_journal(text) == [
        {"at": 1.0, "pid": "9", "text": "first"},
        {"at": 2.0, "pid": "8", "text": "second"},
    ]
