# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of the senders, on every road for real: one play for each asks modules over a local connection."""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from ansible._internal._templating._datatag import DeprecatedAccessAuditContext
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import senders
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import ANSWER_LIMIT
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.payload import PATH_INFO, SERVER_INFO
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import settings

ROOT = Path(__file__).parents[4]
SHARED = "-o ControlMaster=auto -o ControlPersist=60s"
ROADS = ("Wrapped", "Script", "Kept")
RUN_ID = "run-7f3a"

#: An action that asks one question by the road that the task names, and keeps the probe of it in a file.
ASK = """
import json
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import senders
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        asked = plain(self._task.args)
        sender = getattr(senders, asked["road"])(senders.Endpoint.of(self, task_vars))
        question = lambda: sender.ask(asked["module"], asked["arguments"])
        answer = senders.ask_all({"it": (question, asked["limit"])})["it"]
        with open(asked["file"], "w") as file:
            json.dump({"answer": answer, "chosen": senders.road(asked["module"], asked["interpreter"]).__name__}, file)
        return {"changed": False}
"""
TARGET = {
    "name": "a",
    "sip_domain": "",
    "addresses": ["127.0.0.1"],
    "transports": [{"transport": "tcp", "port": 1}],
    "resolvers": [],
    "srv": "",
    "provisioning_url": "",
}
STRANGE = [
    "'''\"\"\"",
    "{{ 7*7 }}",
    "{% raw %}",
    "$(touch owned)",
    "; touch owned",
    "{package}",
    "\\",
    "a\nb",
    "é€",
    "%s",
]
#: Values that equal half of an evidence document, and secrets that are nowhere in it.
WANTED = {
    "username": "1001",
    "password": "canary-password",
    "virtual_number": "+390212345678",
    "enabled": True,
    "edition": "professional",
    "security_model": "end_to_end",
    "obfuscation": {"mode": "none", "key": "canary-key"},
    "keep_alive": True,
    "keep_alive_seconds": 0,
    "server": "pbx",
    "group": "acme",
    "transport": "tls",
    "context": "",
    "codecs": ["alaw"],
    "max_contacts": 1,
    "acl": [],
    "profile": {"name": "default", "activation": "automatic", "logging": False, "licence": "canary-licence"},
}
DOCUMENT = {"username": "1001", "name": "privategsm.json", "content": '{"password": "canary-password"}'}
#: What a compromised host answers: names that no module documents, and values of other types than it documents.
HOSTILE = {
    "changed": "spoofed",
    "ansible_facts": {"spoofed": True},
    "add_host": {"host_name": "spoofed"},
    "warnings": ["spoofed"],
    "host": ["spoofed"],
    "asterisk": "spoofed",
    "database": {"spoofed": {"ok": True, "seconds": 0, "data": 1}},
    "spoofed": 1,
}
LIMIT = 20.0
#: How long the host hangs, in seconds: of the tests that run side by side each knows its own.
HANG = f"300.{os.getpid()}"


class Road:
    """One road, and the probes of the questions that were asked on it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.tasks: list[dict[str, Any]] = []

    def interpreter(self, name: str, script: str) -> str:
        """An interpreter that is a shell script of ours."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def ask(
        self, name: str, module: str, arguments: Any, script: str = "", limit: float = LIMIT, chosen: str = "auto"
    ) -> None:
        """Ask in the play; ``script`` runs instead of Python, ``chosen`` is an interpreter to choose a road for."""
        interpreter = self.interpreter(f"python-{len(self.tasks)}", script) if script else sys.executable
        asked = {"road": self.name, "module": module, "arguments": arguments, "limit": limit, "interpreter": chosen}
        self.tasks.append(
            {
                "name": name,
                "ask": {**asked, "file": str(self.folder / f"{name}.json")},
                "vars": {"ansible_python_interpreter": interpreter},
                "environment": {"RECONNECT_RUN_ID": RUN_ID},
            }
        )

    def run(self) -> None:
        """Run the play. What looks like an expression is marked as the untrusted text that it is."""
        (self.folder / "action_plugins").mkdir()
        (self.folder / "action_plugins" / "ask.py").write_text(ASK)
        (self.folder / "questions.json").write_text(json.dumps([task["ask"] for task in self.tasks]))
        questions = "{{ lookup('ansible.builtin.file', playbook_dir ~ '/questions.json') | from_json }}"
        tasks = [{**task, "ask": f"{{{{ questions[{number}] }}}}"} for number, task in enumerate(self.tasks)]
        play = {"hosts": "all", "gather_facts": False, "vars": {"questions": questions}, "tasks": tasks}
        (self.folder / "play.yml").write_text(json.dumps([play]))
        ended = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                *("-i", "server,", "-c", "local", self.folder / "play.yml"),
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "ANSIBLE_STDOUT_CALLBACK": "default",
                "ANSIBLE_INJECT_INVALID_TASK_ATTRIBUTE_WARNING": "0",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr

    def __getitem__(self, name: str) -> Any:
        """The probe of a question."""
        return json.loads((self.folder / f"{name}.json").read_text())["answer"]

    def chosen(self, name: str) -> Any:
        """The road that was chosen for the interpreter of a question."""
        return json.loads((self.folder / f"{name}.json").read_text())["chosen"]


def play(name: str, folder: Path) -> Road:
    """Every question on one road."""
    road = Road(name, folder)
    wanted = {"settings": settings({}), "account": "1001", "wanted": WANTED, "documents": [DOCUMENT]}
    strange = [{**TARGET, "name": name, "addresses": []} for name in STRANGE]
    road.ask("path", PATH_INFO, {"vantage": "here", "targets": [TARGET]})
    road.ask("server", SERVER_INFO, wanted, chosen="auto_silent")
    road.ask("strange", PATH_INFO, {"vantage": "".join(STRANGE), "targets": strange}, chosen="/usr/bin/python3")
    road.ask("exception", PATH_INFO, {"vantage": "here", "targets": [{}]})
    road.ask("crash", SERVER_INFO, wanted, f"exec {sys.executable} -c 'raise SystemExit(\"no memory\")'")
    road.ask("hostile", SERVER_INFO, wanted, f"cat >/dev/null; cat <<'EOF'\n{json.dumps(HOSTILE)}\nEOF")
    flood = f'print(\'{{"host": {{"a": "\' + "a" * {ANSWER_LIMIT} + \'"}}}}\')'
    road.ask("flood", SERVER_INFO, wanted, f"cat >/dev/null; exec {sys.executable} - <<'EOF'\n{flood}\nEOF")
    noted = f'printenv RECONNECT_RUN_ID > {folder}/run_id; exec {sys.executable} "$@"'
    road.ask("environment", PATH_INFO, {"vantage": "here", "targets": []}, noted)
    road.ask("hang", PATH_INFO, {"vantage": "here", "targets": []}, f"echo $$ > {folder}/pid; sleep {HANG}", 3.0)
    road.run()
    return road


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Road]:
    return {name: play(name, tmp_path_factory.mktemp(name)) for name in ROADS}


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest, roads: dict[str, Road]) -> Road:
    return roads[request.param]


def test_a_question_is_answered(road: Road) -> None:
    (path,) = road["path"]["data"]["paths"].values()
    assert path["data"]["tcp"]["127.0.0.1:1"]["error"] == "refused"
    assert path["data"]["icmp"]["127.0.0.1"]["data"]["received"] == 5


def test_arguments_are_data_whatever_they_look_like(road: Road) -> None:
    paths = road["strange"]["data"]["paths"]
    assert {name: path["data"]["vantage"] for name, path in paths.items()} == dict.fromkeys(STRANGE, "".join(STRANGE))
    assert not (ROOT / "owned").exists()


@pytest.mark.parametrize(("question", "said"), [("exception", "name"), ("crash", "no memory")])
def test_an_exception_is_an_answer(road: Road, question: str, said: str) -> None:
    answer = road[question]
    assert (answer["ok"], answer["error"]) == (False, "failed")
    assert said in answer["message"]
    assert "\n" not in answer["message"]


@pytest.mark.attack("a server sends too much output", harm="hang")
def test_too_much_output_is_refused(road: Road) -> None:
    assert (road["flood"]["ok"], road["flood"]["error"]) == (False, "invalid")


def test_what_no_module_documents_is_dropped(road: Road) -> None:
    assert road["hostile"]["data"] == {"database": HOSTILE["database"]}


def test_the_environment_of_the_task_reaches_the_module(road: Road) -> None:
    assert road["environment"]["ok"]
    assert (road.folder / "run_id").read_text() == RUN_ID + "\n"


def test_a_time_limit_ends_what_was_started(road: Road) -> None:
    assert (road["hang"]["error"], road["hang"]["message"]) == ("timed_out", "no answer within 3 s")
    pid = int((road.folder / "pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert not [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", HANG]]


def test_a_time_limit_ends_nothing_that_another_thread_started() -> None:
    late: list[subprocess.Popen[bytes]] = []

    def question() -> int:
        # A process of a process, as of ssh with a proxy command.
        late.append(subprocess.Popen(["sh", "-c", f"sleep {HANG}1; :"]))
        return late[0].wait()

    with subprocess.Popen(["sleep", f"{HANG}2"]) as other:
        try:
            assert senders.ask_all({"late": (question, 5.0)})["late"].get("error") == "timed_out"
            assert late[0].wait(50) == -signal.SIGTERM
            assert not [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", f"{HANG}1"]]
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.attack("a secret in a module's arguments", harm="leak")
def test_no_secret_is_in_the_answer_and_nothing_else_is_hidden(road: Road) -> None:
    text = json.dumps(road["server"])
    assert [word for word in ("canary-", "VALUE_SPECIFIED") if word in text] == []


def outcomes(road: Road) -> dict[str, Any]:
    """Of every probe of the server whether it was answered, and why not: what does not change from second to second."""
    subsets = road["server"]["data"]
    return {
        f"{subset}.{name}": (probe["ok"], probe.get("error"), probe.get("message"), type(probe.get("data")).__name__)
        for subset, probes in subsets.items()
        for name, probe in probes.items()
    }


def stable(road: Road, name: str, key: str) -> list[dict[str, Any]]:
    """The interfaces or routes of this machine but for those of containers, which come and go."""
    return [one for one in road["server"]["data"]["host"][name]["data"] if not str(one[key]).startswith("veth")]


@pytest.mark.parametrize("other", ROADS[1:])
def test_every_road_brings_the_same_evidence_with_an_account_named(roads: dict[str, Road], other: str) -> None:
    one, second = roads[ROADS[0]], roads[other]
    assert outcomes(one) == outcomes(second)
    assert {"account.registry", "account.documents", "host.interfaces"} <= outcomes(one).keys()
    for name, key in (("interfaces", "name"), ("routes", "device")):
        assert stable(one, name, key) == stable(second, name, key) != []
    first, again = (road["server"]["data"]["account"]["documents"]["data"] for road in (one, second))
    assert first == again
    documents = first["documents"]
    assert documents == [{"name": "privategsm.json", "state": "missing"}]


@pytest.mark.parametrize(("question", "name"), [("path", "Wrapped"), ("server", "Wrapped"), ("strange", "Kept")])
def test_the_interpreter_chooses_the_road(road: Road, question: str, name: str) -> None:
    assert road.chosen(question) == name


def test_questions_that_template_at_the_same_time_do_not_end_each_others_contexts() -> None:
    # Ansible refuses contexts that end in another order than they began in.
    with DeprecatedAccessAuditContext():
        both_are_inside = threading.Barrier(2, timeout=50)
        first_has_ended = threading.Event()

        def first() -> None:
            with DeprecatedAccessAuditContext():
                both_are_inside.wait()
            first_has_ended.set()

        def second() -> None:
            with DeprecatedAccessAuditContext():
                both_are_inside.wait()
                first_has_ended.wait(50)

        answers = senders.ask_all({"first": (first, 60.0), "second": (second, 60.0)})
    assert [one["ok"] for one in answers.values()] == [True, True], answers


@dataclass
class Ssh:
    """A connection of ssh, which opens where others can share it when `opens` is set."""

    folder: Path
    args: str = SHARED
    transport: str = "ssh"
    host: str = "198.51.100.7"
    port: int | None = None
    user: str = "root"
    control_path: str | None = None
    control_path_dir: str = ""
    place: str = ""
    asked: threading.Event = field(default_factory=threading.Event)

    def get_option(self, name: str) -> str | None:
        return {"ssh_args": self.args, "control_path": self.place}.get(name)

    def ask(self, ends: threading.Event, opens: threading.Event | None = None) -> None:
        with senders.opened_once(self):
            self.asked.set()
            if opens:
                assert opens.wait(50)
                self.control_path_dir, self.control_path = str(self.folder), "%(directory)s/socket"
                (self.folder / "socket").touch()
            assert ends.wait(50)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "OPENING_SECONDS", 50.0)


@pytest.mark.usefixtures("patient")
def test_who_asks_the_same_host_waits_until_the_connection_can_be_shared(tmp_path: Path) -> None:
    first, second, elsewhere = Ssh(tmp_path), Ssh(tmp_path), Ssh(tmp_path, host="198.51.100.8")
    ends, opens = threading.Event(), threading.Event()
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(first.ask, ends, opens)]
        assert first.asked.wait(50)
        asked += [pool.submit(one.ask, ends) for one in (second, elsewhere)]
        assert elsewhere.asked.wait(50)
        assert not second.asked.is_set()
        opens.set()
        assert second.asked.wait(50)
        assert not asked[0].done()
        ends.set()
    assert [one.exception() for one in asked] == [None] * 3
    assert senders.opening == {}


@pytest.mark.usefixtures("patient")
def test_who_waits_for_a_connection_that_fails_opens_one(tmp_path: Path) -> None:
    first, second, ends, never = Ssh(tmp_path), Ssh(tmp_path), threading.Event(), threading.Event()
    with ThreadPoolExecutor() as pool:
        one = pool.submit(first.ask, ends)
        assert first.asked.wait(50)
        other = pool.submit(second.ask, never)
        assert not second.asked.is_set()
        ends.set()
        one.result(50)
        assert second.asked.wait(50)
        never.set()
        other.result(50)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "connection",
    [
        *({"args": "-C"}, {"args": f"{SHARED} -o ControlPath=/somewhere"}, {"transport": "local"}),
        {"place": "%(directory)s/%%h-%%r"},
    ],
)
def test_nobody_waits_for_a_connection_that_is_not_shared(tmp_path: Path, connection: dict[str, Any]) -> None:
    first, second, ends = Ssh(tmp_path, **connection), Ssh(tmp_path, **connection), threading.Event()
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(one.ask, ends) for one in (first, second)]
        assert first.asked.wait(50)
        assert second.asked.wait(50)
        ends.set()
    assert [one.exception() for one in asked] == [None] * 2


def test_who_has_waited_past_its_limit_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(ActionBase, "_low_level_execute_command", lambda *_, **__: started.append(_))

    @contextlib.contextmanager
    def waits(_: object) -> Iterator[None]:
        senders._deadline.set(time.monotonic() - 1)
        yield

    monkeypatch.setattr(senders, "opened_once", waits)
    sender = object.__new__(senders.Wrapped)
    sender._connection = None
    with pytest.raises(ProbeError, match="the time limit was over"):
        contextvars.copy_context().run(sender._low_level_execute_command, "true")
    assert started == []


def test_a_connection_of_another_plugin_is_taken_as_it_is() -> None:
    with senders.opened_once(SimpleNamespace(transport="ssh")):
        assert senders.opening == {}
