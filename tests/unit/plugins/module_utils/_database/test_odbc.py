# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection over unixODBC: what its driver is told, and what its words mean. The lab's custom has no other."""

from __future__ import annotations

import datetime
from typing import Literal

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import odbc, sql
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError


class Raw:
    """A connection that notes what it was told."""

    told: dict[str, str]

    def __init__(self, values: dict[str, str], _limit: float) -> None:
        Raw.told = values


@pytest.fixture(autouse=True)
def no_driver_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "pymysql", None)
    monkeypatch.setattr(sql, "psycopg2", None)


def login(engine: Literal["mysql", "postgresql"] = "mysql", **source: str) -> sql.Login:
    return sql.Login(engine, {"driver": "Our driver", "user": "voip", "password": "p;w}d", **source}, {})


@pytest.mark.attack("a value of a connection string goes on with another", harm="execution")
def test_a_value_cannot_become_another_one() -> None:
    text = odbc.connection_string({"UID": "voip", "PWD": "p;w}d", "SOCKET": ""})
    assert text == "UID={voip};PWD={p;w}}d}"


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (login(server="192.0.2.1"), {"SERVER": "192.0.2.1", "PORT": "3306"}),
        (login(socket="/run/x.sock"), {"SERVER": "localhost", "SOCKET": "/run/x.sock"}),
        (login("postgresql", server="192.0.2.1"), {"SERVER": "192.0.2.1", "PORT": "5432"}),
    ],
)
def test_the_driver_of_asterisk_serves_where_python_has_none(
    monkeypatch: pytest.MonkeyPatch, given: sql.Login, place: dict[str, str]
) -> None:
    monkeypatch.setattr(odbc, "Connection", Raw)
    sql.Connection(given, 2.5)
    assert {name: Raw.told[name] for name in place} == place
    assert (Raw.told["DRIVER"], Raw.told["UID"], Raw.told["PWD"]) == ("Our driver", "voip", "p;w}d")


def test_without_any_driver_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProbeError, match="neither Python nor ODBC") as caught:
        sql.Connection(login(driver=""), 2.5)
    assert caught.value.error == "missing"
    monkeypatch.setattr(odbc, "LIBRARIES", ("libodbc-of-nobody.so",))
    with pytest.raises(ProbeError, match="Python has no driver") as caught:
        sql.Connection(login(), 2.5)
    assert caught.value.error == "missing"


@pytest.mark.parametrize(
    ("engine", "error", "kind", "code"),
    [
        ("mysql", odbc.Error(1045, "Access denied for user 'voip'@'localhost'", "28000"), "denied", "1045"),
        ("mysql", odbc.Error(1040, "Too many connections", "08004"), "denied", "1040"),
        ("mysql", odbc.Error(2002, "Can't connect to server on '192.0.2.1' (111)", "HY000"), "refused", None),
        ("mysql", odbc.Error(2002, "Can't connect to local server through socket '/x' (2)", "HY000"), "missing", None),
        ("mysql", odbc.Error(0, "Can't open lib 'libx.so' : file not found", "01000"), "missing", None),
        ("mysql", odbc.Error(0, "Data source name not found", "IM002"), "missing", None),
        ("postgresql", odbc.Error(101, "FATAL: password authentication failed for user", "08001"), "denied", "28P01"),
        ("postgresql", odbc.Error(1, "ERROR: permission denied for table ps_auths", "42501"), "denied", "42501"),
    ],
)
def test_what_the_database_says_means_the_same(
    engine: Literal["mysql", "postgresql"], error: odbc.Error, kind: str, code: str | None
) -> None:
    found = sql._problem(engine, error)
    assert (found.error, found.extra.get("code")) == (kind, code)


def test_values_have_the_types_of_a_driver_of_python() -> None:
    assert [odbc.value("0", -6), odbc.value("1.5", 3), odbc.value(None, 4), odbc.value("x", 12)] == [0, 1.5, None, "x"]
    assert odbc.value("2026-01-31 03:00:00", 93) == datetime.datetime(2026, 1, 31, 3)


@pytest.mark.parametrize(
    ("code", "failures", "tries", "error"), [(2013, 1, 2, None), (2013, 9, 2, "refused"), (1045, 9, 1, "denied")]
)
def test_one_connection_that_is_dropped_says_nothing_yet(
    monkeypatch: pytest.MonkeyPatch, code: int, failures: int, tries: int, error: str | None
) -> None:
    seen = []

    def connect(_values: dict[str, str], _limit: float) -> object:
        seen.append(1)
        if len(seen) <= failures:
            raise odbc.Error(code, "Lost connection to MySQL server during query", "HY000")
        return object()

    monkeypatch.setattr(odbc, "Connection", connect)
    if error is None:
        sql.Connection(login(server="192.0.2.1"), 2.5)
    else:
        with pytest.raises(ProbeError) as caught:
            sql.Connection(login(server="192.0.2.1"), 2.5)
        assert caught.value.error == error
    assert len(seen) == tries
