# SPDX-License-Identifier: GPL-3.0-or-later
"""Register at a registrar on loopback that checks digests as Asterisk does, and at registrars that misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import register as registration
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import sip, sip_client
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

PASSWORD = "s3cret-canary"


class Registrar:
    """Answers REGISTER over UDP. Its attributes change its behaviour; ``contacts`` is what it has stored."""

    def __init__(self) -> None:
        self.algorithms = ["MD5"]
        self.mute = False
        self.status: int | None = None
        self.min_expires = 0
        self.stale_once = False
        #: Logins until it knows the account no more, as Asterisk without its database; None: for ever.
        self.knows_for: int | None = None
        self.stores = True
        #: How many removals are answered and not done.
        self.keeps = 0
        self.rewrites = False
        self.others = ["<sip:1001@192.0.2.77:5061>;expires=9"]
        self.contacts: list[str] = []
        self.history: list[tuple[str, int]] = []
        self.received: list[sip.Message] = []
        self._nonce = 0
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._sock.close()

    def _serve(self) -> None:
        # The socket is closed when the test ends.
        with contextlib.suppress(OSError):
            while True:
                data, sender = self._sock.recvfrom(65536)
                answer = self.answer(data, sender)
                if not self.mute:
                    self._sock.sendto(answer, sender)

    def answer(self, data: bytes, sender: tuple[str, int]) -> bytes:
        request = sip.parse(data)
        self.received.append(request)
        status, headers = self._judge(request, sender)
        kept = [(n, v) for n, v in request.headers if n in ("Via", "From", "To", "Call-ID", "CSeq")]
        kept = [
            (n, f"{v};received={sender[0]}".replace(";rport", f";rport={sender[1]}") if n == "Via" else v)
            for n, v in kept
        ]
        return bytes(sip.Message(status=status, reason="x", headers=[*kept, *headers, ("Content-Length", "0")]))

    def _challenge(self, stale: bool = False) -> tuple[int, list[tuple[str, str]]]:
        self._nonce += 1
        return 401, [
            (
                "WWW-Authenticate",
                f'Digest realm="asterisk", nonce="{self._nonce}", opaque="o", algorithm={algorithm}, '
                f'qop="auth"{", stale=true" if stale else ""}',
            )
            for algorithm in self.algorithms
        ]

    def _judge(self, request: sip.Message, sender: tuple[str, int]) -> tuple[int, list[tuple[str, str]]]:
        if self.status:
            return self.status, []
        if not request.get("Authorization"):
            return self._challenge()
        _scheme, given = sip.parse_challenge(str(request.get("Authorization")))
        wanted = sip.digest_answer(
            {"realm": "asterisk", "nonce": given["nonce"], "qop": "auth", "algorithm": given["algorithm"]},
            "REGISTER",
            given["uri"],
            "1001",
            PASSWORD,
            given["cnonce"],
            int(given["nc"], 16),
        )
        if sip.parse_challenge(wanted)[1]["response"] != given["response"] or self.knows_for == 0:
            return self._challenge()
        if self.knows_for:
            self.knows_for -= 1
        if self.stale_once:
            self.stale_once = False
            return self._challenge(stale=True)
        if request.get("Contact") is None:
            return 200, [("Contact", contact) for contact in [*self.others, *self.contacts]]
        expires = int(str(request.get("Expires")))
        if 0 < expires < self.min_expires:
            return 423, [("Min-Expires", str(self.min_expires))]
        uri = sip.parse_address(str(request.get("Contact")))["uri"]
        if self.rewrites:
            uri = f"sip:1001@{sender[0]}:{sender[1]}"
        if expires or not self.keeps:
            self.contacts = [f"<{uri}>;expires={expires}"] if expires and self.stores else []
        else:
            self.keeps -= 1
        self.history.append((uri, expires))
        return 200, [("Contact", contact) for contact in [*self.others, *self.contacts]]


@pytest.fixture
def registrar(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registrar]:
    # Its answers are counted: nothing is sent again because they take long.
    monkeypatch.setattr(sip_client, "T1", 60.0)
    registrar = Registrar()
    yield registrar
    registrar.close()


def register(
    registrar: Registrar,
    password: str = PASSWORD,
    stay: bool = False,
    expires: int = 60,
    auth_name: str = "1001",
    limit: float = 30,
) -> Any:
    return registration.register(
        "1001", auth_name, password, "127.0.0.1", registrar.port, "udp", "pbx.example", expires, stay, None, limit
    )


def statuses(answer: dict[str, Any]) -> list[tuple[int, int]]:
    return [(one["expires"], one["status"]) for one in answer["answers"]]


@pytest.mark.parametrize(
    ("offered", "used"),
    [
        (["MD5"], "MD5"),
        (["SHA-256"], "SHA-256"),
        (["MD5", "SHA-256"], "SHA-256"),
    ],
)
def test_registers_finds_its_contact_and_removes_it(registrar: Registrar, offered: list[str], used: str) -> None:
    registrar.algorithms = offered
    answer = register(registrar)
    assert (answer["registered"], answer["unregistered"], registrar.contacts) == (True, True, [])
    assert statuses(answer) == [(60, 401), (60, 200), (0, 200)]
    assert answer["answers"][1]["algorithm"] == used
    assert {"uri": "sip:1001@192.0.2.77:5061", "expires": 9} in answer["contacts"]


def test_the_contact_stays_on_request(registrar: Registrar) -> None:
    answer = register(registrar, stay=True)
    assert (answer["registered"], answer["unregistered"], len(registrar.contacts)) == (True, False, 1)


def test_a_wrong_password_is_tried_once(registrar: Registrar) -> None:
    answer = register(registrar, password="wrong")
    assert (answer["registered"], statuses(answer)) == (False, [(60, 401), (60, 401)])


def test_a_stale_nonce_is_not_a_wrong_password(registrar: Registrar) -> None:
    registrar.stale_once = True
    assert statuses(register(registrar))[:3] == [(60, 401), (60, 401), (60, 200)]


def test_a_too_short_interval_is_extended(registrar: Registrar) -> None:
    registrar.min_expires = 300
    assert (300, 200) in statuses(register(registrar))


def test_a_200_without_our_contact_is_not_a_registration(registrar: Registrar) -> None:
    registrar.stores = False
    answer = register(registrar)
    assert answer["registered"] is False
    assert (60, 200) in statuses(answer)


def test_a_contact_with_the_address_that_the_server_saw_is_ours(registrar: Registrar) -> None:
    registrar.rewrites = True
    assert register(registrar)["registered"] is True


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_refusal_is_reported_as_it_is(registrar: Registrar, status: int) -> None:
    registrar.status = status
    assert statuses(register(registrar)) == [(60, status)]


def test_an_unknown_kind_of_authentication(registrar: Registrar) -> None:
    registrar.algorithms = ["WHIRLPOOL"]
    with pytest.raises(ProbeError) as caught:
        register(registrar)
    assert caught.value.error == "invalid"


def test_the_password_is_never_sent(registrar: Registrar) -> None:
    register(registrar)
    register(registrar, auth_name=f'x"{PASSWORD[:2]}')
    assert PASSWORD not in "".join(value for request in registrar.received for _name, value in request.headers)


def test_no_answer_ends_at_the_limit(registrar: Registrar) -> None:
    registrar.mute = True
    with pytest.raises(ProbeError) as caught:
        register(registrar, limit=0.4)
    assert caught.value.error == "timed_out"


# ------------------------------------------------------------------------------------------------ a registration test


def leave(registrar: Registrar, password: str = PASSWORD, **more: Any) -> Any:
    return registration.register_and_leave(
        "1001", password, ["127.0.0.1"], registrar.port, "udp", "pbx.example", **more
    )


def outcome(found: Any) -> list[int | None]:
    return [found[name] for name in ("accepted", "others", "registered", "listed", "unregistered")]


def test_a_test_registers_looks_again_and_removes_its_own_contact_only(registrar: Registrar) -> None:
    registrar.others = []
    seen = []

    def hold(mark: str) -> bool:
        seen.append((mark, list(registrar.contacts)))
        return True

    found = leave(registrar, hold=hold)
    assert outcome(found) == [True, 0, True, True, True]
    ((mark, contacts),) = seen
    assert (mark.startswith("reconnect-"), f"sip:{mark}@" in contacts[0]) == (True, True)
    assert [expires for _uri, expires in registrar.history] == [60, 0]
    assert {uri for uri, _expires in registrar.history} == {found["contact"].strip("<>")}
    assert {one.get("Call-ID") for one in registrar.received} == {mark}
    assert {one.get("User-Agent") for one in registrar.received} == {"Reconnect registration test"}


def test_where_another_client_has_a_contact_nothing_is_registered(registrar: Registrar) -> None:
    called: list[str] = []
    found = leave(registrar, hold=called.append)
    assert outcome(found) == [True, 1, None, False, False]
    assert (registrar.history, called) == ([], [])
    assert all(one.get("Contact") is None for one in registrar.received)


@pytest.mark.parametrize(("setting", "value"), [("password", "wrong"), ("status", 403), ("status", 500)])
def test_a_refused_login_is_tried_once(registrar: Registrar, setting: str, value: Any) -> None:
    password, accepted = PASSWORD, []
    if setting == "password":
        password = value
    else:
        registrar.status = value
    found = leave(registrar, password, accepted=lambda: accepted.append(True))
    assert outcome(found) == [False, 0, None, False, False]
    assert sum(one.get("Authorization") is not None for one in registrar.received) == (setting == "password")
    assert accepted == []


def test_a_contact_that_is_not_kept_is_tried_twice_and_removed(registrar: Registrar) -> None:
    registrar.others, registrar.stores = [], False
    found = leave(registrar)
    assert outcome(found) == [True, 0, False, False, True]
    assert [expires for _uri, expires in registrar.history] == [60, 0, 60, 0]


@pytest.mark.parametrize(("keeps", "unregistered"), [(1, True), (9, False)])
def test_a_contact_that_stays_after_its_removal_is_removed_once_more(
    registrar: Registrar, keeps: int, unregistered: bool
) -> None:
    """As chan_sip, which read the peer from the database before it had a contact."""
    registrar.others, registrar.keeps = [], keeps
    assert outcome(leave(registrar)) == [True, 0, True, True, unregistered]
    assert [expires for _uri, expires in registrar.history] == [60, 0, 0]


def test_a_test_that_was_displaced_by_another_one_tries_again(registrar: Registrar) -> None:
    registrar.others = []
    tries = []

    def hold(mark: str) -> bool:
        tries.append(mark)
        return len(tries) > 1

    assert outcome(leave(registrar, hold=hold)) == [True, 0, True, True, True]
    assert len(tries) == 2


def test_two_tests_wait_for_each_other(registrar: Registrar, monkeypatch: pytest.MonkeyPatch) -> None:
    registrar.others = ["<sip:reconnect-1234@192.0.2.9:5061>;expires=60"]
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            registrar.others.clear()

    monkeypatch.setattr(registration, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    found = leave(registrar)
    assert outcome(found) == [True, 0, True, True, True]
    assert len(looks) == 3
    assert [one["status"] for one in found["answers"]] == [401, 200, 200, 200, 200, 200]


@pytest.mark.attack("a server that loses its database lets the test ban itself")
def test_a_password_that_is_refused_meanwhile_is_not_sent_again(registrar: Registrar) -> None:
    registrar.others = ["<sip:reconnect-1234@192.0.2.9:5061>;expires=60"]
    registrar.knows_for = 1
    found = leave(registrar)
    assert outcome(found) == [False, 0, None, False, False]
    # The first was accepted. An old nonce and a wrong password get the same answer, so one more is sent.
    assert sum(one.get("Authorization") is not None for one in registrar.received) == 3


def test_a_password_that_is_refused_while_registered_is_not_sent_again(registrar: Registrar) -> None:
    registrar.others = []
    registrar.knows_for = 2
    found = leave(registrar)
    assert outcome(found) == [False, 0, True, False, False]
    assert sum(one.get("Authorization") is not None for one in registrar.received) == 4


@pytest.mark.parametrize(("closes", "answered"), [(1, True), (2, False)])
def test_a_connection_that_is_closed_without_an_answer_is_tried_once_more(closes: int, answered: bool) -> None:
    """The first ``closes`` connections are closed after the request, every other one answers 403."""
    accepted = []

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _sender = listener.accept()
                accepted.append(True)
                with connection:
                    request = sip.parse(connection.recv(65536))
                    if len(accepted) > closes:
                        kept = [(n, v) for n, v in request.headers if n in ("Via", "From", "To", "Call-ID", "CSeq")]
                        kept.append(("Content-Length", "0"))
                        connection.sendall(bytes(sip.Message(status=403, reason="x", headers=kept)))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        test = partial(registration.register_and_leave, "1001", PASSWORD, ["127.0.0.1"], port, "tcp", "pbx.example")
        if answered:
            assert [one["status"] for one in test()["answers"]] == [403]
        else:
            with pytest.raises(ProbeError) as caught:
                test()
            assert caught.value.error == "refused"
        listener.shutdown(socket.SHUT_RDWR)
        assert len(accepted) == 2


@pytest.mark.parametrize("answers", range(7))
def test_a_connection_that_breaks_in_the_middle_is_replaced_by_a_new_one(registrar: Registrar, answers: int) -> None:
    """The first connection is closed instead of the answer to the next request; our own contact may be left there."""
    registrar.others, connections, logins = [], [], []

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, sender = listener.accept()
                connections.append(sender)
                with connection:
                    for count in range(9):
                        data = connection.recv(65536)
                        if not data or (len(connections) == 1 and count == answers):
                            break
                        connection.sendall(registrar.answer(data, sender))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        found = registration.register_and_leave(
            "1001",
            PASSWORD,
            ["127.0.0.1"],
            listener.getsockname()[1],
            "tcp",
            "pbx.example",
            accepted=lambda: logins.append(True),
        )
        listener.shutdown(socket.SHUT_RDWR)
    whole = answers == 6
    assert outcome(found) == [True, 0, True, True, True]
    assert (len(connections), len(logins), registrar.contacts) == (1 if whole else 2, 1, [])


def test_our_contact_is_removed_when_holding_it_fails(registrar: Registrar) -> None:
    registrar.others = []

    def hold(_mark: str) -> None:
        raise ProbeError("failed", "nobody answers")

    with pytest.raises(ProbeError):
        leave(registrar, hold=hold)
    assert [expires for _uri, expires in registrar.history] == [60, 0]


def test_the_first_address_that_answers_is_used(closed_port: int) -> None:
    both = ["127.0.0.1", "127.0.0.2"]
    with pytest.raises(ProbeError) as caught:
        registration.register_and_leave("1001", PASSWORD, both, closed_port, "tcp", "pbx.example")
    assert (caught.value.error, "127.0.0.1" in str(caught.value)) == ("refused", True)


def test_every_account_gets_an_answer_of_its_own(registrar: Registrar) -> None:
    registrar.others = []
    accounts = [{"username": "1001", "password": PASSWORD}, {"username": "1002", "password": "wrong"}]
    told = registration.answer(
        accounts, addresses=["127.0.0.1"], port=registrar.port, transport="udp", domain="pbx.example"
    )["registrations"]
    assert {name: one["data"]["accepted"] for name, one in told.items()} == {"1001": True, "1002": False}
