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
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import (
    _account,
    _ami,
    _asterisk,
    _asterisk_answers,
    _asterisk_log,
    _control,
    _process,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, run_all

CANARY = "canary-7Uq2"
GREETING = b"pbx/477/22.10.1\n"


@contextlib.contextmanager
def served(family, address, talk):
    """A server that lets ``talk(connection)`` speak to each who connects. Yields its address."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen()

        def serve():
            while True:
                try:
                    connection, _peer = listener.accept()
                except OSError:
                    return
                threading.Thread(target=speak, args=(connection,), daemon=True).start()

        def speak(connection):
            with connection, contextlib.suppress(OSError):
                talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def control(folder, talk):
    return served(socket.AF_UNIX, str(folder / "asterisk.ctl"), talk)


def silent(connection):
    connection.recv(1)


def console(answers):
    """Talk as Asterisk's command line, which knows these commands."""

    def talk(connection):
        connection.sendall(GREETING)
        line = connection.recv(4096).decode()
        if not line.startswith("cli quit after ") or not line.endswith("\0"):
            return
        name = line[len("cli quit after ") : -1]
        connection.sendall(answers.get(name, f"No such command '{name}' (type 'core show help')\n").encode())

    return talk


def test_a_command_is_answered_without_its_colours(tmp_path):
    with control(tmp_path, console({"core show channels count": "\x1b[1;37m3 active channels\x1b[0m\n"})) as path:
        assert _control.greeting(path)["version"] == "22.10.1"
        assert _control.command("core show channels count", path) == "3 active channels\n"
        with pytest.raises(ProbeError) as caught:
            _control.command("sip show peers", path)
    assert caught.value.error == "missing"


@pytest.mark.parametrize(
    ("talk", "error"),
    [
        (silent, "timed_out"),
        (lambda connection: None, "refused"),
        (lambda connection: connection.sendall(b"SSH-2.0-x\n"), "invalid"),
        (lambda connection: connection.sendall(b"x" * 5000), "invalid"),
    ],
)
def test_a_control_socket_that_does_not_behave(tmp_path, talk, error):
    with control(tmp_path, talk) as path, pytest.raises(ProbeError) as caught:
        _control.command("core show version", path, 0.2)
    assert caught.value.error == error


def test_an_answer_without_end_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(_control, "ANSWER_LIMIT", 10000)

    def talk(connection):
        connection.sendall(GREETING)
        connection.recv(100)
        while True:
            connection.sendall(b"x" * 4096)

    with control(tmp_path, talk) as path, pytest.raises(ProbeError) as caught:
        _control.command("core show version", path, 5)
    assert caught.value.error == "invalid"


def test_a_busy_asterisk_is_waited_for(tmp_path):
    path = str(tmp_path / "asterisk.ctl")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(path)
        busy.listen(0)
        first.connect(path)  # the only place to wait at is taken
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(_control.greeting, path, 20)
            with pytest.raises(TimeoutError):
                answer.result(0.2)
            for caller in (busy.accept()[0], busy.accept()[0]):
                with caller, contextlib.suppress(OSError):
                    caller.sendall(GREETING)
            assert answer.result(20)["version"] == "22.10.1"


def test_without_a_socket_there_is_no_asterisk(tmp_path):
    path = str(tmp_path / "asterisk.ctl")
    with pytest.raises(ProbeError) as caught:
        _control.greeting(path)
    assert caught.value.error == "missing"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(path)
    with pytest.raises(ProbeError) as caught:
        _control.greeting(path)
    assert caught.value.error == "refused"


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A function that writes a configuration file of Asterisk; its sockets and logs are in the same folder."""
    monkeypatch.setattr(_asterisk._config.read, "__defaults__", (str(tmp_path),))

    def write(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")

    write("asterisk.conf", f"[directories]\nastrundir => {tmp_path}\nastlogdir => {tmp_path}\n")
    return write


def test_a_silent_asterisk_costs_one_limit_and_one_connection(tmp_path, configured, monkeypatch):
    monkeypatch.setattr(_asterisk, "CONTROL_LIMIT", 0.4)
    connections = []

    def talk(connection):
        connections.append(connection)
        connection.recv(1)

    configured("logger.conf", "[logfiles]\nmessages.log => warning\n")
    configured("messages.log", "")
    with control(tmp_path, talk):
        start = time.monotonic()
        probes = run_all(_asterisk.questions({"asterisk_unit": "no-such-unit.service"}))
        took = time.monotonic() - start
    needing = ("control", "uptime", "calls", "modules", "transports", "odbc", "endpoints", "contacts", "taskprocessors")
    assert {probes[name].get("error") for name in needing} == {"timed_out"}
    assert probes["process"]["error"] == "missing"
    assert all(probes[name]["ok"] for name in ("log", "security_log", "rtp_sockets", "realtime", "ami"))
    assert len(connections) == 1
    assert took < _asterisk.COMMAND_LIMIT


def odbc_pool(active):
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
def test_odbc_is_connected_when_it_answers(configured, monkeypatch, states, connected, asked):
    configured("extconfig.conf", "[settings]\nps_endpoints => odbc,asterisk\n")
    asterisk = _asterisk.Asterisk({})
    loads = []

    def command(line):
        if line.startswith("realtime load"):
            assert line == "realtime load ps_endpoints id 601"
            loads.append(states[len(loads)])
            return loads[-1][0]
        return odbc_pool(loads[-1][1])

    monkeypatch.setattr(asterisk, "command", command)
    assert [pool["connected"] for pool in asterisk.odbc()] == [connected]
    assert len(loads) == asked


def manager(answers, secret=CANARY):
    """Talk as AMI, which knows one user and these actions."""

    def talk(connection):
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


def requests(connection):
    with connection.makefile("r", encoding="utf-8", newline="\r\n") as file:
        fields = {}
        for line in file:
            if line == "\r\n":
                yield fields
                fields = {}
            else:
                name, _colon, value = line.partition(":")
                fields[name] = value.strip()


def access(address, secret=CANARY):
    return {"enabled": True, "host": address[0], "port": address[1], "user": "reconnect", "secret": secret}


LIST = (
    "Response: Success\r\nEventList: start\r\n\r\n"
    "Event: ContactList\r\nUri: sip:1@h:5060\r\nStatus: Reachable\r\n\r\n"
    "Event: ContactList\r\nUri: sip:2@h:5060\r\nStatus: Unreachable\r\n\r\n"
    "Event: ContactListComplete\r\nEventList: Complete\r\nListItems: 2\r\n\r\n"
)


def test_ami_lists_without_sending_the_secret():
    none = "Response: Error\r\nMessage: No endpoints found\r\n\r\n"
    answers = {"PJSIPShowContacts": LIST, "PJSIPShowEndpoints": none}
    with (
        served(socket.AF_INET, ("127.0.0.1", 0), manager(answers)) as address,
        _ami.Ami(access(address), 2) as session,
    ):
        contacts = session.listed("PJSIPShowContacts")
        assert session.listed("PJSIPShowEndpoints") == []
    assert _asterisk_answers.parse_ami_contacts(contacts) == {"total": 2, "reachable": 1}


def test_ami_refuses_and_is_silent():
    with served(socket.AF_INET, ("127.0.0.1", 0), manager({})) as address:
        with pytest.raises(ProbeError) as caught:
            _ami.Ami(access(address, "wrong"), 2)
        assert caught.value.error == "denied"
        with _ami.Ami(access(address), 2) as session, pytest.raises(ProbeError) as caught:
            session.listed("PJSIPShowEndpoint", Endpoint="1\r\nAction: Originate")
        assert caught.value.error == "invalid"
    with served(socket.AF_INET, ("127.0.0.1", 0), silent) as address, pytest.raises(ProbeError) as caught:
        _ami.Ami(access(address), 0.2)
    assert caught.value.error == "timed_out"


@pytest.mark.parametrize(
    ("queued", "maximum", "over"), [(500, 400, 1), (451, 500, 1), (451, 499, 0), (450, 700, 0), (0, 700, 0)]
)
def test_a_task_processor_is_behind_from_its_high_water_mark_down_to_its_low_one(queued, maximum, over):
    line = f"pjsip/distributor-0000003e  9000  {queued}  {maximum}  450  500  0  3846\n"
    assert _asterisk_answers.parse_taskprocessors(line)["over_high_water"] == over


def test_a_stopped_process_is_seen_to_be_stopped():
    child = subprocess.Popen(["sleep", "60"])
    try:
        os.kill(child.pid, signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        facts = _process.facts(child.pid)
        assert facts["state"] == "T"
        assert facts["pid"] == child.pid
        assert abs(facts["start_time"] - time.time()) < 60
    finally:
        child.kill()
        child.wait()
    with pytest.raises(ProbeError) as caught:
        _process.facts(child.pid)
    assert caught.value.error == "missing"


def test_the_processes_that_hold_the_most_memory_come_first():
    found = _process.largest(3)
    assert [one["rss"] for one in found] == sorted((one["rss"] for one in found), reverse=True)
    assert len(found) == 3
    assert found[0]["rss"] >= _process.facts(os.getpid())["rss"] // 2


def test_a_pid_file_counts_only_for_the_daemon_itself(tmp_path):
    pid_file = tmp_path / "asterisk.pid"
    child = subprocess.Popen(["sleep", "60"])
    try:
        pid_file.write_text(f"{child.pid}\n")
        assert _process.main_pid("no-such-unit.service", (str(pid_file),), ("sleep",)) == child.pid
        with pytest.raises(ProbeError) as caught:
            _process.main_pid("no-such-unit.service", (str(pid_file),), ("asterisk",))
    finally:
        child.kill()
        child.wait()
    assert caught.value.error == "missing"


def test_sockets_of_a_process_are_found_in_the_kernel_s_table():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own, open("/proc/net/udp", encoding="ascii") as table:
        own.bind(("127.0.0.1", 0))
        inodes = _process.socket_inodes(os.getpid())
        ports = {port for port, inode in _asterisk.parse_udp(table) if inode in inodes}
        assert own.getsockname()[1] in ports


def line(seconds, text, level="WARNING"):
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return f"[{stamp}.120] {level}[7][C-00000001] chan_sip.c: {text}"


def test_only_lines_of_the_window_count_and_a_flood_does_not_hide_the_rest():
    now = 1795413600
    lines = [line(now - 900, "Unable to bind contact 'old' to AOR '1'"), line(now - 300, "Failed to bind to [::]:5060")]
    lines += [line(now - 200 + i % 60, f"Registration from 'x' failed for '192.0.2.1:{i}' - No") for i in range(500)]
    lines += [line(now - 100, "parse error: No category context for line 3 of sip.conf")] * 50
    read, matches = _asterisk_log.parse_messages(lines, now - 600, now)
    kinds = [match["kind"] for match in matches]
    assert read == 551
    assert kinds.count("registration_failed") == _asterisk_log.PER_KIND
    assert kinds.count("config_error") == 1
    assert kinds.count("bind_failed") == 1
    assert "contact_failed" not in kinds


def test_a_log_line_can_not_move_the_cursor():
    assert _asterisk_log.printable("a\x1b[2Jb\r\u202ec\td") == "a\\x1b[2Jb\\x0d\\x202ec\td"
    assert len(_asterisk_log.printable("x" * 10000)) == _asterisk_log.TEXT_LIMIT + 1


def test_a_log_without_a_year_may_be_of_the_last_one():
    now = time.mktime((2026, 1, 1, 0, 10, 0, 0, 0, -1))
    assert _asterisk_log.seconds("Dec 31 23:59:00", now) == now - 660
    assert _asterisk_log.seconds("Jan  1 00:09:00", now) == now - 60
    assert _asterisk_log.seconds("yesterday", now) is None


def test_the_tail_holds_whole_lines(tmp_path):
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    lines = _asterisk_log.tail(str(path), 100)
    assert lines[-2:] == ["line 999", ""]
    assert all(one.startswith("line ") for one in lines[:-1])


def test_an_account_s_name_can_not_forge_an_address():
    forged = (
        'x SecurityEvent="InvalidPassword",EventTV="2026-11-23T04:31:52.481+0000",Service="PJSIP",'
        'AccountID="1\\",RemoteAddress=\\"IPV4/UDP/192.0.2.66/1",RemoteAddress="IPV4/TLS/192.0.2.1/5061"'
    )
    (event,) = _asterisk_log.parse_security([forged], time.time())
    assert event["address"] == "192.0.2.1"


@pytest.mark.parametrize("name", ["", "1001; core stop now", "a b", "x" * 81, "1\n2", "'", "../1", "ä", "{{ 1 }}"])
def test_a_name_that_is_not_plain_is_not_asked_about(name):
    account = _account.Account({"channel_driver": "pjsip"}, name)
    for question in (account.rows, account.live, account.sessions, account.attempts):
        with pytest.raises(ProbeError) as caught:
            question()
        assert caught.value.error == "invalid"


def test_no_secret_stands_in_a_row():
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
    clean = _account.redacted(row)
    assert CANARY not in str(clean)
    assert digest not in str(clean)
    assert clean["password"] == {"set": True, "matches": None}
    assert clean["md5_cred"] == {"set": True, "matches": True}
    assert _account.redacted(dict(row, realm="elsewhere"))["md5_cred"]["matches"] is False
    assert clean["nonce_lifetime"] == 32


class Rows:
    """A database that has what it is given: ``{table: [row]}``. It remembers what it was asked."""

    def __init__(self, tables):
        self.tables = tables
        self.asked = []

    def records(self, statement, values=()):
        self.asked.append((statement, values))
        table = statement.split(" FROM ")[1].split(" ")[0]
        return [row for row in self.tables.get(table, []) if values[0] in row.values()]


def test_the_rows_are_those_that_the_endpoint_names():
    rows = Rows(
        {
            "ps_endpoints": [{"id": "1001", "auth": "auth1", "aors": "aor_1,aor2"}],
            "ps_auths": [{"id": "auth1", "password": CANARY}],
            "ps_aors": [{"id": "aor_1", "max_contacts": 0}],
            "ps_contacts": [{"id": "aor_1^3B@x", "endpoint": "1001"}],
        }
    )
    found = _account._endpoint(rows, {}, "1001")
    assert found["auth"]["id"] == "auth1"
    assert found["aor"] == {"id": "aor_1", "max_contacts": 0}
    assert len(found["contacts"]) == 1
    assert CANARY not in str(found)
    assert all("1001" not in statement for statement, _values in rows.asked)


def test_a_table_s_name_must_be_one():
    with pytest.raises(ProbeError):
        _account._endpoint(Rows({}), {"ps_endpoints": {"table": "x; DROP TABLE y"}}, "1001")
