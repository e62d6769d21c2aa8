# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking Asterisk: its control socket, AMI, its process and its logs, when they behave and when they don't."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import probes as accounts
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import ami, log
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import answers as asterisk_answers
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import control as control_socket
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import probes as asterisk_probes
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import AmiAccess
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.sql import Connection
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config, process
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, run_all
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import filled

CANARY = "canary-7Uq2"
GREETING = b"pbx/477/22.10.1\n"


@contextlib.contextmanager
def served(family: socket.AddressFamily, address: str | tuple[str, int], talk: Callable[..., Any]) -> Iterator[Any]:
    """A server that lets ``talk(connection)`` speak to each who connects. Yields its address."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _peer = listener.accept()
                except OSError:
                    return
                threading.Thread(target=speak, args=(connection,), daemon=True).start()

        def speak(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def control(folder: Path, talk: Callable[..., Any]) -> contextlib.AbstractContextManager[Any]:
    return served(socket.AF_UNIX, str(folder / "asterisk.ctl"), talk)


def silent(connection: socket.socket) -> None:
    connection.recv(1)


def console(answers: dict[str, str]) -> Callable[[socket.socket], None]:
    """Talk as Asterisk's command line, which knows these commands."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(GREETING)
        line = connection.recv(4096).decode()
        if not line.startswith("cli quit after ") or not line.endswith("\0"):
            return
        name = line[len("cli quit after ") : -1]
        connection.sendall(answers.get(name, f"No such command '{name}' (type 'core show help')\n").encode())

    return talk


def test_a_command_is_answered_without_its_colours(tmp_path: Path) -> None:
    with control(tmp_path, console({"core show channels count": "\x1b[1;37m3 active channels\x1b[0m\n"})) as path:
        assert control_socket.greeting(path)["version"] == "22.10.1"
        assert control_socket.command("core show channels count", path) == "3 active channels\n"
        with pytest.raises(ProbeError) as caught:
            control_socket.command("sip show peers", path)
    assert caught.value.error == "missing"


@pytest.mark.parametrize(
    ("talk", "limit", "error"),
    [
        (silent, 0.2, "timed_out"),
        (lambda connection: None, 60, "refused"),
        (lambda connection: connection.sendall(b"SSH-2.0-x\n"), 60, "invalid"),
        (lambda connection: connection.sendall(b"x" * 5000), 60, "invalid"),
    ],
)
def test_a_control_socket_that_does_not_behave(
    tmp_path: Path, talk: Callable[..., Any], limit: float, error: str
) -> None:
    with control(tmp_path, talk) as path, pytest.raises(ProbeError) as caught:
        control_socket.command("core show version", path, limit)
    assert caught.value.error == error


def test_an_answer_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "ANSWER_LIMIT", 10000)

    def talk(connection: socket.socket) -> None:
        connection.sendall(GREETING)
        connection.recv(100)
        while True:
            connection.sendall(b"x" * 4096)

    with control(tmp_path, talk) as path, pytest.raises(ProbeError) as caught:
        control_socket.command("core show version", path, 60)
    assert caught.value.error == "invalid"


def test_a_busy_asterisk_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "asterisk.ctl")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(path)
        busy.listen(0)
        first.connect(path)  # the only place to wait at is taken
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(control_socket.greeting, path, 20)
            with pytest.raises(TimeoutError):
                answer.result(0.2)
            for caller in (busy.accept()[0], busy.accept()[0]):
                with caller, contextlib.suppress(OSError):
                    caller.sendall(GREETING)
            assert answer.result(20)["version"] == "22.10.1"


def test_without_a_socket_there_is_no_asterisk(tmp_path: Path) -> None:
    path = str(tmp_path / "asterisk.ctl")
    with pytest.raises(ProbeError) as caught:
        control_socket.greeting(path)
    assert caught.value.error == "missing"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(path)
    with pytest.raises(ProbeError) as caught:
        control_socket.greeting(path)
    assert caught.value.error == "refused"


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A function that writes a configuration file of Asterisk; its sockets and logs are in the same folder."""
    monkeypatch.setattr(config.read, "__defaults__", (str(tmp_path),))

    def write(name: str, text: str) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")

    write("asterisk.conf", f"[directories]\nastrundir => {tmp_path}\nastlogdir => {tmp_path}\n")
    return write


@pytest.mark.parametrize(
    ("sorcery", "extconfig", "needed"),
    [
        ("", "", set()),
        ("endpoint=realtime,ps_endpoints", "ps_endpoints => odbc,pbx", {"res_odbc.so", "res_config_odbc.so"}),
        ("endpoint=realtime,ps_endpoints", "ps_endpoints => pgsql,pbx", {"res_config_pgsql.so"}),
        ("", "voicemail => odbc,pbx", set()),
    ],
)
def test_only_modules_that_the_configuration_uses_are_needed(
    configured: Callable[[str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sorcery: str,
    extconfig: str,
    needed: set[str],
) -> None:
    monkeypatch.setattr(config.text, "__defaults__", (str(tmp_path), 1))
    configured("sorcery.conf", f"[res_pjsip]\n{sorcery}\n")
    configured("extconfig.conf", f"[settings]\n{extconfig}\n")
    asked = asterisk_probes.Asterisk(filled({}))
    monkeypatch.setattr(asked, "command", lambda _line: "res_pjsip.so   Basic SIP resource   37   Running   core\n")
    found = set(asked.modules()) - set(asterisk_probes.MODULES["pjsip"]) - {"res_sorcery_realtime.so"}
    assert found == needed


@pytest.mark.parametrize(
    ("ago", "counted"), [(60, ["of its last life"]), (0, ["of an earlier one", "of its last life"])]
)
def test_of_an_asterisk_that_ended_only_its_last_life_counts(
    configured: Callable[[str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ago: float,
    counted: list[str],
) -> None:
    started = int((time.monotonic() - ago) * 1e6) if ago else 0

    def run(command: list[str], _limit: float) -> str:
        return f"ExecMainStartTimestampMonotonic={started}\n" if "MainPID" not in command[2] else "MainPID=0\n"

    monkeypatch.setattr(process, "run", run)
    lines = []
    for before, text in ((600, "of an earlier one"), (30, "of its last life")):
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - before))
        lines.append(f"[{stamp}] ERROR[1] tcptls.c: peer did not return a certificate: {text}\n")
    (tmp_path / "messages.log").write_text("".join(lines))
    asked = asterisk_probes.Asterisk(filled({"asterisk_unit": "no-such-unit.service"}))
    assert [one["text"].rpartition(": ")[2] for one in asked.log()["matches"]] == counted


def test_a_silent_asterisk_costs_one_limit_and_one_connection(
    tmp_path: Path, configured: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asterisk_probes, "CONTROL_LIMIT", 0.4)
    connections = []

    def talk(connection: socket.socket) -> None:
        connections.append(connection)
        connection.recv(1)

    configured("logger.conf", "[logfiles]\nmessages.log => warning\n")
    configured("messages.log", "")
    with control(tmp_path, talk):
        asked = asterisk_probes.questions(filled({"asterisk_unit": "no-such-unit.service"}))
        probes: Mapping[str, Mapping[str, Any]] = run_all(asked)
    needing = ("control", "uptime", "calls", "modules", "transports", "odbc", "endpoints", "contacts", "taskprocessors")
    assert {probes[name].get("error") for name in needing} == {"timed_out"}
    assert probes["process"]["error"] == "missing"
    assert all(probes[name]["ok"] for name in ("log", "security_log", "rtp_sockets", "realtime", "ami"))
    assert len(connections) == 1


def odbc_pool(active: int) -> str:
    return f"  Name:   asterisk\n  DSN:    asterisk\n    Number of active connections: {active} (out of 5)\n"


@pytest.mark.parametrize(
    ("states", "connected", "asked"),
    [
        # A row came: the connection works.
        ([("Column Value", 2)], True, 1),
        # Asterisk finds out that its connections died, one by one.
        ([("No rows found", 2), ("No rows found", 1), ("No rows found", 0)], False, 3),
        # The first was dead, the next one works.
        ([("No rows found", 1), ("Column Value", 1)], True, 2),
        # The account isn't there; the connections are.
        ([("No rows found", 1)] * 3, True, 2),
    ],
)
def test_odbc_is_connected_when_it_answers(
    configured: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    states: list[tuple[str, int]],
    connected: bool,
    asked: int,
) -> None:
    configured("extconfig.conf", "[settings]\nps_endpoints => odbc,asterisk\n")
    asterisk = asterisk_probes.Asterisk(filled({}))
    loads: list[tuple[str, int]] = []

    def command(line: str) -> str:
        if line.startswith("realtime load"):
            assert line == "realtime load ps_endpoints id 601"
            loads.append(states[len(loads)])
            return loads[-1][0]
        return odbc_pool(loads[-1][1])

    monkeypatch.setattr(asterisk, "command", command)
    assert [pool["connected"] for pool in asterisk.odbc()] == [connected]
    assert len(loads) == asked


def manager(answers: dict[str, str], secret: str = CANARY) -> Callable[[socket.socket], None]:
    """Talk as AMI, which knows one user and these actions."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"Asterisk Call Manager/11.0.0\r\n")
        for action in requests(connection):
            name = action["Action"]
            if name == "Challenge":
                text = "Response: Success\r\nChallenge: 1234\r\n\r\n"
            elif name == "Login":
                expected = hashlib.md5(b"1234" + secret.encode()).hexdigest()
                good = action["Key"] == expected and CANARY not in str(action)
                text = "Response: {}\r\nMessage: {}\r\n\r\n".format(*(("Success", "ok") if good else ("Error", "no")))
                text += "Event: FullyBooted\r\nStatus: Fully Booted\r\n\r\n"
            else:
                text = answers[name]
            connection.sendall(text.encode())

    return talk


def requests(connection: socket.socket) -> Iterator[dict[str, str]]:
    with connection.makefile("r", encoding="utf-8", newline="\r\n") as file:
        fields: dict[str, str] = {}
        for line in file:
            if line == "\r\n":
                yield fields
                fields = {}
            else:
                name, _colon, value = line.partition(":")
                fields[name] = value.strip()


def access(address: tuple[str, int], secret: str = CANARY) -> AmiAccess:
    return {"enabled": True, "read": [], "host": address[0], "port": address[1], "user": "reconnect", "secret": secret}


LIST = (
    "Response: Success\r\nEventList: start\r\n\r\n"
    "Event: ContactList\r\nUri: sip:1@h:5060\r\nStatus: Reachable\r\n\r\n"
    "Event: ContactList\r\nUri: sip:2@h:5060\r\nStatus: Unreachable\r\n\r\n"
    "Event: ContactListComplete\r\nEventList: Complete\r\nListItems: 2\r\n\r\n"
)


def test_ami_lists_without_sending_the_secret() -> None:
    none = "Response: Error\r\nMessage: No endpoints found\r\n\r\n"
    answers = {"PJSIPShowContacts": LIST, "PJSIPShowEndpoints": none}
    with (
        served(socket.AF_INET, ("127.0.0.1", 0), manager(answers)) as address,
        ami.Ami(access(address), 60) as session,
    ):
        contacts = session.listed("PJSIPShowContacts")
        assert session.listed("PJSIPShowEndpoints") == []
    assert asterisk_answers.parse_ami_contacts(contacts) == {"total": 2, "reachable": 1}


def test_ami_refuses_and_is_silent() -> None:
    with served(socket.AF_INET, ("127.0.0.1", 0), manager({})) as address:
        with pytest.raises(ProbeError) as caught:
            ami.Ami(access(address, "wrong"), 60)
        assert caught.value.error == "denied"
        with ami.Ami(access(address), 60) as session, pytest.raises(ProbeError) as caught:
            session.listed("PJSIPShowEndpoint", Endpoint="1\r\nAction: Originate")
        assert caught.value.error == "invalid"
    with served(socket.AF_INET, ("127.0.0.1", 0), silent) as address, pytest.raises(ProbeError) as caught:
        ami.Ami(access(address), 0.2)
    assert caught.value.error == "timed_out"


@pytest.mark.parametrize(
    ("queued", "maximum", "over"), [(500, 400, 1), (451, 500, 1), (451, 499, 0), (450, 700, 0), (0, 700, 0)]
)
def test_a_task_processor_is_behind_from_its_high_water_mark_down_to_its_low_one(
    queued: int, maximum: int, over: int
) -> None:
    line = f"pjsip/distributor-0000003e  9000  {queued}  {maximum}  450  500  0  3846\n"
    assert asterisk_answers.parse_taskprocessors(line)["over_high_water"] == over


def test_a_stopped_process_is_seen_to_be_stopped() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        os.kill(child.pid, signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        facts = process.facts(child.pid)
        assert facts["state"] == "T"
        assert facts["pid"] == child.pid
        assert abs(facts["start_time"] - time.time()) < 60
    finally:
        child.kill()
        child.wait()
    with pytest.raises(ProbeError) as caught:
        process.facts(child.pid)
    assert caught.value.error == "missing"


def test_the_processes_that_hold_the_most_memory_come_first() -> None:
    found = process.largest(3)
    assert [one["rss"] for one in found] == sorted((one["rss"] for one in found), reverse=True)
    assert len(found) == 3
    assert found[0]["rss"] >= process.facts(os.getpid())["rss"] // 2


def test_a_pid_file_counts_only_for_the_daemon_itself(tmp_path: Path) -> None:
    pid_file = tmp_path / "asterisk.pid"
    child = subprocess.Popen(["sleep", "60"])
    try:
        pid_file.write_text(f"{child.pid}\n")
        assert process.main_pid("no-such-unit.service", (str(pid_file),), ("sleep",)) == child.pid
        with pytest.raises(ProbeError) as caught:
            process.main_pid("no-such-unit.service", (str(pid_file),), ("asterisk",))
    finally:
        child.kill()
        child.wait()
    assert caught.value.error == "missing"


def test_sockets_of_a_process_are_found_in_the_kernel_s_table() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own, open("/proc/net/udp", encoding="ascii") as table:
        own.bind(("127.0.0.1", 0))
        inodes = process.socket_inodes(os.getpid())
        ports = {port for port, inode in asterisk_probes.parse_udp(table) if inode in inodes}
        assert own.getsockname()[1] in ports


def line(seconds: int, text: str, level: str = "WARNING") -> str:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return f"[{stamp}.120] {level}[7][C-00000001] chan_sip.c: {text}"


@pytest.mark.attack("a flood of log lines")
def test_only_lines_of_the_window_count_and_a_flood_does_not_hide_the_rest() -> None:
    now = 1795413600
    lines = [line(now - 900, "Unable to bind contact 'old' to AOR '1'"), line(now - 300, "Failed to bind to [::]:5060")]
    lines += [line(now - 200 + i % 60, f"Registration from 'x' failed for '192.0.2.1:{i}' - No") for i in range(500)]
    lines += [line(now - 100, "parse error: No category context for line 3 of sip.conf")] * 50
    read, matches = log.parse_messages(lines, now - 600, now)
    kinds = [match["kind"] for match in matches]
    assert read == 551
    assert kinds.count("registration_failed") == log.PER_KIND
    assert kinds.count("config_error") == 1
    assert kinds.count("bind_failed") == 1
    assert "contact_failed" not in kinds


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SQL Execute returned an error: HY000: [ma-3.2.9]Commands out of sync", "odbc_failed"),
        ("AOR '' not found for endpoint 'trunk' (192.0.2.1:5061)", "request_refused"),
        ("Endpoint '1001' (192.0.2.1:5061) has no configured AORs", "request_refused"),
        ("AOR '1001' has no configured max_contacts. Endpoint '1001' (192.0.2.1:5) unable", "request_refused"),
        ("Incoming SIP message from 192.0.2.1:5061 did not pass ACL test", "request_refused"),
        ("Failed to validate contacts in REGISTER request from '192.0.2.1'", "request_refused"),
        (
            "Registration attempt from endpoint '1' (192.0.2.1:5) to AOR '1' will exceed max contacts of 1",
            "request_refused",
        ),
        ("Couldn't find auth '1001'. Cannot authenticate", "request_refused"),
        ('getaddrinfo("db.example", "(null)", ...): Temporary failure in name resolution', "resolver_failed"),
        ("SSL_ERROR_SSL: <error:0A0000C7:SSL routines::peer did not return a certificate>", "client_certificate"),
        ("Failed to update contact 'sip:1001@192.0.2.1' expiration time to 60 seconds.", "contact_failed"),
    ],
)
def test_the_decisive_lines_of_the_log_are_gathered(text: str, kind: str) -> None:
    now = 1795413600
    _read, (match,) = log.parse_messages([line(now - 10, text)], now - 600, now)
    assert match["kind"] == kind


def test_the_reason_of_a_refusal_is_read_and_each_address_has_its_newest_event() -> None:
    fields = 'Service="PJSIP",AccountID="1001",SessionID="{0}",RemoteAddress="IPV4/TLS/{1}/5061"'
    texts = (
        ('SecurityEvent="SuccessfulAuth"', "192.0.2.1", ""),
        ('SecurityEvent="FailedACL"', "192.0.2.1", ',ACLName="registrar_invalid_contacts_provided"'),
        ('SecurityEvent="RequestNotSupported"', "192.0.2.2", ',RequestType="registrar_requested_aor_not_found"'),
    )
    lines = [
        f'{event},EventTV="2026-11-23T04:31:5{number}.481+0000",{fields.format(number, address)}{more}'
        for number, (event, address, more) in enumerate(texts)
    ]
    found = accounts.parse_attempts(log.parse_security(lines, time.time()), "1001")
    assert found["last"] is not None
    assert (found["last"]["event"], found["last"]["detail"]) == (
        "RequestNotSupported",
        "registrar_requested_aor_not_found",
    )
    assert {address: one["detail"] for address, one in found["latest"].items()} == {
        "192.0.2.1": "registrar_invalid_contacts_provided",
        "192.0.2.2": "registrar_requested_aor_not_found",
    }


def test_a_log_without_a_year_may_be_of_the_last_one() -> None:
    now = time.mktime((2026, 1, 1, 0, 10, 0, 0, 0, -1))
    assert log.seconds("Dec 31 23:59:00", now) == now - 660
    assert log.seconds("Jan  1 00:09:00", now) == now - 60
    assert log.seconds("yesterday", now) is None


def test_the_tail_holds_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    lines = log.tail(str(path), 100)
    assert lines[-2:] == ["line 999", ""]
    assert all(one.startswith("line ") for one in lines[:-1])


def test_an_account_s_name_can_not_forge_an_address() -> None:
    forged = (
        'x SecurityEvent="InvalidPassword",EventTV="2026-11-23T04:31:52.481+0000",Service="PJSIP",'
        'AccountID="1\\",RemoteAddress=\\"IPV4/UDP/192.0.2.66/1",RemoteAddress="IPV4/TLS/192.0.2.1/5061"'
    )
    (event,) = log.parse_security([forged], time.time())
    assert event["address"] == "192.0.2.1"


@pytest.mark.parametrize("name", ["", "1001; core stop now", "a b", "x" * 81, "1\n2", "'", "../1", "ä", "{{ 1 }}"])
def test_a_name_that_is_not_plain_is_not_asked_about(name: str) -> None:
    account = accounts.Account({"channel_driver": "pjsip"}, name)
    for question in (account.rows, account.live, account.sessions, account.attempts):
        with pytest.raises(ProbeError) as caught:
            question()
        assert caught.value.error == "invalid"


@pytest.mark.attack("secrets in rows of the database", harm="leak")
def test_no_secret_stands_in_a_row() -> None:
    digest = hashlib.md5(f"1001:asterisk:{CANARY}".encode()).hexdigest()
    row = {
        "id": "1001",
        "username": "1001",
        "password": CANARY,
        "md5_cred": digest,
        "realm": None,
        "oauth_secret": CANARY,
        "password_digest": CANARY,
        "refresh_token": CANARY,
        "nonce_lifetime": 32,
    }
    clean = accounts.redacted(row)
    assert CANARY not in str(clean)
    assert digest not in str(clean)
    assert clean["password"] == {"set": True, "matches": None}
    assert clean["md5_cred"] == {"set": True, "matches": True}
    assert accounts.redacted(dict(row, realm="elsewhere"))["md5_cred"] == {"set": True, "matches": False}
    assert clean["nonce_lifetime"] == 32


class Rows(Connection):
    """A database that has what it is given: ``{table: [row]}``. It remembers what it was asked."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self.tables = tables
        self.asked: list[tuple[str, Sequence[Any]]] = []

    def records(self, statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        self.asked.append((statement, values))
        table = statement.split(" FROM ")[1].split(" ")[0]
        return [row for row in self.tables.get(table, []) if values[0] in row.values()]


def test_the_rows_are_those_that_the_endpoint_names() -> None:
    rows = Rows(
        {
            "ps_endpoints": [{"id": "1001", "auth": "auth1", "aors": "aor_1,aor2"}],
            "ps_auths": [{"id": "auth1", "password": CANARY}],
            "ps_aors": [{"id": "aor_1", "max_contacts": 0}],
            "ps_contacts": [{"id": "aor_1^3B@x", "endpoint": "1001"}],
        }
    )
    found: dict[str, Any] = {**accounts._endpoint(rows, {}, "1001", "ps_contacts")}
    assert found["auth"]["id"] == "auth1"
    assert found["aor"] == {"id": "aor_1", "max_contacts": 0}
    assert len(found["contacts"]) == 1
    assert CANARY not in str(found)
    assert all("1001" not in statement for statement, _values in rows.asked)


def test_a_table_s_name_must_be_one() -> None:
    hostile: Any = {"ps_endpoints": {"table": "x; DROP TABLE y"}}
    with pytest.raises(ProbeError):
        accounts._endpoint(Rows({}), hostile, "1001", "ps_contacts")


def test_an_identify_has_its_endpoint_and_the_networks_that_it_takes() -> None:
    text = """
 Identify:  <Identify/Endpoint.........................................................>
      Match:  <criteria.........................>
==========================================================================================

 Identify:  provider/trunk
      Match: 198.18.20.1/32
      Match: 2001:2:0:10::10/128
      Match: !192.0.2.0/24

 Identify:  by-header/other
     Header: X-Trunk: yes
"""
    assert asterisk_answers.parse_identifies(text) == [
        {"name": "provider", "endpoint": "trunk", "networks": ["198.18.20.1/32", "2001:2:0:10::10/128"]},
        {"name": "by-header", "endpoint": "other", "networks": []},
    ]
    assert asterisk_answers.parse_identifies("No objects found.") == []


@pytest.mark.parametrize(("forced", "source"), [("Yes", "192.0.2.7"), ("Auto (Yes)", None), ("Auto (No)", None)])
def test_only_an_address_that_no_request_changes_is_where_a_client_is(forced: str, source: str | None) -> None:
    text = f"  * Name       : 601\n  Force rport  : {forced}\n  Addr->IP     : 192.0.2.7:5060\n"
    text += "  Reg. Contact : sip:601@192.0.2.9\n"
    (contact,) = asterisk_answers.parse_sip_peer(text)["contacts"]
    assert contact.get("source", "").partition(":")[0] == (source or "")
