"""The module account on a PostgreSQL server of its own: the same statements as on MariaDB, really carried out."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import store, tables
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
    Applied,
    Recovered,
    WantedAccount,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.plan import LEFT_TO_PEOPLE
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import probes as databases
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import sql
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.sql import Login
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import filled
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import accounts

BINARIES = [Path("/usr/local/bin"), Path("/usr/bin"), *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
PROGRAMS = next((folder for folder in reversed(BINARIES) if (folder / "initdb").exists()), None)
pytestmark = pytest.mark.skipif(
    PROGRAMS is None or importlib.util.find_spec("psycopg2") is None,
    reason="there is no PostgreSQL server, or no psycopg2",
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
SORCERY = "[res_pjsip]\nendpoint=realtime,ps_endpoints\nauth=realtime,ps_auths\naor=realtime,ps_aors\n"
WANTED: WantedAccount = {
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
def socket_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A server that listens on a socket in a folder of its own, as the user postgres when we are root."""
    folder = Path("/tmp") / f"reconnect-postgresql-{os.getpid()}"
    folder.mkdir(mode=0o700)
    assert PROGRAMS is not None
    initdb, pg_ctl = str(PROGRAMS / "initdb"), str(PROGRAMS / "pg_ctl")
    user: list[str] = []
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
        call(initdb, "-A", "trust", "-U", "asterisk", "-D", data)
        options = f"-c listen_addresses='' -k {folder} -F"
        call(pg_ctl, "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
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
            call(pg_ctl, "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def login(socket_folder: Path) -> sql.Login:
    socket = str(socket_folder / ".s.PGSQL.5432")
    return sql.Login("postgresql", {"socket": socket, "database": "postgres", "user": "asterisk"}, {})


Work = Callable[..., tuple[list[Recovered], list[Applied]]]


@pytest.fixture
def work(login: sql.Login, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Work:
    monkeypatch.setattr(tables, "login_of", lambda settings: login)
    monkeypatch.setattr(config.read, "__defaults__", (str(tmp_path),))
    monkeypatch.setattr(config.text, "__defaults__", (str(tmp_path), config.DEPTH))
    (tmp_path / "sorcery.conf").write_text(SORCERY)
    families = ("ps_endpoints", "ps_auths", "ps_aors", "sippeers")
    (tmp_path / "extconfig.conf").write_text(
        "".join(["[settings]\n", *(f"{one} => odbc,asterisk\n" for one in families)])
    )

    def call(driver: str, *wanted: WantedAccount, state: str = "present") -> tuple[list[Recovered], list[Applied]]:
        settings = filled({"channel_driver": driver})
        made = store.Accounts(settings, "auto", False, str(tmp_path / "journal" / "accounts"))
        try:
            with made.journal.held():
                return made.recover(), made.apply(list(wanted), state, LEFT_TO_PEOPLE)
        finally:
            made.store.close()

    return call


@pytest.mark.parametrize("driver", ["pjsip", "sip"])
def test_an_account_is_created_fixed_removed_and_restored(work: Work, login: sql.Login, driver: str) -> None:
    assert work(driver, WANTED)[1][0]["state"] == "created"
    assert work(driver, WANTED)[1][0]["state"] == "ok"
    changed = {**WANTED, "password": "another"}
    _recovered, (told,) = work(driver, changed)
    assert ([one["cause"] for one in told["findings"]], told["state"]) == (["password_mismatch"], "fixed")
    assert work(driver, WANTED, state="restored")[1][0]["state"] == "restored"
    assert work(driver, WANTED)[1][0]["state"] == "ok"
    assert work(driver, WANTED, state="absent")[1][0]["state"] == "removed"
    connection = sql.Connection(login, 5)
    table = "ps_endpoints" if driver == "pjsip" else "sippeers"
    assert connection.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    connection.close()


@pytest.mark.attack("row-level security hides the rows of an account")
def test_row_level_security_makes_no_account_look_missing(
    work: Work, login: sql.Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert work("pjsip", WANTED)[1][0]["state"] == "created"
    administrator = sql.Connection(login, 5)
    try:
        for statement in (
            "CREATE ROLE reader LOGIN",
            "GRANT ALL ON ps_endpoints, ps_auths, ps_aors, ps_contacts TO reader",
            "ALTER TABLE ps_auths ENABLE ROW LEVEL SECURITY",
        ):
            administrator.change(statement)
        reader = sql.Login("postgresql", {"socket": str(login.socket), "database": "postgres", "user": "reader"}, {})
        monkeypatch.setattr(tables, "login_of", lambda settings: reader)
        with pytest.raises(ProbeError) as failure:
            work("pjsip", WANTED)
        assert (failure.value.error, "auth" in str(failure.value)) == ("denied", True)
        assert administrator.rows("SELECT count(*) FROM ps_auths") == [(1,)]
        # A reader who sees everything may say what is missing.
        administrator.change("CREATE POLICY everything ON ps_auths USING (true)")
        assert work("pjsip", WANTED)[1][0]["state"] == "ok"
    finally:
        monkeypatch.setattr(tables, "login_of", lambda settings: login)
        administrator.change("ALTER TABLE ps_auths DISABLE ROW LEVEL SECURITY")
        work("pjsip", WANTED, state="absent")
        administrator.change("DROP OWNED BY reader")
        administrator.change("DROP ROLE reader")
        administrator.close()


def test_a_plain_user_counts_the_connections_of_others_and_not_those_of_administrators(login: sql.Login) -> None:
    administrator = sql.Connection(login, 5)
    administrator.change("DROP ROLE IF EXISTS plain")
    administrator.change("CREATE ROLE plain LOGIN")
    login.user = "plain"
    session = databases._Session({"database_engine": "postgresql"})
    session._connection = sql.Connection(login, 5)
    status = databases.status(session)
    session._connection.close()
    administrator.close()
    assert (status["threads_connected"], status["max_connections"]) == (2, 97)
    assert status["read_only"] is False


def test_a_row_that_is_refused_leaves_nothing_of_the_account(work: Work, login: sql.Login) -> None:
    with pytest.raises(ProbeError, match="too long"):
        work("pjsip", {**WANTED, "username": "1002", "password": "x" * 81})
    connection = sql.Connection(login, 5)
    assert connection.rows("SELECT count(*) FROM ps_endpoints WHERE id = '1002'") == [(0,)]
    connection.close()
    ((told,), (account,)) = work("pjsip", {**WANTED, "username": "1002"})
    assert (told["state"], account["state"]) == ("rolled_back", "created")


def test_the_registry_may_be_a_table(login: sql.Login, tmp_path: Path) -> None:
    configuration = {"plugin": "sql", "engine": "postgresql", "table": "wanted", "user": "asterisk"}
    configuration.update(socket=str(login.socket), database="postgres")
    found = accounts.load(configuration, str(tmp_path), {"pbx1"})
    (account,) = found.accounts
    assert found.mistakes == []
    assert accounts.resolved(account, lambda secret, known: secret.text)["password"] == "from {{ sql }}"
    assert (account.values["codecs"], account.values["enabled"]) == (["ulaw", "alaw"], True)


def test_a_new_password_goes_into_its_row_and_where_it_does_not_nobody_sees_it(login: Login, tmp_path: Path) -> None:
    connection = sql.Connection(login, 5)
    connection.change("CREATE VIEW fixed AS SELECT DISTINCT * FROM wanted")
    configuration = {"plugin": "sql", "engine": "postgresql", "user": "asterisk", "database": "postgres"}
    configuration.update(socket=str(login.socket), table="fixed")
    try:
        _account, keep = accounts.keeper(configuration, str(tmp_path), "pbx1", "1001", lambda text, like: text)
        with pytest.raises(accounts.RegistryError, match=r"Cannot store the password in the table fixed") as raised:
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
