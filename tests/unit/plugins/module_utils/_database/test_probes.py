# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a database's answers and errors, and a database that says nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import probes as database
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import sql
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.realtime import (
    database_tables,
    parse_realtime,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, run_all
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import filled

SETTINGS = filled({})


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that writes the files which say where the database is."""

    def write(odbc: str = "", res_odbc: str = "") -> None:
        (tmp_path / "odbc.ini").write_text(odbc)
        (tmp_path / "res_odbc.conf").write_text(res_odbc)
        monkeypatch.setattr(sql, "ODBC_FILES", (str(tmp_path / "odbc.ini"),))
        monkeypatch.setattr(config.read, "__defaults__", (str(tmp_path),))

    return write


@pytest.fixture
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections and says nothing, as a stopped process does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_class_wins_over_the_data_source(configured: Callable[..., None]) -> None:
    configured(
        "[asterisk]\nServer = 192.0.2.1\nPort = 3307\nDatabase = pbx\nUser = reader\nPassword = one\n",
        "[asterisk]\nenabled => yes\ndsn => asterisk\nusername => writer\npassword => two\\;three\n",
    )
    login = sql.login_of(SETTINGS)
    assert (login.host, login.port, login.database, login.socket) == ("192.0.2.1", 3307, "pbx", None)
    assert (login.user, login.password) == ("writer", "two;three")


def test_no_text_shows_the_password(configured: Callable[..., None]) -> None:
    configured("[asterisk]\nServer = 192.0.2.1\nPassword = c4n4ry\n")
    login = sql.login_of(SETTINGS)
    assert login.password == "c4n4ry"
    assert "c4n4ry" not in f"{login} {login!r}"


def test_localhost_means_the_socket(configured: Callable[..., None]) -> None:
    configured("[asterisk]\nServer = localhost\nSocket = /run/other.sock\n")
    assert sql.login_of(SETTINGS).socket == "/run/other.sock"
    configured("[asterisk]\nServer = localhost\n")
    assert sql.login_of(SETTINGS).socket in sql.SOCKETS["mysql"]


def test_without_a_data_source_everything_is_missing(configured: Callable[..., None]) -> None:
    configured("[other]\nServer = localhost\n")
    asked = database.questions(SETTINGS)
    answers: Mapping[str, Mapping[str, Any]] = run_all({name: asked[name] for name in ("port", *database.SESSION)})
    assert {answer["error"] for answer in answers.values()} == {"missing"}


def test_a_silent_server_is_told_from_a_dead_one(
    configured: Callable[..., None], silent_server: int, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "DRIVER_LIMIT", 0.3)
    configured(f"[asterisk]\nServer = 127.0.0.1\nPort = {silent_server}\n")
    asked = database.questions(SETTINGS)
    answers: Mapping[str, Mapping[str, Any]] = run_all({name: asked[name] for name in ("port", *database.SESSION)})
    assert answers["port"]["ok"]
    assert {answers[name]["error"] for name in answers if name != "port"} == {"timed_out"}
    # The driver ends, not the time for the question.
    assert [name for name, answer in answers.items() if "no answer within" in answer.get("message", "")] == []

    configured(f"[asterisk]\nServer = 127.0.0.1\nPort = {closed_port}\n")
    again = database.questions(SETTINGS)
    refused: Mapping[str, Mapping[str, Any]] = run_all({name: again[name] for name in ("port", *database.SESSION)})
    assert {answer["error"] for answer in refused.values()} == {"refused"}


def test_the_questions_take_turns(configured: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    configured("[asterisk]\nServer = 192.0.2.1\n")
    busy = threading.Lock()
    order = []

    class Connection:
        def __init__(self, login: sql.Login, limit: float) -> None:
            pass

        def rows(self, statement: str, values: tuple[str, ...] = ()) -> list[tuple[str]]:
            assert busy.acquire(blocking=False), "two statements at a time"
            order.append(statement.split()[0])
            busy.release()
            return [("11.8",)] if "version" in statement else []

        def columns(self, tables: list[str]) -> dict[str, Any]:
            self.rows("SELECT columns")
            return {table: [] for table in tables}

        def hiding(self, tables: list[str]) -> list[Any]:
            self.rows("SELECT tables")
            return []

        def close(self) -> None:
            order.append("closed")

    monkeypatch.setattr(database, "Connection", Connection)
    monkeypatch.setattr(database, "contacts_table", lambda _driver: "ps_contacts")
    asked = database.questions(SETTINGS)
    answers: Mapping[str, Mapping[str, Any]] = run_all({name: asked[name] for name in reversed(database.SESSION)})
    assert all(answer["ok"] for answer in answers.values())
    assert order[0] == "SELECT"
    assert order[-1] == "closed"


@pytest.mark.parametrize(
    ("code", "text", "error", "kept"),
    [
        (1045, "Access denied for user 'asterisk'@'127.0.0.1' (using password: YES)", "denied", "1045"),
        (1040, "Too many connections", "denied", "1040"),
        (1146, "Table 'asterisk.ps_auths' doesn't exist", "failed", "1146"),
        (2013, "Lost connection to MySQL server during query (timed out)", "timed_out", None),
        (2013, "Lost connection to MySQL server during query", "refused", None),
    ],
)
def test_errors_of_mysql(code: int, text: str, error: str, kept: str | None) -> None:
    problem = sql.problem_of_mysql(code, text)
    assert (problem.error, problem.extra.get("code")) == (error, kept)


@pytest.mark.parametrize(
    ("code", "text", "error", "kept"),
    [
        (None, 'FATAL:  password authentication failed for user "asterisk"\n', "denied", "28P01"),
        (None, "FATAL:  sorry, too many clients already\n", "denied", "53300"),
        (None, 'FATAL:  database "asterisk" does not exist\n', "denied", "3D000"),
        (None, 'FATAL:  no pg_hba.conf entry for host "192.0.2.7"', "denied", "28000"),
        (None, 'connection to server at "127.0.0.1", port 5432 failed: timeout expired', "timed_out", None),
        (None, 'connection to server at "127.0.0.1", port 5432 failed: Connection refused', "refused", None),
        ("57014", "canceling statement due to statement timeout", "timed_out", None),
        ("42P01", 'relation "ps_auths" does not exist', "failed", "42P01"),
        ("58P01", 'could not open file "base/16384/16443": No such file or directory\n', "failed", "58P01"),
        ("XX001", 'invalid page in block 0 of relation "base/16384/16446"\n', "failed", "XX001"),
    ],
)
def test_errors_of_postgresql(code: str | None, text: str, error: str, kept: str | None) -> None:
    problem = sql.problem_of_postgresql(code, text)
    assert (problem.error, problem.extra.get("code")) == (error, kept)


def test_status_of_mariadb() -> None:
    rows = [
        ("Max_used_connections", "4"),
        ("Slow_queries", "0"),
        ("Threads_connected", "3"),
        ("Uptime", "63"),
        ("innodb_read_only", "OFF"),
        ("max_connections", "40"),
        ("read_only", "ON"),
    ]
    assert database.parse_mysql_status(rows) == {
        "threads_connected": 3,
        "max_used_connections": 4,
        "uptime": 63,
        "slow": 0,
        "max_connections": 40,
        "read_only": True,
        "super_read_only": None,
        "innodb_read_only": False,
    }


def test_tables_are_those_of_extconfig() -> None:
    families = {"ps_endpoints": "odbc,asterisk", "ps_auths": "odbc,asterisk,secrets", "ps_aors": "curl,http://x"}
    assert database_tables(parse_realtime({"settings": families}), ["ps_endpoints", "ps_auths", "ps_aors"]) == [
        "ps_endpoints",
        "secrets",
    ]


def test_incomplete_endpoints() -> None:
    found = database.incomplete_endpoints(
        [("1001", "1001", "1001"), ("1002", "gone", "1002"), ("1003", None, ""), ("1004", "1004", "1001,1004")],
        [("1001", 1, 0), ("1004", 0, 0)],
        [("1001", 1), ("1002", 0), ("1004", None)],
    )
    assert found == {
        "total": 4,
        "incomplete_total": 3,
        "incomplete": [
            {"id": "1002", "missing": ["auth", "max_contacts"]},
            {"id": "1003", "missing": ["auth", "aor"]},
            {"id": "1004", "missing": ["password", "max_contacts"]},
        ],
    }


def test_incomplete_peers() -> None:
    rows = [("1001", "dynamic", 1, 0), ("1002", "dynamic", 0, 0), ("1003", "", 0, 1)]
    assert database.incomplete_peers(rows)["incomplete"] == [
        {"id": "1002", "missing": ["secret"]},
        {"id": "1003", "missing": ["host"]},
    ]


def test_a_table_with_a_strange_name_is_not_asked() -> None:
    with pytest.raises(ProbeError):
        sql.plain_name("ps_auths; DROP TABLE ps_auths")


@pytest.mark.parametrize(
    ("rows", "damaged"),
    [
        ([("asterisk.ps_aors", "check", "status", "OK")], False),
        ([("asterisk.v", "check", "note", "The storage engine for the table doesn't support check")], False),
        (
            [("a.t", "check", "Error", "Table 'a.t' doesn't exist"), ("a.t", "check", "status", "Operation failed")],
            False,
        ),
        ([("a.t", "check", "Error", "Incorrect key file for table 't'"), ("a.t", "check", "error", "Corrupt")], True),
        (
            [("a.t", "check", "Error", "Table 't' doesn't exist in engine"), ("a.t", "check", "error", "Corrupt")],
            True,
        ),
        ([("a.t", "check", "warning", "Table is marked as crashed"), ("a.t", "check", "error", "Corrupt")], True),
        ([], False),
    ],
)
def test_a_damaged_table_is_told_from_one_that_is_not_there(
    rows: list[tuple[str, str, str, str]], damaged: bool
) -> None:
    assert bool(database.parse_check(rows)) is damaged


def test_who_keeps_the_database_busy_is_told_without_the_statement() -> None:
    rows = [("asterisk", 0, 900, ""), ("report", 1, 70, "User sleep"), ("asterisk", 1, 3, "Waiting for table lock")]
    found = database.busy(rows)
    assert found["connections"] == {"asterisk": 2, "report": 1}
    assert [one["user"] for one in found["longest"]] == ["report", "asterisk"]
    assert database.busy([["report", "t", "70", "active"]])["longest"][0]["seconds"] == 70


def test_a_question_of_the_server_is_no_damage_of_a_table(
    configured: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal that says nothing of the files must not end as a damaged table, and a write is only explained."""
    configured("[asterisk]\nServer = 192.0.2.1\n")
    asked = []

    class Connection:
        def __init__(self, login: sql.Login, limit: float) -> None:
            pass

        def rows(self, statement: str, values: tuple[str, ...] = ()) -> list[tuple[str]]:
            asked.append(statement)
            if "CHECK" in statement or statement.startswith("EXPLAIN INSERT"):
                raise ProbeError("denied", "command denied", code="1142")
            return [("11.8",)] if "version" in statement else []

        def close(self) -> None:
            pass

    monkeypatch.setattr(database, "Connection", Connection)
    monkeypatch.setattr(database, "contacts_table", lambda _driver: "ps_contacts")
    questions = database.questions(SETTINGS)
    answers: Mapping[str, Mapping[str, Any]] = run_all({name: questions[name] for name in database.SESSION})
    assert answers["tables"]["error"] == "denied"
    assert answers["writes"]["data"]["refused"] == {"INSERT": {"code": "1142", "text": "command denied"}}
    assert not [one for one in asked if one.startswith(("INSERT", "UPDATE", "DELETE"))]


@pytest.mark.parametrize(
    ("host", "here"), [("127.0.0.1", True), ("::1", True), ("/run/mysqld/mysqld.sock", True), ("192.0.2.1", False)]
)
def test_whether_the_database_is_on_this_server(configured: Callable[..., None], host: str, here: bool) -> None:
    where = f"Socket = {host}" if host.startswith("/") else f"Server = {host}"
    configured(f"[asterisk]\n{where}\n")
    assert database.place(SETTINGS) == {"address": host, "here": here}


@pytest.mark.parametrize(
    ("contact", "tables"),
    [
        ("", ["ast_endpoints", "ps_auths", "ps_aors"]),
        ("contact=realtime,ps_contacts", ["ast_endpoints", "ps_auths", "ps_aors", "their_contacts"]),
    ],
)
def test_contacts_in_asterisks_own_database_need_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contact: str, tables: list[str]
) -> None:
    monkeypatch.setattr(config.read, "__defaults__", (str(tmp_path),))
    (tmp_path / "extconfig.conf").write_text(
        "[settings]\nps_endpoints => odbc,pbx,ast_endpoints\nps_contacts => odbc,pbx,their_contacts\n"
    )
    (tmp_path / "sorcery.conf").write_text(f"[res_pjsip]\nendpoint=realtime,ps_endpoints\n{contact}\n")
    assert database.tables(SETTINGS) == tables
