"""The session log of the lab's servers: what Asterisk's events, recorded on both drivers, become in the log."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
RECORDED = ROOT / "tests/unit/plugins/module_utils/_asterisk/recorded"
#: Event, account, address and details.
Entry = tuple[str, str | None, str, str | None]
PHONE, OTHER = "198.18.20.1:4000", "198.18.20.1:4001"


@pytest.fixture(params=["mariadb", "pgsql"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program with the module of its database that stands beside it on a host of this engine."""
    database = load("lab_database", library(request.param) / "lab_database.py")
    monkeypatch.setitem(sys.modules, "lab_database", database)
    return load("sip_session_log", library("pbx") / "sip-session-log")


def library(recipe: str) -> Path:
    return ROOT / "tests/lab/hosts" / recipe / "files/usr/local/lib"


def load(name: str, file: Path) -> ModuleType:
    loader = SourceFileLoader(name, str(file))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


class Log:
    """A `Sessions` whose clock stands still until it is told, and the entries it made."""

    def __init__(self, service: ModuleType, lasts: int | None = None) -> None:
        self.now = 1000.0
        self.entries: list[Entry] = []
        self.sessions = service.Sessions(
            lambda event, account, place, _agent, details: self.entries.append((event, account, place, details)),
            lambda _account: ("a phone", lasts),
            clock=lambda: self.now,
        )

    def request(self, account: str = "601", place: str = PHONE, transport: str = "TLS") -> None:
        address, _colon, port = place.rpartition(":")
        remote = f"IPV4/{transport}/{address}/{port}"
        self.sessions.take(
            {"Event": "SuccessfulAuth", "Service": "PJSIP", "AccountID": account, "RemoteAddress": remote}
        )

    def contact(self, status: str, account: str = "601", place: str = PHONE) -> None:
        uri = f"sip:{account}@{place};transport=TLS"
        self.sessions.take({"Event": "ContactStatus", "URI": uri, "ContactStatus": status, "EndpointName": account})

    def taken(self) -> list[Entry]:
        taken, self.entries = self.entries, []
        return taken


def recorded(name: str) -> Iterator[dict[str, str]]:
    """The events of AMI in a recording."""
    for part in (RECORDED / name).read_text().split("\n\n"):
        kind, _line, text = part.strip().partition("\n")
        if kind == "ami":
            yield dict(line.partition(": ")[::2] for line in text.splitlines())


@pytest.mark.parametrize("name", ["pjsip22.txt", "sip16-ami.txt"])
def test_a_recorded_client_connects_registers_and_unregisters(service: ModuleType, name: str) -> None:
    log = Log(service)
    for event in recorded(name):
        log.sessions.take(event)
    places = {place for event, account, place, _ in log.entries if (event, account) == ("REGISTER", "1019")}
    assert places
    for place in places:
        told = [event for event, _account, where, _ in log.entries if where == place]
        assert told[-2:] == ["REGISTER", "UNREGISTER"]


def test_a_connection_that_breaks_is_a_network_error(service: ModuleType) -> None:
    log = Log(service, lasts=60)
    log.request()
    log.contact("NonQualified")
    log.contact("Reachable")
    log.now += 20
    log.contact("Removed")
    assert log.taken() == [
        ("CONNECT", None, PHONE, None),
        ("REGISTER", "601", PHONE, None),
        ("DISCONNECT", "601", PHONE, "NETWORK_ERROR"),
    ]


def test_a_registration_that_is_renewed_and_then_runs_out_has_expired(service: ModuleType) -> None:
    log = Log(service, lasts=60)
    log.request()
    log.contact("NonQualified")
    log.now += 50
    log.request()
    log.now += 40
    log.taken()
    log.contact("Unreachable")
    assert log.taken() == [("DISCONNECT", "601", PHONE, "NETWORK_ERROR")]
    log.contact("Removed")
    assert log.taken() == []

    log.request()
    log.contact("Created")
    log.now += 60
    log.taken()
    log.contact("Removed")
    assert log.taken() == [("DISCONNECT", "601", PHONE, "EXPIRED")]


@pytest.mark.parametrize("order", [("Removed", "NonQualified"), ("NonQualified", "Removed")])
def test_a_contact_that_gives_way_is_replaced_and_the_new_one_stays(
    service: ModuleType, order: tuple[str, str]
) -> None:
    log = Log(service)
    log.request()
    log.contact("NonQualified")
    log.now += 100
    log.request(place=OTHER)
    log.taken()
    for status in order:
        log.contact(status, place=PHONE if status == "Removed" else OTHER)
    assert sorted(log.taken()) == [("DISCONNECT", "601", PHONE, "REPLACED"), ("REGISTER", "601", OTHER, None)]
    assert log.sessions.registered == {"601": OTHER}


def test_asterisk_that_stops_ends_every_session(service: ModuleType) -> None:
    log = Log(service)
    for account, place in (("601", PHONE), ("602", OTHER)):
        log.request(account, place)
        log.contact("NonQualified", account, place)
    log.taken()
    log.sessions.stopped()
    assert log.taken() == [
        ("DISCONNECT", "601", PHONE, "SERVER_STOPPED"),
        ("DISCONNECT", "602", OTHER, "SERVER_STOPPED"),
    ]


def test_udp_and_the_management_interface_make_no_connection(service: ModuleType) -> None:
    log = Log(service)
    log.request(transport="UDP")
    log.sessions.take(
        {"Event": "SuccessfulAuth", "Service": "AMI", "AccountID": "x", "RemoteAddress": "IPV4/TCP/127.0.0.1/9"}
    )
    assert log.taken() == []


def test_strangers_fill_no_memory(service: ModuleType) -> None:
    log = Log(service)
    for number in range(3 * service.PLACES):
        log.request(f"stranger{number}", f"198.18.20.1:{number}")
    assert len(log.sessions._asked) == len(log.sessions._connected) == service.PLACES
