"""What Asterisk said while clients registered, recorded on both channel drivers, as attempts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import log
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.attempts import (
    Attempts,
    peer_of,
    peer_of_uri,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import Attempt, Outcome

RECORDED = Path(__file__).parent / "recorded"
ACCOUNT = "1019"
CLIENT = "198.18.20.254"


class Replay:
    """A recording given to `Attempts`: ``security`` from AMI or from the log."""

    def __init__(
        self,
        name: str,
        source: str,
        account: str = ACCOUNT,
        addresses: Sequence[str] = (CLIENT,),
        contacts: None = None,
        known: tuple[str, ...] = (ACCOUNT,),
    ) -> None:
        live: list[Attempt] = []
        self.attempts = Attempts(
            account, addresses, lambda name: name in known, lambda: contacts or [], True, live.append
        )
        when = 0.0
        for block in (RECORDED / name).read_text().strip().split("\n\n"):
            kind, _newline, text = block.partition("\n")
            if kind == "log":
                for line in text.split("\n"):
                    self.attempts.line(line, True)
            elif kind == "security" and source == "log":
                for line in text.split("\n"):
                    fields = log.security_fields(line)
                    # In a quiet moment the watch looks for the contact.
                    before, when = when, log.event_time(fields["EventTV"]) or 0.0
                    if when - before > 0.5:
                        self.attempts.settle()
                    self.attempts.security(fields)
            elif kind == "ami" and source == "ami":
                fields = dict(line.split(": ", 1) for line in text.split("\n") if ": " in line)
                if fields["Event"] in ("ContactStatus", "PeerStatus"):
                    self.attempts.contact(fields)
                else:
                    self.attempts.security(fields)
        self.found = self.attempts.end()
        # Each was told once, as it came.
        assert sorted(map(id, live)) == sorted(map(id, self.found))

    def told(self) -> list[tuple[str, str, str]]:
        return [(one["account"], one["transport"], one["outcome"]) for one in self.found]


#: What was recorded first: three times there and away, a wrong password, an account nobody has, another
#: account's name, then handshakes that fail.
BEGINNING = [
    *(
        (ACCOUNT, transport, outcome)
        for transport in ("tls", "tcp", "udp")
        for outcome in ("registered", "unregistered")
    ),
    (ACCOUNT, "tls", "wrong_password"),
    ("777123", "tls", "unknown_account"),
    (ACCOUNT, "tls", "wrong_password"),
]
PJSIP = [
    *BEGINNING,
    *[("", "tls", "tls_failed")] * 4,
    # max_contacts 0, an access list, no AOR, no auth, then a database that lets nobody write.
    (ACCOUNT, "tls", "forbidden"),
    (ACCOUNT, "tls", "acl_denied"),
    (ACCOUNT, "tls", "not_found"),
    (ACCOUNT, "tls", "not_found"),
    *[(ACCOUNT, "tls", "no_contact")] * 7,
]
SIP = [
    *BEGINNING,
    *[("", "tls", "tls_failed")] * 5,
    # An access list, a peer that is not dynamic, a transport that is not allowed.
    (ACCOUNT, "tls", "acl_denied"),
    (ACCOUNT, "tls", "forbidden"),
    (ACCOUNT, "tls", "forbidden"),
    (ACCOUNT, "tls", "registered"),
    (ACCOUNT, "tls", "unregistered"),
]


@pytest.mark.parametrize("source", ["ami", "log"])
def test_both_sources_of_chan_pjsip_tell_the_same(source: str) -> None:
    assert Replay("pjsip22.txt", source).told() == PJSIP


def test_the_logs_of_chan_sip_tell_every_outcome() -> None:
    assert Replay("sip16.txt", "log").told() == SIP


def test_ami_of_chan_sip_tells_of_the_contact_before_the_login() -> None:
    assert Replay("sip16-ami.txt", "ami").told() == [
        (ACCOUNT, "tls", "registered"),
        (ACCOUNT, "tls", "unregistered"),
        (ACCOUNT, "tls", "wrong_password"),
        ("777123", "tls", "unknown_account"),
        (ACCOUNT, "tls", "registered"),
        # Taken away on the server.
        (ACCOUNT, "", "unregistered"),
    ]


def test_an_attempt_has_its_time_place_and_reason() -> None:
    found = Replay("pjsip22.txt", "ami").found
    assert found[0] == {
        "at": "2026-11-24T00:13:42Z",
        "account": ACCOUNT,
        "address": CLIENT,
        "port": 54368,
        "transport": "tls",
        "cipher": None,
        "event": "ContactStatus",
        "outcome": "registered",
        "detail": "NonQualified",
    }
    failed = [one for one in found if one["outcome"] == "tls_failed"]
    assert [one["detail"] for one in failed] == [
        "SSL routines::tlsv1 alert unknown ca",
        "SSL routines::unsupported protocol",
        "SSL routines::unexpected message",
        "SSL routines::wrong version number",
    ]
    assert failed[0]["address"] == CLIENT
    reasons = {one["detail"] for one in found if one["outcome"] in ("forbidden", "acl_denied", "not_found")}
    assert "registrar_requested_aor_not_found" in reasons
    assert "not_match_endpoint_acl" in reasons


def test_a_peer_that_is_not_dynamic_is_no_matter_of_access_lists() -> None:
    found = Replay("sip16.txt", "log").found
    assert [one["detail"] for one in found if one["outcome"] == "forbidden"] == ["peer_not_dynamic", "not over TLS"]


def test_other_accounts_count_only_from_the_addresses_that_were_named() -> None:
    told = Replay("pjsip22.txt", "log", addresses=()).told()
    assert "777123" not in {account for account, _transport, _outcome in told}
    assert ("", "tls", "tls_failed") in told
    assert ("", "tls", "tls_failed") not in Replay("pjsip22.txt", "log", addresses=["192.0.2.1"]).told()


def test_a_wrong_password_of_chan_sip_counts_as_such_when_asterisk_cannot_be_asked() -> None:
    replay = Replay("sip16.txt", "log", known=())
    assert ("777123", "tls", "unknown_account") in replay.told()
    attempts = Attempts("5", [], lambda name: None, list, True)
    attempts.security(
        {
            "SecurityEvent": "InvalidPassword",
            "Service": "SIP",
            "AccountID": "5",
            "RemoteAddress": "IPV4/UDP/192.0.2.1/5060",
        }
    )
    assert [(one["outcome"], bool(one["detail"])) for one in attempts.end()] == [("wrong_password", True)]


def test_a_client_that_never_answers_the_challenge_is_told() -> None:
    attempts = Attempts("5", [], lambda name: True, list, True)
    attempts.security(
        {"Event": "ChallengeSent", "Service": "PJSIP", "AccountID": "5", "RemoteAddress": "IPV6/TLS/2001:db8::1/4242"}
    )
    assert [(one["outcome"], one["address"], one["port"]) for one in attempts.end()] == [
        ("challenged", "2001:db8::1", 4242)
    ]


@pytest.mark.parametrize("driver", ["pjsip22.txt", "sip16.txt"])
def test_without_security_events_the_log_still_tells_why_somebody_was_turned_away(driver: str) -> None:
    attempts = Attempts(ACCOUNT, [CLIENT], lambda name: name == ACCOUNT, list, True)
    for block in (RECORDED / driver).read_text().strip().split("\n\n"):
        kind, _newline, text = block.partition("\n")
        if kind == "log":
            for line in text.split("\n"):
                attempts.line(line, False)
    told = [(one["account"], one["outcome"]) for one in attempts.end()]
    assert told[:2] == [(ACCOUNT, "wrong_password"), ("777123", "unknown_account")]
    assert (ACCOUNT, "acl_denied") in told


def test_a_stranger_cannot_forge_an_attempt_of_another_address() -> None:
    attempts = Attempts("5", [], lambda name: True, list, True)
    attempts.line(
        "[Nov 24 00:15:39] NOTICE[7] chan_sip.c: Registration from '\"' failed for '192.0.2.9:1' - Wrong password\" "
        "<sip:5@pbx>' failed for '198.51.100.7:5060' - No matching peer found",
        False,
    )
    assert [(one["account"], one["address"], one["outcome"]) for one in attempts.end()] == [
        ("5", "198.51.100.7", "unknown_account")
    ]


def test_what_comes_from_strangers_moves_no_cursor() -> None:
    attempts = Attempts("5", ["192.0.2.1"], lambda name: True, list, True)
    attempts.security(
        {
            "Event": "InvalidAccountID",
            "Service": "PJSIP",
            "AccountID": "\x1b[2Jx",
            "RemoteAddress": "IPV4/UDP/192.0.2.1/5060",
        }
    )
    assert attempts.end()[0]["account"] == "\\x1b[2Jx"


def test_contacts_are_compared_where_nothing_tells_of_logins() -> None:
    contacts = [("192.0.2.1", 4000)]
    attempts = Attempts("5", [], lambda name: True, lambda: list(contacts), True)
    contacts[:] = [("192.0.2.1", 4001)]
    attempts.look()
    assert [(one["port"], one["outcome"]) for one in attempts.end()] == [(4000, "unregistered"), (4001, "registered")]
    assert attempts.registered


def test_peers() -> None:
    assert peer_of("[2001:db8::1]:5061") == ("2001:db8::1", 5061)
    assert peer_of("198.51.100.7:9") == ("198.51.100.7", 9)
    assert peer_of_uri("sip:1001@[2001:db8::1]:5061;transport=TLS") == ("2001:db8::1", 5061)
    assert peer_of_uri("sip:1001@phone.example") == ("phone.example", None)
    assert peer_of_uri("") == ("", None)


def test_every_outcome_is_one_of_the_list() -> None:
    found = [*Replay("pjsip22.txt", "ami").found, *Replay("sip16.txt", "log").found]
    assert {one["outcome"] for one in found} <= set(get_args(Outcome))


LOGIN = (
    '[2026-11-26 18:20:52.609] SECURITY[1] res_security_log.c: SecurityEvent="{event}",'
    'EventTV="2026-11-26T18:20:52.609+0000",Severity="Informational",Service="PJSIP",EventVersion="1",'
    'AccountID="1019",SessionID="{session}",LocalAddress="IPV4/TLS/198.18.20.23/5061",'
    'RemoteAddress="IPV4/TLS/198.18.20.1/34572",UsingPassword="1"'
)


def test_a_registration_test_is_no_attempt_of_the_client() -> None:
    lines = [
        LOGIN.format(event="InvalidAccountID", session="78ea799135296a20"),
        LOGIN.format(event="SuccessfulAuth", session="reconnect-78ea799135296a20"),
    ]
    assert [one["event"] for one in log.parse_security(lines, 0.0)] == ["InvalidAccountID"]
    attempts = Attempts(ACCOUNT, [], lambda _name: True, list, False)
    attempts.security(log.security_fields(lines[1]))
    attempts.contact(
        {
            "Event": "ContactStatus",
            "EndpointName": ACCOUNT,
            "URI": "sip:reconnect-78ea799135296a20@198.18.20.1:34572;transport=TLS",
            "ContactStatus": "Reachable",
        }
    )
    assert attempts.end() == []
