"""Handshakes that fail as a client makes them, and chains that lack a link."""

from __future__ import annotations

import hashlib
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
                "tls_certificate_file": "/keys/server.crt",
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
def test_why_a_client_s_handshake_fails(seen: dict[str, Any], cause: str) -> None:
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
def test_of_a_handshake_without_a_second_look_only_its_alert_tells(alert: str | None, cause: str) -> None:
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
        # The provisioning service's own chain is trusted by nobody: it verifies nothing.
        (untrusted(LEAF), provisioning(False, OTHER, LINK), None, "tls_certificate_untrusted"),
        # The chain is whole, its authority is not trusted.
        (untrusted(LEAF, LINK), provisioning(True, OTHER, LINK), None, "tls_certificate_untrusted"),
        (untrusted(LEAF, LINK, ROOT), provisioning(True, OTHER, LINK), None, "tls_certificate_untrusted"),
    ],
)
def test_a_link_that_is_missing_is_told_from_a_strange_authority_by_the_link_itself(
    tls: dict[str, Any], web: dict[str, Any] | None, disk: dict[str, Any] | None, cause: str
) -> None:
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
def test_the_provisioning_service_s_certificate_is_judged_too(seen: dict[str, Any], cause: str) -> None:
    web = told({"status": 200, "tls": {**handshake()["data"], **seen}})
    assert judged(handshake(), web)[0] == [cause]
    assert judged(handshake(), told({"status": 200, "tls": handshake()["data"]}))[0] == []


EXPIRED: dict[str, Any] = {"verified": False, "verify_code": 10, "verify_message": "certificate has expired"}


def on_disk(key: dict[str, Any] | None = None, **trust: Any) -> dict[str, Any]:
    """What is on the disk, by default a certificate that clients accept."""
    return {
        "certificate": {
            "path": "/keys/server.crt",
            "fingerprint_sha256": "new",
            "names": ["pbx.example"],
            "not_before": "2025-12-01T00:00:00Z",
            "not_after": trust.pop("not_after", "2027-01-01T00:00:00Z"),
        },
        "key": {"matches": True, "readable": True, **(key or {})},
        "trust": {"verified": True, "verify_code": 0, "verify_message": "ok", "name_matches": True, **trust},
    }


def served(**more: Any) -> dict[str, Any]:
    ends = "2025-12-31T00:00:00Z" if more.get("verify_code") == 10 else "2026-12-31T00:00:00Z"
    leaf = {**LEAF, "fingerprint_sha256": "old", "not_before": "2025-01-01T00:00:00Z", "not_after": ends}
    return handshake(certificates=[leaf, LINK], **more)


@pytest.mark.attack("a worse certificate lies on the disk, and waits for a reload")
@pytest.mark.parametrize(
    ("disk", "causes", "status"),
    [
        (on_disk(), ["tls_certificate_not_reloaded"], "fail"),
        (on_disk(key={"matches": False}, verified=None), ["tls_certificate_expired", "tls_key_unusable"], "warn"),
        (on_disk(key={"readable": False}), ["tls_certificate_expired", "tls_key_unusable"], "warn"),
        (on_disk(name_matches=False), ["tls_certificate_expired", "tls_certificate_name_mismatch"], "warn"),
        (on_disk(verified=False, verify_code=20), ["tls_certificate_expired"], "warn"),
        (on_disk(**EXPIRED, not_after="2025-12-30T00:00:00Z"), ["tls_certificate_expired"], "warn"),
        # Not known, so it is not loaded.
        (on_disk(verified=None), ["tls_certificate_expired"], "unknown"),
        ({**on_disk(), "trust": {}}, ["tls_certificate_expired"], "unknown"),
    ],
)
def test_only_a_certificate_that_clients_would_accept_is_loaded(
    disk: dict[str, Any], causes: list[str], status: str
) -> None:
    found, statuses = judged(served(**EXPIRED), disk=disk)
    assert sorted(found) == causes
    assert statuses["tls.served"] == status


def chain_on_disk(*der: str, **trust: Any) -> dict[str, Any]:
    """The certificate that is served, with this chain behind it."""
    disk = on_disk(**trust)
    return {**disk, "certificate": {**disk["certificate"], "fingerprint_sha256": "old", "der": list(der)}}


@pytest.mark.parametrize(
    ("disk", "causes"),
    [
        (chain_on_disk("AA==", "AQ=="), ["tls_certificate_not_reloaded"]),
        # It would not help, or is not known.
        (chain_on_disk("AA==", "AQ==", verified=False, verify_code=20), ["tls_chain_incomplete"]),
        (chain_on_disk(), ["tls_chain_incomplete"]),
        (chain_on_disk("x"), ["tls_chain_incomplete"]),
    ],
)
def test_a_chain_that_was_completed_on_the_disk_is_not_in_use(disk: dict[str, Any], causes: list[str]) -> None:
    leaf = {**LEAF, "fingerprint_sha256": "old", "not_before": "2025-01-01T00:00:00Z"}
    link = {"subject": LEAF["issuer"], "issuer": "CN=root", "path": "/keys/server.crt"}
    assert judged(untrusted(leaf), disk={**disk, "intermediate": link})[0] == causes


def test_the_chain_in_use_is_not_loaded_again() -> None:
    disk = chain_on_disk("AA==")
    leaf = {**LEAF, "fingerprint_sha256": hashlib.sha256(b"\0").hexdigest(), "not_before": "2025-01-01T00:00:00Z"}
    disk["certificate"]["fingerprint_sha256"] = leaf["fingerprint_sha256"]
    assert judged(untrusted(leaf), disk=disk)[0] == ["tls_certificate_untrusted"]


@pytest.mark.attack("a worse certificate lies on the disk, and waits for a reload")
@pytest.mark.parametrize(
    ("disk", "causes"),
    [
        # One that works is left alone, however new the other one is.
        (on_disk(), []),
        (on_disk(name_matches=False), ["tls_certificate_name_mismatch"]),
        (on_disk(verified=False, verify_code=20, verify_message="no issuer"), ["tls_certificate_untrusted"]),
        (on_disk(**EXPIRED, not_after="2025-12-30T00:00:00Z"), ["tls_certificate_expired"]),
        (on_disk(key={"matches": False}, verified=None), ["tls_key_unusable"]),
        (
            {**on_disk(verified=False, verify_code=20), "intermediate": {"subject": "CN=i", "path": "/keys/i.pem"}},
            ["tls_chain_incomplete"],
        ),
    ],
)
def test_a_worse_certificate_on_the_disk_is_a_cause_of_its_own(disk: dict[str, Any], causes: list[str]) -> None:
    assert judged(served(), disk=disk)[0] == causes
