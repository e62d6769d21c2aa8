# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in a directory: entries are accounts, one gets a new password, and every connection is encrypted."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ldap3
import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import accounts
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.accounts.registries import ldap
from ldap3.core.connection import Connection

BASE = "ou=people,dc=example,dc=org"
USER = f"cn=reconnect,{BASE}"
CONFIGURATION = {
    "plugin": "ldap",
    "url": "ldaps://directory.example.org",
    "base": BASE,
    "filter": "(objectClass=inetOrgPerson)",
    "user": USER,
    "password": "of the service",
    "attributes": {
        "username": "employeeNumber",
        "password": "sipPassword",
        "virtual_number": "telephoneNumber",
        "group_name": "departmentNumber",
        "codecs": "sipCodec",
        "enabled": "sipEnabled",
    },
    "defaults": {"server": "pbx1", "max_contacts": 2},
}


def entry(number: str, **more: Any) -> dict[str, Any]:
    return {
        "objectClass": "inetOrgPerson",
        "employeeNumber": number,
        "sipPassword": "{{ never }}",
        "telephoneNumber": f"+39021234{number}",
        "departmentNumber": "sales",
    } | more


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A directory in memory, which answers as slapd does."""
    server = ldap3.Server("directory.example.org")

    def connection(*_given: ldap.Registry) -> Connection:
        made = ldap3.Connection(
            server, user=USER, password="of the service", client_strategy=ldap3.MOCK_SYNC, raise_exceptions=True
        )
        made.strategy.add_entry(USER, {"userPassword": "of the service", "sn": "reconnect"})
        made.bind()
        return made

    def add(**entries: dict[str, Any]) -> None:
        for name, attributes in entries.items():
            connection().strategy.add_entry(f"uid={name},{BASE}", attributes)

    monkeypatch.setattr(ldap.Registry, "_connection", connection)
    return add


def test_entries_are_accounts_and_their_secrets_are_data(directory: Callable[..., None], tmp_path: Path) -> None:
    directory(
        ann=entry("1001", sipCodec=["ulaw", "alaw"], sipEnabled="FALSE"),
        bob=entry("1002", telephoneNumber=["+390212345602", "+390212345603"]),
        eve=entry("1003", sipPassword=b"\xff"),
        other={"objectClass": "device", "employeeNumber": "1009"},
    )
    found = accounts.load(CONFIGURATION, str(tmp_path))
    (account,) = found.accounts
    assert account.where == f"uid=ann,{BASE}"
    assert {name: account.values[name] for name in ("codecs", "enabled", "server", "max_contacts", "group")} == {
        "codecs": ["ulaw", "alaw"],
        "enabled": False,
        "server": "pbx1",
        "max_contacts": 2,
        "group": "sales",
    }
    assert accounts.resolved(account, lambda secret, known: secret.text)["password"] == "{{ never }}"
    said = {(one.where, one.sentence) for one in found.mistakes}
    assert (f"uid=bob,{BASE}", "The attribute telephoneNumber has 2 values, one is possible.") in said
    assert (f"uid=eve,{BASE}", "The attribute sipPassword is no UTF-8 text.") in said


def test_more_entries_than_a_page_has(
    directory: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ldap, "PAGE", 2)
    directory(**{f"a{number}": entry(f"100{number}") for number in range(5)})
    assert len(accounts.load(CONFIGURATION, str(tmp_path)).accounts) == 5
    monkeypatch.setattr(ldap, "MOST", 4)
    with pytest.raises(accounts.RegistryError, match="has more than 4 entries"):
        accounts.load(CONFIGURATION, str(tmp_path))


def test_a_search_that_a_limit_of_the_directory_ends_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """slapd with a ``sizelimit`` of 500 returns 500 entries, and the package raises nothing."""
    limited = SimpleNamespace(
        result={"result": 4, "description": "sizeLimitExceeded"},
        extend=SimpleNamespace(standard=SimpleNamespace(paged_search=lambda *_given, **_named: iter([]))),
        unbind=lambda: None,
    )
    monkeypatch.setattr(ldap.Registry, "_connection", lambda _registry: limited)
    with pytest.raises(accounts.RegistryError, match=f"not return all entries: sizeLimitExceeded.*limits for {USER}"):
        accounts.load(CONFIGURATION, str(tmp_path))


def test_a_new_password_is_stored_in_the_one_entry(directory: Callable[..., None], tmp_path: Path) -> None:
    directory(ann=entry("1001"), bob=entry("1002"))
    first, second = accounts.load(CONFIGURATION, str(tmp_path)).accounts
    ldap.Registry(CONFIGURATION, str(tmp_path)).keeper(first, lambda text, other: text)("a new one")
    passwords = {
        one.username: accounts.resolved(one, lambda secret, known: secret.text)["password"]
        for one in accounts.load(CONFIGURATION, str(tmp_path)).accounts
    }
    assert passwords == {"1001": "a new one", "1002": "{{ never }}"}
    directory(twin=entry("1002"))
    with pytest.raises(accounts.RegistryError, match="has no single entry of the account 1002"):
        ldap.Registry(CONFIGURATION, str(tmp_path)).keeper(second, lambda text, other: text)("x")
    without = {**CONFIGURATION, "attributes": {"username": "employeeNumber"}}
    with pytest.raises(accounts.RegistryError, match="no attribute for password"):
        ldap.Registry(without, str(tmp_path)).keeper(first, lambda text, other: text)


@pytest.mark.attack("somebody between us and the directory reads passwords, or refers us elsewhere", harm="leak")
@pytest.mark.parametrize(
    ("scheme", "how"), [("ldaps", ldap3.AUTO_BIND_NO_TLS), ("ldap", ldap3.AUTO_BIND_TLS_BEFORE_BIND)]
)
def test_the_connection_is_encrypted_before_anybody_signs_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str, how: str
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(ldap3, "Connection", lambda server, **given: seen.update(given, server=server))
    registry = ldap.Registry({**CONFIGURATION, "url": f"{scheme}://directory.example.org"}, str(tmp_path))
    registry._connection()
    assert (seen["auto_bind"], seen["auto_referrals"]) == (how, False)
    assert (seen["server"].tls.validate, seen["server"].ssl) == (ssl.CERT_REQUIRED, scheme == "ldaps")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"url": "http://directory.example.org"}, "must be ldaps://HOST or ldap://HOST"),
        ({"attributes": {}}, "names no attribute for username"),
        ({"attributes": {"username": "uid)(cn=*"}}, "is 'uid\\)\\(cn=\\*', which is not the name of one"),
        ({"attributes": {"user": "uid"}}, "name an unknown column: 'user'"),
        ({"defaults": "pbx1"}, "must be values by column"),
        ({"url": "ldaps://127.0.0.1:1"}, "Cannot read the account registry in ldaps://127.0.0.1:1: "),
        ({"ca_file": "/nowhere.pem"}, "Cannot read the account registry in ldaps://directory.example.org: "),
    ],
)
def test_an_invalid_directory_is_one_sentence(tmp_path: Path, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(accounts.RegistryError, match=sentence) as caught:
        accounts.load({**CONFIGURATION, **more}, str(tmp_path))
    assert ("of the service" in str(caught.value), len(str(caught.value).splitlines())) == (False, 1)


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ldap, "HAS_LDAP3", False)
    with pytest.raises(accounts.RegistryError, match=r"needs the Python package ldap3\..*pip install ldap3"):
        accounts.load(CONFIGURATION, str(tmp_path))
