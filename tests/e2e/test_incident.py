"""The whole job on real hosts: an incident comes in, it alone starts the run, and it tells how that ended."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from trials.kept import contents, runs, settings_of
from trials.tools import INVENTORY, Ended, Lab

from . import browser, rt

SERVER = "pgsql"
pytestmark = pytest.mark.hosts(SERVER, "tracker")

CANARY = "Kanarienvogel7"
HOSTILE = "<script>alert(1)</script> {{ 7*7 }} {% raw %} \x1b[31m\u202e"


@pytest.fixture(autouse=True)
def tracker(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in rt.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def fix(reconnect: Callable[..., Ended]) -> Callable[..., Ended]:
    """First level, for an incident and nothing else."""

    def run(number: str, *words: str, **more: Any) -> Ended:
        return reconnect(
            "fix-account-config", "--incident", f"rt:{number}", "--inventory", INVENTORY, "--watch", "0", *words, **more
        )

    return run


def seen(number: str, folder: Path) -> str:
    """The incident's own page and its history, as a person who is logged in sees them; pictures go into the folder."""
    own = rt.own()
    words = ""
    with browser.Browser() as here:
        here.screen(1280)
        here.go(own["url"])
        here.type("input[name=user]", own["user"])
        here.type("input[name=pass]", own["password"] + "\n")
        for page in ("Display", "History"):
            here.go(f"{own['url']}/Ticket/{page}.html?id={number}")
            # Nothing that an incident or a report says becomes a part of the page.
            assert here.run("return document.querySelectorAll('.message-stanza *:not(br):not(a)').length") == 0
            here.picture(folder / f"{page}.png")
            words += here.text
    return words


def texts(value: object) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)
    else:
        yield str(value)


def secrets_are_nowhere(number: str, kept: Path) -> None:
    """Neither the passwords of the registry, the servers and the tracker nor what the client's log let slip is in what
    the incident was told, or in what is kept here: results, evidence, reports, the database of workflows."""
    own = json.loads((rt.STATE / "secrets.yml").read_text())
    own["tracker"] = [own["tracker"]["root_password"], own["tracker"]["password"]]
    secrets = [CANARY, (rt.STATE / "tracker_token").read_text().strip()]
    secrets += [text for text in texts(own) if len(text) >= 10]
    assert len(secrets) > 10
    places = rt.told(number)
    assert any(name.endswith(".html") for name in places)
    found = [*places.items(), *contents(settings_of(kept))]
    assert any(name == "documents.content" for name, _ in found)
    for name, content in found:
        assert [secret[:3] for secret in secrets if secret.encode() in content] == [], name


def test_a_missing_account_comes_in_and_the_incident_is_closed(
    lab: Lab, fix: Callable[..., Ended], broken: Callable[..., AbstractContextManager[None]], tmp_path: Path
) -> None:
    number = rt.ticket(
        fields={"Server": SERVER, "Account": "1005", "Internet connection": "yes", "Error message": "401"},
        files={"client.log": f"REGISTER failed: 401\npassword={CANARY}\n".encode()},
    )
    with broken(SERVER, "account_missing"):
        ended = fix(number, "--yes")
    assert ended.code == 0, ended.stderr
    assert (ended.result["server"], ended.result["account"]) == (SERVER, "1005")
    assert ended.result["verdict"]["outcome"] == "fixed_account"
    assert rt.ask(f"ticket/{number}")["Status"] == "resolved"
    assert rt.subjects(number) == ["report", "user"]
    run = ended.result["run_id"]
    assert rt.files(number) == ["client.log", f"reconnect-{run}.html", f"reconnect-{run}-{SERVER}.json"]
    secrets_are_nowhere(number, tmp_path)
    if not browser.missing:
        words = seen(number, tmp_path)
        assert "Status changed from 'open' to 'resolved'" in words
        assert "account_missing" in words
        assert f"reconnect-{run}.html" in words
        assert f"reconnect-{run}-{SERVER}.json" in words


def test_what_first_level_cannot_fix_is_in_the_queue_of_second_level(
    lab: Lab, fix: Callable[..., Ended], tmp_path: Path
) -> None:
    number = rt.ticket(fields={"Server": SERVER, "Account": "602", "Error message": HOSTILE})
    ended = fix(number, "--yes")
    assert ended.code == 10, ended.stderr
    moved = rt.ask(f"ticket/{number}")
    assert moved["Owner"]["id"] == "second-level"
    assert rt.ask(f"queue/{moved['Queue']['id']}")["Name"] == "Second level"
    assert rt.subjects(number) == ["report"]
    assert f"reconnect-{ended.result['run_id']}.tar.gz" in rt.files(number)
    secrets_are_nowhere(number, tmp_path)
    if not browser.missing:
        words = seen(number, tmp_path)
        assert "Queue changed from General to Second level" in words
        assert "<script>alert(1)</script> {{ 7*7 }} {% raw %} \\x1b[31m" in words


def test_packets_are_captured_where_it_is_asked(lab: Lab, reconnect: Callable[..., Ended], tmp_path: Path) -> None:
    number = rt.ticket(fields={"Server": SERVER})
    ended = reconnect("diagnose-server", "--incident", f"rt:{number}", "--inventory", INVENTORY, "--capture", "2")
    assert ended.result["state"] == "succeeded", ended.stderr
    [run] = runs(tmp_path)
    # Our own probes passed while it lasted: a client's greeting, which TLS does not encrypt.
    packets = run.packets(SERVER)
    assert packets is not None
    assert f"{SERVER}.reconnect.test".encode() in packets
    assert lab.run(SERVER, "sh", "-c", "ls -A ~/.ansible_async") == ""
    assert reconnect("bundle", "latest", "--output", str(tmp_path / "bundle.tar.gz"), json_output=False).code == 0
    with tarfile.open(tmp_path / "bundle.tar.gz") as bundle:
        [name] = [name for name in bundle.getnames() if name.endswith("packets.pcap")]
        file = bundle.extractfile(name)
        assert file is not None
        assert file.read() == packets


def test_an_incident_that_lacks_a_field_is_asked_once(lab: Lab, fix: Callable[..., Ended]) -> None:
    number = rt.ticket(fields={"Server": HOSTILE})
    for _ in range(2):
        ended = fix(number, "--yes", json_output=False)
        assert ended.code == 2
        [sentence] = ended.stderr.splitlines()
        assert "the field 'Account' is empty" in sentence
        assert "\x1b" not in sentence
    [marker] = rt.marked(number)
    assert marker.startswith("reconnect-question-")
    assert rt.ask(f"ticket/{number}")["Status"] == "new"
