# SPDX-License-Identifier: GPL-3.0-or-later
"""How a server is set up, found out from its configuration: one without a database, and one with names of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _setup
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import sql
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config, probes, sockets
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

PJSIP, SIP = "chan_pjsip.so  driver  0  Running  core\n", "chan_sip.so  driver  0  Running  extended\n"


@pytest.fixture
def found_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """found_on(modules, transports, **files): what is found with these files in Asterisk's folder and in /etc."""

    def ask(modules: str, transports: list[tuple[str, str, int]], **written: str) -> dict[str, Any]:
        class Asterisk:
            def __init__(self, settings: dict[str, Any]) -> None:
                pass

            def command(self, _line: str) -> str:
                return modules

            def transports(self) -> list[dict[str, Any]]:
                return [{"id": "t", "transport": kind, "address": at, "port": port} for kind, at, port in transports]

            def process(self) -> dict[str, Any]:
                return {"pid": 1}

            def knows(self, _account: str) -> bool:
                return False

        def missing(*_arguments: object, **_options: object) -> str:
            raise ProbeError("missing", "there is no such program")

        for name, text in written.items():
            (tmp_path / f"{name}.{'ini' if 'odbc' in name and 'res' not in name else 'conf'}").write_text(text)
        monkeypatch.setattr(_setup, "Asterisk", Asterisk)
        monkeypatch.setattr(_setup, "run", missing)
        monkeypatch.setattr(config.read, "__defaults__", (str(tmp_path),))
        monkeypatch.setattr(config.text, "__defaults__", (str(tmp_path), 5))
        monkeypatch.setattr(sql, "ODBC_FILES", (str(tmp_path / "odbc.ini"),))
        monkeypatch.setattr(_setup, "ODBC_DRIVERS", str(tmp_path / "odbcinst.ini"))
        monkeypatch.setattr(sockets, "sockets", list)
        monkeypatch.setattr(sockets, "unit_of", lambda _pid: "asterisk.service")
        monkeypatch.setattr(probes, "routes", lambda: [{"destination": "default", "device": "eth0"}])
        links = [{"name": "eth0", "addresses": ["192.0.2.7/24", "2001:db8::7/64", "fe80::7/64"]}]
        monkeypatch.setattr(probes, "interfaces", lambda: links)
        return _setup.answer()["setup"]

    return ask


def values(found: dict[str, Any]) -> dict[str, Any]:
    return {name: one["value"] for name, one in found.items()}


def test_a_server_with_accounts_in_a_file(found_on: Callable[..., dict[str, Any]]) -> None:
    bound = [("udp", "0.0.0.0", 5060), ("tcp", "0.0.0.0", 5060), ("tcp", "127.0.0.1", 5070), ("ws", "0.0.0.0", 5060)]
    found = values(found_on(PJSIP, bound, rtp="[general]\nrtpstart=10000\nrtpend=20000\n"))
    assert found["channel_driver"] == "pjsip"
    assert found["sip_transports"] == [{"transport": "udp", "port": 5060}, {"transport": "tcp", "port": 5060}]
    assert (found["sip_domain"], found["addresses"]) == ("192.0.2.7", ["192.0.2.7"])
    assert (found["account_backend"], found["database_engine"], found["odbc_class"]) == ("file", "none", "")
    assert (found["rtp_ports"], found["fail2ban_jail"], found["tls_certificate_file"]) == ([10000, 20000], "", "")
    assert found["test_account"] is None


def test_a_database_with_names_of_its_own(found_on: Callable[..., dict[str, Any]]) -> None:
    found = found_on(
        PJSIP,
        [("tls", "::", 5061)],
        sorcery="[res_pjsip]\nendpoint=realtime,ps_endpoints\n",
        extconfig="[settings]\nps_endpoints => odbc,pbxdb,ast_endpoints\n",
        res_odbc="[pbxdb]\ndsn => telephony\n",
        odbc="[telephony]\nDriver = Our driver\n",
        odbcinst="[Our driver]\nDriver = /usr/lib/odbc/psqlodbcw.so\n",
    )
    known = values(found)
    assert (known["account_backend"], known["database_engine"]) == ("realtime", "postgresql")
    assert (known["odbc_class"], known["odbc_dsn"]) == ("pbxdb", "telephony")
    assert known["addresses"] == ["2001:db8::7"]
    assert known["database_unit"] is None
    assert "not found" in found["database_unit"]["why"]


def test_chan_sip_takes_ipv4_where_it_is_bound_to_all(found_on: Callable[..., dict[str, Any]]) -> None:
    found = values(found_on(SIP, [("udp", "::", 5060)]))
    assert (found["channel_driver"], found["addresses"]) == ("sip", ["192.0.2.7", "2001:db8::7"])


def test_without_asterisk_each_setting_says_why(found_on: Callable[..., dict[str, Any]]) -> None:
    found = found_on("", [])
    assert found["channel_driver"]["value"] is None
    assert all(one["why"] for one in found.values())
