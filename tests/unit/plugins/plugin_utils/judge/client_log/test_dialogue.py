"""SIP dialogues in a client's log are read as such: request, method, final answer."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.client_log import dialogue
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.evidence import Evidence
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.rules.client import reported


def request(method: str, number: int, *headers: str, before: str = "") -> list[str]:
    return [
        f"{before}{method} sip:pbx22.example.org SIP/2.0",
        f"{before}Via: SIP/2.0/TLS 10.0.0.2:41234;branch=z9hG4bK{number}",
        f"{before}CSeq: {number} {method}",
        *(f"{before}{header}" for header in headers),
        "",
    ]


def answer(code: int, reason: str, method: str, number: int, before: str = "") -> list[str]:
    return [f"{before}SIP/2.0 {code} {reason}", f"{before}CSeq: {number} {method}", ""]


LOGIN = 'Authorization: Digest username="1005", realm="asterisk", nonce="1/ab", response="ee"'
CHALLENGED = [*request("REGISTER", 1), *answer(401, "Unauthorized", "REGISTER", 1)]
ACCEPTED = [*CHALLENGED, *request("REGISTER", 2, LOGIN), *answer(200, "OK", "REGISTER", 2)]
REFUSED = [*CHALLENGED, *request("REGISTER", 2, LOGIN), *answer(401, "Unauthorized", "REGISTER", 2)]
#: pjsip shows a summary before each message.
PJSIP = [
    "10:00:01 pjsua_core.c .TX 600 bytes Request msg REGISTER/cseq=1 (tdta0x7f) to TLS 192.0.2.7:5061:",
    *request("REGISTER", 1),
    "--end msg--",
    "10:00:01 pjsua_core.c .RX 500 bytes Response msg 401/REGISTER/cseq=1 (rdata0x7f) from TLS 192.0.2.7:5061:",
    *answer(401, "Unauthorized", "REGISTER", 1),
    "--end msg--",
]


def said(log: list[str]) -> list[tuple[str, str, str | None]]:
    document = {"schema": "reconnect/evidence/v1", "settings": {}, "client_report": {"log": log}}
    return [(one.status, one.about, one.cause) for one in reported(Evidence(document)) if one.code == "client.log"]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (ACCEPTED, [("pass", "registered", None)]),
        (REFUSED, [("warn", "unauthorized", "password_mismatch")]),
        (CHALLENGED, [("warn", "login_not_sent", None)]),
        (PJSIP, [("warn", "login_not_sent", None)]),
        ([*PJSIP, *request("REGISTER", 2, LOGIN), *answer(200, "OK", "REGISTER", 2)], [("pass", "registered", None)]),
        ([*ACCEPTED, *REFUSED], [("warn", "unauthorized", "password_mismatch")]),
        ([*REFUSED, *ACCEPTED], [("pass", "registered", None)]),
        ([*request("REGISTER", 1), *request("REGISTER", 1)], [("warn", "register_unanswered", None)]),
        (
            [*CHALLENGED, *request("REGISTER", 2, LOGIN), *answer(403, "Forbidden", "REGISTER", 2)],
            [("warn", "forbidden", None)],
        ),
        (
            [*CHALLENGED, *request("REGISTER", 2, LOGIN), *answer(404, "Not Found", "REGISTER", 2)],
            # The login was taken: the account is known.
            [("warn", "server_no_aor", "aor_missing")],
        ),
        (
            [*request("REGISTER", 1), *answer(404, "Not Found", "REGISTER", 1)],
            [("warn", "not_found", "account_missing")],
        ),
        (
            [*CHALLENGED, *request("REGISTER", 2, LOGIN), *answer(500, "Server Internal Error", "REGISTER", 2)],
            [("warn", "server_error", None)],
        ),
        ([*request("REGISTER", 1), *answer(499, "Something of its own", "REGISTER", 1)], [("warn", "refused", None)]),
        # A header says why.
        (
            [
                *request("REGISTER", 2, LOGIN),
                *answer(503, "Service Unavailable", "REGISTER", 2)[:-1],
                "P-Registrar-Error: Too many registered contacts",
            ],
            [("warn", "server_contacts", "max_contacts_reached")],
        ),
        (
            [
                *ACCEPTED,
                *request("INVITE", 4),
                *answer(488, "Not Acceptable Here", "INVITE", 4)[:-1],
                'Warning: 302 pbx22 "Incompatible transport protocol"',
            ],
            [("pass", "registered", None), ("warn", "media_security", "security_model_mismatch")],
        ),
        # A request and its answers in one line, or without headers.
        (["REGISTER 1005 -> 401 -> 401 Unauthorized"], [("warn", "unauthorized", "password_mismatch")]),
        (
            ["08:00:00 REGISTER sip:pbx22.example.org (CSeq 1) -> 401 Unauthorized"],
            [("warn", "unauthorized", "password_mismatch")],
        ),
        (["REGISTER 1005 -> 401 -> 404 Not Found"], [("warn", "server_no_aor", "aor_missing")]),
        (["REGISTER 1005 → 401 → 403 Forbidden (Bad auth)"], [("warn", "unauthorized", "password_mismatch")]),
        (["REGISTER 1005 → no response"], [("warn", "register_unanswered", None)]),
        (["connection refused", "reg 1005@pbx22.example.org -> 200 OK"], [("pass", "registered", None)]),
        (
            [
                "reg 1005@pbx22 -> 200 OK",
                "SUBSCRIBE sip:1005@pbx22 -> 404 Not Found",
                "INVITE sip:7@pbx22 -> 401 -> 403 No",
            ],
            [("pass", "registered", None)],
        ),
        (
            [
                "REGISTER sip:pbx22.example.org  From: <sip:1005@pbx22.example.org>",
                "401 Unauthorized",
                "REGISTER sip:pbx22.example.org  Authorization: Digest username=1005",
                "SIP/2.0 403 Authentication user name does not match account name",
            ],
            [("warn", "name_mismatch", "client_wrong_username")],
        ),
        (["register device https://push.example.com -> 403 Forbidden"], [("pass", "log", None)]),
        # What another protocol answered is no answer to a REGISTER.
        (
            ["getaddrinfo(pbx22.example.org): unknown host", "httpc: portal.example.com -> 192.0.2.9, 200 OK"],
            [("warn", "dns_failed", "dns_no_record")],
        ),
        (
            ["state [LinphoneRegistrationOk]", "GET /1005.xml -> HTTP/1.1 502 Bad Gateway"],
            [("pass", "registered", None)],
        ),
        # Nobody needs these to register.
        (
            [*ACCEPTED, *request("SUBSCRIBE", 3), *answer(489, "Bad Event", "SUBSCRIBE", 3)],
            [("pass", "registered", None)],
        ),
        ([*ACCEPTED, *request("PUBLISH", 3), *answer(404, "Not Found", "PUBLISH", 3)], [("pass", "registered", None)]),
        (
            [*request("OPTIONS", 3), *answer(404, "Not Found", "OPTIONS", 3)],
            [("pass", "log", None)],
        ),
        # An answer is its own method's, whoever asked last.
        (
            [
                *ACCEPTED,
                *request("SUBSCRIBE", 3),
                *answer(200, "OK", "REGISTER", 2),
                *answer(404, "No", "SUBSCRIBE", 3),
            ],
            [("pass", "registered", None)],
        ),
        (
            [*ACCEPTED, *request("INVITE", 4), *answer(488, "Not Acceptable Here", "INVITE", 4)],
            [("pass", "registered", None), ("warn", "media_not_acceptable", "codec_mismatch")],
        ),
        ([*ACCEPTED, *request("INVITE", 4), *answer(486, "Busy Here", "INVITE", 4)], [("pass", "registered", None)]),
        # The end of a registration is none.
        (
            [*REFUSED, *request("REGISTER", 5, LOGIN, "Expires: 0"), *answer(200, "OK", "REGISTER", 5)],
            [("pass", "log", None)],
        ),
        # What went before is over.
        (["Connection refused", *ACCEPTED], [("pass", "registered", None)]),
        (
            [*ACCEPTED, "recv: Connection reset by peer"],
            [("pass", "registered", None), ("warn", "connection_lost", None)],
        ),
        # In words: a challenge that was answered, and a registration that the client tells of.
        (["Received 401 Unauthorized", "Sending REGISTER again", "Received 200 OK"], [("pass", "registered", None)]),
        (["reg: 1005@pbx1: 401 Unauthorized", "reg: 1005@pbx1: 200 OK [1 binding]"], [("pass", "registered", None)]),
        (["connection refused", "433 ms later", "Registration successful"], [("pass", "registered", None)]),
        (["Account: 401 Unauthorized", "Account is registered, expires in 300 s"], [("pass", "registered", None)]),
        (["Richiesta scaduta", "Registrazione riuscita"], [("pass", "registered", None)]),
        (["Richiesta scaduta", "Stato: registrato"], [("pass", "registered", None)]),
        (["Verbindung abgelehnt", "Anmeldung erfolgreich"], [("pass", "registered", None)]),
        (["Got 401 Unauthorized, resending REGISTER with credentials"], [("pass", "log", None)]),
        # What is said of something else, or with a doubt, is none.
        (["401 Unauthorized", "HTTP/1.1 200 OK"], [("warn", "unauthorized", "password_mismatch")]),
        (["401 Unauthorized", "OPTIONS sent, 200 OK"], [("warn", "unauthorized", "password_mismatch")]),
        (["403 Forbidden", "provisioning: 200 OK"], [("warn", "forbidden", None)]),
        (["403 Forbidden", "Check that the account is registered"], [("warn", "forbidden", None)]),
        (["403 Forbidden", "It was registered until yesterday"], [("warn", "forbidden", None)]),
        (["Registration successful", "403 Forbidden"], [("pass", "registered", None), ("warn", "forbidden", None)]),
        # Summaries without the messages.
        (
            [
                "10.0.0.2 -> 192.0.2.7 REGISTER",
                "192.0.2.7 -> 10.0.0.2 401 Unauthorized",
                "10.0.0.2 -> 192.0.2.7 REGISTER (with auth)",
                "192.0.2.7 -> 10.0.0.2 403 Forbidden",
            ],
            [("warn", "forbidden", None)],
        ),
        (
            [
                "Register refresher [401] reason [Unauthorized] for proxy [sip:pbx22]",
                "Register refresher [200] reason [OK] for proxy [sip:pbx22]",
            ],
            [("pass", "registered", None)],
        ),
        (
            [
                "RX 'Resp 401/cseq=1/REGISTER' from: [192.0.2.7:5061 TLS]",
                "RX 'Resp 403/cseq=2/REGISTER' from: [192.0.2.7:5061 TLS]",
            ],
            [("warn", "forbidden", None)],
        ),
        (
            [
                "SipReq:  REGISTER pbx22 tid=-52 cseq=1 REGISTER contact=1005@10.0.0.2 / 1 from(tu)",
                "SipResp: 401 tid=-52 cseq=1 REGISTER / 1 from(wire)",
                "SipReq:  REGISTER pbx22 tid=-53 cseq=2 REGISTER contact=1005@10.0.0.2 / 2 from(tu)",
                "SipResp: 404 tid=-53 cseq=2 REGISTER / 2 from(wire)",
            ],
            [("warn", "not_found", "account_missing")],
        ),
        (
            [
                "12 0.1 10.0.0.2 192.0.2.7 SIP 561 Request: REGISTER sip:pbx22  (1 binding) |",
                "13 0.2 192.0.2.7 10.0.0.2 SIP 500 Status: 401 Unauthorized |",
                "14 0.3 10.0.0.2 192.0.2.7 SIP 700 Request: SUBSCRIBE sip:1005@pbx22 |",
                "15 0.4 192.0.2.7 10.0.0.2 SIP 500 Status: 489 Bad Event |",
                "16 0.5 10.0.0.2 192.0.2.7 SIP 700 Request: REGISTER sip:pbx22  (1 binding) |",
                "17 0.6 192.0.2.7 10.0.0.2 SIP 500 Status: 200 OK  (1 binding) |",
            ],
            [("pass", "registered", None)],
        ),
    ],
)
@pytest.mark.parametrize("before", ["", "11-07 22:00:05.744 28140 28218 D Baresip Lib: ", "    "])
def test_a_dialogue_ends_with_its_final_answer(
    log: list[Any], expected: list[tuple[str, str, str | None]], before: str
) -> None:
    assert said([before + line if line else line for line in log]) == expected


@pytest.mark.parametrize(
    ("log", "first"),
    [
        (
            [
                "Found certificate depth=[1], flags=[not-trusted ]:",
                "issuer name: O=Fortinet",
                "[Network] switched to mobile",
                "registration successful",
            ],
            ("warn", "certificate_authority_of_firewall", "tls_intercepted"),
        ),
        (
            [
                "[WIFI hotel]",
                *request("REGISTER", 1),
                *answer(403, "Forbidden", "REGISTER", 1),
                "[VPN office]",
                *ACCEPTED,
            ],
            ("warn", "server_acl", "acl_denies"),
        ),
        (
            [
                *["[wifi] REGISTER 7 -> 401 -> 401"] * 3,
                "[wifi] REGISTER 7 -> no response",
                "[mobile] REGISTER 7 -> 401 -> 200 OK",
            ],
            ("warn", "refused_then_silent", "client_banned"),
        ),
        (
            [*["REGISTER 7 -> 401 -> 401"] * 3, "REGISTER 7 -> no response"],
            ("warn", "refused_then_silent", "client_banned"),
        ),
        # A network that was left, and a server's certificate that is well elsewhere.
        (["Connection reset by peer", "switched to mobile", "registration successful"], ("pass", "registered", None)),
        (["certificate has expired", "switched to mobile", "registration successful"], ("pass", "registered", None)),
        (
            ["[wifi] REGISTER 7 -> 401 -> 403 Forbidden", "[wifi] REGISTER 7 -> 401 -> 200 OK"],
            ("pass", "registered", None),
        ),
        (["REGISTER 7 -> 401 -> 401", "REGISTER 7 -> no response"], ("warn", "unauthorized", "password_mismatch")),
    ],
)
def test_a_registration_over_another_network_does_not_end_what_one_network_does(
    log: list[str], first: tuple[str, str, str | None]
) -> None:
    assert said(log)[0] == first


def test_a_login_that_was_never_sent_is_no_wrong_password() -> None:
    lines = [*CHALLENGED]
    found = dialogue.read(lines)
    assert found.refused is not None
    assert (found.refused.code, found.refused.challenged, lines[found.refused.line]) == (
        401,
        True,
        "SIP/2.0 401 Unauthorized",
    )


@pytest.mark.attack("a log that was made to take for ever", harm="hang")
@pytest.mark.parametrize(
    "line",
    [
        "SIP/2.0 " * 5000,
        "REGISTER sip:" * 5000,
        "REGISTER ->" * 5000,
        "reg 401 ->" * 5000,
        "(prio 1): {" * 5000,
        "Req" * 9000,
        "CSeq:" + " " * 90_000,
        "a" * 90_000,
    ],
)
def test_a_hostile_log_is_read_in_linear_time(line: str) -> None:
    begun = time.process_time()
    dialogue.read(["REGISTER sip:x SIP/2.0", *[line] * 500])
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("push token ok; REGISTER sip:pbx22.example.com failed: 403 Forbidden", "REGISTER sip:pbx22"),
        ("STUN binding ok, registration failed: 403 Forbidden", "registration failed: 403"),
        ("REGISTER sip:pbx22, 403 Forbidden, push token sent", "REGISTER sip:pbx22, 403 Forbidden"),
        ("Registration rejected: 403 Forbidden, retry_interval=30", "Registration rejected: 403"),
        ("RTCP port 4000 REGISTER failed: 403 Forbidden", "REGISTER failed"),
        ("STUN timed out | SIP/2.0 403 Forbidden (REGISTER)", "SIP/2.0 403"),
        ("video phone registration failed: 408", "registration failed: 408"),
        ("Videotelefon: Anmeldung fehlgeschlagen (403)", "anmeldung fehlgeschlagen"),
        ("PIN wrong: registration failed", "registration failed"),
        ("Il PIN è errato: registrazione non riuscita", "registrazione non riuscita"),
        ("Videocitofono: registrazione fallita: 404", "registrazione fallita: 404"),
        ("wlan anmeldung ok; SIP Anmeldung fehlgeschlagen: 403", "sip anmeldung fehlgeschlagen: 403"),
        ("Cuffie connesse, registrazione fallita: 403", "registrazione fallita: 403"),
        ("Registration failed: 403 (headset connected)", "registration failed: 403"),
        ("caméra prête ; échec de l'enregistrement du poste : 403", "enregistrement"),
        ("chat account registration failed: 403", ""),
        ("camera service registration failed: timed out", ""),
        ("FCM phone registration failed: 403", ""),
        ("push token registration failed: 403 Forbidden", ""),
        ("FCM registration failed, 401 Unauthorized", ""),
        ("RTCP session (sip:1005@pbx22) failed: timed out", ""),
        ("[STUN] sip:1005@pbx22: no answer, timed out", ""),
        ("Registration ok; RTCP, failed", ""),
        ("STUN REGISTER timeout=30", ""),
        ("microphone permission denied; registration ok", ""),
    ],
)
def test_a_line_of_another_service_keeps_what_it_says_of_sip(line: str, told: str) -> None:
    (left,) = dialogue.Dialogues().left([line])
    assert told.lower() in left
    assert bool(left) is bool(told)
    for of_another in ("push", "stun", "retry_interval", "token"):
        assert of_another not in left
