"""Handshakes that fail as a client makes them, and chains that lack a link."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

ADDRESS = "192.0.2.5"
WHERE = f"{ADDRESS}:5061"
OFFERED = {"minimum_version": "TLSv1.2", "ciphers": ["ECDHE-RSA-AES256-GCM-SHA384"]}
ROOT, LINK, LEAF = (
    {"subject": f"CN={name}", "issuer": f"CN={issuer}", "names": ["pbx.example"]}
    for name, issuer in (("root", "root"), ("intermediate", "root"), ("pbx.example", "intermediate"))
)


def told(data: dict[str, Any] | None = None, error: str = "failed", **more: Any) -> dict[str, Any]:
    return {"ok": True, "data": data} if data else {"ok": False, "error": error, "message": "it ended", **more}


def handshake(**more: Any) -> dict[str, Any]:
    seen = {
        "version": "TLSv1.2",
        "cipher": "ECDHE-RSA-AES256-GCM-SHA384",
        "certificates": [LEAF, LINK],
        "verified": True,
        "verify_code": 0,
        "verify_message": "ok",
        "name_matches": True,
        "alert": None,
    }
    return told({**seen, **more})


def judged(
    tls: dict[str, Any], provisioning: dict[str, Any] | None = None, disk: dict[str, Any] | None = None
) -> tuple[list[str], dict[str, str]]:
    """The root causes, and the status of each code."""
    data = {"tcp": {WHERE: told({"rtt_ms": 1})}, "tls": {WHERE: tls}, "provisioning": provisioning}
    found = judge.judge(
        {
            "schema": "reconnect/evidence/v1",
            "name": "pbx",
            "taken_at": "2026-01-01T00:00:00Z",
            "settings": {
                "addresses": [ADDRESS],
                "sip_domain": "pbx.example",
                "sip_transports": [{"transport": "tls", "port": 5061}],
                "provisioning_url": "https://pbx.example/health" if provisioning else "",
            },
            "server": {"ok": True},
            "host": {"tls_files": told({"certificate": {}, "key": {"matches": True}, **(disk or {})})},
            "paths": {"phone": {"ok": True, "data": data}},
        }
    )
    return [one["cause"] for one in found["verdict"]["root_causes"]], {
        one["code"]: one["status"] for one in found["findings"]
    }


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        ({"version": "TLSv1.1", "cipher": "AES256-SHA"}, "tls_no_common_version"),
        ({"cipher": "AES256-SHA"}, "tls_no_shared_cipher"),
        # Version and cipher are what clients offer: there is another reason, which is not known.
        ({}, "unknown_cause"),
        ({"version": None, "cipher": None, "offered": {}}, "unknown_cause"),
    ],
)
def test_why_a_client_s_handshake_fails(seen, cause):
    refused = {"alert": "SSLV3_ALERT_HANDSHAKE_FAILURE", "verified": None, "verify_code": None, "offered": OFFERED}
    causes, status = judged(handshake(**{**refused, **seen}))
    assert causes == [cause]
    assert status["tls.handshake"] == "fail"
    assert status["tls.trust"] == "unknown"


@pytest.mark.parametrize(
    ("alert", "cause"),
    [
        ("TLSV1_ALERT_PROTOCOL_VERSION", "tls_no_common_version"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "unknown_cause"),
        (None, "unknown_cause"),
    ],
)
def test_of_a_handshake_without_a_second_look_only_its_alert_tells(alert, cause):
    assert judged(told(alert=alert))[0] == [cause]


def untrusted(*chain: dict[str, Any]) -> dict[str, Any]:
    return handshake(verified=False, verify_code=20, verify_message="no local issuer", certificates=list(chain))


def provisioning(verified: bool, *chain: dict[str, Any]) -> dict[str, Any]:
    return told({"status": 200, "tls": {"verified": verified, "certificates": list(chain)}})


OTHER = {**LEAF, "subject": "CN=www.example"}


@pytest.mark.parametrize(
    ("tls", "web", "disk", "cause"),
    [
        (untrusted(LEAF), provisioning(True, OTHER, LINK), None, "tls_chain_incomplete"),
        (untrusted(LEAF), None, {"intermediate": {**LINK, "path": "/chain.pem"}}, "tls_chain_incomplete"),
        # An old intermediate in the place of the one that signed.
        (untrusted(LEAF, {**LINK, "subject": "CN=old"}), provisioning(True, OTHER, LINK), None, "tls_chain_incomplete"),
        # Nothing shows that there is an intermediate: the authority may be a stranger's.
        (untrusted(LEAF), None, None, "tls_certificate_untrusted"),
        (untrusted(LEAF), provisioning(True, OTHER), None, "tls_certificate_untrusted"),
        (
            untrusted(LEAF),
            provisioning(True, {**OTHER, "issuer": "CN=x"}, {**LINK, "subject": "CN=x"}),
            None,
            "tls_certificate_untrusted",
        ),
        (
            untrusted(LEAF),
            None,
            {"intermediate": {**LINK, "subject": "CN=x", "path": "/x"}},
            "tls_certificate_untrusted",
        ),
        # The provisioning service's own chain is trusted by nobody: it proves nothing.
        (untrusted(LEAF), provisioning(False, OTHER, LINK), None, "tls_certificate_untrusted"),
        # The chain is whole, its authority is not trusted.
        (untrusted(LEAF, LINK), provisioning(True, OTHER, LINK), None, "tls_certificate_untrusted"),
        (untrusted(LEAF, LINK, ROOT), provisioning(True, OTHER, LINK), None, "tls_certificate_untrusted"),
    ],
)
def test_a_link_that_is_missing_is_told_from_a_strange_authority_by_the_link_itself(tls, web, disk, cause):
    assert judged(tls, web, disk)[0] == [cause]


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (
            {"certificates": [{**LEAF, "not_before": "2020-01-01T00:00:00Z", "not_after": "2021-01-01T00:00:00Z"}]},
            "tls_certificate_expired",
        ),
        ({"name_matches": False}, "tls_certificate_name_mismatch"),
        ({"verified": False, "verify_code": 19, "verify_message": "self-signed"}, "tls_certificate_untrusted"),
        ({"alert": "TLSV1_ALERT_PROTOCOL_VERSION", "version": "TLSv1", "offered": OFFERED}, "tls_no_common_version"),
    ],
)
def test_the_provisioning_service_s_certificate_is_judged_too(seen, cause):
    web = told({"status": 200, "tls": {**handshake()["data"], **seen}})
    assert judged(handshake(), web)[0] == [cause]
    assert judged(handshake(), told({"status": 200, "tls": handshake()["data"]}))[0] == []
