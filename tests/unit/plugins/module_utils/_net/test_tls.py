# SPDX-License-Identifier: GPL-3.0-or-later
"""Handshakes with real servers: good certificates, bad ones, and peers that do not speak TLS."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import tls
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

from .conftest import Authority

NAME = "pbx.example"


def examine(port: int, authority: Authority, name: str = NAME, seconds: float = 60.0, **options: Any) -> Any:
    deadline = time.monotonic() + seconds
    sock, seen = tls.examine(
        lambda: socket.create_connection(("127.0.0.1", port)), name, authority.pem, deadline, **options
    )
    sock.close()
    return seen


def idle(connection: ssl.SSLSocket) -> None:
    connection.recv(1)


def test_a_valid_certificate_is_verified_and_reported_in_full(authority: Authority, serve: Callable[..., int]) -> None:
    seen = examine(serve(idle, authority.context(NAME)), authority)
    assert (seen["verified"], seen["verify_code"], seen["name_matches"], seen["alert"]) == (True, 0, True, None)
    assert seen["version"] == "TLSv1.3"
    assert [one["subject"] for one in seen["certificates"]] == [f"CN={NAME}", "CN=Test intermediate"]
    assert seen["certificates"][0]["names"] == [NAME]


def test_an_expired_certificate_is_still_read(authority: Authority, serve: Callable[..., int]) -> None:
    seen = examine(serve(idle, authority.context(NAME, expired=True)), authority)
    assert (seen["verified"], seen["verify_code"], seen["name_matches"]) == (False, 10, True)
    assert "expired" in seen["verify_message"]
    assert seen["certificates"][0]["subject"] == f"CN={NAME}"


def test_a_missing_intermediate_and_an_unknown_authority_are_untrusted(
    authority: Authority, serve: Callable[..., int], tmp_path: Path
) -> None:
    stranger = type(authority)(tmp_path)
    incomplete = examine(serve(idle, authority.context(NAME, chain=False)), authority)
    assert (incomplete["verified"], incomplete["verify_code"], len(incomplete["certificates"])) == (False, 20, 1)
    assert examine(serve(idle, authority.context(NAME)), stranger)["verified"] is False


def test_a_wrong_name_is_not_a_wrong_authority(authority: Authority, serve: Callable[..., int]) -> None:
    seen = examine(serve(idle, authority.context("other.example")), authority)
    assert (seen["verified"], seen["name_matches"]) == (True, False)


def test_without_an_authority_nothing_is_judged(authority: Authority, serve: Callable[..., int]) -> None:
    seen = examine(serve(idle, authority.context(NAME)), authority, ca_error="the CA file is missing")
    assert (seen["verified"], seen["verify_message"]) == (None, "the CA file is missing")
    assert seen["name_matches"] is True


def test_an_authority_that_is_not_pem_does_not_hide_the_certificate(
    authority: Authority, serve: Callable[..., int]
) -> None:
    _sock, seen = tls.examine(
        lambda: socket.create_connection(("127.0.0.1", serve(idle, authority.context(NAME)))),
        NAME,
        "no PEM",
        time.monotonic() + 60,
    )
    _sock.close()
    assert seen["verified"] is None
    assert seen["certificates"]


def test_an_alert_is_reported(authority: Authority, serve: Callable[..., int]) -> None:
    context = authority.context(NAME)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("PSK-AES128-GCM-SHA256")
    with pytest.raises(ProbeError) as caught:
        examine(serve(idle, context), authority)
    assert caught.value.error == "failed"
    assert "HANDSHAKE_FAILURE" in caught.value.extra["alert"]


PROFILE = {"minimum_version": "1.2", "ciphers": "ECDHE+AESGCM"}


def old(
    authority: Authority,
    newest: ssl.TLSVersion,
    ciphers: str = "ALL:@SECLEVEL=0",
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1,
) -> ssl.SSLContext:
    """The context of an outdated server."""
    context = authority.context(NAME)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = oldest, newest
    context.set_ciphers(ciphers)
    return context


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_certificate_of_a_server_with_old_versions_only_is_read(
    authority: Authority, serve: Callable[..., int]
) -> None:
    seen = examine(serve(idle, old(authority, ssl.TLSVersion.TLSv1_1)), authority, profile=PROFILE)
    assert (seen["verified"], seen["version"], seen["offered"]["minimum_version"]) == (None, "TLSv1.1", "TLSv1.2")
    assert seen["alert"]
    assert seen["certificates"]


def test_the_certificate_of_a_server_without_a_cipher_of_the_clients_is_read(
    authority: Authority, serve: Callable[..., int]
) -> None:
    context = old(authority, ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA", ssl.TLSVersion.TLSv1_2)
    seen = examine(serve(idle, context), authority, profile=PROFILE)
    assert (seen["version"], seen["cipher"]) == ("TLSv1.2", "ECDHE-ECDSA-AES256-SHA")
    assert "HANDSHAKE_FAILURE" in seen["alert"]
    assert "ECDHE-ECDSA-AES256-GCM-SHA384" in seen["offered"]["ciphers"]
    assert seen["cipher"] not in seen["offered"]["ciphers"]


def test_the_offer_of_a_client_is_enough_for_a_current_server(authority: Authority, serve: Callable[..., int]) -> None:
    seen = examine(serve(idle, authority.context(NAME)), authority, profile=PROFILE)
    assert (seen["verified"], seen["alert"]) == (True, None)
    assert "offered" not in seen


def test_an_unknown_cipher_list_does_not_hide_the_server(authority: Authority, serve: Callable[..., int]) -> None:
    profile = {"minimum_version": "1.2", "ciphers": "NO-SUCH-CIPHER"}
    seen = examine(serve(idle, authority.context(NAME)), authority, profile=profile)
    assert (seen["verified"], seen["alert"]) == (None, None)
    assert "cipher" in seen["verify_message"]


@pytest.mark.parametrize(
    ("handle", "seconds", "error"),
    [
        (lambda connection: connection.sendall(b"SIP/2.0 400 Bad Request\r\n\r\n"), 60, "invalid"),
        (lambda connection: connection.recv(4096), 60, "refused"),
        (lambda connection: threading.Event().wait(60), 0.5, "timed_out"),
    ],
)
def test_peers_that_do_not_speak_tls(
    authority: Authority, serve: Callable[..., int], handle: Callable[..., Any], seconds: float, error: str
) -> None:
    with pytest.raises(ProbeError) as caught:
        examine(serve(handle), authority, seconds=seconds)
    assert caught.value.error == error


@pytest.mark.parametrize(
    ("names", "subject", "name", "matches"),
    [
        (["pbx.example"], "", "PBX.example.", True),
        (["*.example.com"], "", "pbx.example.com", True),
        (["*.example.com"], "", "example.com", False),
        (["*.example.com"], "", "a.b.example.com", False),
        (["*.com"], "", "example.com", False),
        (["pbx*.example.com"], "", "pbx1.example.com", False),
        (["192.0.2.1"], "", "192.0.2.1", True),
        (["2001:db8:0::1"], "", "2001:db8::1", True),
        (["192.0.2.1"], "", "192.0.2.2", False),
        (["other.example"], "CN=pbx.example", "pbx.example", False),
        ([], "CN=pbx.example,O=X", "pbx.example", True),
        ([], "O=CN\\=pbx.example", "pbx.example", False),
        ([], "", "pbx.example", False),
    ],
)
def test_which_certificate_is_for_which_name(names: list[str], subject: str, name: str, matches: bool) -> None:
    details: Any = {"names": names, "subject": subject}
    assert tls.name_matches(details, name) is matches
