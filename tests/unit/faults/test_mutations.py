"""Mutations: the same draw for the same case, complete reverts after a kill, and what a label is made of."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import pytest
from mutations import command, label, saved, snapshot, table, trial
from mutations import facts as facts_of
from mutations.kinds import KINDS, OF_EDGE, OF_SERVER
from mutations.kinds import configuration as configuration_kind
from mutations.machine import PRELUDE
from mutations.mutation import Facts, File, Mutation, write
from trials.tools import ToolError

PJSIP = "[global]\ntype=global\n\n[transport-tls]\ntype=transport\nprotocol=tls\nbind=0.0.0.0:5061\n"


def facts(folder: Path | None = None, **more: Any) -> Facts:
    """What a small host has; its files lie below ``folder``."""
    root = str(folder or "")
    texts = {
        "/etc/asterisk/pjsip.conf": PJSIP,
        "/etc/asterisk/res_odbc.conf": "[asterisk]\nenabled => yes\nmax_connections => 5\npassword => hunter2\n",
        "/etc/asterisk/keys/server.key": None,
        "/etc/resolv.conf": "nameserver 198.18.20.1\n",
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/etc/nsswitch.conf": "hosts: files dns\n",
        "/etc/dnsmasq.zone": "host-record=pbx22.reconnect.test,198.18.20.22,2001:2:0:20::22\n",
    }
    given: dict[str, Any] = {
        "host": "pbx22",
        "server": "pbx22",
        "account": "1005",
        "others": ["1006", "1007"],
        "driver": "pjsip",
        "engine": "mysql",
        "address": "198.18.20.22",
        "address6": "2001:2:0:20::22",
        "phone": "198.18.20.1",
        "phone6": "2001:2:0:10::10",
        "database_unit": "mariadb.service",
        "database_user": "'asterisk'@'%'",
        "files": [File(root + path, "640", "root:root", 100, text=text) for path, text in texts.items()],
        "tables": {"ps_auths": {"id": "varchar(255)", "password": "varchar(80)", "realm": "varchar(40)"}},
        "rows": {"ps_auths": {"id": "1005", "password": "hunter2", "realm": None}},
        "units": ["asterisk.service", "fail2ban.service", "mariadb.service"],
        "network": {
            "routes": ["default via 198.18.20.1 dev eth0"],
            "routes6": ["default via 2001:2:0:20::1 dev eth0 metric 1024"],
            "addresses": ["2: eth0    inet 198.18.20.22/24 brd 198.18.20.255 scope global eth0"],
            "rules": ["table inet filter { # handle 1", "\t\ttcp dport 443 accept # handle 9"],
            "has_iptables": [],
        },
        "certificates": {
            name: f"{name}\n"
            for name in ("expired", "name_mismatch", "untrusted", "chain_incomplete", "not_yet_valid", "ends_soon")
        },
    }
    return Facts(**{**given, **more})


class Shell:
    """This machine, with the helpers of the lab's hosts and no services."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept

    def run(self, script: str, limit: float = 60) -> str:
        done = subprocess.run(["bash", "-eu", "-s"], input=self.helpers() + script, capture_output=True, text=True)
        if done.returncode:
            raise ToolError(done.stderr)
        return done.stdout

    def python(self, program: str, limit: float = 60) -> str:
        raise NotImplementedError

    def helpers(self) -> str:
        nothing = "".join(f"{name}() {{ :; }}\n" for name in ("restart", "reload", "well", "systemctl"))
        return f"KEPT='{self.kept}'\n{PRELUDE}\n{nothing}"


# The draw


def test_the_same_case_is_the_same_mutation() -> None:
    for number in range(60):
        case = trial.case_of(3, number, "pbx22")
        assert trial.drawn(case, facts()) == trial.drawn(case, facts())


def test_a_case_does_not_depend_on_how_many_there_are_or_on_hash_seeds() -> None:
    program = "from mutations import trial\nprint([trial.case_of(5, number).id for number in range(40)])"
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert said == {f"{[trial.case_of(5, number).id for number in range(40)]}\n"}


def test_seed_number_host_and_kind_make_a_difference() -> None:
    cases = {trial.case_of(seed, number).id for seed in (1, 2) for number in range(50)}
    assert len(cases) == 100
    assert {trial.case_of(1, number).host for number in range(60)} == set(trial.HOSTS_OF_CASES)
    assert {trial.case_of(1, number, "pbx16").kind for number in range(100)} == set(OF_SERVER)


def test_a_host_and_a_kind_that_are_asked_for_are_given() -> None:
    assert trial.case_of(1, 0, "pgsql", "rows").id == "1/0/pgsql/rows"
    assert trial.case_of(1, 0, None, "edge").host == "edge"
    assert {trial.case_of(1, number, None, "rows").host for number in range(40)} == {*trial.SERVERS, *trial.OTHERS}


def test_every_kind_draws_something_and_survives_being_saved() -> None:
    for kind in KINDS:
        host = "edge" if kind in OF_EDGE else "pbx22"
        for number in range(40):
            _attempt, mutation = trial.drawn(trial.case_of(1, number, host, kind), facts(host=host, server="pbx22"))
            assert mutation.kind.startswith(f"{kind}.")
            assert mutation.apply
            assert Mutation.restored(json.loads(json.dumps(mutation.saved()))) == mutation


def test_every_script_can_be_read_by_the_shell() -> None:
    scripts = []
    for engine in ("mysql", "postgresql"):
        for kind in KINDS:
            host = "edge" if kind in OF_EDGE else "pbx22"
            for number in range(40):
                case = trial.case_of(2, number, host, kind)
                mutation = trial.drawn(case, facts(host=host, server="pbx22", engine=engine))[1]
                scripts.append(f"f() {{\n:\n{mutation.apply}\n}}\nf() {{\n:\n{mutation.revert}\n}}\n")
    done = subprocess.run(["bash", "-n"], input="".join(scripts), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("configuration", {"files": []}),
        # A PBX of somebody else, with its accounts in files and without TLS.
        ("rows", {"rows": {}}),
        ("database", {"tables": {}}),
        ("certificates", {"tls": ""}),
    ],
)
def test_a_host_without_anything_of_a_kind_gives_no_case(kind: str, more: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        trial.drawn(trial.case_of(1, 0, "pbx22", kind), facts(**more))


def test_what_is_changed_is_what_the_host_has() -> None:
    plain = facts(host="plain", server="plain", protocol="udp", port=5060, network={"rules": []})
    rules = {trial.drawn(trial.case_of(1, number, "plain", "firewall"), plain)[1].after for number in range(60)}
    assert any("udp dport 5060" in rule for rule in rules)
    assert not any("tcp dport 5061 " in f"{rule} " and "flags" not in rule for rule in rules)
    custom = facts(
        host="custom",
        server="custom",
        tls="/etc/asterisk/tls/pbx",
        database="voice",
        database_user="'voip'@'localhost'",
        tables={"ast_auths": {"id": "varchar(40)"}},
        rows={"ast_auths": {"id": "1001"}},
    )
    for kind, never in (("certificates", "/etc/asterisk/keys"), ("database", "asterisk.*"), ("rows", "ps_auths")):
        for number in range(40):
            mutation = trial.drawn(trial.case_of(1, number, "custom", kind), custom)[1]
            assert never not in mutation.apply + mutation.revert + mutation.target


@pytest.mark.parametrize(
    ("change", "line", "expected"),
    [
        ("delete", "bind=0.0.0.0:5061\n", {""}),
        ("comment", "bind=0.0.0.0:5061\n", {";bind=0.0.0.0:5061\n"}),
        ("double", "bind=0.0.0.0:5061\n", {"bind=0.0.0.0:5061\nbind=0.0.0.0:5061\n"}),
        ("value", "tlsenable=yes ; note\n", {"tlsenable=no ; note\n"}),
        ("empty", "noload => chan_sip.so\n", {"noload => \n"}),
        ("truncate", "protocol=tls\n", {"protocol=t\n"}),
        ("number", "max => 5\n", {"max => 6\n", "max => 4\n", "max => 50\n", "max => 0\n"}),
        ("swap", "a=1\n", {"a=2\n"}),
    ],
)
def test_a_line_is_changed_as_it_says(change: str, line: str, expected: set[str]) -> None:
    rng = Random(1)
    seen = {configuration_kind.changed_line(rng, change, line, [line, "b=2\n"]) for _ in range(60)}
    assert seen == expected


def test_passwords_are_no_part_of_a_result() -> None:
    for number in range(300):
        for kind in ("configuration", "rows"):
            mutation = trial.drawn(trial.case_of(4, number, "pbx22", kind), facts())[1]
            shown = trial.told(mutation)
            if "misspell" not in mutation.kind and "swap" not in mutation.kind:
                assert "hunter2" not in json.dumps(shown), shown


# The revert

Host = tuple[Shell, Facts, Callable[[], dict[str, list[str]]]]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A folder as a host, whose state is its files with their rights."""
    monkeypatch.setattr(saved, "LOCKS", tmp_path / "locks")
    root = tmp_path / "host"
    own = facts(root)
    for one in own.files:
        path = Path(one.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one.text or "KEY\n")
        path.chmod(0o640)

    def state(*_: object) -> dict[str, list[str]]:
        return {
            "files": [
                f"{path} {path.stat().st_mode:o} {path.read_bytes().hex() if path.is_file() else ''}"
                for path in sorted(root.rglob("*"))
            ]
        }

    monkeypatch.setattr(snapshot, "taken", state)
    return Shell(tmp_path / "kept"), own, state


def no_boot(host: str) -> None:
    raise AssertionError(f"{host} was booted again")


def of_files(own: Facts, kind: str, number: int) -> Mutation:
    mutation = trial.drawn(trial.case_of(9, number, "pbx22", kind), own)[1]
    return Mutation(**{**mutation.saved(), "units": ()})


@pytest.mark.parametrize("kind", ["configuration", "files"])
def test_what_is_applied_is_reverted_byte_by_byte(host: Host, kind: str) -> None:
    shell, own, state = host
    before = state()
    for number in range(12):
        # The owner of a file that the test makes is whoever runs it.
        mutation = of_files(own, kind, number)
        if "chown root" in mutation.apply and os.geteuid():
            continue
        trial.apply(shell, "pbx22", mutation, before, own)
        assert state() != before
        assert trial.revert(shell, "pbx22", no_boot) == ("reverted", [])
        assert state() == before
        assert not saved.applied_file("pbx22").exists()


def test_a_run_that_is_killed_in_the_middle_is_reverted_by_the_next(host: Host, tmp_path: Path) -> None:
    shell, own, state = host
    before = state()
    path = own.files[0].path
    # Its script goes on until it may end, and is waited for.
    wait = f"touch '{tmp_path}/there'\nuntil [ -e '{tmp_path}/go' ]; do sleep 0.1; done\n"
    half = f"{write(path, 'half')}{wait}{write(path, 'whole')}"
    mutation = Mutation("files.test", path, "", "", half, keeps=(path,))
    child = os.fork()
    if not child:
        try:
            trial.apply(shell, "pbx22", mutation, before, own)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 60
    while not (tmp_path / "there").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert Path(path).read_text() == "half"
    threading.Timer(0.5, (tmp_path / "go").touch).start()
    assert trial.revert(shell, "pbx22", no_boot) == ("reverted", [])
    assert state() == before


def test_a_run_that_is_killed_before_it_changed_anything_is_reverted_too(host: Host) -> None:
    shell, own, state = host
    before = state()
    # Killed while it kept the files: half a copy must not be given back.
    partial = Path(f"{shell.kept}.part") / own.files[0].path.lstrip("/")
    partial.parent.mkdir(parents=True)
    partial.write_text("half a co")
    mutation = of_files(own, "files", 1)
    saved.put(
        saved.applied_file("pbx22"),
        {
            "mutation": mutation.saved(),
            "before": before,
            "facts": asdict(own),
            "host": "pbx22",
            "server": "pbx22",
        },
    )
    assert trial.revert(shell, "pbx22", no_boot) == ("reverted", [])
    assert state() == before


def test_a_revert_that_is_killed_goes_on(host: Host) -> None:
    shell, own, state = host
    before = state()
    path = own.files[0].path
    mutation = Mutation("files.test", path, "", "", f"rm '{path}'\nmkdir '{path}'\n", keeps=(path,))
    trial.apply(shell, "pbx22", mutation, before, own)
    # The first part of what giving back does.
    shutil.rmtree(path)
    assert trial.revert(shell, "pbx22", no_boot) == ("reverted", [])
    assert state() == before


def test_a_host_that_differs_afterwards_is_booted_and_the_difference_told(host: Host) -> None:
    shell, own, state = host
    before = state()
    other = Path(own.files[1].path)
    mutation = Mutation("files.test", str(other), "", "", f"chmod 600 '{other}'\n")
    trial.apply(shell, "pbx22", mutation, before, own)
    booted: list[str] = []
    how, different = trial.revert(shell, "pbx22", booted.append)
    assert (how, booted) == ("booted", ["pbx22"])
    assert any(str(other) in line for line in different)


def test_nothing_applied_is_nothing_to_revert(host: Host) -> None:
    assert trial.revert(host[0], "pbx22", no_boot) == ("reverted", [])


def test_differences_name_their_topic() -> None:
    assert snapshot.differences({"routes": ["a", "b"]}, {"routes": ["a"], "links": ["c"]}) == [
        "links: + c",
        "routes: - b",
    ]


# The label

LOG = "Account [0x1] moving from state [LinphoneRegistration{}] to [LinphoneRegistration{}] on core\n"
ASKED = "SIP/2.0 401 Unauthorized\r\nCSeq: 20 REGISTER\r\n\r\n"
TAKEN = "SIP/2.0 200 OK\r\nCSeq: 21 REGISTER\r\nContact: <sip:1005@198.18.10.10>;expires=299\r\n\r\n"
LOST = "SIP/2.0 200 OK\r\nCSeq: 21 REGISTER\r\nExpires: 300\r\n\r\n"
OPTIONS = "SIP/2.0 200 Ok\r\nCSeq: 102 OPTIONS\r\nContact: <sip:1005@198.18.10.10>\r\n\r\n"
BEGUN, OK, FAILED = LOG.format("None", "Progress"), LOG.format("Progress", "Ok"), LOG.format("Progress", "Failed")


@pytest.mark.parametrize(
    ("log", "contact", "can_register"),
    [
        (BEGUN + ASKED + TAKEN + OK, True, True),
        # 200 and not stored: nobody can call this phone.
        (BEGUN + ASKED + LOST + OK, False, False),
        (BEGUN + ASKED + TAKEN + OK, False, False),
        # The console is silent: the answer is the witness.
        (BEGUN + ASKED + TAKEN + OK, None, True),
        (BEGUN + ASKED + LOST + OK, None, False),
        (BEGUN + ASKED + LOST + OK + OPTIONS, None, False),
        # An old contact of the account is not this phone's.
        (BEGUN + ASKED + FAILED, True, False),
        (BEGUN, True, False),
        ("", None, False),
        (BEGUN + ASKED + TAKEN + OK + LOG.format("Ok", "Failed"), True, False),
    ],
)
def test_who_can_register_has_registered_and_is_stored(log: str, contact: bool | None, can_register: bool) -> None:
    assert label.judged(log, contact).can_register is can_register


def test_a_label_says_what_was_answered() -> None:
    assert label.judged(BEGUN + ASKED + TAKEN + OK + OPTIONS, True).answers == [401, 200]


def test_waiting_ends_with_the_answer_and_not_before() -> None:
    assert not label.is_final("", 0)
    assert not label.is_final(BEGUN, 0)
    assert label.is_final(BEGUN + TAKEN + OK, 0)
    assert label.is_final(BEGUN + ASKED + FAILED, 0)
    # Without an answer it tries again.
    assert not label.is_final(BEGUN + FAILED, label.AGAIN - 1)
    assert label.is_final(BEGUN + FAILED, label.AGAIN + 1)


# The results


def result(number: int, can_register: bool, outcome: str, *causes: str, **more: object) -> dict[str, object]:
    return {
        "id": f"1/{number}/pbx22/rows",
        "case": number,
        "host": "pbx22",
        "kind": "rows",
        "can_register": can_register,
        "steady": True,
        "outcome": outcome,
        "root_causes": list(causes),
        "mutation": {
            "kind": "rows.null", "target": "ps_auths.password", "before": "a", "after": "b", "effect": "at once",
            "causes": ["password_mismatch"],
        },
        **more,
    }  # fmt: skip


def test_the_table_tells_wrong_from_right() -> None:
    right = result(1, False, "fault_found", "password_mismatch")
    unknown = result(2, False, "escalate_third_level", "unknown_cause")
    wrong = result(3, False, "fault_found", "database_hung")
    healthy = result(4, False, "healthy")
    alarm = result(5, True, "fault_found", "auth_missing")
    fine = result(6, True, "healthy")
    came_through = result(7, False, "healthy", steady=False)
    broken_by_hand = result(8, False, "healthy", disturbed=["port_taken on pbx22"])
    every = [right, unknown, wrong, healthy, alarm, fine, came_through, broken_by_hand]
    assert [one["case"] for one in every if table.is_false_healthy(one)] == [4]
    assert [one["case"] for one in every if table.is_wrong(one)] == [3]
    assert [one["case"] for one in every if table.is_false_alarm(one)] == [5]
    assert table.figures("all", every) == ("all", "8", "4", "1", "2", "1", "1", "2", "1")
    assert "not counted: 2" in table.summary(every)


def test_the_last_line_of_a_case_counts_and_half_a_line_does_not(tmp_path: Path) -> None:
    file = tmp_path / "1.jsonl"
    saved.append(file, result(1, False, "healthy"))
    saved.append(file, result(1, True, "healthy"))
    with file.open("a") as more:
        more.write('{"id": "1/2/pbx')
    assert [one["can_register"] for one in saved.results(file)] == [True]


def test_resume_leaves_out_what_has_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "CACHE", tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    ran: list[int] = []

    def run(case: trial.Case, *_: object) -> dict[str, object]:
        ran.append(case.number)
        return {**result(case.number, True, "healthy"), "id": case.id}

    monkeypatch.setattr(trial, "run", run)
    words = ["--seed", "1", "--host", "pbx22", "--resume"]
    assert command.main([*words, "--cases", "2"]) == 0
    assert command.main([*words, "--cases", "4"]) == 0
    assert ran == [0, 1, 2, 3]


def test_a_run_that_is_stopped_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(saved, "CACHE", tmp_path)

    def run(case: trial.Case, *_: object) -> dict[str, object]:
        os.kill(os.getpid(), signal.SIGTERM)
        return {**result(case.number, True, "healthy"), "id": case.id}

    monkeypatch.setattr(trial, "run", run)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert command.main(["--seed", "1", "--host", "pbx22", "--cases", "3"]) == 3
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "after 1 of 3 cases" in capsys.readouterr().err
    assert len(saved.results(saved.results_file(1))) == 1


def test_a_case_that_is_run_again_is_the_draw_that_was_saved(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, own, _state = host
    monkeypatch.setattr(saved, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(trial, "LabMachine", lambda *_: shell)
    monkeypatch.setattr(trial, "prepared", lambda *_: None)
    monkeypatch.setattr(facts_of, "listed", lambda *_: own)
    seen: list[str] = []

    def observed(*_: object) -> dict[str, object]:
        seen.append(saved.got(saved.applied_file("pbx22"))["mutation"]["target"])
        raise ToolError("no lab here")

    monkeypatch.setattr(trial, "observed", observed)
    monkeypatch.setattr(trial, "phone", lambda *_: pytest.fail("the host is looked at afterwards"))
    case = trial.case_of(9, 1, "pbx22", "configuration")
    for _ in range(2):
        with pytest.raises(pytest.fail.Exception):
            trial.examined(case, tmp_path, False, False)
        # Of another host of the same name the draw would be another.
        own = facts(files=[])
    assert seen[0] == seen[1]
