# SPDX-License-Identifier: GPL-3.0-or-later
"""In check mode, the modules that call, register or notify say so and do nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import watch
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import reconnect
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import call, register
from ansible_collections.privatewave.reconnect.plugins.modules import call_test, registration_test, registration_watch

SECRET = "s3cret-canary"


def never(*_arguments: object, **_more: object) -> None:
    raise AssertionError("something was done in check mode")


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """check(module, arguments): what a module answers in check mode."""

    def run(module: ModuleType, **arguments: Any) -> dict[str, Any]:
        with patch_module_args({**arguments, "_ansible_check_mode": True}), pytest.raises(SystemExit) as ended:
            module.main()
        said = capsys.readouterr().out
        assert ended.value.code == 0
        assert SECRET not in json.dumps({**json.loads(said), "invocation": None})
        document: dict[str, Any] = json.loads(said)
        return document

    return run


def test_call_test_calls_nobody(check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "place", never)
    said = check(call_test, caller="601", caller_password=SECRET, callee="602", callee_password=SECRET)
    assert (said["changed"], said["call"]["ok"], said["call"]["error"]) == (False, False, "skipped")


def test_registration_test_registers_nowhere(
    check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "answer", never)
    accounts = [{"username": name, "password": SECRET} for name in ("601", "602")]
    server = {"addresses": ["198.51.100.1"], "domain": "pbx.example", "port": 5061, "transport": "tls"}
    said = check(registration_test, accounts=accounts, **server)
    assert said["changed"] is False
    assert {name: one["error"] for name, one in said["registrations"].items()} == {"601": "skipped", "602": "skipped"}


@pytest.mark.parametrize("driver", ["pjsip", "sip"])
def test_registration_watch_says_what_it_would_remove(
    check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    contacts = [{"uri": f"sip:1001@198.51.100.{n}", "status": s} for n, s in enumerate(("Reachable", "Unreachable"))]

    def watched(
        settings: dict[str, Any],
        account: str,
        seconds: int,
        until: str,
        addresses: list[Any],
        begin: Callable[..., Any],
        _tell: Callable[..., None],
    ) -> dict[str, Any]:
        rest = {"attempts": [], "sources": [], "ended": "time", "seconds": 0.0, "why": []}
        return {**rest, "begun": begin()}

    monkeypatch.setattr(watch, "watch", watched)
    client = {"pjsip": reconnect._Pjsip, "sip": reconnect._Sip}[driver]
    monkeypatch.setattr(client, "contacts", lambda self: contacts)
    for name in ("qualify", "notify", "drop"):
        monkeypatch.setattr(client, name, never)
    said = check(registration_watch, account="1001", reconnect=True, settings={"channel_driver": driver})
    assert (said["changed"], said["begun"]["dropped"], said["begun"]["notified"]) == (
        True,
        [contacts[1]["uri"]],
        False,
    )
