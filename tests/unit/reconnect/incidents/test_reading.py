"""What an incident says itself, and what it is asked where that is not enough."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from reconnect.ansible.inventory import Inventory
from reconnect.incidents import reading
from reconnect.incidents.client_report import ClientReport
from reconnect.incidents.reading import Said
from reconnect.incidents.trackers.file import FileTracker
from reconnect.incidents.trackers.rt import RequestTracker
from reconnect.incidents.trackers.tracker import MAX_FILE_BYTES
from reconnect.names import Incident
from reconnect.settings.trackers import Fields, FileSettings, RtSettings

from .conftest import Answer, Recorder

FOUND = Inventory(Path("/x"), frozenset({"pbx1", "pbx2", "phone"}), {"servers": frozenset({"pbx1", "pbx2"})})


def said(folder: Path, fields: str = "", **files: str | bytes) -> Said:
    """An incident in a folder, read; a file's name has `_` before its ending."""
    (folder / "incident.md").write_text(fields)
    for name, content in files.items():
        path = folder / ".".join(name.rsplit("_", 1))
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return reading.read(FileTracker(Incident("file", str(folder)), FileSettings()), Fields())


def test_everything_a_run_needs_is_read(tmp_path: Path) -> None:
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


def test_a_silent_incident_says_nothing(tmp_path: Path) -> None:
    assert said(tmp_path, "no fields here\n") == Said()


def test_an_attached_report_is_the_more_exact_one(tmp_path: Path) -> None:
    (tmp_path / "client-report.json").write_text(json.dumps({"settings": {"port": 5061}, "error_message": "503"}))
    it = said(tmp_path, "Error message: it says something\nClient settings: port: 5060; address: a\n")
    assert it.report.error_message == "503"
    assert it.report.settings == {"port": 5061, "address": "a"}


@pytest.mark.attack("an incident that names the address of somebody else as the browser's", harm="breach")
def test_what_a_browser_was_seen_at_is_no_incidents_to_say(tmp_path: Path) -> None:
    browser = {"addresses": ["192.0.2.1"]}
    (tmp_path / "client-report.json").write_text(json.dumps({"internet": True, "browser": browser}))
    report = said(tmp_path).report
    assert (report.internet, report.browser) == (True, None)
    seen = ClientReport.model_validate({"browser": browser})
    assert reading.combined(report, seen, "client report", {}).browser == seen.browser


@pytest.mark.parametrize(
    ("fields", "about", "sentence"),
    [
        ("Internet connection: maybe\n", "internet", "must be yes or no, not 'maybe'"),
        ("Reconnected: \x1b[31m{{ 7*7 }}\n", "reconnected", "not '\\x1b[31m{{ 7*7 }}'"),
        ("Client settings: see my mail\n", "settings", "'name: value', not 'see my mail'"),
    ],
)
def test_a_field_that_can_mean_nothing_is_a_problem(tmp_path: Path, fields: str, about: str, sentence: str) -> None:
    assert sentence in said(tmp_path, fields).problems[about]


def test_an_attached_report_that_is_none_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "client-report.yml").write_text("internet: &a [*a]")
    assert "Cannot parse" in said(tmp_path).problems["client-report.yml"]


def test_field_and_attached_report_that_contradict_each_other(tmp_path: Path) -> None:
    (tmp_path / "client-report.yml").write_text("internet: false")
    problem = said(tmp_path, "Internet connection: yes\n").problems["internet"]
    assert problem == "'internet' conflicts: incident yes, attached file client-report.yml no."


def test_a_megabyte_of_text_is_bounded(tmp_path: Path) -> None:
    it = said(tmp_path, f"Error message: {'x' * 1_000_000}\nServer: {'y' * 1_000_000}\n", client_log="z\n" * 500_000)
    assert len(it.report.error_message or "") == 4000
    assert len(it.report.log) == 5000
    problems: reading.Problems = {}
    assert reading.servers_of(it, [], Fields(), FOUND, problems) == []
    assert len(problems["server"]) < 200


def test_the_newest_logs_are_read_and_our_own_files_never(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.log").write_text(f"{number}\n")
    (tmp_path / "reconnect-9.log").write_text("ours\n")
    assert said(tmp_path).report.log == ["3", "4", "5", "6", "7"]


def test_the_incident_names_the_server_where_the_command_does_not() -> None:
    problems: reading.Problems = {}
    assert reading.servers_of(Said(server="pbx1"), [], Fields(), FOUND, problems) == ["pbx1"]
    assert reading.servers_of(Said(server="pbx1"), ["pbx2", "pbx1"], Fields(), FOUND, problems) == [
        "pbx2",
        "pbx1",
    ]
    assert reading.servers_of(Said(), ["pbx2"], Fields(), FOUND, problems) == ["pbx2"]
    assert problems == {}


@pytest.mark.parametrize("name", ["servers", "all", "phone", "pbx3", "all:!pbx1", "{{ 7*7 }}", "../x", "\x1b[31m"])
def test_only_a_server_of_the_inventory_is_one(name: str) -> None:
    problems: reading.Problems = {}
    assert reading.servers_of(Said(server=name), [], Fields(), FOUND, problems) == []
    assert "is not a server of the inventory" in problems["server"]
    assert "\x1b" not in problems["server"]


def test_another_server_than_the_command_is_a_contradiction() -> None:
    problems: reading.Problems = {}
    reading.servers_of(Said(server="pbx1"), ["pbx2"], Fields(), FOUND, problems)
    assert problems["server"] == "'server' conflicts: incident 'pbx1', command pbx2."


def test_the_incident_names_the_account_where_the_command_does_not() -> None:
    problems: reading.Problems = {}
    assert reading.account_of(Said(account="601"), None, True, Fields(), problems) == "601"
    assert reading.account_of(Said(), "602", True, Fields(), problems) == "602"
    assert reading.account_of(Said(), None, False, Fields(), problems) is None
    assert problems == {}


@pytest.mark.parametrize(
    ("incident", "command", "sentence"),
    [
        ("601", "602", "'account' conflicts: incident '601', command 602."),
        (None, None, "The account is missing: the field 'Account' is empty."),
        ("601; id", None, "In the field 'Account': '601; id' is not the name of an account"),
        ("{{ 7*7 }}", None, "'{{ 7*7 }}' is not the name of an account"),
    ],
)
def test_an_account_that_cannot_be_the_one(incident: str | None, command: str | None, sentence: str) -> None:
    problems: reading.Problems = {}
    reading.account_of(Said(account=incident), command, True, Fields(), problems)
    assert sentence in problems["account"]


SERVER_LOG = (
    "[10:00:01] NOTICE[412] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '<sip:1005@pbx1.example.org>' "
    "failed for '192.0.2.9:5061' (callid: a) - Failed to authenticate\n"
)
SCREENSHOT = "Account SIP\nServer  pbx1.example.org\nPorta 5060\nTrasporto UDP\nUtente 1005\n408 Request Timeout\n"


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        ("Server: PBX1\nAccount: 1OO5\n", {}),
        ("Server: pbx1.example.org\nAccount: sip:1005@pbx1.example.org\n", {}),
        ("Account: 1005@PBX1.example.org\n", {}),
        ("Client settings: server pbx1.example.org, user 1005, protocol TLS\n", {}),
        ("", {"asterisk_log": SERVER_LOG * 3}),
        ("", {"screenshot_txt": SCREENSHOT}),
        ("", {"screenshot_txt": "22:01 LTE\nAccount\n1005\nServer\nPBX1.example.org\nNot registered\n"}),
        ("", {"screenshot_txt": "Account: 1005\nServer: PBX1\nStatus: failed\n"}),
        ("", {"mail_txt": "Server: pbx1\nUser: 1005\n\nKind regards\nAnna\nInterno: 2200\n"}),
        ("", {"a_log": "reg: 1005@pbx1.example.org (prio 0): Connection refused\n"}),
        ("", {"trace_log": "REGISTER sip:pbx1 SIP/2.0\nf: <sip:1005@pbx1>;tag=1\nt: <sip:1005@pbx1>\n"}),
        (
            "",
            {"a_log": "chan_sip.c: Registration from '<sip:1005@pbx1>' failed for '192.0.2.9:5060' - Wrong password\n"},
        ),
        ("Subject: PBX1: account 1OO5 can't register\n", {}),
        ("Error message: Registration of sip:1005@pbx1.example.org failed: 408\n", {}),
        # What the client is set to goes before what people write.
        ("Subject: 1006@pbx2 is my colleague\nClient settings: server pbx1, user 1005\n", {}),
    ],
)
def test_what_is_unambiguous_is_understood(tmp_path: Path, fields: str, files: dict[str, str]) -> None:
    it = said(tmp_path, fields, **files)
    problems = dict(it.problems)
    assert reading.servers_of(it, [], Fields(), FOUND, problems) == ["pbx1"]
    assert reading.account_of(it, None, True, Fields(), problems) == "1005"
    assert problems == {}


@pytest.mark.parametrize(
    ("fields", "files", "about", "sentence"),
    [
        ("Account: 1005@elsewhere.example\n", {}, "server", "The server is missing"),
        ("Account: 1005\nClient settings: server pbx1, domain pbx2\n", {}, "server", "The server is missing"),
        ("Subject: account 1005 on PBX1 and PBX2\n", {}, "server", "The server is missing"),
        ("Subject: PBX1: 1005 broken since 2026\n", {}, "account", "The account is missing"),
        ("Server: pbx1\nAccount: n/a\n", {}, "account", "the field 'Account' is empty"),
        ("Server: pbx1\nSubject: interno 1005 o 1006\n", {}, "account", "The account is missing"),
        ("Server: pbx1\nError message: error, User 404\n", {}, "account", "The account is missing"),
        ("Server: pbx1\n", {"screen_txt": "Registration\nUser 404\n"}, "account", "The account is missing"),
        ("Server: pbx1\n", {"screen_txt": "Account: 1005\nAccount: 1006\n"}, "account", "The account is missing"),
        (
            "Server: pbx1\n",
            {"a_log": SERVER_LOG + SERVER_LOG.replace("1005", "1006")},
            "account",
            "The account is missing",
        ),
    ],
)
def test_what_is_ambiguous_is_asked(
    tmp_path: Path, fields: str, files: dict[str, str], about: str, sentence: str
) -> None:
    it = said(tmp_path, fields, **files)
    problems = dict(it.problems)
    reading.servers_of(it, [], Fields(), FOUND, problems)
    reading.account_of(it, None, True, Fields(), problems)
    assert list(problems) == [about]
    assert sentence in problems[about]


def test_a_status_code_is_the_account_where_a_field_says_so(tmp_path: Path) -> None:
    for fields in ("Account: 404\nError message: User 404 Not Found\n", "Client settings: user: 404, server: pbx1\n"):
        problems: reading.Problems = {}
        assert reading.account_of(said(tmp_path, fields), None, True, Fields(), problems) == "404"
        assert problems == {}


def test_a_user_that_can_be_no_account_is_not_asked_about(tmp_path: Path) -> None:
    (tmp_path / "client-report.json").write_text(json.dumps({"settings": {"user": "Anna Bianchi"}}))
    it = said(tmp_path)
    problems: reading.Problems = {}
    assert reading.account_of(it, None, False, Fields(), problems) is None
    assert problems == {}


def test_a_short_name_of_several_servers_is_asked() -> None:
    hosts = frozenset({"pbx.a.example", "pbx.b.example"})
    found = Inventory(Path("/x"), hosts, {"servers": hosts})
    problems: reading.Problems = {}
    assert reading.servers_of(Said(server="PBX"), [], Fields(), found, problems) == []
    assert problems["server"] == "'PBX' (field 'Server') may be any of pbx.a.example, pbx.b.example."


def test_the_text_of_a_screenshot_has_settings_and_a_log_has_none(tmp_path: Path) -> None:
    shown = said(tmp_path, screen_txt=SCREENSHOT).report
    assert shown.settings == {"address": "pbx1.example.org", "port": "5060", "transport": "udp", "username": "1005"}
    (tmp_path / "screen.txt").unlink()
    traced = "SIP/2.0 401 Unauthorized\nServer: Asterisk.PBX.22\nUser: 1005\n"
    assert said(tmp_path, trace_txt=traced).report.settings == {}


def test_a_message_of_many_lines_is_a_log_that_was_pasted(tmp_path: Path) -> None:
    lines = ["REGISTER sip:pbx1 SIP/2.0", "CSeq: 1 REGISTER", "", "SIP/2.0 401 Unauthorized", "CSeq: 1 REGISTER"]
    (tmp_path / "client-report.json").write_text(json.dumps({"settings": {"Server": "pbx1.example.org:5061"}}))
    tracker = FileTracker(Incident("file", str(tmp_path)), FileSettings())
    details = dataclasses.replace(tracker.read(), fields={"Error message": "\n".join(lines)})
    tracker.read = lambda: details  # type: ignore[method-assign]
    it = reading.read(tracker, Fields())
    assert (it.report.error_message, it.report.log) == (None, lines)
    assert it.report.settings == {"address": "pbx1.example.org", "port": "5061"}


def test_a_fact_that_conflicts_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "client-report.yml").write_text("internet: false\nreconnected: false")
    it = said(tmp_path, "Internet connection: yes\n")
    assert (it.report.internet, it.report.reconnected) == (None, False)


@pytest.mark.attack("a huge file in an incident", harm="hang")
def test_a_file_that_is_too_large_is_named_and_left_out(server: Recorder) -> None:
    fields = [{"name": "Server", "values": ["pbx1", "pbx2"]}]
    files = [{"id": "8", "Subject": "", "Filename": "big.log"}]
    server.routes = {
        "GET /REST/2.0/ticket/7": Answer(200, {"id": "7", "Queue": {"id": "1"}, "CustomFields": fields}),
        "GET /REST/2.0/queue/1": Answer(200, {"Name": "General"}),
        "GET /REST/2.0/ticket/7/attachments": Answer(200, {"items": files}),
        "GET /REST/2.0/attachment/8": Answer(200, b"x" * (MAX_FILE_BYTES + 1)),
    }
    it = reading.read(
        RequestTracker(Incident("rt", "7"), RtSettings(url=server.url, token=SecretStr("right"))), Fields()
    )
    [note] = it.notes
    assert note.startswith("Cannot read the attached file big.log: ")
    assert it.problems == {"server": "The field 'Server' has more than one value: 'pbx1', 'pbx2'."}
    assert it.server is None
