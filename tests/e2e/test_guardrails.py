"""What keeps a remedy from doing harm: calls, the budget, the lease, check mode."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trials.tools import Ended, Lab, ask_database, until

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
STATE_FILE = "/var/lib/reconnect/state.json"
#: The unit of each server's database.
DATABASE = {"pgsql": "postgresql@*", "pbx16": "mariadb"}


@pytest.fixture(params=["pgsql", "pbx16"])
def server(request: pytest.FixtureRequest, lab: Lab) -> Iterator[str]:
    """A server that no run has fixed lately; healed at the end."""
    lab.run(request.param, "rm", "-f", STATE_FILE)
    yield request.param
    lab("heal", "--host", request.param)
    lab.run(request.param, "rm", "-f", STATE_FILE)


def lease(server: str, **arguments: object) -> dict[str, Any]:
    """The answer of the module ``remedy_lease`` on a server."""
    asked = subprocess.run(
        [
            BIN / "ansible",
            *("-i", "inventories/lab", server),
            *("-m", "privatewave.reconnect.remedy_lease", "-a", json.dumps({"action": "info", **arguments})),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, Any] = json.loads(asked.stdout[asked.stdout.index("{") :])
    return found


def main_process(lab: Lab, server: str, unit: str) -> str:
    return lab.run(server, "systemctl", "show", "--property=MainPID", "--value", unit).strip()


def active(lab: Lab, server: str, unit: str) -> bool:
    return lab.run(server, "systemctl", "show", "--property=ActiveState", "--value", unit).strip() == "active"


def place_call(lab: Lab, server: str) -> None:
    """A call whose media sockets are open, to a device that sends nothing."""
    originate = "channel originate UnicastRTP/198.18.10.10:9/c(ulaw) application Wait 600"
    lab.run(server, "asterisk", "-rx", originate)
    until(lambda: "0 active channels" not in lab.run(server, "asterisk", "-rx", "core show channels count"))


def test_restart_with_a_call_up_needs_a_yes(lab: Lab, reconnect: Callable[..., Ended], server: str) -> None:
    place_call(lab, server)
    lab("break", "asterisk_hung", "--host", server)
    process = main_process(lab, server, "asterisk")

    refused = reconnect("diagnose-server", server, "--apply")
    assert (refused.code, refused.result["state"]) == (11, "refused")
    assert refused.result["remedies"][0]["reason"].startswith(f"A call is up on {server}")
    assert "approve restart_asterisk" in refused.result["verdict"]["next_step"]
    assert "It may interrupt an unknown number of calls and" in refused.result["verdict"]["plan"][0]["reason"]
    assert main_process(lab, server, "asterisk") == process

    done = reconnect("diagnose-server", server, "--apply", "--approve", "restart_asterisk")
    assert (done.code, done.result["verdict"]["outcome"]) == (0, "fixed_service")
    (remedy,) = done.result["remedies"]
    assert remedy["after"]["rungs"] == [{"rung": "now", "calls": 1}]
    assert remedy["interrupted"]["calls"] == 1
    assert 0 < remedy["interrupted"]["seconds"] < 60
    assert main_process(lab, server, "asterisk") != process


@pytest.mark.parametrize("server", ["pbx22", "pbx16"], indirect=True)
def test_fourth_remedy_within_the_hour_is_refused_and_escalated(
    lab: Lab, reconnect: Callable[..., Ended], server: str
) -> None:
    for _unused in range(3):
        lab("break", "provisioning_down", "--host", server)
        assert reconnect("diagnose-server", server, "--apply").code == 0
        lab("heal", "--host", server)
    lab("break", "provisioning_down", "--host", server)
    ended = reconnect("diagnose-server", server, "--apply")
    assert (ended.code, ended.result["state"]) == (11, "refused")
    assert ended.result["verdict"]["outcome"] == "escalate_third_level"
    assert "3 times within the last hour" in ended.result["remedies"][0]["reason"]
    assert not active(lab, server, "reconnect-provisioning")


@pytest.mark.parametrize("server", ["pbx22"], indirect=True)
def test_a_fix_that_cannot_be_verified_is_taken_back(lab: Lab, reconnect: Callable[..., Ended], server: str) -> None:
    for fault in ("account_missing", "firewall_host_blocks"):
        lab("break", fault, "--host", server)
    ended = reconnect("diagnose-server", server, "--account", "1005", "--apply")
    (fix,) = [one for one in ended.result["remedies"] if one["remedy"] == "fix_account"]
    assert (fix["state"], fix["rolled_back"]) == ("rolled_back", True)
    assert "got no answer" in fix["reason"]
    assert "1005" not in ask_database(lab, server, "SELECT id FROM ps_endpoints").split()
    assert "account_missing" in {one["cause"] for one in ended.result["verdict"]["root_causes"]}


@pytest.mark.attack("two runs at once")
def test_two_runs_at_once_fix_once(lab: Lab, server: str, tmp_path: Path) -> None:
    """From two machines, as far as they can tell: the server's own lease keeps them apart, and the one waits."""
    lab("break", "database_stopped", "--host", server)
    command: list[str | Path] = [
        BIN / "reconnect",
        "diagnose-server",
        server,
        "--apply",
        "--json",
        "--inventory",
        "inventories/lab",
    ]
    runs = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={
                "PATH": "/usr/bin:/bin",
                "RECONNECT_WARM": "0",
                "XDG_STATE_HOME": str(tmp_path / name),
                "HOME": str(tmp_path),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    results = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
    fixed = [one for one in results if one["verdict"]["outcome"] == "fixed_service"]
    others = [one for one in results if one not in fixed]
    assert len(fixed) == 1
    for other in others:
        # It waited until the first had ended, and looked again before it did anything.
        assert (other["state"], other["verdict"]["outcome"]) == ("succeeded", "healthy"), other["error_message"]
    journal = lease(server)["journal"]
    assert [entry["remedy"] for entry in journal] == ["restart_database"]
    assert lease(server)["lease"] is None


def test_lease_of_another_run_is_waited_for_and_refused_in_words(
    lab: Lab, reconnect: Callable[..., Ended], server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "policy.yml").write_text("limits: {lease_wait: 5}\n")
    monkeypatch.setenv("RECONNECT_POLICY", str(tmp_path / "policy.yml"))
    lab("break", "database_stopped", "--host", server)
    held = lease(server, action="acquire", run_id="another", holder="Second level", control_node="noc1")["lease"]
    ended = reconnect("diagnose-server", server, "--apply")
    assert (ended.code, ended.result["state"]) == (11, "refused")
    for word in ("Second level", "noc1", held["expires_at"], "The run waited for it."):
        assert word in ended.result["error_message"]
    assert "Take the lease: waiting" in ended.stderr
    assert not active(lab, server, DATABASE[server])


def test_expired_lease_is_taken_over(lab: Lab, reconnect: Callable[..., Ended], server: str) -> None:
    lab("break", "database_stopped", "--host", server)
    lease(server, action="acquire", run_id="another", ttl=1)
    until(lambda: lease(server)["lease"] is None)
    ended = reconnect("diagnose-server", server, "--apply")
    assert (ended.code, ended.result["verdict"]["outcome"]) == (0, "fixed_service")


def test_check_mode_plans_and_changes_nothing(lab: Lab, reconnect: Callable[..., Ended], server: str) -> None:
    lab("break", "database_stopped", "--host", server)
    ended = reconnect("diagnose-server", server, "--check")
    assert (ended.code, ended.result["verdict"]["outcome"]) == (10, "fault_found")
    assert [step["remedy"] for step in ended.result["verdict"]["plan"]] == ["restart_database"]
    assert ended.result["remedies"] == []
    assert not active(lab, server, DATABASE[server])
    assert lease(server) == {"changed": False, "fence": 0, "journal": [], "lease": None, "server_id": "", "held": ""}


@pytest.fixture
def two_names(server: str, tmp_path: Path) -> Path:
    """The lab's inventory, where the server has a second name."""
    folder = tmp_path / "inventories" / "lab"
    lab = ROOT / "inventories" / "lab"
    for name in ("host_vars", "accounts"):
        (folder / name).mkdir(parents=True)
        for file in (lab / name).iterdir():
            (folder / name / file.name).symlink_to(file)
    for name in ("hosts", "group_vars"):
        (folder / name).symlink_to(lab / name)
    # The account registry has the servers by their names, and no number twice.
    accounts = (lab / "accounts" / f"{server}.yml").read_text().replace(f": {server}\n", ": second\n")
    accounts = accounts.replace("servers[server]", f"servers.{server}").replace('"+390216', '"+390299')
    (folder / "accounts" / "second.yml").write_text(accounts)
    # What the lab's variables name relative to the inventory.
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    found = re.search(rf"^{server} (ansible_host=\S+)", (folder / "hosts").read_text(), re.MULTILINE)
    assert found
    (folder / "second").write_text(f"[servers]\nsecond {found[1]}\n")
    (folder / "host_vars" / "second.yml").write_text(
        (folder / "host_vars" / f"{server}.yml").read_text()
        + f"reconnect_sip_domain: {server}.reconnect.test\n"
        + f"reconnect_provisioning_url: https://{server}.reconnect.test/provisioning/health\n"
    )
    return folder


@pytest.mark.parametrize("server", ["pbx16"], indirect=True)
def test_two_names_of_one_server_are_fixed_once(
    lab: Lab, reconnect: Callable[..., Ended], server: str, two_names: Path
) -> None:
    lab("break", "provisioning_down", "--host", server)
    ended = reconnect("diagnose-server", "second", server, "--apply", "--inventory", str(two_names))
    results = {one["state"]: one for one in json.loads(ended.stdout)}
    assert (ended.code, set(results)) == (11, {"succeeded", "refused"})
    assert results["succeeded"]["verdict"]["outcome"] == "fixed_service"
    assert "are two names of one server" in results["refused"]["error_message"]
    seen = lease(server)
    assert [(entry["remedy"], entry["state"]) for entry in seen["journal"]] == [("restart_provisioning", "done")]
    assert seen["lease"] is None
    assert results["succeeded"]["server_id"] == seen["server_id"] != ""


@pytest.mark.parametrize("server", ["pbx22"], indirect=True)
def test_nothing_is_changed_while_a_person_holds_the_server(
    lab: Lab, reconnect: Callable[..., Ended], server: str
) -> None:
    lab("break", "provisioning_down", "--host", server)
    lab.run(server, "sh", "-c", "mkdir -p /etc/reconnect && echo 'we move the rack' >/etc/reconnect/hold")
    try:
        ended = reconnect("diagnose-server", server, "--apply")
    finally:
        lab.run(server, "rm", "-r", "/etc/reconnect")
    assert (ended.code, ended.result["state"]) == (11, "refused")
    assert "by root: we move the rack. Nothing is changed while" in ended.result["error_message"]
    assert not active(lab, server, "reconnect-provisioning")
    assert lease(server)["journal"] == []


@pytest.mark.hosts("pbx22", "pbx16")
def test_second_server_with_the_same_fault_follows_the_first(lab: Lab, reconnect: Callable[..., Ended]) -> None:
    servers = ["pbx22", "pbx16"]
    for server in servers:
        lab.run(server, "rm", "-f", STATE_FILE)
        lab("break", "provisioning_down", "--host", server)
    try:
        ended = reconnect("diagnose-server", *servers, "--apply")
    finally:
        for server in servers:
            lab("heal", "--host", server)
    results = json.loads(ended.stdout)
    assert (ended.code, [one["verdict"]["outcome"] for one in results]) == (0, ["fixed_service"] * 2), ended.stderr
    # The second began after the first was verified.
    first, second = sorted((one["remedies"][0] for one in results), key=lambda remedy: remedy["started_at"])
    assert first["finished_at"] <= second["started_at"]
    assert "Continuing with" in ended.stderr
    for server in servers:
        assert active(lab, server, "reconnect-provisioning")


@pytest.mark.parametrize("server", ["pbx22"], indirect=True)
def test_fix_of_an_account_is_undone_unless_somebody_changed_it_since(
    lab: Lab, reconnect: Callable[..., Ended], server: str
) -> None:
    lab("break", "password_mismatch", "--host", server)
    fixed = reconnect("fix-account-config", "1006", "--server", server, "--yes", "--watch", "0")
    assert fixed.code == 0, fixed.stderr
    undone = reconnect("undo", fixed.result["run_id"])
    assert (undone.code, undone.result["verdict"]["outcome"]) == (0, "undone"), undone.stderr
    assert [(one["remedy"], one["state"]) for one in undone.result["remedies"]] == [("undo_fix_account", "done")]

    # The fault is back: it is found and fixed again.
    again = reconnect("fix-account-config", "1006", "--server", server, "--yes", "--watch", "0")
    assert [cause["cause"] for cause in again.result["verdict"]["root_causes"]] == ["password_mismatch"], again.stderr
    assert again.code == 0
    refused = reconnect("undo", fixed.result["run_id"])
    assert (refused.code, refused.result["state"]) == (11, "refused"), refused.stderr
    assert "The account 1006 was changed again at" in refused.result["error_message"]


@pytest.mark.parametrize("server", ["pbx16"], indirect=True)
def test_first_level_fixes_what_the_policy_asks_about_after_a_yes(
    lab: Lab, reconnect: Callable[..., Ended], server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "policy.yml").write_text("fix: {ask: [fix_account]}\n")
    monkeypatch.setenv("RECONNECT_POLICY", str(tmp_path / "policy.yml"))
    lab("break", "password_mismatch", "--host", server)
    asked = ["fix-account-config", "1006", "--server", server, "--yes", "--watch", "0"]
    refused = reconnect(*asked)
    assert (refused.code, refused.result["state"]) == (11, "refused"), refused.stderr
    fixed = reconnect(*asked, "--approve", "fix_account")
    assert (fixed.code, fixed.result["verdict"]["outcome"]) == (0, "fixed_account"), fixed.stderr
