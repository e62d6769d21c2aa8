"""First level on real servers: closed, fixed and verified, or escalated, and never changed when in doubt."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net.register import register
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from trials import kept
from trials.cases import SERVERS
from trials.phone import follows_the_message, stays_connected
from trials.tools import INVENTORY, ROOT, Ended, Lab, ask_database, password_of

PJSIP = (
    "SELECT e.*, a.*, o.* FROM ps_endpoints e LEFT JOIN ps_auths a ON a.id = e.auth "
    "LEFT JOIN ps_aors o ON o.id = e.aors ORDER BY e.id"
)
MARIADB = ("mysql", "--batch", "asterisk", "-e")
ROWS = {
    "pbx22": (*MARIADB, PJSIP),
    "pbx16": (
        *MARIADB,
        "SELECT name, host, type, secret, md5secret, transport, permit, deny, allow, context FROM sippeers",
    ),
    "pgsql": ("runuser", "-u", "postgres", "--", "psql", "-XAt", "asterisk", "-c", PJSIP),
}

servers = pytest.mark.parametrize("server", [server for server in SERVERS if server in ROWS])


@pytest.fixture
def fix(reconnect: Callable[..., Ended], tmp_path: Path) -> Callable[..., Ended]:
    """Call fix-account-config; what the client reports goes by a file."""

    def run(server: str, account: str, *words: str, report: dict[str, Any] | None = None) -> Ended:
        if report is not None:
            (tmp_path / "report.json").write_text(json.dumps(report))
            words += ("--client-report", str(tmp_path / "report.json"))
        if "--watch" not in words:
            words += ("--watch", "0")
        return reconnect("fix-account-config", account, "--server", server, "--inventory", INVENTORY, *words)

    return run


def rows(lab: Lab, server: str) -> str:
    """Every account as the database has it, without what registering changes."""
    return lab.run(server, *ROWS[server])


def watched(state: Path, server: str) -> dict[str, Any]:
    """What the newest run saw during the forced reconnection."""
    found: dict[str, Any] = kept.runs(state)[-1].evidence(server)["account"]["watch"]["data"]
    return found


def ending(ended: Ended) -> tuple[int, str]:
    return ended.code, ended.result["verdict"]["outcome"]


@pytest.mark.parametrize("server", ["pgsql"])  # which nobody asks for anything
def test_without_internet_it_is_not_an_issue_and_nothing_is_touched(
    lab: Lab, fix: Callable[..., Ended], server: str
) -> None:
    ended = fix(server, "601", "--yes", report={"internet": False})
    assert ending(ended) == (0, "not_an_issue")
    assert ended.result["verdict"]["user_message"]["id"] == "user.no_internet"
    assert {step["step"] for step in ended.result["timeline"]} <= {"Does the device have internet", "Name the run"}


@servers
@pytest.mark.parametrize("fault", ["account_missing", "realm_mismatch"])
def test_an_account_is_fixed_and_the_second_run_changes_nothing(
    lab: Lab, fix: Callable[..., Ended], broken: Callable[..., AbstractContextManager[None]], server: str, fault: str
) -> None:
    from trials.cases import FAULTS, read

    account = read(FAULTS / f"{fault}.yml")["account"]
    with broken(server, fault):
        planned = fix(server, account)
        assert ending(planned) == (10, "fault_found")
        (step,) = planned.result["verdict"]["plan"]
        assert any(line.startswith("+") for line in step["changes"]), step
        assert password_of(server, account) not in planned.stdout
        before = rows(lab, server)
        checked = fix(server, account, "--check")
        assert (checked.code, rows(lab, server)) == (10, before)
        fixed = fix(server, account, "--yes")
        assert ending(fixed) == (0, "fixed_account"), fixed.result["remedies"]
        (remedy,) = fixed.result["remedies"]
        assert (remedy["state"], "(digest MD5)" in remedy["after"]["proof"]) == ("done", True)
        after = rows(lab, server)
        again = fix(server, account, "--yes")
        assert ending(again) == (10, "escalate_second_level")
        assert (again.result["remedies"], rows(lab, server)) == ([], after)


@servers
def test_with_the_database_down_nothing_is_changed_and_the_database_is_named(
    lab: Lab, fix: Callable[..., Ended], broken: Callable[..., AbstractContextManager[None]], server: str
) -> None:
    with broken(server, "account_missing", "database_stopped"):
        ended = fix(server, "1005", "--yes")
        assert ending(ended) == (10, "escalate_second_level")
        assert "database_stopped" in ended.result["verdict"]["next_step"]
        assert ended.result["remedies"] == []


@servers
@pytest.mark.parametrize(("fault", "account"), [("acl_denies", "1016"), ("account_disabled", "1021")])
def test_what_a_person_decides_is_never_fixed(
    lab: Lab,
    fix: Callable[..., Ended],
    broken: Callable[..., AbstractContextManager[None]],
    server: str,
    fault: str,
    account: str,
) -> None:
    with broken(server, fault):
        before = rows(lab, server)
        ended = fix(server, account, "--yes")
        assert ending(ended) == (10, "escalate_second_level")
        assert fault in ended.result["verdict"]["next_step"]
        assert rows(lab, server) == before


@servers
def test_everything_right_and_still_failing_is_handed_on_with_the_exact_message(
    lab: Lab, fix: Callable[..., Ended], server: str
) -> None:
    ended = fix(server, "602", "--yes", report={"internet": True, "error_message": "488 {{ 7*7 }} Not Acceptable"})
    assert ending(ended) == (10, "escalate_second_level")
    assert ended.result["verdict"]["next_step"].endswith("488 {{ 7*7 }} Not Acceptable")


@servers
def test_first_level_goes_straight_on_when_it_is_told_to(
    lab: Lab, fix: Callable[..., Ended], broken: Callable[..., AbstractContextManager[None]], server: str
) -> None:
    with broken(server, "database_stopped"):
        ended = fix(server, "602", "--yes", "--continue")
        assert ending(ended) == (0, "fixed_service"), ended.result["remedies"]


@servers
@pytest.mark.hosts("phone")
def test_a_client_that_fetches_its_configuration_shows_its_password_to_nobody(
    lab: Lab, fix: Callable[..., Ended], broken: Callable[..., AbstractContextManager[None]], server: str
) -> None:
    with broken(server), follows_the_message(lab, "1004"):
        report = {"internet": True, "settings": {"port": 5071}}
        ended = fix(server, "1004", "--yes", "--approve", "deliver_configuration", report=report)
    assert ending(ended) == (0, "fixed_client_configuration"), ended.result["remedies"]
    assert password_of(server, "1004") not in ended.stdout


@servers
def test_a_client_that_does_not_come_is_not_called_fixed(
    lab: Lab, fix: Callable[..., Ended], broken: Callable[..., AbstractContextManager[None]], server: str
) -> None:
    documents = ("find", "/srv/provisioning", "-path", "*/1004/*", "-printf", r"%p %T@\n")
    with broken(server):
        before = lab.run(server, *documents)
        ended = fix(server, "1004", "--check", report={"internet": True, "settings": {"port": 5071}})
        assert ending(ended) == (10, "fault_found")
        assert lab.run(server, *documents) == before


@servers
def test_a_user_who_connects_during_the_watch_had_a_temporary_problem(
    lab: Lab, fix: Callable[..., Ended], server: str
) -> None:
    password = password_of(server, "1003")
    authorities = (ROOT / "tests/lab/.state/ca.crt").read_text()
    place = (lab.run(server, "hostname", "-I").split()[0], 5061, "tls")
    over = threading.Event()

    def reconnect_now() -> None:
        """Registers again and again, as a user does who was told to."""
        while not over.wait(0.5):
            with contextlib.suppress(ProbeError):
                register("1003", "1003", password, *place, f"{server}.reconnect.test", 60, False, authorities, 8)

    user = threading.Thread(target=reconnect_now)
    user.start()
    try:
        ended = fix(server, "1003", "--watch", "40")
    finally:
        over.set()
        user.join()
    assert ending(ended) == (0, "temporary_network_problem")
    assert ended.result["remedies"] == []


@pytest.mark.parametrize("server", ["pgsql"])
def test_the_forced_reconnection_takes_a_dead_contact_away(
    lab: Lab, fix: Callable[..., Ended], tmp_path: Path, server: str
) -> None:
    place = (lab.run(server, "hostname", "-I").split()[0], 5060, "udp")
    # It registers and is gone: over UDP nobody tells Asterisk.
    known = (password_of(server, "1003"), *place, f"{server}.reconnect.test")
    answer = register("1003", "1003", *known, 60, True, None, 8)
    assert answer["registered"]

    def contacts() -> str:
        return ask_database(lab, server, "SELECT COUNT(*) FROM ps_contacts WHERE endpoint = '1003'")

    fix(server, "1003", "--watch", "3")
    assert contacts() == "1"
    fix(server, "1003", "--watch", "3", "--yes")
    assert contacts() == "0"
    assert len(watched(tmp_path, server)["dropped"]) == 1


@servers
def test_a_living_client_is_told_to_look_again_and_answers(
    lab: Lab, fix: Callable[..., Ended], server: str, tmp_path: Path
) -> None:
    # pbx22 is told over AMI. On pbx16 nobody may send it over AMI, and the command line sends a section's of a file.
    with stays_connected(lab, f"{server}.reconnect.test", "1003", password_of(server, "1003")) as log:
        fix(server, "1003", "--watch", "3", "--yes")
        told = log()
    seen = watched(tmp_path, server)
    assert (seen["notified"], seen["left"]) == (True, [])
    request = re.search(r"^NOTIFY sip:1003@.*?^Content-Length", told, re.MULTILINE | re.DOTALL)
    assert request, told[-2000:]
    assert re.search(r"^Event: check-sync", request[0], re.MULTILINE)
    number = re.search(r"^CSeq: (\d+) NOTIFY", request[0], re.MULTILINE)
    assert number
    assert re.search(rf"^SIP/2.0 200 Ok\s(?:[^\n]+\n)*CSeq: {number[1]} NOTIFY", told, re.MULTILINE), told[-2000:]


@pytest.fixture
def digests(lab: Lab, server: str) -> Iterator[Callable[[str], None]]:
    """The lab's table as a release that offers other digests than MD5 has it; sets columns of an account's auth."""
    *words, _query = ROWS[server]
    columns = ("supported_algorithms_uas", "supported_algorithms_uac", "password_digest")

    def ask(*statements: str) -> None:
        for statement in statements:
            lab.run(server, *words, statement)

    ask("CREATE TABLE kept AS SELECT * FROM ps_auths WHERE id = '1018'")
    ask("ALTER TABLE ps_auths " + ", ".join(f"ADD {column} varchar(255)" for column in columns))
    try:
        yield lambda values: ask(f"UPDATE ps_auths SET {values} WHERE id = '1018'")
    finally:
        ask("ALTER TABLE ps_auths " + ", ".join(f"DROP {column}" for column in columns))
        ask("DELETE FROM ps_auths WHERE id = '1018'", "INSERT INTO ps_auths SELECT * FROM kept", "DROP TABLE kept")


@pytest.mark.parametrize("server", ["pgsql"])
def test_the_best_digest_that_the_server_offers_verifies_the_account(
    lab: Lab, fix: Callable[..., Ended], digests: Callable[[str], None], server: str
) -> None:
    place = (lab.run(server, "hostname", "-I").split()[0], 5060, "udp")
    for offered, used in (("MD5", "MD5"), ("MD5,SHA-256", "SHA-256")):
        digests(f"supported_algorithms_uas = '{offered}'")
        answer = register(
            "1018", "1018", password_of(server, "1018"), *place, f"{server}.reconnect.test", 60, False, None, 8
        )
        assert answer["registered"], answer
        assert answer["answers"][-1]["algorithm"] == used
    # No password any more but a digest of an old one: the right digest takes its place.
    old = hashlib.sha256(b"1018:asterisk:old").hexdigest()
    digests(
        f"auth_type = 'digest', password = NULL, password_digest = 'SHA-256:{old}', "
        "supported_algorithms_uas = 'SHA-256', supported_algorithms_uac = 'SHA-256'"
    )
    ended = fix(server, "1018", "--yes")
    (remedy,) = ended.result["remedies"]
    assert (remedy["remedy"], remedy["state"]) == ("fix_account", "done")
    assert "(digest SHA-256)" in remedy["after"]["proof"]
    # That it offers no MD5 keeps other clients out, and a person decides about it.
    left = {one["cause"] for one in ended.result["findings"] if one["status"] == "fail"}
    assert (ending(ended), left) == ((10, "escalate_second_level"), {"digest_mismatch"})
