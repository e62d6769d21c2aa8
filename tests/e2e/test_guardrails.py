"""What keeps a remedy from doing harm: calls, the budget, the lease, check mode."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from trials.tools import until

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
STATE_FILE = "/var/lib/reconnect/state.json"


@pytest.fixture(params=["pbx22", "pbx16"])
def server(request, lab):
    """A server nobody has mended lately; healed at the end."""
    lab.run(request.param, "rm", "-f", STATE_FILE)
    yield request.param
    lab("heal", "--host", request.param)
    lab.run(request.param, "rm", "-f", STATE_FILE)


def lease(server: str, **arguments: object) -> dict:
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
    return json.loads(asked.stdout[asked.stdout.index("{") :])


def main_process(lab, server: str, unit: str) -> str:
    return lab.run(server, "systemctl", "show", "--property=MainPID", "--value", unit).strip()


def active(lab, server: str, unit: str) -> bool:
    return lab.run(server, "systemctl", "show", "--property=ActiveState", "--value", unit).strip() == "active"


def place_call(lab, server: str) -> None:
    """A call whose media sockets are open, to a device that is silent."""
    originate = "channel originate UnicastRTP/198.18.10.10:9/c(ulaw) application Wait 600"
    lab.run(server, "asterisk", "-rx", originate)
    until(lambda: "0 active channels" not in lab.run(server, "asterisk", "-rx", "core show channels count"))


def test_restart_with_a_call_up_needs_a_yes(lab, reconnect, server):
    place_call(lab, server)
    lab("break", "asterisk_hung", "--host", server)
    process = main_process(lab, server, "asterisk")

    refused = reconnect("diagnose-server", server, "--apply")
    assert (refused.code, refused.result["state"]) == (11, "refused")
    assert refused.result["remedies"][0]["reason"].startswith(f"A call is up on {server}")
    assert "approve restart_asterisk" in refused.result["verdict"]["next_step"]
    assert main_process(lab, server, "asterisk") == process

    done = reconnect("diagnose-server", server, "--apply", "--approve", "restart_asterisk")
    assert (done.code, done.result["verdict"]["outcome"]) == (0, "fixed_service")
    assert done.result["remedies"][0]["after"]["rungs"] == [{"rung": "now", "calls": 1}]
    assert main_process(lab, server, "asterisk") != process


def test_fourth_remedy_within_the_hour_is_refused_and_escalated(lab, reconnect, server):
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


def test_two_runs_at_once_mend_once(lab, server, tmp_path):
    """From two machines, as far as they can tell: the server's own lease keeps them apart, and the one waits."""
    lab("break", "database_stopped", "--host", server)
    command = [BIN / "reconnect", "diagnose-server", server, "--apply", "--json", "--inventory", "inventories/lab"]
    runs = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(tmp_path / name), "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    results = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
    mended = [one for one in results if one["verdict"]["outcome"] == "fixed_service"]
    others = [one for one in results if one not in mended]
    assert len(mended) == 1
    for other in others:
        # It waited until the first had ended, and looked again before it did anything.
        assert (other["state"], other["verdict"]["outcome"]) == ("succeeded", "healthy"), other["error_message"]
    journal = lease(server)["journal"]
    assert [entry["remedy"] for entry in journal] == ["restart_database"]
    assert lease(server)["lease"] is None


def test_lease_of_another_run_is_waited_for_and_refused_in_words(lab, reconnect, server, monkeypatch):
    monkeypatch.setenv("RECONNECT_LEASE_SECONDS", "5")
    lab("break", "database_stopped", "--host", server)
    held = lease(server, action="acquire", run_id="another", holder="Second level", control_node="noc1")["lease"]
    ended = reconnect("diagnose-server", server, "--apply")
    assert (ended.code, ended.result["state"]) == (11, "refused")
    for word in ("Second level", "noc1", held["expires_at"], "It was waited for."):
        assert word in ended.result["error_message"]
    assert "Take the lease: waiting" in ended.stderr
    assert not active(lab, server, "mariadb")


def test_expired_lease_is_taken_over(lab, reconnect, server):
    lab("break", "database_stopped", "--host", server)
    lease(server, action="acquire", run_id="another", ttl=1)
    until(lambda: lease(server)["lease"] is None)
    ended = reconnect("diagnose-server", server, "--apply")
    assert (ended.code, ended.result["verdict"]["outcome"]) == (0, "fixed_service")


def test_check_mode_plans_and_changes_nothing(lab, reconnect, server):
    lab("break", "database_stopped", "--host", server)
    ended = reconnect("diagnose-server", server, "--check")
    assert (ended.code, ended.result["verdict"]["outcome"]) == (10, "fault_found")
    assert [step["remedy"] for step in ended.result["verdict"]["plan"]] == ["restart_database"]
    assert ended.result["remedies"] == []
    assert not active(lab, server, "mariadb")
    assert lease(server) == {"changed": False, "journal": [], "lease": None}
