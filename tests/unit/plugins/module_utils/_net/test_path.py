# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole target probed on loopback, healthy and broken: every answer is complete and in time."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import path
from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import Path
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.schemas import schema_of
from jsonschema import Draft202012Validator

from .conftest import Authority

NAME = "pbx.example"


def target(**changes: Any) -> Any:
    return dict(
        {
            "name": "pbx",
            "sip_domain": NAME,
            "addresses": ["127.0.0.1"],
            "transports": [],
            "resolvers": ["127.0.0.1:1"],
            "srv": "",
            "provisioning_url": "",
        },
        **changes,
    )


def serve_http(connection: ssl.SSLSocket) -> None:
    request = connection.recv(65536)
    assert request.startswith(b"GET /provisioning/health HTTP/1.1\r\n")
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nServer: loop\r\nDate: Mon, 23 Nov 2026 04:25:35 GMT\r\nContent-Length: 2\r\n\r\nok"
    )


def test_a_healthy_server_answers_everything(
    authority: Authority, serve: Callable[..., int], answer_sip: Callable[..., None]
) -> None:
    tls = serve(answer_sip, authority.context(NAME))
    tcp = serve(answer_sip)
    https = serve(serve_http, authority.context(NAME))
    data: Any = path.probe_target(
        target(
            tls_ca=authority.pem,
            provisioning_url=f"https://{NAME}:{https}/provisioning/health",
            transports=[{"transport": "tls", "port": tls}, {"transport": "tcp", "port": tcp}],
        ),
        "control",
    )
    assert data["addresses"] == ["127.0.0.1"]
    assert data["source_address"] == "127.0.0.1"
    assert data["icmp"]["127.0.0.1"]["data"]["loss"] == 0
    assert data["path_mtu"]["127.0.0.1"]["data"]["black_hole"] is False
    assert set(data["tcp"]) == {f"127.0.0.1:{tls}", f"127.0.0.1:{tcp}"}
    assert not any("attempts" in answer for answer in data["sip"].values())
    assert data["tls"][f"127.0.0.1:{tls}"]["data"]["verified"] is True
    assert {name: answer["data"]["status"] for name, answer in data["sip"].items()} == {
        f"tls:127.0.0.1:{tls}": 200,
        f"tcp:127.0.0.1:{tcp}": 200,
    }
    provisioning = data["provisioning"]["data"]
    assert (provisioning["status"], provisioning["date"]) == (200, "Mon, 23 Nov 2026 04:25:35 GMT")
    assert provisioning["tls"]["verified"] is True
    assert list(Draft202012Validator(schema_of(Path)).iter_errors(json.loads(json.dumps(data)))) == []


def test_text_of_a_server_cannot_move_the_cursor(serve: Callable[..., int], answer_sip: Callable[..., None]) -> None:
    port = serve(answer_sip)
    data: Any = path.probe_target(target(transports=[{"transport": "tcp", "port": port}]), "control")
    assert data["sip"][f"tcp:127.0.0.1:{port}"]["data"]["server"] == "loop\\x1b[31mback"


def test_one_connection_carries_tcp_tls_and_sip(
    authority: Authority, serve: Callable[..., int], answer_sip: Callable[..., None]
) -> None:
    connections = []

    def counted(connection: ssl.SSLSocket) -> None:
        connections.append(connection)
        answer_sip(connection)

    port = serve(counted, authority.context(NAME))
    path.probe_target(target(tls_ca=authority.pem, transports=[{"transport": "tls", "port": port}]), "control")
    assert len(connections) == 1


@pytest.mark.parametrize("transport", ["tls", "tcp"])
def test_a_connection_that_is_closed_without_an_answer_is_tried_again(
    transport: str, authority: Authority, serve: Callable[..., int], answer_sip: Callable[..., None]
) -> None:
    connections = []

    def closes_the_first(connection: socket.socket | ssl.SSLSocket) -> None:
        connections.append(connection)
        if len(connections) == 1:
            connection.recv(65536)
        else:
            answer_sip(connection)

    port = serve(closes_the_first, authority.context(NAME) if transport == "tls" else None)
    only = [{"transport": transport, "port": port}]
    data: Any = path.probe_target(target(tls_ca=authority.pem, transports=only), "control")
    (answer,) = data["sip"].values()
    assert (answer["ok"], answer["attempts"], len(connections)) == (True, 2, 2)
    assert answer["data"]["status"] == 200


@pytest.mark.parametrize(("resets", "found"), [(1, (True, None)), (9, (False, "refused"))])
def test_a_handshake_that_is_reset_is_tried_once_more(
    resets: int,
    found: tuple[bool, str | None],
    authority: Authority,
    serve: Callable[..., int],
    answer_sip: Callable[..., None],
) -> None:
    connections = []

    def resets_the_first(connection: socket.socket) -> None:
        connections.append(connection)
        if len(connections) <= resets:
            connection.recv(16)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            with authority.context(NAME).wrap_socket(connection, server_side=True) as shaken:
                answer_sip(shaken)

    only = [{"transport": "tls", "port": serve(resets_the_first)}]
    data: Any = path.probe_target(target(tls_ca=authority.pem, transports=only), "control")
    ((answer,), (sip,)) = (data[kind].values() for kind in ("tls", "sip"))
    assert (answer["ok"], answer.get("error")) == found
    assert answer["attempts"] == 2
    assert (sip["ok"], sip.get("error")) == ((True, None) if found[0] else (False, "skipped"))


@pytest.mark.parametrize(("closed", "found"), [(1, (True, None, 2)), (9, (False, "invalid", 2))])
def test_provisioning_that_closes_a_connection_without_an_answer_is_asked_once_more(
    serve: Callable[..., int], closed: int, found: tuple[bool, str | None, int]
) -> None:
    connections = []

    def closes(connection: socket.socket) -> None:
        connections.append(connection)
        connection.recv(65536)
        if len(connections) > closed:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    data: Any = path.probe_target(target(provisioning_url=f"http://127.0.0.1:{serve(closes)}/"), "control")
    answer = data["provisioning"]
    assert (answer["ok"], answer.get("error"), len(connections)) == found
    assert answer["ok"] is False or answer["data"]["attempts"] == 2


def test_a_server_that_closes_every_connection_is_asked_twice_and_no_more(
    authority: Authority, serve: Callable[..., int]
) -> None:
    connections = []

    def closes(connection: ssl.SSLSocket) -> None:
        connections.append(connection)
        connection.recv(65536)

    port = serve(closes, authority.context(NAME))
    only = [{"transport": "tls", "port": port}]
    data: Any = path.probe_target(target(tls_ca=authority.pem, transports=only), "control")
    (answer,) = data["sip"].values()
    assert (answer["error"], answer["attempts"], len(connections)) == ("refused", 2, 2)


def test_closed_ports_refuse_and_what_needs_them_is_skipped(closed_port: int) -> None:
    port = closed_port
    data: Any = path.probe_target(
        target(
            transports=[{"transport": name, "port": port} for name in ("tls", "udp")],
            provisioning_url=f"https://{NAME}:{port}/",
        ),
        "control",
    )
    assert data["tcp"][f"127.0.0.1:{port}"]["error"] == "refused"
    assert data["tls"][f"127.0.0.1:{port}"]["error"] == "skipped"
    assert data["sip"][f"tls:127.0.0.1:{port}"]["error"] == "skipped"
    assert data["sip"][f"udp:127.0.0.1:{port}"]["error"] == "refused"
    assert data["provisioning"]["error"] == "refused"
    assert data["dns"]["127.0.0.1:1"]["a"]["error"] == "refused"


def test_a_server_that_hangs_costs_its_slowest_single_limit(
    serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path, "STEP_SECONDS", 1)
    monkeypatch.setattr(path, "FLOW_SECONDS", 2)
    over = threading.Event()
    ports = [serve(lambda connection: over.wait(60)) for _ in range(10)]
    data: Any = path.probe_target(
        target(
            transports=[{"transport": "tcp" if n else "tls", "port": port} for n, port in enumerate(ports)],
            provisioning_url=f"https://{NAME}:{ports[0]}/",
        ),
        "control",
    )
    over.set()
    assert {answer["error"] for answer in data["tls"].values()} == {"timed_out"}
    assert [answer["error"] for answer in data["sip"].values()] == ["skipped"] + ["timed_out"] * 9
    assert data["provisioning"]["error"] == "timed_out"


def test_garbage_instead_of_sip_and_of_http_is_invalid_and_all_is_asked_at_the_same_time(
    serve: Callable[..., int],
) -> None:
    # Nobody gets an answer before all three have asked.
    together = threading.Barrier(3, timeout=50)

    def talk(connection: socket.socket) -> None:
        together.wait()
        connection.sendall(b"\0\1\2 not this\r\n\r\n")

    port = serve(talk)
    data: Any = path.probe_target(
        target(
            transports=[{"transport": "tcp", "port": port}, {"transport": "tls", "port": port}],
            provisioning_url=f"http://{NAME}:{port}/",
        ),
        "control",
    )
    assert data["sip"][f"tcp:127.0.0.1:{port}"]["error"] == "invalid"
    assert data["tls"][f"127.0.0.1:{port}"]["error"] == "invalid"
    assert data["provisioning"]["error"] == "invalid"


@pytest.mark.parametrize("url", ["ftp://x/", "https://", "https://[::1/", "https://x:99999/", "no url"])
def test_an_invalid_provisioning_url(url: str) -> None:
    data: Any = path.probe_target(target(provisioning_url=url), "control")
    assert data["provisioning"]["error"] == "invalid"


def test_many_targets_cost_as_much_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(40, timeout=50)
    monkeypatch.setattr(path, "probe_target", lambda _target, _vantage: together.wait())
    probes = path.probe_targets([target(name=f"pbx{n}") for n in range(40)], "control", 60)
    assert [probe["ok"] for probe in probes.values()] == [True] * 40


def test_ipv6_is_written_in_brackets() -> None:
    data: Any = path.probe_target(target(addresses=["::1"], transports=[{"transport": "tls", "port": 1}]), "control")
    assert list(data["tcp"]) == ["[::1]:1"]
    assert list(data["sip"]) == ["tls:[::1]:1"]
