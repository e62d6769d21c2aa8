# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Asterisk stores the contacts of an account, by its own configuration, and which are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import files as account_files
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import probes
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import KnownContacts
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import filled

TABLE = {"settings": {"ps_contacts": "odbc,asterisk,their_contacts", "sippeers": "odbc,asterisk"}}
LIVE = [{"uri": "sip:reconnect-1@192.0.2.1:5061", "status": "Created", "rtt_ms": None}]
ASTDB = {
    "database show registrar/contact": (
        '/registrar/contact/601;@5a1 : {"via_addr":"192.0.2.1","uri":"sip:reconnect-1@192.0.2.1:5061","path":""}\n'
        '/registrar/contact/6011;@5a2 : {"uri":"sip:6011@192.0.2.7:5061"}\n2 results found.\n'
    ),
    "database show SIP/Registry 601": (
        "/SIP/Registry/601 : 192.0.2.1:5061:3600:601:sip:reconnect-1@192.0.2.1:5061\n1 results found.\n"
    ),
}


class Asterisk:
    def __init__(self, _settings: object) -> None:
        pass

    def everything_live(self, _name: str) -> dict[str, Any]:
        return {"contacts": LIVE}

    def command(self, line: str) -> str:
        return ASTDB[line]


class Connection:
    asked: ClassVar[list[tuple[str, tuple[Any, ...]]]] = []
    error: ProbeError | None = None

    def __init__(self, *_login: object) -> None:
        pass

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def records(self, statement: str, values: tuple[Any, ...]) -> list[dict[str, str]]:
        if self.error:
            raise self.error
        self.asked.append((statement, values))
        return [{statement.split()[1]: "sip:reconnect-1@192.0.2.1:5061^3Btransport=TLS"}]


@pytest.fixture
def contacts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., KnownContacts]:
    """contacts(driver, error=None, **files): what the probe says with these files in Asterisk's folder."""

    def ask(driver: str, error: ProbeError | None = None, **files: Any) -> KnownContacts:
        monkeypatch.setattr(probes, "Asterisk", Asterisk)
        monkeypatch.setattr(probes, "Connection", Connection)
        monkeypatch.setattr(probes, "login_of", lambda _settings: None)
        monkeypatch.setattr(config, "read", lambda name: files.get(name.partition(".")[0], {}))
        monkeypatch.setattr(Connection, "asked", [])
        monkeypatch.setattr(Connection, "error", error)
        return probes.Account(filled({"channel_driver": driver}), "601").contacts()

    return ask


def test_contacts_are_in_the_table_that_sorcery_and_extconfig_name(contacts: Callable[..., KnownContacts]) -> None:
    sorcery = {"res_pjsip_registrar": {"contact": "realtime,ps_contacts"}}
    found = contacts("pjsip", sorcery=sorcery, extconfig=TABLE)
    assert (found["where"], found["stored"]) == ("their_contacts", ["sip:reconnect-1@192.0.2.1:5061^3Btransport=TLS"])
    ((statement, values),) = Connection.asked
    assert " FROM their_contacts " in statement
    assert values[0].endswith("601^3B@%")


@pytest.mark.parametrize("sorcery", [{}, {"res_pjsip": {"endpoint": "realtime,ps_endpoints"}}])
def test_contacts_without_a_mapping_are_in_astdb(
    contacts: Callable[..., KnownContacts], sorcery: dict[str, dict[str, str]]
) -> None:
    found = contacts("pjsip", sorcery=sorcery, extconfig=TABLE)
    assert (found["where"], found["stored"]) == ("astdb", ["sip:reconnect-1@192.0.2.1:5061"])


def test_contacts_of_chan_sip_are_in_its_table_or_in_astdb(contacts: Callable[..., KnownContacts]) -> None:
    assert contacts("sip", extconfig=TABLE)["where"] == "sippeers"
    found = contacts("sip")
    assert (found["where"], found["stored"]) == ("astdb", ["sip:reconnect-1@192.0.2.1:5061"])


def test_a_table_that_cannot_be_read_says_why(contacts: Callable[..., KnownContacts]) -> None:
    found = contacts("sip", ProbeError("denied", "no SELECT"), extconfig=TABLE)
    assert (found["live"], found["stored"], found["why"]) == (["sip:reconnect-1@192.0.2.1:5061"], None, "no SELECT")


def test_rows_of_an_account_in_a_file_are_its_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pjsip.conf").write_text(
        "[phone](!)\ntype=endpoint\ncontext=default\n[601](phone)\nauth=login\naors=601\n"
        "[login]\ntype=auth\nusername=601\npassword=secret\n[601]\ntype=aor\nmax_contacts=1\n"
    )
    monkeypatch.setattr(config, "read", lambda _name: {})
    monkeypatch.setattr(account_files.Sections.__init__, "__defaults__", (str(tmp_path),))
    monkeypatch.setattr(probes, "Asterisk", Asterisk)
    found: dict[str, Any] = {**probes.Account(filled({"database_engine": "none"}), "601").rows()}
    assert (found["endpoint"]["context"], found["auth"]["username"], found["aor"]["max_contacts"]) == (
        "default",
        "601",
        "1",
    )
    assert "secret" not in str(found)
    assert (found["contacts"], found["hidden"]) == ([], [])
