# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real secure call between two accounts: two Linphone clients on one host, over TLS and SDES-SRTP.

A client reads passwords from its standard input. It writes into a private folder, which is removed at its end.
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
from typing import TYPE_CHECKING, Optional

from ansible_collections.privatewave.reconnect.plugins.module_utils._common import ACCOUNT_NAME
from ansible_collections.privatewave.reconnect.plugins.module_utils._net.rtp import Counter
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import Call, CallClient

    #: The status of a final answer (None: there was none), its reason, and its text.
    Final = tuple[Optional[int], str, str]

CLIENT = "linphone-daemon"
REGISTER_LIMIT = 10.0
ANSWER_LIMIT = 10.0
END_LIMIT = 3.0
LOG_LIMIT = 16 * 1024 * 1024
STEP = 0.1

_ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}

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


def place(
    domain: str,
    port: int,
    caller: tuple[str, str],
    callee: tuple[str, str],
    authorities: str | None,
    seconds: float,
    limit: float,
) -> Call:
    """Have ``caller`` call ``callee``, both ``(account, password)``, and talk for ``seconds``. Raises `ProbeError`.

    ``domain`` and ``port`` are those of SIP over TLS, ``authorities`` PEM text or None for those of the system,
    ``limit`` seconds for everything.
    """
    for account, password in (caller, callee):
        if not ACCOUNT_NAME.match(account) or not _PASSWORD.match(password):
            raise ProbeError("invalid", "an account has a name or password that the client does not accept")
    if not _DOMAIN.match(domain):
        raise ProbeError("invalid", "{0!r} is not the name of a server".format(domain[:80]))
    if shutil.which(CLIENT) is None:
        raise ProbeError("missing", "{0} is not installed here".format(CLIENT))
    folder = tempfile.mkdtemp(prefix="reconnect-call-")
    clients: list[_Client] = []
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


def _talk(
    clients: Sequence[_Client],
    counter: Counter,
    ports: Sequence[int],
    target: str,
    folder: str,
    seconds: float,
    deadline: float,
) -> Call:
    one, other = clients
    limit = min(deadline, time.monotonic() + REGISTER_LIMIT)
    _until(lambda: all(client.asked("register-status ALL") in ("Ok", "Failed") for client in clients), limit)
    call: Call = {
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
            call["seconds"] = round(time.monotonic() - began - took, 1)
        dropped = answered and (one.over() or other.over())
        # Packets that are counted after the end would look lost at the other side.
        if answered:
            call["media"] = {client.account: counter.counted(port) for client, port in zip(clients, ports)}
        one.say("terminate")
        _until(one.over, time.monotonic() + END_LIMIT)
        status, reason, text = one.final("INVITE")
        call["setup"] = {
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
    return call


class _Client:
    """One Linphone, controlled over its standard input; only the states that it prints are kept."""

    def __init__(self, home: str, account: str, port: int, trusted: str, name: str) -> None:
        self.account = account
        self.state = {"Registration": "", "Call": ""}
        self._log = os.path.join(home, "log")
        # Linphone needs the folder of its history.
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

    def _read(self) -> None:
        for line in self._process.stdout or ():
            found = _STATE.match(line.decode("utf-8", "replace"))
            if found:
                self.state[found.group(1)] = found.group(2)

    def say(self, line: str) -> None:
        """Send a command. `over` tells whether the client has ended."""
        stdin = self._process.stdin
        with contextlib.suppress(OSError):
            if stdin:
                stdin.write(line.encode("ascii") + b"\n")
                stdin.flush()

    def register(self, domain: str, port: int, password: str) -> None:
        """Register at a server over TLS."""
        identity = "sip:{0}@{1}".format(self.account, domain)
        self.say("register {0} sip:{1}:{2};transport=tls {3}".format(identity, domain, port, password))

    def asked(self, line: str) -> str:
        """Ask for the state of the registration. Returns the last state that the client printed."""
        self.say(line)
        return "Failed" if self._process.poll() is not None else self.state["Registration"]

    def talks(self) -> bool:
        """Whether the call is up."""
        return self.state["Call"] in ("Connected", "StreamsRunning")

    def over(self) -> bool:
        """Whether the call, or the client, has ended."""
        return self.state["Call"] in ("Error", "End", "Released") or self._process.poll() is not None

    def registration(self) -> CallClient:
        """What became of the registration."""
        status, reason, _text = self.final("REGISTER")
        return {"registered": self.state["Registration"] == "Ok", "status": status, "reason": reason}

    def final(self, method: str) -> Final:
        """The last final answer to a method."""
        try:
            with open(self._log, encoding="utf-8", errors="replace") as file:
                text = file.read(LOG_LIMIT)
        except OSError:
            text = ""
        return final(text, method)

    def end(self) -> None:
        """End the client, by force when it does not answer."""
        self.say("quit")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_LIMIT)
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(END_LIMIT)
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()


def final(text: str, method: str) -> Final:
    """The last final answer to a method in the log of a client; its text is the message with its body."""
    found: Final = (None, "", "")
    for match in _STATUS.finditer(text):
        cseq = _CSEQ.search(match.group(3))
        if cseq and cseq.group(1) == method and int(match.group(1)) >= 200:
            body = text[match.end() : match.end() + 2000]
            found = (int(match.group(1)), printable(match.group(2), 80), match.group(0) + body)
    return found


def _die_with_parent() -> None:
    # A client that outlives us would continue to talk.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _until(condition: Callable[[], bool], deadline: float) -> None:
    while not condition() and time.monotonic() < deadline:
        time.sleep(STEP)


def _free_ports() -> list[int]:
    """Two even ports that are free, as are the odd ports after them."""
    found: list[int] = []
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


def _write(path: str, text: str) -> str:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _sound(path: str, seconds: float) -> str:
    """Write a tone of 440 Hz into a file and return its path."""
    period = [int(8000 * math.sin(2 * math.pi * 440 * i / 8000)) for i in range(8000)]
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(struct.pack("<8000h", *period) * math.ceil(seconds))
    return path
