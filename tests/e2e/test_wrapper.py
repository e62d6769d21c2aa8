"""The command against real hosts: what is left of a run that is ended, who is told, and what is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from reconnect.reports.redaction import Redaction
from trials.cases import SERVERS
from trials.kept import contents, holding, settings_of
from trials.tools import Ended, Lab

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / "tests" / "lab" / ".state"
RECONNECT = ROOT / ".venv" / "bin" / "reconnect"
INVENTORY = str(ROOT / "inventories" / "lab")
#: Where it does not matter which server it is, this one has the fewest other tests.
SERVER, ADDRESS = "pgsql", "198.18.20.23"
SCHEMA = json.loads((ROOT / "docs" / "reference" / "schemas" / "result.json").read_text())

pytestmark = pytest.mark.hosts(SERVER)

# Holds the lease and is busy on the server and on the control node until it is ended.
BUSY = """
- hosts: servers
  gather_facts: false
  environment:
    RECONNECT_RUN_ID: "{{ reconnect_run_id }}"
  tasks:
    - name: Take the lease
      privatewave.reconnect.remedy_lease: {action: acquire, run_id: "{{ reconnect_run_id }}"}
    - name: Be busy
      ansible.builtin.shell: setsid sleep 97531 & sleep 97531
"""


@pytest.fixture
def busy_project(tmp_path: Path) -> Path:
    """The product, with a playbook that is busy for ever in place of the diagnosis."""
    folder = tmp_path / "project"
    (folder / "playbooks").mkdir(parents=True)
    for name in ("ansible.cfg", "collections", "plugins", "playbooks/cleanup.yml"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "playbooks" / "diagnose-server.yml").write_text(BUSY)
    return folder


@pytest.fixture
def inventory(tmp_path: Path) -> Callable[..., str]:
    """Makes an inventory of its own beside the lab's variables; gives back its folder."""

    def make(hosts: str, **variables: str) -> str:
        folder = tmp_path / "inventories" / "lab"
        folder.mkdir(parents=True)
        (tmp_path / "tests").symlink_to(ROOT / "tests")
        (folder / "hosts").write_text(hosts + "[lab_hosts:children]\nservers\n")
        for name in ("host_vars", "accounts"):
            (folder / name).symlink_to(ROOT / "inventories" / "lab" / name)
        (folder / "group_vars").mkdir()
        for file in (ROOT / "inventories" / "lab" / "group_vars").iterdir():
            (folder / "group_vars" / file.name).symlink_to(file)
        (folder / "group_vars" / "lab_hosts.yml").write_text(json.dumps(variables))
        return str(folder)

    return make


def busy_on(lab: Lab, host: str) -> bool:
    return "97531" in lab.run(host, "sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true").replace(
        "cat /proc", ""
    )


def lease_on(host: str) -> dict[str, Any] | None:
    """The lease in force on a server, by the module itself."""
    answer = subprocess.run(
        [str(ROOT / ".venv/bin/ansible"), host, "-i", INVENTORY, "-m", "privatewave.reconnect.remedy_lease"],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "minimal"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    found: dict[str, Any] | None = json.loads(answer[answer.index("{") :])["lease"]
    return found


def local(word: str) -> list[str]:
    """Command lines on the control node that hold `word`; the lab's containers have processes of their own."""
    found = []
    own = Path("/proc/self/ns/pid").readlink()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(process / "ns/pid").readlink() == own:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (process / "environ").read_bytes().decode(errors="replace")
                if word in line or word in environment:
                    found.append(line)
        except OSError:
            continue
    return found


def test_a_time_limit_leaves_no_process_and_no_lease(
    lab: Lab, reconnect: Callable[..., Ended], busy_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONNECT_PROJECT", str(busy_project))
    ended = reconnect("diagnose-server", SERVER, "--inventory", INVENTORY, "--timeout", "15")
    assert ended.code == 13, ended.stderr
    assert ended.result["state"] == "timed_out"
    assert "Take the lease: ok" in ended.stderr
    assert not busy_on(lab, SERVER)
    assert lease_on(SERVER) is None
    assert local(ended.result["run_id"]) == []


def test_ctrl_c_leaves_no_process_and_no_lease(lab: Lab, busy_project: Path, tmp_path: Path) -> None:
    incident = tmp_path / "incident.md"
    asked = ["diagnose-server", SERVER, "--inventory", INVENTORY, "--json", "--incident", f"file:{incident}"]
    process = subprocess.Popen(
        [str(RECONNECT), *asked],
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "RECONNECT_PROJECT": str(busy_project)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not busy_on(lab, SERVER):
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.1)
    assert lease_on(SERVER) is not None
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 13, stderr
    result = json.loads(stdout)
    assert result["state"] == "cancelled"
    assert result["timeline"][-1]["step"] == "clean up"
    assert result["timeline"][-1]["state"] == "ok"
    assert "cancelled" in incident.read_text()
    assert not busy_on(lab, SERVER)
    assert lease_on(SERVER) is None
    assert local(result["run_id"]) == []


def test_ctrl_c_in_the_middle_of_a_remedy(lab: Lab, tmp_path: Path) -> None:
    lab.run(SERVER, "rm", "-f", "/var/lib/reconnect/state.json")
    lab("break", "database_hung", "--host", SERVER)
    try:
        with (tmp_path / "result.json").open("w") as result_file:
            process = subprocess.Popen(
                [str(RECONNECT), "diagnose-server", SERVER, "--inventory", INVENTORY, "--apply", "--json"],
                env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
                stdin=subprocess.DEVNULL,
                stdout=result_file,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert process.stderr is not None
            began = next(line for line in process.stderr if "Begin restart_database" in line)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        result = json.loads((tmp_path / "result.json").read_text())
        left = lab.run(SERVER, "sh", "-c", f"grep -l {result['run_id']} /proc/[0-9]*/environ 2>/dev/null; true")
    finally:
        lab("heal", "--host", SERVER)
    assert "ok" in began
    assert (process.returncode, result["state"]) == (13, "cancelled")
    assert result["verdict"]["root_causes"][0]["cause"] == "database_hung"  # what was known is not lost
    assert left.strip() == ""
    assert lease_on(SERVER) is None
    assert local(result["run_id"]) == []


@pytest.mark.attack("one server fails among others", harm="neighbour")
def test_an_unreachable_server_does_not_spoil_the_others(
    lab: Lab, reconnect: Callable[..., Ended], inventory: Callable[..., str]
) -> None:
    source = inventory(f"[servers]\n{SERVER} ansible_host={ADDRESS}\ngone ansible_host=198.18.20.99\n")
    ended = reconnect("diagnose-server", "servers", "--inventory", source)
    assert ended.code == 12, ended.stderr
    gone, here = sorted(json.loads(ended.stdout), key=lambda result: result["server"])
    assert (gone["state"], here["state"]) == ("unreachable", "succeeded")
    assert here["verdict"]["outcome"] == "healthy"
    for result in (gone, here):
        jsonschema.Draft202012Validator(SCHEMA).validate(result)


@pytest.mark.attack("an SSH server that hangs", harm="hang")
@pytest.mark.hosts(*SERVERS)
def test_an_ssh_server_that_hangs_is_unreachable_within_its_limit(lab: Lab, reconnect: Callable[..., Ended]) -> None:
    lab.run("pbx16", "pkill", "-STOP", "-o", "-x", "sshd")
    try:
        begun = time.monotonic()
        ended = reconnect("diagnose-server", "servers", "--inventory", INVENTORY)
        seconds = time.monotonic() - begun
    finally:
        lab.run("pbx16", "pkill", "-CONT", "-o", "-x", "sshd")
    assert ended.code == 12, ended.stderr
    states = {result["server"]: result["state"] for result in json.loads(ended.stdout)}
    assert states == {"pbx16": "unreachable", "pbx22": "succeeded", "pgsql": "succeeded"}
    assert seconds < 40


def test_a_wrong_key_is_unreachable(
    lab: Lab, reconnect: Callable[..., Ended], inventory: Callable[..., str], tmp_path: Path
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True, timeout=30)
    source = inventory(f"[servers]\n{SERVER} ansible_host={ADDRESS} ansible_ssh_private_key_file={tmp_path}/key\n")
    ended = reconnect("diagnose-server", SERVER, "--inventory", source)
    assert ended.code == 12, ended.stderr
    assert "denied" in ended.result["error_message"].lower()


@pytest.mark.attack("a planted secret", harm="leak")
def test_a_canary_is_found_nowhere(
    lab: Lab, reconnect: Callable[..., Ended], inventory: Callable[..., str], tmp_path: Path
) -> None:
    canary = "canary-7c2e55d1"
    source = inventory(
        f"[servers]\n{SERVER} ansible_host={ADDRESS}\n", reconnect_database_password=canary, some_secret=canary
    )
    with _watched(canary) as seen:
        ended = reconnect("diagnose-server", SERVER, "--inventory", source, "--apply", "--verbose")
    assert ended.code == 0, ended.stderr
    assert seen == []  # in no command line and no environment while the run lasted
    assert canary not in ended.stdout + ended.stderr
    assert holding(settings_of(tmp_path), canary) == []
    kept = [Path.home() / ".ansible" / "tmp", *Path("/tmp").glob("reconnect-*")]
    assert [path for folder in kept for path in _files(folder) if canary.encode() in _content(path)] == []
    places = "/tmp /var/tmp /root/.ansible /var/log /var/lib/reconnect"
    assert lab.run(SERVER, "sh", "-c", f"grep -rl canary-7c2e55d[1] {places} 2>/dev/null; true").strip() == ""


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder; others' runs take theirs away meanwhile."""
    for parent, _folders, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError:
        return b""


@contextmanager
def _watched(word: str) -> Iterator[list[str]]:
    """Looks for `word` in every command line and environment again and again while it lasts."""
    seen: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            seen.extend(local(word))

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield seen
    over.set()
    watcher.join()


@pytest.mark.attack("secrets of real servers", harm="leak")
@pytest.mark.hosts(*SERVERS)
def test_no_secret_of_the_servers_is_kept(lab: Lab, reconnect: Callable[..., Ended], tmp_path: Path) -> None:
    secrets = {
        word
        for server in json.loads((STATE / "secrets.yml").read_text())["servers"].values()
        for word in _words(server)
        if len(word) >= 12
    }
    assert secrets
    ended = reconnect("diagnose-server", "servers", "--inventory", INVENTORY, "--account", "1001", "--verbose")
    assert len(ended.result) == 3, ended.stderr
    texts = [ended.stdout, ended.stderr]
    texts += [content.decode(errors="replace") for _, content in contents(settings_of(tmp_path))]
    assert not [secret for secret in secrets for text in texts if secret in text]


def _words(value: object) -> list[str]:
    if isinstance(value, dict):
        return [word for inner in value.values() for word in _words(inner)]
    return [value] if isinstance(value, str) else []


# --- Request Tracker


class Rt:
    """The lab's Request Tracker, as an engineer would look at it."""

    def __init__(self) -> None:
        self.url = json.loads((STATE / "secrets.yml").read_text())["tracker"]["url"]
        self.token = (STATE / "tracker_token").read_text().strip()

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/REST/2.0/{path}",
            data=json.dumps(body).encode() if body else None,
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def create(self) -> str:
        incident = {"Queue": "General", "Subject": "Can't register", "Content": "408", "ContentType": "text/plain"}
        return str(self.ask("ticket", incident)["id"])

    def attachments(self, incident: str) -> list[dict[str, Any]]:
        fields = "fields=Filename,ContentType,Content&per_page=100"
        found: list[dict[str, Any]] = self.ask(f"ticket/{incident}/attachments?{fields}")["items"]
        return found


@pytest.fixture
def rt(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Rt:
    tracker = Rt()
    monkeypatch.setenv("RECONNECT_RT_URL", tracker.url)
    monkeypatch.setenv("RECONNECT_RT_TOKEN_FILE", str(STATE / "tracker_token"))
    monkeypatch.setenv("NO_PROXY", "198.18.20.5")
    return tracker


@pytest.mark.hosts(SERVER, "tracker")
def test_the_incident_gets_verdict_and_document(rt: Rt, reconnect: Callable[..., Ended]) -> None:
    incident = rt.create()
    ended = reconnect("diagnose-server", SERVER, "--inventory", INVENTORY, "--incident", f"rt:{incident}")
    assert ended.code == 0, ended.stderr
    attachments = rt.attachments(incident)
    assert any(f"{SERVER} — healthy" in item["Content"] for item in attachments if item["ContentType"] == "text/plain")
    [document] = [item for item in attachments if item["Filename"].endswith(f"{SERVER}.json")]
    # Nothing secret leaves this machine, not even an answer's nonce.
    assert json.loads(document["Content"]) == Redaction().document(ended.result)


@pytest.mark.hosts(SERVER, "tracker")
def test_the_incident_is_told_of_a_run_that_was_ended(
    rt: Rt, reconnect: Callable[..., Ended], busy_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONNECT_PROJECT", str(busy_project))
    incident = rt.create()
    ended = reconnect(
        "diagnose-server", SERVER, "--inventory", INVENTORY, "--incident", f"rt:{incident}", "--timeout", "4"
    )
    assert ended.code == 13, ended.stderr
    assert any(f"{SERVER} — timed_out" in item["Content"] for item in rt.attachments(incident))


@pytest.mark.hosts(SERVER, "tracker")
def test_an_incident_is_closed_where_the_table_says_so(
    rt: Rt, reconnect: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONNECT_OUTCOMES", '{"healthy": {"do": "close", "reason": "Healthy"}}')
    incident = rt.create()
    assert reconnect("diagnose-server", SERVER, "--inventory", INVENTORY, "--incident", f"rt:{incident}").code == 0
    assert rt.ask(f"ticket/{incident}")["Status"] == "resolved"


@pytest.mark.hosts(SERVER, "tracker")
@pytest.mark.parametrize(
    ("incident", "token", "sentence"),
    [("999999", None, "has no incident rt:999999 (404)"), ("1", "wrong", "does not accept the credentials (401)")],
)
def test_a_report_that_rt_does_not_take_is_pending(
    rt: Rt, reconnect: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, incident: str, token: str, sentence: str
) -> None:
    if token:
        monkeypatch.setenv("RECONNECT_RT_TOKEN", token)
    ended = reconnect("diagnose-server", SERVER, "--inventory", INVENTORY, "--incident", f"rt:{incident}")
    assert ended.code == 14, ended.stderr
    assert sentence in ended.stderr
    assert ended.result["verdict"]["outcome"] == "healthy"
    assert sentence in reconnect("outbox", json_output=False).stdout
