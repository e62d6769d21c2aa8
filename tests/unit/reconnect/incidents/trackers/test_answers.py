"""What every tracker makes of an answer it did not want: one sentence, and nothing sent anywhere else."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from reconnect.errors import InputError, TrackerError
from reconnect.incidents.trackers import changes, http, open_incident
from reconnect.incidents.trackers.http import retry_after
from reconnect.incidents.trackers.tracker import Comment
from reconnect.names import Incident
from reconnect.settings import Settings
from reconnect.settings.trackers import RtSettings

from ..conftest import Answer, Recorder

INCIDENTS = ["rt:1", "servicenow:INC0010023", "jira:SUP-12", "zammad:55", "webhook:desk/4711"]
COMMENT = Comment("reconnect-r-report", "fixed")


def settings(url: str, **more: object) -> Settings:
    server: Any = {"url": url, "token": "canary-5d2f", "seconds": 60, **more}
    return Settings(rt=server, servicenow=server, jira=server, zammad=server, webhooks={"desk": server})


@pytest.mark.parametrize("incident", INCIDENTS)
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(401), r"does not accept the credentials \(401\)"),
        (Answer(403), r"does not let this user change .* \(403\)"),
        (Answer(404), r"no incident .* \(404\)"),
        (Answer(429, headers={"Retry-After": "30"}), r"fewer requests \(429\), again in 30 s"),
        (Answer(429), r"fewer requests \(429\)\."),
        (Answer(503, headers={"Retry-After": "120"}), r"is not available \(503\), again in 120 s"),
        (Answer(500, b"<html>"), r"refused with 500: Internal Server Error"),
        (Answer(500, b'{"message": "\\u001b[31mred\\nline"}'), r"\\x1b\[31mred line"),
        (Answer(500, b"[" * 100_000), r"refused with 500"),
        (Answer(200, b" " * 50 * 1024 * 1024), r"larger than"),
        (Answer(302, headers={"Location": "http://user:pw@elsewhere.test/"}), r"points to elsewhere\.test \(302\)"),
        (Answer(307, headers={"Location": "http://[broken"}), r"\(307\)|refused with 307"),
    ],
)
def test_an_unexpected_answer_is_one_sentence(server: Recorder, incident: str, answer: Answer, sentence: str) -> None:
    server.instead = answer
    with pytest.raises(TrackerError, match=sentence) as caught:
        open_incident(Incident.parse(incident), settings(server.url)).comment(COMMENT)
    assert len(str(caught.value).splitlines()) == 1
    assert "canary" not in str(caught.value)
    assert len(server.asked) <= 2  # RT asks for the ticket after a 400


@pytest.mark.parametrize("incident", [one for one in INCIDENTS if not one.startswith("webhook")])
@pytest.mark.parametrize(
    "content", [b"<html>login</html>", b"\xff\xfe\x00", b"[]", b"{}", b"null", b'"x"', b"[" * 10**5]
)
def test_garbage_is_one_sentence(server: Recorder, incident: str, content: bytes) -> None:
    server.instead = Answer(200, content)
    with pytest.raises(TrackerError) as caught:
        open_incident(Incident.parse(incident), settings(server.url)).read()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("incident", INCIDENTS)
def test_credentials_stay_with_the_host(server: Recorder, incident: str) -> None:
    elsewhere = Recorder()
    threading.Thread(target=elsewhere.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    server.instead = Answer(302, headers={"Location": f"{elsewhere.url}/REST/2.0/"})
    with pytest.raises(TrackerError):
        open_incident(Incident.parse(incident), settings(server.url)).comment(COMMENT)
    elsewhere.shutdown()
    elsewhere.server_close()
    assert elsewhere.asked == []


@pytest.mark.parametrize("incident", INCIDENTS)
def test_a_tracker_that_does_not_listen(incident: str) -> None:
    with pytest.raises(TrackerError, match="Cannot reach"):
        open_incident(Incident.parse(incident), settings("http://127.0.0.1:9")).comment(COMMENT)


@pytest.mark.parametrize(
    "proxy", ["socks5://me:canary-5d2f@proxy:1080", "ftp://me:canary-5d2f@proxy", "http://proxy:x"]
)
def test_a_proxy_that_cannot_be_used_is_one_sentence(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(TrackerError, match="ALL_PROXY") as caught:
        open_incident(Incident.parse("rt:1"), settings("http://127.0.0.1:9")).comment(COMMENT)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("incident", INCIDENTS)
def test_an_untrusted_certificate_is_refused(tls_server: str, incident: str) -> None:
    with pytest.raises(TrackerError, match=r"Cannot reach .*certificate verify failed"):
        open_incident(Incident.parse(incident), settings(tls_server)).comment(COMMENT)


def test_silence_is_bounded(server: Recorder) -> None:
    silent = threading.Event()

    def wait(_handler: BaseHTTPRequestHandler) -> None:
        silent.wait(20)

    server.raw = wait
    with pytest.raises(TrackerError, match=r"within 0\.3 s"):
        open_incident(Incident.parse("rt:1"), settings(server.url, seconds=0.3)).comment(COMMENT)
    silent.set()


def test_a_trickle_is_bounded(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, over = threading.Event(), threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(201)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        begun.set()
        while not over.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    server.raw = trickle
    # The time is over as soon as the answer has begun.
    monkeypatch.setattr(http, "time", SimpleNamespace(monotonic=lambda: 61.0 if begun.is_set() else 0.0))
    with pytest.raises(TrackerError, match="did not end in time"):
        open_incident(Incident.parse("rt:1"), settings(server.url)).comment(COMMENT)
    over.set()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        ("999999999", 24 * 3600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2915 07:28:00 GMT", 24 * 3600),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("９", None),
    ],
)
def test_retry_after(header: str, seconds: int | None) -> None:
    assert retry_after(header) == seconds


@pytest.mark.parametrize(
    "reference",
    [
        *("rt:x", "rt:1/../2", "rt:-1", "rt:１", "rt:" + "9" * 13, "rt:", ":1", "nobody:1", "rt"),
        *("servicenow:INC1^ORsys_id!=1", "servicenow:inc1", "servicenow:INC"),
        *("jira:SUP-12/../..", "jira:sup-1", "jira:SUP-"),
        *("zammad:5;id", "webhook:desk", "webhook:other/1", "webhook:desk/../x", "webhook:desk/a b"),
    ],
)
def test_an_invalid_incident_is_refused(reference: str) -> None:
    with pytest.raises(InputError):
        open_incident(Incident.parse(reference), settings("https://tracker.test"))


@pytest.mark.parametrize("incident", INCIDENTS)
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"url": None}, "needs its address"),
        ({"url": "ftp://x"}, "needs its address"),
        ({"url": "https://user:pw@x"}, "needs its address"),
        ({"token": None}, "needs a token"),
        ({"token": "a\nb"}, "needs a token"),
        ({"token": None, "token_file": "/nowhere"}, "token file"),
        ({"ca_file": "/nowhere"}, "certificate file"),
    ],
)
def test_invalid_settings_are_refused(incident: str, changes: dict[str, Any], sentence: str) -> None:
    server: Any = {"url": "https://tracker.test", "token": "right", **changes}
    used = Settings(rt=server, servicenow=server, jira=server, zammad=server, webhooks={"desk": server})
    with pytest.raises(InputError, match=sentence):
        open_incident(Incident.parse(incident), used)


@pytest.mark.parametrize("incident", INCIDENTS)
def test_an_incident_that_is_only_named_prepares_no_connection(incident: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each delivery of a hook names one; the system's certificates took 80 % of its time.
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: pytest.fail("it reads the system's certificates"))
    assert open_incident(Incident.parse(incident), settings("https://tracker.test"))


def test_the_token_may_be_in_a_file(server: Recorder, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right\n")
    server.instead = Answer(401)
    with pytest.raises(TrackerError):
        open_incident(
            Incident.parse("rt:1"), Settings(rt=RtSettings(url=server.url, token_file=tmp_path / "token"))
        ).comment(COMMENT)
    assert server.asked[0].headers["Authorization"] == "token right"


@pytest.mark.parametrize("tracker", ["rt", "servicenow", "jira", "zammad"])
@pytest.mark.parametrize("content", [b"<html>login</html>", b"{}", b"null", b'"x"', b"[" * 10**5])
def test_garbage_in_place_of_changes_is_one_sentence(server: Recorder, tracker: str, content: bytes) -> None:
    server.instead = Answer(200, content)
    with pytest.raises(TrackerError) as caught:
        changes(tracker, settings(server.url), 3)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.attack("a tracker's answer has other types than it documents", harm="hang")
@pytest.mark.parametrize(
    ("tracker", "content"),
    [
        ("rt", {"items": [{"id": {}}]}),
        ("jira", {"issues": [{"fields": {"comment": "x"}}]}),
        ("jira", {"issues": [{"fields": {"comment": {"comments": [1]}}}]}),
        ("jira", {"issues": [{"fields": {}, "changelog": [1]}]}),
    ],
)
def test_odd_changes_are_one_sentence(server: Recorder, tracker: str, content: dict[str, Any]) -> None:
    server.instead = Answer(200, content)
    with pytest.raises(TrackerError) as caught:
        changes(tracker, settings(server.url), 3)
    assert len(str(caught.value).splitlines()) == 1
