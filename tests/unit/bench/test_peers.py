# SPDX-License-Identifier: GPL-3.0-or-later
"""Every peer answers every check of one list, or has no figure and says why."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from pathlib import Path

import measure
import peers
import pytest
import yaml
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import fitted, judge

ROOT = Path(__file__).resolve().parents[3]
NAMES = {one.name for one in peers.CHECKS}
ABOUT = {
    "address": "198.18.20.22",
    "domain": "pbx22.reconnect.test",
    "resolver": "198.18.20.1",
    "ca": "/ca",
    "account": "601",
    "password": "secret",
}
#: What a healthy server answers.
SAID = """
== name ==
DNS OK - 0.026 seconds response time (pbx22.reconnect.test. 5 IN A 198.18.20.22)
== srv ==
DNS OK (_sips._tcp.pbx22.reconnect.test. 5 IN SRV 0 0 5061 pbx22.reconnect.test.)
== connection ==
TCP OK - 0.000 second response time on 198.18.20.22 port 5061
== certificate ==
notAfter=Nov 27 14:28:59 2027 GMT
== sip ==
message is complete
SIP/2.0 200 OK
== provisioning ==
HTTP OK: HTTP/1.0 200 OK - 153 bytes in 0.026 second response time
== units ==
active
active
active
active
== socket ==
LISTEN 0 5 0.0.0.0:5061 0.0.0.0:* users:(("asterisk",pid=119,fd=15))
== memory ==
MemAvailable:   22765232 kB
== disk ==
overlay        264212084 31047948  75342964  30% /
== modules ==
res_pjsip.so       Basic SIP resource      43       Running      core
== transports ==
Transport:  transport-tls             tls      0      0  0.0.0.0:5061
== endpoints ==
Objects found: 22
== contacts ==
No objects found.
== odbc ==
    Number of active connections: 2 (out of 5)
== database ==
mysqld is alive
== account ==
601
== log ==
[2026-11-28 02:05:50.052] NOTICE[151] asterisk.c: ready
== file ==
notAfter=Nov 27 14:28:59 2027 GMT
"""


def test_a_healthy_server_answers_every_check() -> None:
    assert peers.told(SAID) == NAMES
    # As YAML shows a text with several lines.
    assert peers.told(re.sub("^", "        ", SAID, flags=re.MULTILINE)) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_what_is_not_answered_is_missed(name: str) -> None:
    assert peers.told(SAID.replace(f"== {name} ==", f"== {name} ==\nnot found\n== more ==")) == NAMES - {name}


@pytest.mark.parametrize(
    ("name", "healthy", "now"),
    [
        ("units", "active\nactive\n== socket", "active\ninactive\n== socket"),
        ("sip", "SIP/2.0 200 OK", "SIP/2.0 401 Unauthorized"),
        ("provisioning", "HTTP/1.0 200 OK", "HTTP/1.0 503 Service Unavailable"),
        ("odbc", "connections: 2", "connections: 0"),
    ],
)
def test_an_answer_of_a_broken_server_is_none(name: str, healthy: str, now: str) -> None:
    assert peers.told(SAID.replace(healthy, now)) == NAMES - {name}


def test_a_diagnosis_answers_every_check() -> None:
    """Each check names a finding that a diagnosis of a healthy server has."""
    evidence = json.loads(gzip.decompress((ROOT / "tests/evidence/healthy.pbx22.json.gz").read_bytes()))
    findings = judge(fitted(evidence))["findings"]
    assert peers.judged(json.dumps({"findings": findings})) == NAMES
    unknown = [{**one, "status": "unknown"} if one["code"] == "tls.disk" else one for one in findings]
    assert peers.judged(json.dumps({"findings": unknown})) == NAMES - {"file"}


def test_a_peer_that_misses_a_check_has_no_time() -> None:
    peer = peers.Peer("script", ["echo", SAID.replace("is alive", "is gone")], peers.told)
    with pytest.raises(measure.Failed, match="no answer for database: "):
        peer.ask()
    assert peers.Peer("script", ["echo", SAID], peers.told).ask() > 0


def test_a_command_that_is_not_there_has_no_time() -> None:
    with pytest.raises(measure.Failed, match="no-such-program"):
        peers.Peer("script", ["/no-such-program"], peers.told).ask()


def test_the_modules_answer_what_no_command_is_asked() -> None:
    [play] = yaml.safe_load((peers.OTHERS / "stock.yml").read_text())
    *tasks, last = play["tasks"]
    loops = "".join(task.get("loop", "") for task in tasks)
    by_module = {name for names in re.findall(r"\[([^\]]+)\]", loops) for name in re.findall(r"'(\w+)'", names)}
    assert set(re.findall(r"^== (\w+) ==", last["ansible.builtin.debug"]["msg"], re.MULTILINE)) == by_module
    assert by_module < NAMES
    for task in play["tasks"]:
        [module] = [name for name in task if "." in name]
        assert module.startswith("ansible.builtin.")


def test_what_the_peers_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "STATE", tmp_path)
    peers.write(tmp_path, {**ABOUT, "folder": str(tmp_path)})
    commands = json.loads((tmp_path / "checks.json").read_text())["commands"]
    assert {*commands["control"], *commands["server"]} == NAMES
    assert "secret" not in str(commands)
    for place, asked in commands.items():
        script = tmp_path / f"{place}.sh"
        subprocess.run(["sh", "-n", script], check=True)
        assert re.findall(r"== (\w+) ==", script.read_text()) == [*asked]
    message = (tmp_path / "options").read_bytes()
    assert message.startswith(b"OPTIONS sip:pbx22.reconnect.test SIP/2.0\r\n")
    assert message.endswith(b"\r\n\r\n")


#: What each command takes.
SECONDS = {"empty": 2.0, "warm": 4.0, "slow": 10.0, "own": 1.0}


def _measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *others: peers.Peer
) -> tuple[list[peers.Figure], dict[str, str]]:
    both = [peers.Peer("empty play", ["empty"]), peers.Peer("Reconnect: warm command", ["warm"], own=True)]
    begun: list[object] = []

    def timed(command: list[str]) -> tuple[float, str]:
        if command[0] not in SECONDS:
            raise measure.Failed(f"there is no {command[0]}")
        return SECONDS[command[0]], ""

    monkeypatch.setattr(peers, "timed", timed)
    monkeypatch.setattr(peers, "begin_warm", begun.append)
    monkeypatch.setattr(peers, "STATE", tmp_path)
    monkeypatch.setattr(peers, "site", lambda folder: {**ABOUT, "folder": str(folder)})
    monkeypatch.setattr(peers, "peers", lambda folder, address: iter([*both, *others]))
    try:
        return peers.measure(tmp_path, 2, [])
    finally:
        assert begun == [["warm"]]


def test_who_cannot_be_measured_is_listed_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline() -> None:
        raise measure.Failed("no index")

    monkeypatch.setattr(peers, "install", offline)
    slow, none = peers.Peer("slow", ["slow"]), peers.Peer("pyinfra: operations", ["none"], peers.told)
    figures, left = _measured(tmp_path, monkeypatch, slow, none)
    assert [one.name for one in figures] == ["empty play", "Reconnect: warm command", "slow"]
    assert figures[0].against_empty == peers.Spread(1, 1, 1)
    assert figures[2].seconds == peers.Spread(10, 10, 10)
    assert [one.against_warm.median for one in figures] == [0.5, 1, 2.5]
    assert left["packages"] == "no index"
    said = "\n".join(peers.shown(figures, left))
    assert "pyinfra: operations has no figure: there is no none" in said
    assert peers.plot(figures, "2 cores").count("</text>") == 2 + 2 * len(figures)


def test_without_its_own_figures_nothing_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "install", lambda: None)
    own = peers.Peer("Reconnect: cold command", ["own"], peers.told, own=True)
    with pytest.raises(measure.Failed, match="no answer for"):
        _measured(tmp_path, monkeypatch, own)


def test_figures_and_plot_are_written_with_what_they_hold_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RECONNECT_STATE_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    figure = peers.Figure("empty play", peers.Spread(1.5, 1, 2), peers.Spread(1, 1, 1), peers.Spread(2, 1, 3), False)
    monkeypatch.setattr(peers, "measure", lambda folder, runs, only: ([figure], {"mitogen": "no release"}))
    monkeypatch.setattr("sys.argv", ["peers.py", "--into", str(tmp_path / "into")])
    peers.main()
    found = json.loads((tmp_path / "into" / "peers.json").read_text())
    assert found["figures"][0]["seconds"] == {"median": 1.5, "least": 1, "most": 2}
    assert found["left_out"] == {"mitogen": "no release"}
    assert {"cpu", "ansible-core"} < {*found["machine"]}
    assert "ansible-core" in (tmp_path / "into" / "peers.svg").read_text()


def test_the_peers_are_pinned_with_what_they_need() -> None:
    pins = re.findall(r"^([a-z0-9-]+)==", peers.CONSTRAINTS.read_text(), re.MULTILINE)
    assert set((ROOT / "tests/bench/peers.in").read_text().split()) < set(pins)
