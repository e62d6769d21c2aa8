# SPDX-License-Identifier: GPL-3.0-or-later
"""REGISTER at a registrar on loopback that checks digests as Asterisk does, and at registrars that lie."""

from __future__ import annotations

import socket
import threading

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _register, _sip
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

PASSWORD = "s3cret-canary"


class Registrar:
    """Answers REGISTER over UDP. Its attributes make it behave otherwise; ``contacts`` is what it has stored."""

    def __init__(self):
        self.algorithms = ["MD5"]
        self.silent = False
        self.status = None
        self.min_expires = 0
        self.stale_once = False
        self.stores = True
        self.rewrites = False
        self.contacts = []
        self.received = []
        self._nonce = 0
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._sock.close()

    def _serve(self):
        while True:
            try:
                data, sender = self._sock.recvfrom(65536)
            except OSError:
                return
            request = _sip.parse(data)
            self.received.append(request)
            if self.silent:
                continue
            status, headers = self._judge(request, sender)
            kept = [(n, v) for n, v in request.headers if n in ("Via", "From", "To", "Call-ID", "CSeq")]
            kept = [
                (n, f"{v};received={sender[0]}".replace(";rport", f";rport={sender[1]}") if n == "Via" else v)
                for n, v in kept
            ]
            answer = _sip.Message(status=status, reason="x", headers=kept + headers)
            self._sock.sendto(bytes(answer), sender)

    def _challenge(self, stale=False):
        self._nonce += 1
        return 401, [
            (
                "WWW-Authenticate",
                f'Digest realm="asterisk", nonce="{self._nonce}", opaque="o", algorithm={algorithm}, '
                f'qop="auth"{", stale=true" if stale else ""}',
            )
            for algorithm in self.algorithms
        ]

    def _judge(self, request, sender):
        if self.status:
            return self.status, []
        if not request.get("Authorization"):
            return self._challenge()
        _scheme, given = _sip.parse_challenge(request.get("Authorization"))
        wanted = _sip.digest_answer(
            {"realm": "asterisk", "nonce": given["nonce"], "qop": "auth", "algorithm": given["algorithm"]},
            "REGISTER",
            given["uri"],
            "1001",
            PASSWORD,
            given["cnonce"],
            int(given["nc"], 16),
        )
        if _sip.parse_challenge(wanted)[1]["response"] != given["response"]:
            return self._challenge()
        if self.stale_once:
            self.stale_once = False
            return self._challenge(stale=True)
        expires = int(request.get("Expires"))
        if 0 < expires < self.min_expires:
            return 423, [("Min-Expires", str(self.min_expires))]
        uri = _sip.parse_address(request.get("Contact"))["uri"]
        if self.rewrites:
            uri = f"sip:1001@{sender[0]}:{sender[1]}"
        self.contacts = [f"<{uri}>;expires={expires}"] if expires and self.stores else []
        return 200, [("Contact", contact) for contact in ["<sip:1001@192.0.2.77:5061>;expires=9", *self.contacts]]


@pytest.fixture
def registrar():
    registrar = Registrar()
    yield registrar
    registrar.close()


def register(registrar, password=PASSWORD, stay=False, expires=60, auth_name="1001", limit=3):
    return _register.register(
        "1001", auth_name, password, "127.0.0.1", registrar.port, "udp", "pbx.example", expires, stay, None, limit
    )


def statuses(answer):
    return [(one["expires"], one["status"]) for one in answer["answers"]]


@pytest.mark.parametrize(
    ("offered", "used"),
    [
        (["MD5"], "MD5"),
        (["SHA-256"], "SHA-256"),
        (["MD5", "SHA-256"], "SHA-256"),
    ],
)
def test_registers_finds_its_contact_and_takes_it_away(registrar, offered, used):
    registrar.algorithms = offered
    answer = register(registrar)
    assert (answer["registered"], answer["unregistered"], registrar.contacts) == (True, True, [])
    assert statuses(answer) == [(60, 401), (60, 200), (0, 200)]
    assert answer["answers"][1]["algorithm"] == used
    assert {"uri": "sip:1001@192.0.2.77:5061", "expires": 9} in answer["contacts"]


def test_stays_when_told_to(registrar):
    answer = register(registrar, stay=True)
    assert (answer["registered"], answer["unregistered"], len(registrar.contacts)) == (True, False, 1)


def test_a_wrong_password_is_tried_once(registrar):
    answer = register(registrar, password="wrong")
    assert (answer["registered"], statuses(answer)) == (False, [(60, 401), (60, 401)])


def test_a_stale_nonce_is_no_wrong_password(registrar):
    registrar.stale_once = True
    assert statuses(register(registrar))[:3] == [(60, 401), (60, 401), (60, 200)]


def test_too_brief_an_interval_is_made_longer(registrar):
    registrar.min_expires = 300
    assert (300, 200) in statuses(register(registrar))


def test_a_200_without_our_contact_is_no_registration(registrar):
    registrar.stores = False
    answer = register(registrar)
    assert answer["registered"] is False
    assert (60, 200) in statuses(answer)


def test_a_contact_rewritten_to_where_we_were_seen_is_ours(registrar):
    registrar.rewrites = True
    assert register(registrar)["registered"] is True


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_refusal_is_reported_as_it_is(registrar, status):
    registrar.status = status
    assert statuses(register(registrar)) == [(60, status)]


def test_authentication_nobody_here_knows(registrar):
    registrar.algorithms = ["WHIRLPOOL"]
    with pytest.raises(ProbeError) as caught:
        register(registrar)
    assert caught.value.error == "invalid"


def test_the_password_is_never_sent(registrar):
    register(registrar)
    register(registrar, auth_name=f'x"{PASSWORD[:2]}')
    assert PASSWORD not in "".join(value for request in registrar.received for _name, value in request.headers)


def test_silence_ends_in_time(registrar):
    registrar.silent = True
    with pytest.raises(ProbeError) as caught:
        register(registrar, limit=0.4)
    assert caught.value.error == "timed_out"
