# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real secure call between two accounts: two Linphone clients on one host, TLS and SDES-SRTP, their media counted.

Passwords go to a client over its standard input. What a client writes lies in a private folder that is removed with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import wave

from ansible_collections.privatewave.reconnect.plugins.module_utils import _asterisk_log as log
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._rtp_count import Counter

CLIENT = "linphone-daemon"
REGISTER_LIMIT = 10.0
ANSWER_LIMIT = 10.0
END_LIMIT = 3.0
LOG_LIMIT = 16 * 1024 * 1024
STEP = 0.1

_ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}

_NAME = re.compile(r"[A-Za-z0-9._+-]{1,80}\Z")
_DOMAIN = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}\Z")
_PASSWORD = re.compile(r"[!-~]{1,128}\Z")
_STATE = re.compile(r"\s*(?:State|Event): Linphone(Call|Registration)(\w+)\s*\Z")
_STATUS = re.compile(r"^SIP/2\.0 (\d{3}) ?([^\r\n]*)\r?\n((?:[^\r\n]+\r?\n)*)", re.MULTILINE)
_CSEQ = re.compile(r"^CSeq:\s*\d+\s+(\w+)", re.MULTILINE | re.IGNORECASE)

_CONFIGURATION = """\
[sip]
sip_port=0
sip_tcp_port=0
sip_tls_port=-1
media_encryption=srtp
media_encryption_mandatory=1
verify_server_certs=1
verify_server_cn=1
{authorities}
[rtp]
audio_rtp_port={port}
[sound]
echocancellation=0
[video]
enabled=0
capture=0
display=0
[misc]
history_max_size=0
"""


def place(domain, port, caller, callee, authorities, seconds, limit):
    """Have ``caller`` call ``callee``, both ``(account, password)``, and talk for ``seconds``.

    ``domain`` and ``port`` are the server's for SIP over TLS, ``authorities`` PEM text or None for the system's,
    ``limit`` seconds for everything. Returns ``{caller, callee, seconds, clients, setup, media}``: ``clients`` by
    account ``{registered, status, reason}``, ``setup`` ``{answered, seconds, status, reason, encrypted, dropped}`` or
    None when it did not come to that, ``media`` by account `Counter.told` or None. Raises `ProbeError`.
    """
    for account, password in (caller, callee):
        if not _NAME.match(account) or not _PASSWORD.match(password):
            raise ProbeError("invalid", "an account's name or password has signs that the client does not take")
    if not _DOMAIN.match(domain):
        raise ProbeError("invalid", "{0!r} is no name of a server".format(domain[:80]))
    if shutil.which(CLIENT) is None:
        raise ProbeError("missing", "{0} is not installed here".format(CLIENT))
    folder = tempfile.mkdtemp(prefix="reconnect-call-")
    clients = []
    try:
        deadline = time.monotonic() + limit
        ports = _free_ports()
        with Counter(ports) as counter:
            for name, (account, password) in (("caller", caller), ("callee", callee)):
                trusted = _write(os.path.join(folder, name + ".pem"), authorities) if authorities else ""
                clients.append(_Client(os.path.join(folder, name), account, ports[len(clients)], trusted, name))
                clients[-1].register(domain, port, password)
            return _talk(clients, counter, ports, "sip:{0}@{1}".format(callee[0], domain), folder, seconds, deadline)
    finally:
        for client in clients:
            client.end()
        shutil.rmtree(folder, ignore_errors=True)


def _talk(clients, counter, ports, target, folder, seconds, deadline):
    one, other = clients
    limit = min(deadline, time.monotonic() + REGISTER_LIMIT)
    _until(lambda: all(client.asked("register-status ALL") in ("Ok", "Failed") for client in clients), limit)
    told = {
        "caller": one.account,
        "callee": other.account,
        "seconds": 0.0,
        "clients": {client.account: client.registration() for client in clients},
        "setup": None,
        "media": None,
    }
    if all(client.state["Registration"] == "Ok" for client in clients):
        began = time.monotonic()
        one.say("call " + target)
        limit = min(deadline, began + ANSWER_LIMIT)
        _until(lambda: one.talks() or one.over(), limit)
        answered, took = one.talks(), time.monotonic() - began
        if answered:
            sound = _sound(os.path.join(folder, "tone.wav"), seconds + 2)
            for client in clients:
                client.say("incall-player-start " + sound)
            _until(lambda: one.over() or other.over(), min(deadline, time.monotonic() + seconds))
            told["seconds"] = round(time.monotonic() - began - took, 1)
        dropped = answered and (one.over() or other.over())
        # What is counted after the end would look lost to the other side.
        told["media"] = {c.account: counter.told(p) for c, p in zip(clients, ports)} if answered else None
        one.say("terminate")
        _until(one.over, time.monotonic() + END_LIMIT)
        status, reason, text = one.final("INVITE")
        told["setup"] = {
            "answered": answered,
            "seconds": round(took, 2),
            "status": status,
            "reason": reason,
            "encrypted": answered and "RTP/SAVP" in text,
            "dropped": dropped,
        }
    for client in clients:
        client.say("unregister ALL")
    _until(lambda: all(client.asked("register-status ALL") != "Ok" for client in clients), time.monotonic() + END_LIMIT)
    return told


class _Client:
    """One Linphone, driven over its standard input; of what it writes there only states are kept."""

    def __init__(self, home, account, port, trusted, name):
        self.account = account
        self.state = {"Registration": "", "Call": ""}
        self._log = os.path.join(home, "log")
        # It wants the folder of its history to exist.
        os.makedirs(os.path.join(home, ".local/share/linphone"), 0o700)
        text = _CONFIGURATION.format(authorities="root_ca=" + trusted if trusted else "", port=port)
        command = [CLIENT, "--config", _write(os.path.join(home, "rc"), text), "--log", self._log]
        self._process = subprocess.Popen(
            command + (["--auto-answer"] if name == "callee" else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=home,
            env=dict(_ENVIRONMENT, HOME=home, TMPDIR=home, XDG_RUNTIME_DIR=home),
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            found = _STATE.match(line.decode("utf-8", "replace"))
            if found:
                self.state[found.group(1)] = found.group(2)

    def say(self, line):
        """A command. A client that has ended is found by `over`."""
        with contextlib.suppress(OSError):
            self._process.stdin.write(line.encode("ascii") + b"\n")
            self._process.stdin.flush()

    def register(self, domain, port, password):
        identity = "sip:{0}@{1}".format(self.account, domain)
        self.say("register {0} sip:{1}:{2};transport=tls {3}".format(identity, domain, port, password))

    def asked(self, line):
        """Ask for the state of the registration; what it was when last told."""
        self.say(line)
        return "Failed" if self._process.poll() is not None else self.state["Registration"]

    def talks(self):
        return self.state["Call"] in ("Connected", "StreamsRunning")

    def over(self):
        return self.state["Call"] in ("Error", "End", "Released") or self._process.poll() is not None

    def registration(self):
        status, reason, _text = self.final("REGISTER")
        return {"registered": self.state["Registration"] == "Ok", "status": status, "reason": reason}

    def final(self, method):
        """The last final answer to a method: its status (None: there was none), its reason, and its text."""
        try:
            with open(self._log, encoding="utf-8", errors="replace") as file:
                text = file.read(LOG_LIMIT)
        except OSError:
            text = ""
        return final(text, method)

    def end(self):
        """End it, whatever it does."""
        self.say("quit")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_LIMIT)
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(END_LIMIT)
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()


def final(text, method):
    """The last final answer to a method in a client's log, as ``(status, reason, the message with its body)``."""
    found = (None, "", "")
    for match in _STATUS.finditer(text):
        cseq = _CSEQ.search(match.group(3))
        if cseq and cseq.group(1) == method and int(match.group(1)) >= 200:
            body = text[match.end() : match.end() + 2000]
            found = (int(match.group(1)), log.printable(match.group(2), 80), match.group(0) + body)
    return found


def _die_with_parent():
    # A client that outlives whoever started it would go on talking.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _until(condition, deadline):
    while not condition() and time.monotonic() < deadline:
        time.sleep(STEP)


def _free_ports():
    """Two even ports that nobody uses, of which the next is free as well."""
    found = []
    for port in range(20000 + os.getpid() % 5000 * 2, 65000, 2):
        with contextlib.ExitStack() as held:
            try:
                for number in (port, port + 1):
                    sock = held.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
                    sock.bind(("::", number))
            except OSError:
                continue
        found.append(port)
        if len(found) == 2:
            return found
    raise ProbeError("failed", "no ports are free for the media")


def _write(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _sound(path, seconds):
    """A tone of 440 Hz as a file."""
    period = [int(8000 * math.sin(2 * math.pi * 440 * i / 8000)) for i in range(8000)]
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(struct.pack("<8000h", *period) * math.ceil(seconds))
    return path
