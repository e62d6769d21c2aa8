"""A fix that is interrupted half-way: the account is the old one or the new one, and the next run ends it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from reconnect.engine.slots import Slots
from reconnect.runs.request import Request
from reconnect.runs.store import Runs
from trials.kept import settings_of
from trials.phone import follows_the_message
from trials.tools import INVENTORY, RECONNECT, ROOT, Ended, Lab, ask_database, until

from .test_guardrails import lease

ACCOUNT = "1005"
#: The last row of a new account takes this long in seconds to be written, less than the module's limit for a statement.
WRITING = 6
SLOW = {
    "pgsql": f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = '{ACCOUNT}' THEN "
    f"PERFORM pg_sleep({WRITING}); END IF; RETURN NEW; END $$; "
    "CREATE TRIGGER slow BEFORE INSERT ON ps_aors FOR EACH ROW EXECUTE FUNCTION slow()",
    "pbx16": "CREATE TRIGGER slow BEFORE INSERT ON sippeers FOR EACH ROW "
    f"SET @slow = IF(NEW.name = '{ACCOUNT}', SLEEP({WRITING}), 0)",
}
QUICK = {"pgsql": "DROP FUNCTION IF EXISTS slow CASCADE", "pbx16": "DROP TRIGGER IF EXISTS slow"}
SLEEPING = {
    "pgsql": "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
    "pbx16": "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'",
}
ROWS = {
    "pgsql": f"SELECT (SELECT COUNT(*) FROM ps_endpoints WHERE id = '{ACCOUNT}'), (SELECT COUNT(*) FROM ps_auths WHERE "
    f"id = '{ACCOUNT}'), (SELECT COUNT(*) FROM ps_aors WHERE id = '{ACCOUNT}')",
    "pbx16": f"SELECT COUNT(*) FROM sippeers WHERE name = '{ACCOUNT}'",
}
OLD, NEW = {"pgsql": "0\t0\t0", "pbx16": "0"}, {"pgsql": "1\t1\t1", "pbx16": "1"}
GONE = {
    "pgsql": "".join(f"DELETE FROM ps_{kind} WHERE id = '{ACCOUNT}';" for kind in ("endpoints", "auths", "aors")),
    "pbx16": f"DELETE FROM sippeers WHERE name = '{ACCOUNT}'",
}
BACKUPS = "/var/lib/reconnect/accounts"

#: Each way to store an account in a database: several rows in PostgreSQL, one in MariaDB.
databases = pytest.mark.parametrize("server", ["pgsql", "pbx16"])
servers = pytest.mark.parametrize("server", ["pbx22", "pbx16"])


@dataclass(frozen=True)
class Account:
    """The account in the database of a server, and the command that fixes it."""

    lab: Lab
    server: str
    reconnect: Callable[..., Ended]

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the command."""
        where = ("--server", self.server, "--inventory", INVENTORY)
        return ("fix-account-config", ACCOUNT, *where, "--watch", "0", "--yes", "--json")

    def fix(self) -> Ended:
        """The command, carried out to its end."""
        return self.reconnect(*self.words, json_output=False)

    def ask(self, statements: Mapping[str, str]) -> str:
        """What the database answers to its own statement."""
        return ask_database(self.lab, self.server, statements[self.server])

    def is_written(self) -> bool:
        """Whether the account is being written at this moment."""
        return self.ask(SLEEPING) != "0"

    def rows(self) -> str:
        """``old``, ``new``, or what else is there."""
        found = self.ask(ROWS)
        return {OLD[self.server]: "old", NEW[self.server]: "new"}.get(found, found)

    def ends_well(self, ended: Ended) -> None:
        """The next run leaves the account whole, and says what it did: fixed it, or found nothing left to fix."""
        assert self.rows() == "new"
        remedies = ended.result["remedies"]
        assert [one["state"] for one in remedies] in ([], ["done"]), remedies
        assert (ended.code, ended.result["verdict"]["outcome"]) == (
            (0, "fixed_account") if remedies else (10, "escalate_second_level")
        )


@pytest.fixture
def account(lab: Lab, server: str, reconnect: Callable[..., Ended]) -> Iterator[Account]:
    """The account is missing, and takes its time to be made."""
    found = Account(lab, server, reconnect)
    lab.run(server, "rm", "-rf", "/var/lib/reconnect/state.json", f"{BACKUPS}/{ACCOUNT}.json")
    lab("break", "account_missing", "--host", server)
    try:
        found.ask(SLOW)
        yield found
    finally:
        found.ask(QUICK)
        lab("heal", "account_missing", "--host", server)
        lab.run(server, "rm", "-rf", "/var/lib/reconnect/state.json", f"{BACKUPS}/{ACCOUNT}.json")


@pytest.fixture
def fixing(account: Account, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, at the moment in which it has the account half written."""
    command = subprocess.Popen(
        [RECONNECT, *account.words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )
    try:
        until(account.is_written)
        yield command
    finally:
        command.kill()
        command.communicate()


def playbook_of(command: subprocess.Popen[str]) -> psutil.Process:
    """The ansible-playbook of a command."""
    for process in psutil.Process(command.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("ansible-playbook" in word for word in process.cmdline()[:5]):
                return process
    raise AssertionError("no ansible-playbook runs")


def end_of(command: subprocess.Popen[str]) -> dict[str, Any]:
    """The result of a command that came to its own end."""
    stdout, stderr = command.communicate(timeout=120)
    assert stdout, stderr
    found: dict[str, Any] = json.loads(stdout)
    return found


@pytest.mark.attack("a remedy is killed on the control node")
@databases
@pytest.mark.parametrize("victim", ["reconnect", "ansible-playbook"])
def test_killed_on_the_control_node(account: Account, fixing: subprocess.Popen[str], victim: str) -> None:
    assert account.rows() == "old"
    (psutil.Process(fixing.pid) if victim == "reconnect" else playbook_of(fixing)).kill()
    fixing.communicate(timeout=120)
    until(lambda: not account.is_written())
    assert account.rows() in ("old", "new")
    account.ask(QUICK)
    if victim == "reconnect":
        # What was interrupted is gone on with: it ends what it began.
        assert account.reconnect("resume", json_output=False).code == 0
        resumed = account.reconnect("show", "latest").result
        assert resumed["state"] == "succeeded", resumed["error_message"]
        assert account.rows() == "new"
    account.ends_well(account.fix())


@pytest.mark.attack("a remedy is killed on the server")
@databases
def test_killed_on_the_server(account: Account, fixing: subprocess.Popen[str]) -> None:
    kill = "kill -9 $(grep -l RECONNECT_RUN_ID /proc/[0-9]*/environ | cut -d/ -f3)"
    account.lab.run(account.server, "sh", "-c", kill)
    first = end_of(fixing)
    assert [one["state"] for one in first["remedies"]] == ["failed"]
    until(lambda: not account.is_written())
    assert account.rows() == "old"
    account.ask(QUICK)
    ended = account.fix()
    account.ends_well(ended)
    assert "An interrupted change of the account 1005 had changed nothing." in ended.result["remedies"][0]["reason"]


@databases
def test_asterisk_restarted_half_way(account: Account, fixing: subprocess.Popen[str]) -> None:
    account.lab.run(account.server, "systemctl", "restart", "asterisk")
    first = end_of(fixing)
    assert account.rows() in ("old", "new"), first["remedies"]
    account.ask(QUICK)
    account.ends_well(account.fix())


@pytest.mark.attack("the network fails within a remedy")
@databases
def test_the_network_is_gone(account: Account, fixing: subprocess.Popen[str]) -> None:
    lab, server = account.lab, account.server
    drop = "add chain inet gone ssh { type filter hook input priority -300; }; add rule inet gone ssh tcp dport 22 drop"
    lab.run(server, "nft", f"add table inet gone; {drop}")
    try:
        first = end_of(fixing)
    finally:
        lab.run(server, "nft", "delete table inet gone")
    assert first["state"] in ("unreachable", "failed", "timed_out", "succeeded")
    assert not first["verdict"] or not first["verdict"]["outcome"].startswith("fixed")
    until(lambda: not account.is_written())
    assert account.rows() in ("old", "new")
    account.ask(QUICK)
    # Nobody could give the lease back: it expires by itself, here after a second instead of ten minutes.
    assert lease(server)["lease"]["run_id"] == first["run_id"]
    lease(server, action="renew", run_id=first["run_id"], ttl=1)
    # Only who has something to fix needs the lease.
    account.ask(GONE)
    ended = account.fix()
    assert ended.result["remedies"]
    account.ends_well(ended)


def killed(server: str, state: Path) -> str:
    """A run that had begun to restart the database when it was killed, its lease still there; its id."""
    request = Request(
        playbook="diagnose-server.yml",
        mode="apply",
        named=[server],
        servers=[server],
        inventory=str(ROOT / INVENTORY),
        timeout=200,
        command=["diagnose-server", server, "--apply"],
    )
    settings = settings_of(state)
    slot = Slots(settings).empty()
    run = Runs(settings).create(request, worker=slot.name)
    run.record.begun = 1
    run.save()
    slot.release()
    lease(server, action="acquire", run_id=run.run_id)
    lease(server, action="begin", run_id=run.run_id, remedy="restart_database", cause="database_stopped")
    return run.run_id


SLOW_START = "/run/systemd/system/mariadb.service.d/slow.conf"


@pytest.mark.attack("a remedy is killed on the server")
@servers
@pytest.mark.parametrize("slow", [False, True])
def test_a_restart_that_took_effect_before_the_kill_is_told_as_fixed(
    lab: Lab,
    reconnect: Callable[..., Ended],
    broken: Callable[..., AbstractContextManager[None]],
    server: str,
    slow: bool,
    tmp_path: Path,
) -> None:
    with broken(server, "database_stopped"):
        left = killed(server, tmp_path)
        try:
            if slow:
                # It is still starting when the run comes back to it.
                lines = "[Service]\\nExecStartPre=/bin/sleep 12\\n"
                lab.run(server, "sh", "-c", f"mkdir -p {SLOW_START[:-10]} && printf '{lines}' > {SLOW_START}")
                lab.run(server, "systemctl", "daemon-reload")
            lab.run(server, "systemctl", "start", *(["--no-block"] if slow else []), "mariadb")
            assert reconnect("resume", json_output=False).code == 0
        finally:
            lab.run(server, "rm", "-f", SLOW_START)
            lab.run(server, "systemctl", "daemon-reload")
        result = reconnect("show", left).result
        assert result["verdict"]["outcome"] == "fixed_service", result["error_message"]
        (remedy,) = result["remedies"]
        assert "mariadb.service was started at " in remedy["reason"]
        assert lease(server)["lease"] is None


@pytest.mark.attack("a remedy is killed on the server")
@servers
def test_a_restart_that_did_nothing_before_the_kill_goes_to_third_level(
    lab: Lab,
    reconnect: Callable[..., Ended],
    broken: Callable[..., AbstractContextManager[None]],
    server: str,
    tmp_path: Path,
) -> None:
    with broken(server, "database_stopped"):
        left = killed(server, tmp_path)
        assert reconnect("resume", json_output=False).code == 0
        result = reconnect("show", left).result
        assert (result["state"], result["verdict"]["outcome"]) == ("succeeded", "escalate_third_level")
        assert "not done twice" in result["verdict"]["next_step"]
        assert (
            lab.run(server, "systemctl", "show", "--property=ActiveState", "--value", "mariadb").strip() == "inactive"
        )
        assert [entry["state"] for entry in lease(server)["journal"]] == ["failed"]


@contextlib.contextmanager
def full(lab: Lab, server: str, folder: str) -> Iterator[None]:
    """A folder that holds what it held, in a file system without room for a byte more."""
    script = """
        mkdir -p "$1" && mount -t tmpfs -o size=64k,mode=$(stat -c %a "$1"),uid=$(stat -c %u "$1") full /mnt
        cp --archive "$1/." /mnt/ && mount --bind /mnt "$1" && umount --lazy /mnt
        dd if=/dev/zero of="$1/.full" bs=1k status=none 2>/dev/null || true
    """
    lab.run(server, "sh", "-c", script, "sh", folder)
    try:
        yield
    finally:
        lab.run(server, "umount", folder)


@pytest.mark.attack("a full disk on the server")
@databases
def test_no_room_for_the_backup(account: Account) -> None:
    account.ask(QUICK)
    with full(account.lab, account.server, BACKUPS):
        ended = account.fix()
        (remedy,) = ended.result["remedies"]
        assert remedy["state"] == "failed"
        assert "No space left on device" in remedy["reason"]
        assert account.rows() == "old"
    account.ends_well(account.fix())


@pytest.fixture
def older(lab: Lab, server: str) -> Iterator[str]:
    """The folder of a client's documents with an older one in it."""
    folder = "/srv/provisioning/accounts/1004"
    lab.run(server, "rm", "-rf", "/var/lib/reconnect/state.json", folder)
    lab.run(server, "sh", "-c", f"mkdir -p {folder} && echo older > {folder}/lpconfig.xml")
    yield folder
    lab.run(server, "rm", "-rf", folder)


@pytest.mark.attack("a full disk on the server")
@servers
@pytest.mark.hosts("phone")
def test_no_room_for_a_document(
    lab: Lab, reconnect: Callable[..., Ended], server: str, older: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"internet": True, "settings": {"port": 5071}}))
    agreed = ("--yes", "--approve", "deliver_configuration")
    words = ("fix-account-config", "1004", "--server", server, "--inventory", INVENTORY, "--watch", "0", *agreed)
    with full(lab, server, older):
        ended = reconnect(*words, "--client-report", str(report))
        assert ended.code == 10
        assert {one["state"] for one in ended.result["remedies"]} == {"failed"}, ended.result["remedies"]
        held = lab.run(server, "sh", "-c", f"cat {older}/lpconfig.xml; ls -A {older}").split()
        assert (held[0], [name for name in held if name.startswith(".new")]) == ("older", [])
    with follows_the_message(lab, "1004"):
        ended = reconnect(*words, "--client-report", str(report))
    assert (ended.code, ended.result["verdict"]["outcome"]) == (0, "fixed_client_configuration")
