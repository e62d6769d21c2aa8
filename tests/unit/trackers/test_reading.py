"""What an incident says itself, and what it is asked where that is not enough."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reconnect import reading
from reconnect.client_report import ClientReport
from reconnect.inventory import Inventory
from reconnect.reading import Said
from reconnect.settings import Settings
from reconnect.trackers.file import FileTracker
from reconnect.trackers.incident import MAX_FILE_BYTES
from reconnect.trackers.rt import RequestTracker
from reconnect.trackers.settings import Fields

from .conftest import Answer, Recorder

FOUND = Inventory(Path("/x"), frozenset({"pbx1", "pbx2", "phone"}), {"servers": frozenset({"pbx1", "pbx2"})})


def said(folder: Path, fields: str = "", **files: str | bytes) -> Said:
    """An incident in a folder, read; a file's name has `_` before its ending."""
    (folder / "incident.md").write_text(fields)
    for name, content in files.items():
        path = folder / ".".join(name.rsplit("_", 1))
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return reading.read(FileTracker(str(folder), Settings()), Fields())


def test_everything_a_run_needs_is_read(tmp_path):
    it = said(
        tmp_path,
        "Server: pbx1\nAccount: 601\nError message: 408 Request Timeout\nInternet connection: Yes\nReconnected: no\n"
        "Client settings: Address=pbx1.example.org; port: 5061, keep-alive: off\n\nServer: pbx2\n",
        phone_log="one\ntwo\n",
        notes_pdf="%PDF",
    )
    assert (it.server, it.account, it.problems, it.notes) == ("pbx1", "601", {}, [])
    assert it.report == ClientReport(
        internet=True,
        reconnected=False,
        error_message="408 Request Timeout",
        settings={"address": "pbx1.example.org", "port": "5061", "keep_alive": False},
        log=["one", "two"],
    )


def test_a_silent_incident_says_nothing(tmp_path):
    assert said(tmp_path, "no fields here\n") == Said()


def test_an_attached_report_is_the_more_exact_one(tmp_path):
    (tmp_path / "client-report.json").write_text(json.dumps({"settings": {"port": 5061}, "error_message": "503"}))
    it = said(tmp_path, "Error message: it says something\nClient settings: port: 5060; address: a\n")
    assert it.report.error_message == "503"
    assert it.report.settings == {"port": 5061, "address": "a"}


@pytest.mark.parametrize(
    ("fields", "about", "sentence"),
    [
        ("Internet connection: maybe\n", "internet", "has to be yes or no, not 'maybe'"),
        ("Reconnected: \x1b[31m{{ 7*7 }}\n", "reconnected", "not '\\x1b[31m{{ 7*7 }}'"),
        ("Client settings: see my mail\n", "settings", "'name: value', not 'see my mail'"),
    ],
)
def test_a_field_that_can_mean_nothing_is_a_problem(tmp_path, fields, about, sentence):
    assert sentence in said(tmp_path, fields).problems[about]


def test_an_attached_report_that_is_none_is_a_problem(tmp_path):
    (tmp_path / "client-report.yml").write_text("internet: &a [*a]")
    assert "can't be parsed" in said(tmp_path).problems["client-report.yml"]


def test_field_and_attached_report_that_contradict_each_other(tmp_path):
    (tmp_path / "client-report.yml").write_text("internet: false")
    problem = said(tmp_path, "Internet connection: yes\n").problems["internet"]
    assert problem == "Of 'internet' the incident says yes, the attached file client-report.yml says no."


def test_a_megabyte_of_text_is_bounded(tmp_path):
    it = said(tmp_path, f"Error message: {'x' * 1_000_000}\nServer: {'y' * 1_000_000}\n", client_log="z\n" * 500_000)
    assert len(it.report.error_message or "") == 4000
    assert len(it.report.log) == 5000
    problems: reading.Problems = {}
    assert reading.servers_of(it, [], Fields(), FOUND, "servers", problems) == []
    assert len(problems["server"]) < 200


def test_the_newest_logs_are_read_and_our_own_files_never(tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.log").write_text(f"{number}\n")
    (tmp_path / "reconnect-9.log").write_text("ours\n")
    assert said(tmp_path).report.log == ["3", "4", "5", "6", "7"]


def test_the_incident_names_the_server_where_the_command_does_not():
    problems: reading.Problems = {}
    assert reading.servers_of(Said(server="pbx1"), [], Fields(), FOUND, "servers", problems) == ["pbx1"]
    assert reading.servers_of(Said(server="pbx1"), ["pbx2", "pbx1"], Fields(), FOUND, "servers", problems) == [
        "pbx2",
        "pbx1",
    ]
    assert reading.servers_of(Said(), ["pbx2"], Fields(), FOUND, "servers", problems) == ["pbx2"]
    assert problems == {}


@pytest.mark.parametrize("name", ["servers", "all", "phone", "pbx3", "all:!pbx1", "{{ 7*7 }}", "../x", "\x1b[31m"])
def test_only_a_server_of_the_inventory_is_one(name):
    problems: reading.Problems = {}
    assert reading.servers_of(Said(server=name), [], Fields(), FOUND, "servers", problems) == []
    assert "is no server we know" in problems["server"]
    assert "\x1b" not in problems["server"]


def test_another_server_than_the_command_is_a_contradiction():
    problems: reading.Problems = {}
    reading.servers_of(Said(server="pbx1"), ["pbx2"], Fields(), FOUND, "servers", problems)
    assert problems["server"] == "The incident names the server 'pbx1', the command names pbx2."


def test_the_incident_names_the_account_where_the_command_does_not():
    problems: reading.Problems = {}
    assert reading.account_of(Said(account="601"), None, True, Fields(), problems) == "601"
    assert reading.account_of(Said(), "602", True, Fields(), problems) == "602"
    assert reading.account_of(Said(), None, False, Fields(), problems) is None
    assert problems == {}


@pytest.mark.parametrize(
    ("incident", "command", "sentence"),
    [
        ("601", "602", "The incident names the account '601', the command names 602."),
        (None, None, "The account is missing: the field 'Account' is empty."),
        ("601; id", None, "In the field 'Account': '601; id' is not the name of an account"),
        ("{{ 7*7 }}", None, "'{{ 7*7 }}' is not the name of an account"),
    ],
)
def test_an_account_that_cannot_be_the_one(incident, command, sentence):
    problems: reading.Problems = {}
    reading.account_of(Said(account=incident), command, True, Fields(), problems)
    assert sentence in problems["account"]


def test_the_same_problems_are_the_same_question():
    first, second = reading.question(["a", "b"]), reading.question(["b", "a"])
    assert first == second
    assert "  - a\n  - b\n" in first.text
    assert reading.question(["a"]).marker != first.marker


def test_a_file_that_is_too_large_is_named_and_left_out(server: Recorder):
    fields = [{"name": "Server", "values": ["pbx1", "pbx2"]}]
    files = [{"id": "8", "Subject": "", "Filename": "big.log"}]
    server.routes = {
        "GET /REST/2.0/ticket/7": Answer(200, {"id": "7", "Queue": {"id": "1"}, "CustomFields": fields}),
        "GET /REST/2.0/queue/1": Answer(200, {"Name": "General"}),
        "GET /REST/2.0/ticket/7/attachments": Answer(200, {"items": files}),
        "GET /REST/2.0/attachment/8": Answer(200, b"x" * (MAX_FILE_BYTES + 1)),
    }
    it = reading.read(RequestTracker("7", Settings(rt={"url": server.url, "token": "right"})), Fields())
    [note] = it.notes
    assert note.startswith("The attached file big.log was not read")
    assert it.problems == {"server": "The field 'Server' says several things: 'pbx1', 'pbx2'."}
    assert it.server is None
