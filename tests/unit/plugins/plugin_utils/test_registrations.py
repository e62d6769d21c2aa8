# SPDX-License-Identifier: GPL-3.0-or-later
"""Who registers when, from where, and who does not: registrations beside the other questions of a diagnosis."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import register
from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import KnownContacts
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, probe
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import expected, registrations
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.registrations import Registering

ADDRESS = "192.0.2.5"
PASSWORD = "canary-password"


def uri(mark: str) -> str:
    return f"sip:{mark}@192.0.2.9:5061"


class Server:
    """A server that has the contacts of ``marks``, as an endpoint and as what it was asked."""

    def __init__(self, *marks: str) -> None:
        self.marks = list(marks)
        self.asked: list[dict[str, Any]] = []

    def told(self) -> dict[str, Any]:
        uris = [uri(mark) for mark in self.marks]
        known = {"live": uris, "stored": uris, "where": "ps_contacts", "why": ""}
        return {"contacts": {"601": {"ok": True, "seconds": 0.1, "data": known}}}

    def ask(self, _module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(arguments)
        return self.told()

    def elsewhere(self, _name: str) -> Vantage:
        return Vantage.only


class Vantage:
    """A vantage point, and the accounts that it was asked to register."""

    only: Vantage

    def __init__(self, error: ProbeError | None = None) -> None:
        self.accounts: list[str] = []
        self.error, self.closed = error, False

    def ask(self, _module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.error:
            raise self.error
        self.accounts += [one["username"] for one in arguments["accounts"]]
        done = {"ok": True, "seconds": 0.1, "data": {"accepted": True}}
        return {"registrations": {one["username"]: done for one in arguments["accounts"]}}

    def close(self) -> None:
        self.closed = True


class Prober:
    def __init__(self, server: Server, **settings: Any) -> None:
        self.name, self.server = "pbx", server
        self.settings = {"test_account": "601", "channel_driver": "pjsip", **settings}

    def target(self) -> dict[str, Any]:
        transports = [{"transport": "tls", "port": 5061}]
        return {"addresses": [ADDRESS], "sip_domain": "pbx.example", "transports": transports}


class Case:
    """One diagnosis: everything is asked at the same time, as `gather` does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.vantage = Server(), Vantage()
        self.accepts: bool | None = True
        self.sip_answers = True
        self.registry = {"601": True, "1001": True}
        self.differs: list[str] = []
        self.tried: list[tuple[str, bool]] = []
        self.server_answered = threading.Event()
        Vantage.only = self.vantage
        monkeypatch.setattr(register, "register_and_leave", self.register_and_leave)
        monkeypatch.setattr(expected, "registered", self.registered)

    def registered(self, _server: str, name: str, _endpoint: object) -> list[dict[str, Any]]:
        if name not in self.registry:
            return []
        return [{"username": name, "password": PASSWORD, "enabled": self.registry[name]}]

    def register_and_leave(self, account: str, password: str, accepted: Any, hold: Any, **_server: Any) -> Any:
        self.tried.append((account, self.server_answered.is_set()))
        assert password == PASSWORD
        if self.accepts is None:
            raise ProbeError("timed_out", "no answer")
        if self.accepts:
            accepted()
            self.server.marks.append(f"reconnect-{account}")
            there = hold(f"reconnect-{account}")
            self.server.marks.clear()
            return {"accepted": True, "listed": there}
        return {"accepted": False, "answers": [{"algorithm": "MD5"}]}

    def ask(
        self,
        account: str | None = None,
        check_mode: bool = False,
        fails: bool = False,
        before: Any = None,
        **settings: Any,
    ) -> Any:
        prober: Any = Prober(self.server, **settings)
        registering = Registering(prober, account, None, check_mode, before)

        def server() -> dict[str, Any]:
            if fails:
                raise ProbeError("unreachable", "no ssh")
            self.server_answered.set()
            differences = [{"field": field} for field in self.differs]
            compared = {"ok": True, "seconds": 0.1, "data": {"enabled": True, "findings": differences}}
            return {**self.server.told(), "account": {"registry": compared}}

        def path() -> dict[str, Any]:
            return {"sip": {"tls:x": {"ok": self.sip_answers, "seconds": 0.1}}}

        asked: dict[Any, Any] = {
            "server": registering.watched_server(server),
            "path": registering.watched_path("phone", path),
            **registering.questions("phone"),
        }
        answers: dict[Any, Any] = {}

        def ask(name: Any, question: Any) -> None:
            answers[name] = probe(question)

        threads = [threading.Thread(target=ask, args=(name, question)) for name, question in asked.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for name, answer in answers.items():
            if isinstance(name, tuple):
                registering.take(name, answer)
        return registering.found


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(monkeypatch)


def test_the_reserved_account_stays_until_the_server_has_told_its_contacts(case: Case) -> None:
    found = case.ask()["601"]
    assert found["control"]["data"]["server"]["data"]["live"] == [uri("reconnect-601")]
    assert found["phone"]["ok"] is True
    assert (case.vantage.accounts, case.vantage.closed) == (["601"], True)


def test_the_account_of_the_incident_registers_after_the_server_has_told_what_its_client_tried(case: Case) -> None:
    found = case.ask("1001")
    assert ("1001", True) in case.tried
    assert "server" not in found["1001"]["control"]["data"]
    assert sorted(case.vantage.accounts) == ["1001", "601"]


def test_on_chan_sip_the_account_of_the_incident_registers_from_the_control_node_alone(case: Case) -> None:
    found = case.ask("1001", channel_driver="sip")
    assert case.vantage.accounts == ["601"]
    assert list(found["1001"]) == ["control"]


@pytest.mark.attack("a wrong password must not ban the control node or a vantage point")
def test_what_the_server_refuses_is_tried_once_from_anywhere(case: Case) -> None:
    case.accepts = False
    found = case.ask()["601"]
    assert ([name for name, _told in case.tried], case.vantage.accounts) == (["601"], [])
    assert (found["phone"]["error"], "not tried again" in found["phone"]["message"]) == ("skipped", True)


@pytest.mark.attack("a run with many remedies must not try a wrong password again and again")
def test_a_run_sends_a_refused_password_twice_at_most(case: Case) -> None:
    case.accepts = False
    found: Any = None
    for _remedy in range(4):
        found = case.ask(before=found)
    assert [name for name, _told in case.tried] == ["601", "601"]
    assert found["601"]["control"]["data"]["refused"] == 2
    case.accepts = True
    assert case.ask(before={"601": {"control": {"ok": False, "error": "timed_out"}}})["601"]["control"]["ok"]


@pytest.mark.parametrize(("field", "tried"), [("username", 0), ("password", 0), ("context", 1)])
def test_a_login_that_the_server_is_known_not_to_have_is_not_tried(case: Case, field: str, tried: int) -> None:
    case.differs = [field]
    found = case.ask("1001")["1001"]["control"]
    assert [name for name, _told in case.tried].count("1001") == tried
    assert found["ok"] if tried else (found["error"], found["refused"]) == ("skipped", 0)


def test_an_account_is_tried_again_once_its_last_difference_is_fixed(case: Case) -> None:
    """A stopped database hides that the account is missing: the second look leaves it out, and counts the refusal."""
    case.accepts = False
    found = case.ask("1001")
    case.accepts, case.differs = True, ["username"]
    found = case.ask("1001", before=found)
    assert (found["1001"]["control"]["error"], found["1001"]["control"]["refused"]) == ("skipped", 1)
    case.differs = []
    found = case.ask("1001", before=found)
    assert found["1001"]["control"]["data"]["accepted"] is True
    assert [name for name, _told in case.tried].count("1001") == 2


@pytest.mark.parametrize(("answers", "asked"), [(True, ["601"]), (False, [])])
def test_without_an_answer_the_vantage_point_tries_only_where_its_path_has_one(
    case: Case, answers: bool, asked: list[str]
) -> None:
    case.accepts, case.sip_answers = None, answers
    found = case.ask()["601"]
    assert (found["control"]["error"], case.vantage.accounts) == ("timed_out", asked)
    assert found["phone"]["ok"] is answers


def test_a_server_that_cannot_be_entered_is_still_registered_at(case: Case) -> None:
    found = case.ask("1001", fails=True)
    assert found["601"]["control"]["data"]["server"]["error"] == "skipped"
    assert found["1001"]["control"]["error"] == "skipped"
    assert found["1001"]["phone"]["ok"] is True


def test_a_vantage_point_that_cannot_be_asked_says_nothing_of_the_server(case: Case) -> None:
    case.vantage.error = ProbeError("unreachable", "no ssh")
    assert case.ask()["601"]["phone"]["error"] == "skipped"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"check_mode": True}, "skipped"),
        ({"test_account": "699"}, "missing"),
        ({"test_account": "1021"}, "skipped"),
    ],
)
def test_why_nobody_registers_is_told(case: Case, more: dict[str, Any], error: str) -> None:
    case.registry["1021"] = False
    found = case.ask(**more)
    ((account, tests),) = found.items()
    assert (account, tests["control"]["error"], case.tried) == (more.get("test_account", "601"), error, [])


def test_without_a_reserved_account_nobody_registers(case: Case) -> None:
    assert (case.ask(test_account=""), case.tried) == ({}, [])


def test_a_contact_is_there_when_asterisk_has_it_and_it_is_stored() -> None:
    known: KnownContacts = {"live": [uri("reconnect-1")], "stored": [uri("reconnect-1")], "where": "t", "why": ""}
    assert registrations.is_there(known, "reconnect-1")
    assert registrations.is_there({**known, "stored": None}, "reconnect-1")
    assert not registrations.is_there({**known, "stored": []}, "reconnect-1")
    assert not registrations.is_there({**known, "live": [uri("601")]}, "reconnect-1")
