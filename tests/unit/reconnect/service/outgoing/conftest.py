"""A mail server, a chat, and a notifier that uses both."""

from __future__ import annotations

import base64
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path

import pytest
import sqlalchemy as sa
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import writing
from reconnect.runs.store import Run
from reconnect.service.desk import Desk
from reconnect.service.outgoing.notifier import Notifier
from reconnect.settings import Settings
from reconnect.settings.notifications import NotificationSettings

from ...conftest import a_request
from ...incidents.conftest import Answer, Recorder, server

__all__ = ["server"]

URL_PATH = "/hooks/secret-of-the-chat"


class Smtp(socketserver.ThreadingTCPServer):
    """Takes mail as RFC 5321 says it; with `context` only after STARTTLS. `answers` are for a verb instead of yes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: list[tuple[list[str], Message]] = []
        self.logins: list[bytes] = []
        self.answers: dict[str, str] = {}
        self.context: ssl.SSLContext | None = None

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Session(socketserver.StreamRequestHandler):
    server: Smtp

    def handle(self) -> None:
        recipients: list[str] = []
        secure = self.server.context is None
        self._say("220 localhost")
        while line := self.rfile.readline():
            words = line.decode().strip()
            verb = words.split(" ")[0].upper()
            if verb in self.server.answers:
                self._say(self.server.answers[verb])
            elif verb == "EHLO":
                self._say("250-localhost\r\n250 " + ("AUTH PLAIN" if secure else "STARTTLS"))
            elif verb == "STARTTLS" and self.server.context is not None:
                self._say("220 go")
                try:
                    self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
                except OSError:
                    return
                self.rfile, self.wfile, secure = self.connection.makefile("rb"), self.connection.makefile("wb"), True
            elif not secure:
                self._say("530 STARTTLS first")
            elif verb == "AUTH":
                self.server.logins.append(base64.b64decode(words.split(" ")[2]))
                self._say("235 welcome")
            elif verb == "RCPT":
                recipients.append(words)
                self._say("250 ok")
            elif verb == "DATA":
                self._say("354 go")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line)
                self.server.mails.append((recipients, message_from_bytes(b"".join(lines), policy=default)))
                self._say("250 taken")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())
        self.wfile.flush()


@pytest.fixture
def smtp() -> Iterator[Smtp]:
    with Smtp() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that nobody vouches for, and its key."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", "key.pem", "-out", "certificate.pem"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=30,
    )
    return tmp_path / "certificate.pem", tmp_path / "key.pem"


@pytest.fixture
def notified(settings: Settings, smtp: Smtp, server: Recorder) -> NotificationSettings:
    """The settings of a site that tells both."""
    server.routes[f"POST {URL_PATH}"] = Answer(200, {"ok": True})
    settings.service.origin = "https://reconnect.example.org"
    settings.service.notifications = NotificationSettings.model_validate(
        {
            "mail": {
                "host": "127.0.0.1",
                "port": smtp.port,
                "security": "none",
                "sender": "reconnect@example.org",
                "to": ["second-level@example.org", "ann@example.org"],
            },
            "chat": {"url": server.url + URL_PATH},
        }
    )
    return settings.service.notifications


@pytest.fixture
def notifier(notified: NotificationSettings, desk: Desk) -> Notifier:
    """One that has looked once: what comes now is new."""
    made = Notifier(desk)
    made.look()
    return made


@pytest.fixture
def run_of(desk: Desk) -> Callable[..., Run]:
    """Makes a run of an incident."""

    def make(incident: str | None = "rt:17", **own: object) -> Run:
        return desk.runs.create(a_request(incident=incident, account="1005", **own))

    return make


def due_now(desk: Desk) -> None:
    """Has everything that is to be told due."""
    with writing(desk.engine) as connection:
        connection.execute(sa.update(tables.notifications).values(next_at=now()))


def states(desk: Desk) -> dict[str, str]:
    """How the notifications stand, by channel."""
    with writing(desk.engine) as connection:
        found = connection.execute(sa.select(tables.notifications.c.channel, tables.notifications.c.state))
        return {str(channel): str(state) for channel, state in found}
