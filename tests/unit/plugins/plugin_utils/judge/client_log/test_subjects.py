"""What a line is about: a client's log tells of much that no registration needs."""

from __future__ import annotations

import time

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.client_log import dialogue, subjects
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.client_log.signatures import LINE_LIMIT
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.evidence import Evidence
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.rules.client import reported

UNKNOWN_HOST = 'W/System.err: java.net.UnknownHostException: Unable to resolve host "x.example.org"'
FRAME = "W/System.err:     at java.net.Inet6AddressImpl.lookup(Inet6AddressImpl.java:156)"


@pytest.mark.parametrize(
    "line",
    [
        "E/AudioRecord: could not create record track, status: -22",
        "GCMBaseIntentService: Registration error: SERVICE_NOT_AVAILABLE",
        "Échec de l'envoi du rapport de plantage : hôte introuvable",
        "F�hler: R�pertoire non disponible, connexion refus�e",
        "UpdateChecker: certificate has expired",
        "Aktualisierung fehlgeschlagen: Zeitüberschreitung",
        "BatteryManager: connection refused",
        "Jul  3 08:45:12 pad kernel[0]: ARPT: Wake on TCP Timeout",
        "[07.26 17:23:55] chrome.exe *64 - www.example.org:80 error : Could not connect to proxy",
    ],
)
def test_a_line_about_something_else_is_known(line: str) -> None:
    assert subjects.is_another(line)


@pytest.mark.parametrize(
    "line",
    [
        "Aktualisierung der Registrierung fehlgeschlagen: Zeitüberschreitung",
        "REGISTER failed after an update of the battery settings",
        "Contact: <sip:1005@192.0.2.9;pn-provider=fcm;app-id=push>",
        "gnutls: Error in the push function.",
        "WARNING Unable to bind contact 'sip:1005@192.0.2.9'",
        "Wrong e-mail or password",
        "java.net.ConnectException: ECONNREFUSED (Connection refused)",
        "TLS handshake failed after the key exchange",
        "download of the provisioning profile failed: connection refused",
        "CA bundle could not be loaded",
        "certificate ca.pem: file not found",
        "KeyStore: TLS certificate unknown",
        "Microsoft Unified Security Protocol Provider: TLS handshake failed",
        "Intercom: registration failed (403)",
        "Dialer: registration failed (timeout)",
    ],
)
def test_a_line_of_sip_is_none(line: str) -> None:
    assert not subjects.is_another(line)


@pytest.mark.parametrize(
    ("lines", "others"),
    [
        (["E/Crashlytics: Error sending report", "java.net.SocketTimeoutException: timeout", FRAME], {0, 1, 2}),
        ([UNKNOWN_HOST, FRAME, "W/System.err:   at com.acme.analytics.Uploader.send(Uploader.java:31)"], {0, 1, 2}),
        ([UNKNOWN_HOST, FRAME, "W/System.err:   at com.acme.SipConnection.open(SipConnection.java:31)"], set()),
        (["Camera is ready", "java.net.ConnectException: ECONNREFUSED"], set()),
        ([UNKNOWN_HOST, "Crashlytics: report sent"], set()),
        (["Jul  2 12:15:24 pad QQ[10018]: No network route", "Jul  2 12:15:24 pad Linphone[12]: ready"], {0}),
        (["Jul  2 12:15:24 pad QQ[10018]: No network route", "Jul  2 12:15:24 pad Chat[12]: ready"], set()),
        # Who looks for the fault is no other program.
        (["pad ping[7]: Destination Net Unreachable", "pad Linphone[12]: ready", "pad Glimmer[9]: failed"], {2}),
        # A process of Android has many tags; the client's own are its.
        (["E/Transport( 12): refused", "I/Linphone( 12): ready", "E/Glimmer( 9): refused"], {2}),
        (["E/Transport( 12): refused", "E/Glimmer( 9): refused"], set()),
        # Hosts of the client's own domain, names in a certificate, classes and files are no hosts of others.
        (
            [
                "registering sip:1005@pbx22.example.org",
                "failed: gw.example.org",
                "failed: www.glimmer.com",
                "certificate CN=www.glimmer.com: failed",
                "com.glimmer.app: failed",
                "transport.cc: failed",
                "srv result [sip.provider.net]: failed",
            ],
            {2},
        ),
        (["registering sip:1005@192.0.2.7", "failed: www.glimmer.com"], set()),
        (["sip:1005@a.example.org", "outbound proxy: sbc.glimmer.com", "failed: sbc.glimmer.com"], set()),
        (["sip:1005@a.example.org", "SRV of example.org -> sbc.glimmer.com", "failed: sbc.glimmer.com"], set()),
    ],
)
def test_a_trace_and_a_tag_are_of_one_program(lines: list[str], others: set[int]) -> None:
    assert subjects.others(lines) == others


@pytest.mark.parametrize(
    ("lines", "others"),
    [
        (["registration successful", "Glimmer: Connection refused"], {1}),
        (["registration successful", "10:22:01 [GlimmerSync]: certificate has expired"], {1}),
        (["Glimmer: registration successful", "Glimmer: Connection refused"], set()),
        (["registration successful", "TlsLink: certificate has expired"], set()),
        (["registration successful", "Verbindung: getrennt", "recv: Connection reset by peer"], set()),
        (["registration successful", "Connection refused"], set()),
    ],
)
def test_who_is_registered_speaks_of_sip_by_names_that_are_known(lines: list[str], others: set[int]) -> None:
    assert subjects.of_unknown_parts(lines, 0) == others
    assert subjects.of_unknown_parts(lines, -1) == set()


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("Password non valida", True),
        ("404 Not Found", True),
        ("SIP treasure chest: wrong password", True),
        ("Das Kennwort der Schatztruhe ist falsch", False),
        ("treasure.map: 404 Not Found", False),
        ("Schatzkarte nicht gefunden (404)", False),
        ("La password del forziere è errata", False),
        ("Treasure island answered 405 Method Not Allowed", False),
    ],
)
def test_what_blames_a_password_or_an_account_names_nothing_else(line: str, plain: bool) -> None:
    assert subjects.is_plain(line) is plain
    found = {
        one.about
        for one in reported(
            Evidence({"schema": "reconnect/evidence/v1", "settings": {}, "client_report": {"log": [line]}})
        )
    }
    assert bool(found & subjects.BLAMING) is plain


def test_a_push_service_that_registers_hides_no_failure() -> None:
    assert dialogue.read(["SIP: 403 Forbidden", "FCM: registration successful"]).registered < 0


def test_a_hostile_line_is_read_in_linear_time() -> None:
    begun = time.process_time()
    lines = [
        ("crash audio update " * 9000)[:LINE_LIMIT],
        "a:" * 500,
        "a." * 500,
        "ab.com " * 140,
        "sip:a.b" * 140,
    ] * 300
    subjects.others(lines)
    subjects.of_unknown_parts(lines, 0)
    assert time.process_time() - begun < 5
