# SPDX-License-Identifier: GPL-3.0-or-later
"""Which station on the path answers: what a real Kamailio before a registrar said, played again on loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import path, register, sip
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

#: By situation and request: the method, how often it may still be passed on, and whom it is for. Null: no answer.
KAMAILIO: dict[str, dict[str, list[str] | None]] = json.loads(Path(__file__).with_name("kamailio.json").read_text())
OWN = "kamailio (5.6.3 (x86_64/linux))"
DIALOG = ("Via", "From", "To", "Call-ID", "CSeq")

TOO_MANY = (483, "Too Many Hops", OWN)
FAR = (401, "Unauthorized", "PrivateServer")
LOST = (477, "Unfortunately error on sending to next hop occurred (477/SL)")


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """play(situation): Kamailio as it was then, over UDP. Returns its port."""
    for module, name in ((path, "STEP_SECONDS"), (path, "FLOW_SECONDS"), (register, "ANSWER_SECONDS")):
        monkeypatch.setattr(module, name, 1.0)
    sockets = []

    def answer(data: bytes, said: dict[str, list[str] | None]) -> bytes | None:
        request = sip.parse(data)
        user = "" if "@" not in str(request.uri) else str(request.uri).partition(":")[2].partition("@")[0]
        forwards = "" if request.get("Max-Forwards") == "70" else str(request.get("Max-Forwards"))
        lines = said[" ".join(filter(None, (str(request.method), forwards, user)))]
        if lines is None:
            return None
        own = [line for line in lines if not line.startswith(DIALOG)]
        kept = ["{}: {}".format(*header) for header in request.headers if header[0] in DIALOG]
        return "\r\n".join([own[0], *kept, *own[1:], "", ""]).encode()

    def start(situation: str | dict[str, list[str] | None]) -> int:
        said = KAMAILIO[situation] if isinstance(situation, str) else situation
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        sockets.append(server)

        def serve() -> None:
            # The socket is closed when the test ends.
            with contextlib.suppress(OSError):
                while True:
                    data, sender = server.recvfrom(65536)
                    if found := answer(data, said):
                        server.sendto(found, sender)

        threading.Thread(target=serve, daemon=True).start()
        return int(server.getsockname()[1])

    yield start
    for server in sockets:
        server.close()


def seen(port: int) -> tuple[Any, list[Any]]:
    """What became of OPTIONS, and of those that may not go all the way."""
    target: Any = {
        "name": "pbx",
        "sip_domain": "pbx.example",
        "addresses": ["127.0.0.1"],
        "transports": [{"transport": "udp", "port": port}],
        "resolvers": ["127.0.0.1:1"],
        "srv": "",
        "provisioning_url": "",
        "user": "601",
    }
    data: Any = path.probe_target(target, "control")
    where = f"udp:127.0.0.1:{port}"
    hops = data["hops"].get(where, [])
    return short(data["sip"][where]), [short(one) for one in hops]


def short(probe: Any) -> Any:
    told = probe.get("data")
    return (told["status"], told["reason"], told["server"]) if told else probe["error"]


@pytest.mark.parametrize(
    ("situation", "whole", "hops"),
    [
        ("serves", (200, "Keepalive", OWN), [TOO_MANY, FAR]),
        ("passes everything on", FAR, [TOO_MANY, FAR]),
        # A proxy may not pass on a 503 (RFC 3261, 16.7): it says 500 itself.
        ("answers 503", (200, "Keepalive", OWN), [TOO_MANY, (500, "Service Unavailable", OWN)]),
        ("times out", (200, "Keepalive", OWN), [TOO_MANY, (408, "Request Timeout", OWN)]),
        ("waits", (200, "Keepalive", OWN), [TOO_MANY, "timed_out"]),
        ("refused over TCP", (200, "Keepalive", OWN), [TOO_MANY, (*LOST, OWN)]),
        ("has no destination", (200, "Keepalive", OWN), [TOO_MANY, (404, "No destination", OWN)]),
        (
            "without a signature, refused over TCP",
            (200, "Keepalive", ""),
            [(483, "Too Many Hops", ""), (*LOST, "")],
        ),
    ],
)
def test_a_proxy_is_told_from_who_is_behind_it(
    play: Callable[..., int], monkeypatch: pytest.MonkeyPatch, situation: str, whole: Any, hops: list[Any]
) -> None:
    # Only where nobody answers the limit is reached.
    monkeypatch.setattr(path, "FLOW_SECONDS", 1.0 if "timed_out" in hops else 60.0)
    assert seen(play(situation)) == (whole, hops)


def test_a_proxy_answers_though_nobody_does_behind_it(
    play: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path, "FLOW_SECONDS", 2.0)
    assert seen(play("passes everything on and waits")) == ("timed_out", [TOO_MANY, "timed_out"])


def answers(server: str, status: str = "401 Unauthorized") -> list[str]:
    return [f"SIP/2.0 {status}", *([f"Server: {server}"] if server else []), "Content-Length: 0"]


@pytest.mark.parametrize("server", ["PrivateServer", "Asterisk PBX 22.5.0", ""])
def test_asterisk_is_no_proxy_and_is_asked_once_more_only(play: Callable[..., int], server: str) -> None:
    every = answers(server)
    found = (401, "Unauthorized", server)
    assert seen(play({"OPTIONS": every, "OPTIONS 0": every})) == (found, [found])


@pytest.mark.parametrize("server", ["OpenSIPS (3.4.2 (x86_64/linux))", "ACME SBC", "AudioCodes Mediant VE SBC/v.7.40A"])
def test_a_proxy_that_does_not_look_how_far_it_may_go_says_its_name(play: Callable[..., int], server: str) -> None:
    every = answers(server, "200 OK")
    found = (200, "OK", server)
    assert seen(play({"OPTIONS": every, "OPTIONS 0": every, "OPTIONS 1 601": answers("PrivateServer")})) == (
        found,
        [found, FAR],
    )


@pytest.mark.parametrize(
    ("situation", "status", "server"),
    [
        ("answers 503", 500, OWN),
        ("times out", 408, OWN),
        ("refused over TCP", 477, OWN),
        ("has no destination", 404, OWN),
        ("without a signature, refused over TCP", 477, ""),
    ],
)
def test_a_registration_says_who_refused_it(
    play: Callable[..., int], monkeypatch: pytest.MonkeyPatch, situation: str, status: int, server: str
) -> None:
    monkeypatch.setattr(register, "ANSWER_SECONDS", 60.0)
    found = register.register_and_leave("601", "s3cret", ["127.0.0.1"], play(situation), "udp", "pbx.example")
    assert (found["accepted"], [(one["status"], one["server"]) for one in found["answers"]]) == (
        False,
        [(status, server)],
    )


def test_a_registration_that_nobody_answers_behind_the_proxy(play: Callable[..., int]) -> None:
    with pytest.raises(ProbeError, match="no answer to REGISTER"):
        register.register_and_leave("601", "s3cret", ["127.0.0.1"], play("waits"), "udp", "pbx.example")
