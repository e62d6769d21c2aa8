"""The module account on tables: found, fixed, idempotent, never half, nothing in check mode, no secret shown."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _files
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import journal, store
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
    Applied,
    Recovered,
    WantedAccount,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.plan import LEFT_TO_PEOPLE, digest
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import control
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import filled

from .conftest import Connection, Database

SECRET = "canary-4711-secret"
WANTED: WantedAccount = {
    "username": "1001",
    "password": SECRET,
    "enabled": True,
    "security_model": "end_to_site",
    "keep_alive": True,
    "transport": "tls",
    "context": "internal",
    "codecs": ["ulaw", "alaw"],
    "max_contacts": 1,
    "acl": [],
}


Work = Callable[..., tuple[list[Recovered], list[Applied]]]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Call the module's work: ``work(driver, accounts…)``; nothing it returns may show the secret."""
    monkeypatch.setattr(control, "command", lambda line, limit=0: line)

    def call(
        driver: str, *accounts: WantedAccount, state: str = "present", check: bool = False
    ) -> tuple[list[Recovered], list[Applied]]:
        settings = filled({"channel_driver": driver, "sip_domain": "pbx.test"})
        made = store.Accounts(settings, "auto", check, str(tmp_path / "journal" / "accounts"))
        with made.journal.held():
            recovered = made.recover()
            told = made.apply(list(accounts), state, LEFT_TO_PEOPLE)
        assert SECRET not in json.dumps([recovered, told])
        return recovered, told

    return call


def causes(told: Applied) -> list[str | None]:
    return [one["cause"] for one in told["findings"]]


@pytest.mark.parametrize("driver", ["pjsip", "sip"])
def test_a_missing_account_is_made_whole_and_only_once(database: Database, work: Work, driver: str) -> None:
    sql = database(driver)
    _recovered, (told,) = work(driver, WANTED, check=True)
    assert (told["state"], causes(told)) == ("created", ["account_missing"])
    table = "ps_endpoints" if driver == "pjsip" else "sippeers"
    assert sql(f"SELECT count(*) FROM {table}") == [(0,)]
    assert work(driver, WANTED)[1][0]["state"] == "created"
    if driver == "pjsip":
        assert sql("SELECT aors, auth, media_encryption FROM ps_endpoints") == [("1001", "1001", "sdes")]
        assert sql("SELECT username, password FROM ps_auths") == [("1001", SECRET)]
        assert sql("SELECT max_contacts, remove_existing FROM ps_aors") == [("1", "yes")]
    else:
        assert sql("SELECT host, secret, transport, encryption FROM sippeers") == [("dynamic", SECRET, "tls", "yes")]
    assert work(driver, WANTED)[1] == [{"username": "1001", "state": "ok", "changed": False, "findings": []}]


@pytest.mark.parametrize(
    ("breaking", "cause"),
    [
        ("DELETE FROM ps_auths", "auth_missing"),
        ("UPDATE ps_endpoints SET auth = NULL", "auth_missing"),
        ("DELETE FROM ps_aors", "aor_missing"),
        ("UPDATE ps_endpoints SET aors = 'other'", "aor_missing"),
        ("UPDATE ps_auths SET username = 'other'", "auth_name_mismatch"),
        ("UPDATE ps_auths SET password = 'other'", "password_mismatch"),
        ("UPDATE ps_auths SET auth_type = 'md5', md5_cred = 'abc'", "realm_mismatch"),
        ("UPDATE ps_aors SET max_contacts = 0", "max_contacts_zero"),
        ("UPDATE ps_endpoints SET media_encryption = 'no'", "security_model_mismatch"),
        ("UPDATE ps_endpoints SET allow = 'alaw,ulaw'", "codec_mismatch"),
        ("UPDATE ps_endpoints SET transport = 'gone'", None),
        ("UPDATE ps_endpoints SET context = 'other'", None),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_named_and_fixed(
    database: Database, work: Work, tmp_path: Path, breaking: str, cause: str | None
) -> None:
    sql = database("pjsip")
    (tmp_path / "asterisk" / "pjsip.conf").write_text("[t]\ntype=transport\nprotocol=tls\n")
    work("pjsip", WANTED)
    sql(breaking)
    assert causes(work("pjsip", WANTED, check=True)[1][0]) == [cause]
    assert work("pjsip", WANTED)[1][0]["state"] == "fixed"
    assert work("pjsip", WANTED)[1][0]["state"] == "ok"


@pytest.mark.parametrize(
    ("breaking", "cause"),
    [
        ("UPDATE sippeers SET host = '10.0.0.1'", "peer_not_dynamic"),
        ("UPDATE sippeers SET type = 'user'", "peer_not_dynamic"),
        ("UPDATE sippeers SET transport = NULL", "transport_mismatch"),
        ("UPDATE sippeers SET secret = 'other'", "password_mismatch"),
        ("UPDATE sippeers SET defaultuser = 'other'", "auth_name_mismatch"),
        ("UPDATE sippeers SET md5secret = 'abc'", "realm_mismatch"),
        ("UPDATE sippeers SET encryption = 'no'", "security_model_mismatch"),
        ("UPDATE sippeers SET allow = 'g722'", "codec_mismatch"),
    ],
)
def test_what_is_wrong_with_a_peer_is_named_and_fixed(
    database: Database, work: Work, breaking: str, cause: str
) -> None:
    sql = database("sip")
    work("sip", WANTED)
    sql(breaking)
    assert causes(work("sip", WANTED, check=True)[1][0]) == [cause]
    assert work("sip", WANTED)[1][0]["state"] == "fixed"
    assert work("sip", WANTED)[1][0]["state"] == "ok"


@pytest.mark.parametrize("allow", ["ULAW,Alaw", "!ALL,ulaw,alaw", "ulaw:20,alaw", "ulaw, alaw, ulaw"])
@pytest.mark.parametrize(("driver", "table"), [("pjsip", "ps_endpoints"), ("sip", "sippeers")])
def test_codecs_that_asterisk_reads_alike_are_the_same(
    database: Database, work: Work, driver: str, table: str, allow: str
) -> None:
    sql = database(driver)
    work(driver, WANTED)
    sql(f"UPDATE {table} SET allow = ?", allow)
    assert work(driver, WANTED)[1][0]["state"] == "ok"


@pytest.mark.parametrize(("driver", "table"), [("pjsip", "ps_endpoints"), ("sip", "sippeers")])
def test_codecs_that_are_taken_away_again_are_none(database: Database, work: Work, driver: str, table: str) -> None:
    sql = database(driver)
    work(driver, WANTED)
    sql(f"UPDATE {table} SET allow = 'ulaw,alaw,!all'")
    assert causes(work(driver, WANTED, check=True)[1][0]) == ["codec_mismatch"]
    assert work(driver, WANTED)[1][0]["state"] == "fixed"
    assert work(driver, WANTED)[1][0]["state"] == "ok"


@pytest.mark.parametrize("driver", ["pjsip", "sip"])
def test_an_account_may_want_packets_of_a_length(database: Database, work: Work, driver: str) -> None:
    database(driver)
    wanted = {**WANTED, "codecs": ["ulaw:20", "alaw", "alaw"]}
    work(driver, WANTED)
    assert work(driver, wanted)[1][0]["state"] == "fixed"
    assert work(driver, wanted)[1][0]["state"] == "ok"


def test_a_digest_stays_a_digest(database: Database, work: Work) -> None:
    sql = database("pjsip")
    work("pjsip", WANTED)
    sql("UPDATE ps_auths SET auth_type = 'md5', password = NULL, md5_cred = ?", digest("1001", "old", SECRET))
    assert causes(work("pjsip", WANTED)[1][0]) == ["password_mismatch"]
    assert sql("SELECT password, md5_cred FROM ps_auths") == [(None, digest("1001", "asterisk", SECRET))]


def sha256(*parts: str) -> str:
    return hashlib.sha256(":".join(parts).encode()).hexdigest()


KeptAsDigests = tuple[Callable[..., list[tuple[str | int | None, ...]]], str]


@pytest.fixture
def kept_as_digests(
    database: Database, work: Callable[..., tuple[list[dict[str, str]], list[dict[str, Any]]]]
) -> KeptAsDigests:
    """An account of a release that knows password_digest: of its password there are digests only."""
    sql = database("pjsip")
    sql("ALTER TABLE ps_auths ADD COLUMN password_digest")
    work("pjsip", WANTED)
    right = f"SHA-256:{sha256('1001', 'asterisk', SECRET)},MD5:{digest('1001', 'asterisk', SECRET)}"
    sql("UPDATE ps_auths SET auth_type = 'digest', password = NULL, password_digest = ?", right)
    return sql, right


def test_a_password_digest_that_is_right_stays(kept_as_digests: KeptAsDigests, work: Work) -> None:
    sql, right = kept_as_digests
    assert work("pjsip", WANTED)[1][0]["state"] == "ok"
    assert sql("SELECT auth_type, password, password_digest FROM ps_auths") == [("digest", None, right)]


@pytest.mark.parametrize(
    ("realm", "password", "cause"), [("asterisk", "old", "password_mismatch"), ("", SECRET, "realm_mismatch")]
)
def test_a_password_digest_that_is_wrong_is_made_again_and_shown_to_nobody(
    kept_as_digests: KeptAsDigests, work: Work, realm: str, password: str, cause: str
) -> None:
    sql, right = kept_as_digests
    wrong = f"SHA-256:{sha256('1001', realm, password)},MD5:{digest('1001', realm, password)}"
    sql("UPDATE ps_auths SET password_digest = ?", wrong)
    (told,) = work("pjsip", WANTED)[1]
    assert causes(told) == [cause]
    assert sha256("1001", realm, password) not in json.dumps(told)
    assert right.partition(",")[0] not in json.dumps(told)
    assert sql("SELECT auth_type, password, password_digest FROM ps_auths") == [("digest", None, right)]


def test_a_stale_digest_beside_the_right_password_is_found_where_the_release_would_use_it(
    kept_as_digests: KeptAsDigests, work: Work
) -> None:
    sql, _right = kept_as_digests
    stale = digest("1001", "old.example", SECRET)
    sql("UPDATE ps_auths SET auth_type = 'userpass', password = ?, password_digest = NULL, md5_cred = ?", SECRET, stale)
    assert causes(work("pjsip", WANTED)[1][0]) == ["realm_mismatch"]
    assert sql("SELECT md5_cred FROM ps_auths") == [(digest("1001", "asterisk", SECRET),)]


@pytest.mark.parametrize(
    ("there", "found", "after"),
    [
        ((60, 3600), "every 60 s", ("15", "300")),
        ((0, 120), "off", ("15", 120)),
        ((None, None), "off", ("15", "300")),
        ((15, 3600), None, (15, 3600)),
    ],
)
def test_a_server_that_asks_too_seldom_asks_more_often(
    database: Database,
    work: Work,
    there: tuple[int | None, int | None],
    found: str | None,
    after: tuple[str | int, str | int],
) -> None:
    sql = database("pjsip")
    work("pjsip", WANTED)
    sql("UPDATE ps_aors SET qualify_frequency = ?, maximum_expiration = ?", *there)
    assert work("pjsip", WANTED)[1][0]["state"] == "ok"
    told = work("pjsip", {**WANTED, "keep_alive_seconds": 15})[1][0]
    assert [(one["cause"], one["found"]) for one in told["findings"]] == ([("nat_idle_drop", found)] if found else [])
    assert sql("SELECT qualify_frequency, maximum_expiration FROM ps_aors") == [after]


@pytest.mark.parametrize(
    ("there", "seconds", "after"),
    [
        (("yes", None), 15, ("yes", "15")),
        (("no", 20), 15, ("yes", "15")),
        (("no", None), 60, ("yes", None)),
        (("2000", None), 60, ("2000", None)),
        (("yes", 90), 60, ("yes", "60")),
    ],
)
def test_a_peer_is_asked_more_often(
    database: Database, work: Work, there: tuple[str, int | None], seconds: int, after: tuple[str, str | None]
) -> None:
    sql = database("sip")
    work("sip", WANTED)
    sql("UPDATE sippeers SET qualify = ?, qualifyfreq = ?", *there)
    told = work("sip", {**WANTED, "keep_alive_seconds": seconds})[1][0]
    assert causes(told) == (["nat_idle_drop"] if there != after else [])
    assert sql("SELECT qualify, qualifyfreq FROM sippeers") == [after]


def test_a_peer_that_no_column_could_have_asked_more_often_is_left(database: Database, work: Work) -> None:
    sql = database("sip")
    work("sip", WANTED)
    sql("ALTER TABLE sippeers DROP COLUMN qualifyfreq")
    assert work("sip", {**WANTED, "keep_alive_seconds": 15})[1][0]["state"] == "ok"
    sql("UPDATE sippeers SET qualify = 'no'")
    assert causes(work("sip", {**WANTED, "keep_alive_seconds": 60})[1][0]) == ["nat_idle_drop"]


def test_stale_contacts_give_way(database: Database, work: Work) -> None:
    sql = database("pjsip")
    work("pjsip", WANTED)
    sql("UPDATE ps_aors SET remove_existing = 'no'")
    sql("INSERT INTO ps_contacts VALUES ('1001^3B@1', 'sip:1001@gone', '1001')")
    assert causes(work("pjsip", WANTED)[1][0]) == ["max_contacts_reached"]
    assert sql("SELECT count(*) FROM ps_contacts") == [(0,)]
    assert sql("SELECT remove_existing FROM ps_aors") == [("yes",)]


def test_columns_that_are_not_ours_stay(database: Database, work: Work) -> None:
    sql = database("pjsip")
    work("pjsip", WANTED)
    sql("UPDATE ps_endpoints SET extra = 'kept', allow = 'g722'")
    work("pjsip", WANTED)
    assert sql("SELECT extra, allow FROM ps_endpoints") == [("kept", "ulaw,alaw")]


@pytest.mark.parametrize(
    ("account", "breaking", "cause"),
    [
        ({**WANTED, "enabled": False}, "UPDATE ps_auths SET password = 'x'", "account_disabled"),
        (WANTED, "UPDATE ps_endpoints SET deny = '0.0.0.0/0', permit = '10.0.0.0/8'", "acl_denies"),
        ({**WANTED, "acl": ["10.0.0.0/8"]}, "UPDATE ps_endpoints SET extra = ''", "acl_denies"),
    ],
)
def test_what_people_decide_is_told_and_left(
    database: Database, work: Work, account: dict[str, Any], breaking: str, cause: str
) -> None:
    sql = database("pjsip")
    work("pjsip", WANTED)
    sql(breaking)
    before = sql("SELECT * FROM ps_endpoints"), sql("SELECT * FROM ps_auths")
    _recovered, (told,) = work("pjsip", account)
    assert (told["state"], told["changed"], causes(told)) == ("left", False, [cause])
    assert (sql("SELECT * FROM ps_endpoints"), sql("SELECT * FROM ps_auths")) == before


def test_a_doubled_account_is_told_and_left(database: Database, work: Work) -> None:
    sql = database("sip")
    work("sip", WANTED)
    sql("INSERT INTO sippeers (name, secret) VALUES ('1001', 'x')")
    _recovered, (told,) = work("sip", WANTED)
    assert (told["state"], causes(told)) == ("left", ["account_doubled"])


def test_an_account_is_taken_away_and_brought_back(database: Database, work: Work) -> None:
    sql = database("pjsip")
    work("pjsip", WANTED)
    before = sql("SELECT * FROM ps_endpoints"), sql("SELECT * FROM ps_auths"), sql("SELECT * FROM ps_aors")
    assert work("pjsip", WANTED, state="absent")[1][0]["state"] == "removed"
    assert sql("SELECT count(*) FROM ps_auths") == [(0,)]
    assert work("pjsip", WANTED, state="absent")[1][0]["state"] == "ok"
    assert work("pjsip", WANTED, state="restored")[1][0]["state"] == "restored"
    assert (sql("SELECT * FROM ps_endpoints"), sql("SELECT * FROM ps_auths"), sql("SELECT * FROM ps_aors")) == before
    assert work("pjsip", WANTED, state="restored")[1][0]["state"] == "ok"


def test_the_backup_belongs_to_root_alone(database: Database, work: Work, tmp_path: Path) -> None:
    database("pjsip")
    work("pjsip", WANTED)
    backup = tmp_path / "journal" / "accounts" / "1001.json"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert stat.S_IMODE(backup.parent.stat().st_mode) == 0o700
    assert json.loads(backup.read_text())["state"] == "done"


@pytest.mark.parametrize("statements", [0, 1, 2])
def test_a_lost_connection_leaves_the_old_account_and_the_next_call_says_so(
    database: Database, work: Work, statements: int
) -> None:
    sql = database("pjsip")
    sql.connection.left = statements
    with pytest.raises(ProbeError, match="lost"):
        work("pjsip", WANTED)
    assert sql("SELECT count(*) FROM ps_endpoints") == sql("SELECT count(*) FROM ps_auths") == [(0,)]
    sql.connection.left = None
    ((told,), (account,)) = work("pjsip", WANTED)
    assert (told["state"], "had changed nothing" in told["sentence"]) == ("rolled_back", True)
    assert account["state"] == "created"
    assert work("pjsip", WANTED)[0] == []


def test_a_change_that_was_written_and_not_noted_is_completed(
    database: Database, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    database("pjsip")
    ended = journal.Journal.end
    monkeypatch.setattr(journal.Journal, "end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        work("pjsip", WANTED)
    monkeypatch.setattr(journal.Journal, "end", ended)
    ((told,), (account,)) = work("pjsip", WANTED)
    assert (told["state"], account["state"]) == ("done", "ok")


def test_half_a_change_is_rolled_back_where_tables_know_no_transaction(
    database: Database, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = database("pjsip")
    monkeypatch.setattr(sql.connection, "transaction", lambda self: _no_transaction())
    sql.connection.left = 1
    with pytest.raises(ProbeError, match="lost"):
        work("pjsip", WANTED)
    assert sql("SELECT count(*) FROM ps_endpoints") == [(1,)]
    sql.connection.left = None
    ((told,), _accounts_told) = work("pjsip", WANTED, check=True)
    assert sql("SELECT count(*) FROM ps_endpoints") == [(1,)]
    ((told,), (account,)) = work("pjsip", WANTED)
    assert (told["state"], "rolled back" in told["sentence"]) == ("rolled_back", True)
    assert account["state"] == "created"


class _no_transaction:
    def __enter__(self) -> _no_transaction:
        return self

    def __exit__(self, *_error: object) -> None:
        pass


def test_a_full_disk_changes_nothing(database: Database, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = database("pjsip")

    def full(*_arguments: str | int | bytes | None, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files, "replace_in", full)
    with pytest.raises(journal.JournalError, match="No space left"):
        work("pjsip", WANTED)
    assert sql("SELECT count(*) FROM ps_endpoints") == [(0,)]


def test_a_schema_without_what_is_needed_is_refused(database: Database, work: Work) -> None:
    sql = database("pjsip")
    sql("ALTER TABLE ps_aors DROP COLUMN max_contacts")
    with pytest.raises(ProbeError, match="ps_aors has no max_contacts"):
        work("pjsip", WANTED)


def test_an_invalid_name_is_refused(database: Database, work: Work) -> None:
    database("pjsip")
    with pytest.raises(ProbeError, match="not a valid account name"):
        work("pjsip", {**WANTED, "username": "../../etc/passwd"})


def test_three_hundred_accounts_are_compared_with_a_handful_of_questions(
    database: Database, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = database("pjsip")
    many = [{**WANTED, "username": str(number)} for number in range(1000, 1300)]
    work("pjsip", *many)
    asked = []
    records = sql.connection.records

    def noted(self: Connection, statement: str, values: Sequence[str] = ()) -> list[dict[str, Any]]:
        asked.append(statement)
        return records(self, statement, values)

    monkeypatch.setattr(sql.connection, "records", noted)
    _recovered, told = work("pjsip", *many)
    assert {one["state"] for one in told} == {"ok"}
    assert len(asked) == 4


def test_what_others_changed_since_an_interrupted_change_is_left(
    database: Database, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = database("pjsip")
    ended = journal.Journal.end
    monkeypatch.setattr(journal.Journal, "end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        work("pjsip", WANTED)
    monkeypatch.setattr(journal.Journal, "end", ended)
    sql("UPDATE ps_endpoints SET context = 'elsewhere', allow = 'g722'")
    ((told,), (account,)) = work("pjsip", {**WANTED, "context": "elsewhere", "codecs": ["g722"]})
    assert ("changed by others" in told["sentence"], account["state"]) == (True, "ok")
    assert sql("SELECT context FROM ps_endpoints") == [("elsewhere",)]


@pytest.mark.attack("the mapping of the accounts to their table is lost")
@pytest.mark.parametrize(
    ("driver", "file", "line"),
    [
        ("pjsip", "extconfig.conf", "ps_endpoints => odbc,asterisk"),
        ("pjsip", "sorcery.conf", "endpoint=realtime,ps_endpoints"),
        ("pjsip", "sorcery.conf", "auth=realtime,ps_auths"),
        ("sip", "extconfig.conf", "sippeers => odbc,asterisk"),
    ],
)
def test_nothing_is_written_anywhere_once_a_mapping_is_lost(
    database: Database, work: Work, tmp_path: Path, driver: str, file: str, line: str
) -> None:
    database(driver)
    folder = tmp_path / "asterisk"
    for name in ("pjsip.conf", "sip.conf"):
        (folder / name).write_text("[general]\n")
    path = folder / file
    path.write_text(path.read_text().replace(line, ""))
    before = {one.name: one.read_text() for one in folder.iterdir()}
    with pytest.raises(ProbeError) as failure:
        work(driver, WANTED)
    assert failure.value.error == "invalid"
    assert {one.name: one.read_text() for one in folder.iterdir()} == before


def test_a_mapping_in_an_included_file_is_a_mapping(database: Database, work: Work, tmp_path: Path) -> None:
    database("pjsip")
    folder = tmp_path / "asterisk"
    (folder / "extconfig.conf").rename(folder / "mapping.inc")
    (folder / "extconfig.conf").write_text("#include mapping.inc\n")
    assert work("pjsip", WANTED)[1][0]["state"] == "created"


@pytest.mark.parametrize("table", ["ps_endpoints", "ps_auths", "ps_aors"])
def test_nothing_is_created_that_may_only_be_hidden(database: Database, work: Work, table: str) -> None:
    sql = database("pjsip")
    sql.connection.hidden = (table,)
    with pytest.raises(ProbeError) as failure:
        work("pjsip", WANTED)
    assert failure.value.error == "denied"
    assert sql("SELECT count(*) FROM ps_endpoints") == [(0,)]
