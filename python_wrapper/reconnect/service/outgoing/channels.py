"""The channels of notifications: mail, and the incoming webhook of a chat."""

from __future__ import annotations

import contextlib
import logging
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from reconnect import files, names, tls
from reconnect.errors import InputError, ReconnectError, TrackerError
from reconnect.incidents.trackers.http import Http
from reconnect.settings import Settings
from reconnect.settings.notifications import ChatSettings, MailSettings
from reconnect.settings.trackers import Server
from reconnect.text import one_line

_LOG = logging.getLogger("reconnect.service.outgoing.channels")
_MAIL, _CHAT = "service.notifications.mail", "service.notifications.chat"


@dataclass(frozen=True)
class Message:
    """What is told. `identifier` is the same whenever the same is told over the same channel."""

    identifier: str
    subject: str
    text: str


class Channel(Protocol):
    """Tells people."""

    def send(self, message: Message) -> None:
        """Sends it. Raises ReconnectError where it was not taken."""


def channels(settings: Settings) -> dict[str, Channel]:
    """The channels of this site, by name. Raises InputError with the name of a setting that is invalid."""
    own, origin = settings.service.notifications, settings.service.origin
    found: dict[str, Channel] = {}
    if own.mail is None and own.chat is None:
        return found
    if origin is None:
        raise InputError(
            "Notifications lead to the pages: set service.origin, for example https://reconnect.example.org."
        )
    if own.mail is not None:
        found["mail"] = Mail(own.mail, urlsplit(origin).hostname or "localhost")
    if own.chat is not None:
        found["chat"] = Chat(own.chat)
    return found


class Mail:
    """Mail over SMTP; `domain` is that of the message's id."""

    def __init__(self, own: MailSettings, domain: str) -> None:
        self._own = own
        self._domain = domain
        self._context = tls.context(own.ca_file, f"{_MAIL}.ca_file")
        self._password = ""
        if own.user is not None:
            if own.security == "none":
                raise InputError(f"The setting {_MAIL}.user needs security: starttls or tls. It would send a password.")
            self._password = _secret(f"{_MAIL}.password", own.password, own.password_file)

    def send(self, message: Message) -> None:
        """Sends one mail to everybody. One that a part of them got is not sent again."""
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"] = self._own.sender, ", ".join(self._own.to)
        mail["Subject"] = one_line(message.subject, 150)
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message.identifier}@{self._domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        try:
            with self._connection() as server:
                refused = server.send_message(mail)
        except smtplib.SMTPResponseException as error:
            said = (
                error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
            )
            raise ReconnectError(f"The mail server refused with {error.smtp_code}: {one_line(said, 200)}.") from None
        except (smtplib.SMTPException, OSError) as error:
            raise ReconnectError(f"Cannot send mail over {self._own.host}: {one_line(error, 200)}.") from None
        if refused:
            _LOG.warning("the mail server refused %d of %d addresses", len(refused), len(self._own.to))

    @contextlib.contextmanager
    def _connection(self) -> Iterator[smtplib.SMTP]:
        own = self._own
        if own.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                own.host, own.port, self._domain, timeout=own.seconds, context=self._context
            )
        else:
            server = smtplib.SMTP(own.host, own.port, self._domain, timeout=own.seconds)
        try:
            if own.security == "starttls":
                server.starttls(context=self._context)
            if own.user is not None:
                server.login(own.user, self._password)
            yield server
            # The mail is taken, whatever the server says now.
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            server.close()


class Chat:
    """A message in a chat, by its incoming webhook."""

    def __init__(self, own: ChatSettings) -> None:
        url = _secret(f"{_CHAT}.url", own.url, own.url_file)
        if not names.is_address(url):
            raise InputError(
                f"The setting {_CHAT}.url is not an address, for example https://chat.example.org/hooks/…."
            )
        tls.context(own.ca_file, f"{_CHAT}.ca_file")
        server = Server(url=url, ca_file=own.ca_file, seconds=own.seconds)
        self._http = Http("The chat", "the webhook", server, {})

    def send(self, message: Message) -> None:
        """Sends one message. What a chat reads as markup is escaped."""
        text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        try:
            self._http.raw("POST", "", {200, 201, 202, 204}, json_body={"text": text})
        except TrackerError as error:
            # Other words than those of a tracker, which speak of incidents.
            if error.code is None:
                raise
            sentence = f"The chat refused the message ({error.code})."
            raise TrackerError(sentence, error.code, error.retry_after) from None


def _secret(setting: str, value: SecretStr | None, file: Path | None) -> str:
    """A secret, or what its file holds. Raises InputError."""
    words = files.secret(value, file, f"file of the setting {setting}_file")
    if not words or not words.isprintable():
        raise InputError(f"The setting {setting} is missing: set it, or {setting}_file.")
    return words
