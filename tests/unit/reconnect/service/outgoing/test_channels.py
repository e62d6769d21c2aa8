"""Mail and chat: what is sent, and what a server that refuses says."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from reconnect.errors import InputError, ReconnectError, TrackerError
from reconnect.service.outgoing.channels import Chat, Mail, Message, channels
from reconnect.settings import Settings
from reconnect.settings.notifications import ChatSettings, MailSettings, NotificationSettings

from ...incidents.conftest import Answer, Recorder
from .conftest import URL_PATH, Smtp

MESSAGE = Message("reconnect-1-approval", "Reconnect: ü <b>", "pbx22 & <b>: ü\nhttps://reconnect.example.org/approvals")


def mail(smtp: Smtp, **own: Any) -> Mail:
    given = {"host": "127.0.0.1", "port": smtp.port, "security": "none", "seconds": 60} | own
    given |= {"sender": "reconnect@example.org", "to": ["a@example.org", "b@example.org"]}
    return Mail(MailSettings.model_validate(given), "reconnect.example.org")


def test_a_mail_has_its_words_and_the_same_id_each_time(smtp: Smtp) -> None:
    for _ in range(2):
        mail(smtp).send(MESSAGE)
    (recipients, said), (_, again) = smtp.mails
    assert [one.partition("<")[2] for one in recipients] == ["a@example.org>", "b@example.org>"]
    assert (said["Subject"], said["From"]) == (MESSAGE.subject, "reconnect@example.org")
    assert said.get_content().strip().splitlines() == MESSAGE.text.splitlines()  # type: ignore[attr-defined]
    assert said["Auto-Submitted"] == "auto-generated"
    assert said["Message-ID"] == again["Message-ID"] == "<reconnect-1-approval@reconnect.example.org>"


@pytest.mark.attack("a header in the subject of a mail", harm="breach")
def test_a_subject_stays_one_line(smtp: Smtp) -> None:
    mail(smtp).send(Message("i", "first\r\nBcc: eve@example.org", "text"))
    ((recipients, said),) = smtp.mails
    assert (said["Bcc"], len(recipients)) == (None, 2)


def test_a_password_goes_only_over_tls_that_is_verified(smtp: Smtp, certificate: tuple[Path, Path]) -> None:
    smtp.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    smtp.context.load_cert_chain(*certificate)
    signed_in = {"security": "starttls", "user": "reconnect", "password": "secret-of-mail"}
    with pytest.raises(ReconnectError, match="certificate verify failed"):
        mail(smtp, **signed_in).send(MESSAGE)
    assert (smtp.logins, smtp.mails) == ([], [])
    mail(smtp, **signed_in, ca_file=certificate[0]).send(MESSAGE)
    assert (smtp.logins, len(smtp.mails)) == ([b"\0reconnect\0secret-of-mail"], 1)


def test_a_server_without_starttls_gets_no_password(smtp: Smtp) -> None:
    with pytest.raises(ReconnectError, match="STARTTLS"):
        mail(smtp, security="starttls", user="reconnect", password="secret-of-mail").send(MESSAGE)
    assert (smtp.logins, smtp.mails) == ([], [])


@pytest.mark.parametrize(
    ("verb", "answer", "said"),
    [
        ("DATA", "451 try later\x07", "refused with 451: try later"),
        ("MAIL", "550 not you", "refused with 550: not you"),
        ("RCPT", "550 nobody", "Cannot send mail over 127.0.0.1"),
    ],
)
def test_what_a_mail_server_refuses_is_one_sentence(smtp: Smtp, verb: str, answer: str, said: str) -> None:
    smtp.answers[verb] = answer
    with pytest.raises(ReconnectError, match=said) as error:
        mail(smtp).send(MESSAGE)
    assert "\x07" not in str(error.value)


def test_a_mail_that_was_taken_is_not_lost_by_a_rude_goodbye(smtp: Smtp) -> None:
    smtp.answers["QUIT"] = "500 what"
    mail(smtp).send(MESSAGE)
    assert len(smtp.mails) == 1


def test_a_mail_server_that_is_away(smtp: Smtp) -> None:
    smtp.server_close()
    with pytest.raises(ReconnectError, match=r"Cannot send mail over 127\.0\.0\.1"):
        mail(smtp).send(MESSAGE)


def test_a_chat_gets_the_text_and_no_markup(server: Recorder) -> None:
    server.routes[f"POST {URL_PATH}"] = Answer(200, b"ok")
    Chat(ChatSettings(url=SecretStr(server.url + URL_PATH))).send(MESSAGE)
    (asked,) = server.asked
    assert asked.json == {"text": MESSAGE.text.replace("&", "&amp;").replace("<b>", "&lt;b&gt;")}


@pytest.mark.attack("an address of a chat in what is logged", harm="leak")
@pytest.mark.parametrize("answer", [Answer(404), Answer(302, headers={"Location": "http://127.0.0.1:1/"}), Answer(500)])
def test_what_a_chat_refuses_does_not_tell_its_address(server: Recorder, answer: Answer) -> None:
    server.instead = answer
    with pytest.raises(TrackerError, match=rf"The chat refused the message \({answer.status}\)") as error:
        Chat(ChatSettings(url=SecretStr(server.url + URL_PATH))).send(MESSAGE)
    assert (URL_PATH in str(error.value), len(server.asked)) == (False, 1)


def test_a_chat_says_when_to_try_again(server: Recorder) -> None:
    server.instead = Answer(429, headers={"Retry-After": "30"})
    with pytest.raises(TrackerError) as error:
        Chat(ChatSettings(url=SecretStr(server.url + URL_PATH))).send(MESSAGE)
    assert error.value.retry_after == 30


MAIL = {"host": "mail.example.org", "sender": "a@example.org", "to": ["b@example.org"]}


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"chat": {}}, r"notifications\.chat\.url is missing"),
        ({"chat": {"url": "chat.example.org"}}, r"notifications\.chat\.url is not an address"),
        ({"chat": {"url": "https://[chat"}}, r"notifications\.chat\.url is not an address"),
        ({"chat": {"url": "https://u:p@chat.example.org/"}}, r"notifications\.chat\.url is not an address"),
        ({"chat": {"url_file": "/nowhere"}}, r"notifications\.chat\.url_file"),
        ({"chat": {"url": "https://chat.example.org/x", "ca_file": "/nowhere"}}, r"notifications\.chat\.ca_file"),
        ({"mail": MAIL | {"user": "u"}}, r"notifications\.mail\.password is missing"),
        ({"mail": MAIL | {"user": "u", "password": "p", "security": "none"}}, r"notifications\.mail\.user needs"),
        ({"mail": MAIL | {"ca_file": "/nowhere"}}, r"notifications\.mail\.ca_file"),
    ],
)
def test_an_invalid_setting_is_named(settings: Settings, own: dict[str, Any], said: str) -> None:
    settings.service.origin = "https://reconnect.example.org"
    settings.service.notifications = NotificationSettings.model_validate(own)
    with pytest.raises(InputError, match=said):
        channels(settings)


def test_notifications_need_an_address_to_lead_to(settings: Settings) -> None:
    assert channels(settings) == {}
    settings.service.notifications = NotificationSettings.model_validate({"mail": MAIL})
    with pytest.raises(InputError, match=r"service\.origin"):
        channels(settings)


@pytest.mark.parametrize("address", ["a b@example.org", "a@example.org\nBcc: e@example.org", "a", "a@b@c", "A <a@b>"])
def test_an_address_is_one_address(address: str) -> None:
    with pytest.raises(ValueError, match="to"):
        MailSettings.model_validate(MAIL | {"to": [address]})
