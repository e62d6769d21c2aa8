"""The module account on a PostgreSQL server of its own: the same statements as on MariaDB, really carried out."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import (
    _account_tables,
    _accounts,
    _config,
    _database,
    _sql,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._account_plan import LEFT_TO_PEOPLE
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import accounts

BINARIES = [Path("/usr/local/bin"), Path("/usr/bin"), *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
PROGRAMS = next((folder for folder in reversed(BINARIES) if (folder / "initdb").exists()), None)
pytestmark = pytest.mark.skipif(
    PROGRAMS is None or _sql.psycopg2 is None, reason="there is no PostgreSQL server, or no psycopg2"
)

SCHEMA = """
CREATE TYPE yesno AS ENUM ('yes', 'no');
CREATE TABLE ps_endpoints (id varchar(40) PRIMARY KEY, transport varchar(40), aors varchar(200), auth varchar(40),
    context varchar(40), disallow varchar(200), allow varchar(200), force_rport yesno, media_encryption varchar(10));
CREATE TABLE ps_auths (id varchar(40) PRIMARY KEY, auth_type varchar(20), username varchar(40), password varchar(80));
CREATE TABLE ps_aors (id varchar(40) PRIMARY KEY, max_contacts int, remove_existing yesno, qualify_frequency int);
CREATE TABLE ps_contacts (id varchar(255) PRIMARY KEY, uri varchar(511), endpoint varchar(255));
CREATE TABLE sippeers (id serial PRIMARY KEY, name varchar(40), host varchar(40), type varchar(10), secret varchar(80),
    defaultuser varchar(40), transport varchar(20), encryption varchar(10), "call-limit" int);
CREATE TABLE wanted (username text, password text, virtual_number text, server text, codecs text, enabled boolean);
INSERT INTO wanted VALUES ('1001', 'from {{ sql }}', '+390212345601', 'pbx1', 'ulaw,alaw', true);
"""
WANTED = {
    "username": "1001",
    "password": "it's; secret",
    "enabled": True,
    "security_model": "end_to_site",
    "keep_alive": True,
    "transport": "tls",
    "context": "internal",
    "codecs": ["ulaw", "alaw"],
    "max_contacts": 1,
    "acl": [],
}


@pytest.fixture(scope="module")
def socket_folder(tmp_path_factory):
    """A server that listens on a socket in a folder of its own, as the user postgres when we are root."""
    folder = Path("/tmp") / f"reconnect-postgresql-{os.getpid()}"
    folder.mkdir(mode=0o700)
    user = []
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = ["runuser", "-u", "postgres", "--"]
    data = str(folder / "data")

    def call(*words: str, text: str | None = None) -> None:
        done = subprocess.run(
            [*user, *words], input=text, capture_output=True, text=True, timeout=60, check=False, cwd="/"
        )
        assert done.returncode == 0, done.stderr

    try:
        call(str(PROGRAMS / "initdb"), "-A", "trust", "-U", "asterisk", "-D", data)
        options = f"-c listen_addresses='' -k {folder} -F"
        call(str(PROGRAMS / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            call(
                "psql",
                "-q",
                "-h",
                str(folder),
                "-U",
                "asterisk",
                "-d",
                "postgres",
                "-v",
                "ON_ERROR_STOP=1",
                text=SCHEMA,
            )
            yield folder
        finally:
            call(str(PROGRAMS / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def login(socket_folder):
    socket = str(socket_folder / ".s.PGSQL.5432")
    return _sql.Login("postgresql", {"socket": socket, "database": "postgres", "user": "asterisk"}, {})


@pytest.fixture
def work(login, monkeypatch, tmp_path):
    monkeypatch.setattr(_account_tables, "login_of", lambda settings: login)
    monkeypatch.setattr(_config.read, "__defaults__", (str(tmp_path),))
    (tmp_path / "extconfig.conf").write_text("[settings]\nps_endpoints => odbc,a\nsippeers => odbc,a\n")

    def call(driver, *wanted, state="present"):
        made = _accounts.Accounts({"channel_driver": driver}, "auto", False, str(tmp_path / "journal" / "accounts"))
        try:
            with made.journal.held():
                return made.recover(), made.apply(list(wanted), state, LEFT_TO_PEOPLE)
        finally:
            made.store.close()

    return call


@pytest.mark.parametrize("driver", ["pjsip", "sip"])
def test_an_account_is_made_mended_taken_away_and_brought_back(work, login, driver):
    assert work(driver, WANTED)[1][0]["state"] == "created"
    assert work(driver, WANTED)[1][0]["state"] == "ok"
    changed = {**WANTED, "password": "another"}
    _recovered, (told,) = work(driver, changed)
    assert ([one["cause"] for one in told["findings"]], told["state"]) == (["password_mismatch"], "mended")
    assert work(driver, WANTED, state="restored")[1][0]["state"] == "restored"
    assert work(driver, WANTED)[1][0]["state"] == "ok"
    assert work(driver, WANTED, state="absent")[1][0]["state"] == "removed"
    connection = _sql.Connection(login, 5)
    table = "ps_endpoints" if driver == "pjsip" else "sippeers"
    assert connection.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    connection.close()


def test_a_plain_user_counts_the_connections_of_others_and_not_those_of_administrators(login):
    administrator = _sql.Connection(login, 5)
    administrator.change("DROP ROLE IF EXISTS plain")
    administrator.change("CREATE ROLE plain LOGIN")
    login.user = "plain"
    session = _database._Session({"database_engine": "postgresql"})
    session._connection = _sql.Connection(login, 5)
    status = _database.status(session)
    session._connection.close()
    administrator.close()
    assert (status["threads_connected"], status["max_connections"]) == (2, 97)
    assert status["read_only"] is False


def test_a_row_that_is_refused_leaves_nothing_of_the_account(work, login):
    with pytest.raises(ProbeError, match="too long"):
        work("pjsip", {**WANTED, "username": "1002", "password": "x" * 81})
    connection = _sql.Connection(login, 5)
    assert connection.rows("SELECT count(*) FROM ps_endpoints WHERE id = '1002'") == [(0,)]
    connection.close()
    ((told,), (account,)) = work("pjsip", {**WANTED, "username": "1002"})
    assert (told["state"], account["state"]) == ("rolled_back", "created")


def test_the_registry_may_be_a_table(login, tmp_path):
    configuration = {"plugin": "sql", "engine": "postgresql", "table": "wanted", "user": "asterisk"}
    configuration.update(socket=login.socket, database="postgres")
    found = accounts.load(configuration, str(tmp_path), {"pbx1"})
    (account,) = found.accounts
    assert found.mistakes == []
    assert accounts.resolved(account, lambda secret, known: secret.text)["password"] == "from {{ sql }}"
    assert (account.values["codecs"], account.values["enabled"]) == (["ulaw", "alaw"], True)


def test_a_new_password_goes_into_its_row_and_where_it_does_not_nobody_sees_it(login, tmp_path):
    connection = _sql.Connection(login, 5)
    connection.change("CREATE VIEW fixed AS SELECT DISTINCT * FROM wanted")
    configuration = {"plugin": "sql", "engine": "postgresql", "user": "asterisk", "database": "postgres"}
    configuration.update(socket=login.socket, table="fixed")
    try:
        _account, keep = accounts.keeper(configuration, str(tmp_path), "pbx1", "1001", lambda text, like: text)
        with pytest.raises(accounts.RegistryError, match=r"can't be stored in the table fixed") as raised:
            keep("canary; it's new")
        assert "canary" not in str(raised.value)
        assert connection.rows("SELECT password FROM wanted") == [("from {{ sql }}",)]
        configuration["table"] = "wanted"
        connection.change("ALTER TABLE wanted ADD CONSTRAINT short CHECK (length(password) < 20)")
        _account, keep = accounts.keeper(configuration, str(tmp_path), "pbx1", "1001", lambda text, like: text)
        with pytest.raises(accounts.RegistryError, match="short") as raised:
            keep("canary that is much too long")
        assert "canary" not in str(raised.value)
        keep("canary; it's new")
        assert connection.rows("SELECT password FROM wanted") == [("canary; it's new",)]
    finally:
        connection.change("DROP VIEW fixed")
        connection.change("ALTER TABLE wanted DROP CONSTRAINT IF EXISTS short")
        connection.change("UPDATE wanted SET password = 'from {{ sql }}'")
        connection.close()
