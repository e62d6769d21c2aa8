"""The rules of one account, on both channel drivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge


def ok(data: object) -> dict[str, Any]:
    return {"ok": True, "seconds": 0.01, "data": data}


def no(error: str) -> dict[str, Any]:
    return {"ok": False, "seconds": 1.0, "error": error, "message": "no answer"}


def endpoint(**changes: dict[str, Any] | list[Any] | None) -> dict[str, Any]:
    rows: dict[str, Any] = {
        "endpoint": {"id": "1001", "auth": "1001", "aors": "1001"},
        "auth": {"id": "1001", "username": "1001", "md5_cred": {"set": False, "matches": None}},
        "aor": {"id": "1001", "max_contacts": 1, "remove_existing": "yes"},
        "contacts": [],
        "hidden": [],
    }
    for name, change in changes.items():
        rows[name] = change if change is None or isinstance(change, list) else {**rows[name], **change}
    return rows


def peer(**changes: Any) -> dict[str, Any]:
    return {
        "endpoint": {"name": "1001", "host": "dynamic", "transport": "tls,udp", **changes},
        "auth": {"md5secret": changes.get("md5secret", {"set": False, "matches": None})},
        "aor": {},
        "contacts": [],
    }


def realtime(driver: str) -> dict[str, Any]:
    """Where Asterisk reads its accounts from: the database."""
    kinds = (
        {"peer": "sippeers"} if driver == "sip" else {"endpoint": "ps_endpoints", "auth": "ps_auths", "aor": "ps_aors"}
    )
    return {
        kind: {"file": False, "family": table, "table": {"driver": "odbc", "database": "asterisk", "table": table}}
        for kind, table in kinds.items()
    }


#: A registration of ours.
REGISTERED: dict[str, Any] = {
    "transport": "tls",
    "answers": [{"status": 200, "reason": "OK", "expires": 600}],
    "accepted": True,
    "others": 0,
    "registered": True,
    "listed": True,
}
#: Where the account's own client is, and what the registry says of a password that differs.
OWN = "192.0.2.77"
PASSWORD = {"field": "password", "wanted": "***", "found": "***", "cause": "password_mismatch"}
#: The rows of an account that is not there, asked by somebody who sees every row.
NOBODY: dict[str, Any] = {"endpoint": None, "auth": None, "aor": None, "contacts": [], "hidden": []}


def causes(
    driver: str, found: dict[str, Any], report: dict[str, Any] | None = None, accepted: bool = True, **account: Any
) -> list[str]:
    evidence = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "client_report": report,
        "settings": {
            "channel_driver": driver,
            "sip_transports": [{"transport": "tls", "port": 5061}],
            "test_account": "601",
        },
        "asterisk": {"sources": ok(realtime(driver))},
        "registrations": {"601": {"control": ok({**REGISTERED, "accepted": accepted})}},
        "account": {"rows": ok(found), "live": ok({"contacts": []}), **account},
    }
    return [one["cause"] for one in judge.judge(evidence)["findings"] if one["status"] == "fail" and one["cause"]]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (endpoint(), []),
        (NOBODY, ["account_missing"]),
        (endpoint(auth=None), ["auth_missing"]),
        (endpoint(aor=None), ["aor_missing"]),
        # What it names is there, and is not what its client asks for.
        (endpoint(endpoint={"aors": ""}), ["aor_missing"]),
        (endpoint(endpoint={"aors": "1002,1003"}), ["aor_missing"]),
        (endpoint(endpoint={"aors": "1002, 1001"}), []),
        (endpoint(endpoint={"identify_by": "ip"}), ["identify_by_mismatch"]),
        (endpoint(endpoint={"identify_by": "ip,header"}), ["identify_by_mismatch"]),
        (endpoint(endpoint={"identify_by": "ip, username"}), []),
        (endpoint(endpoint={"identify_by": "auth_username"}), []),
        (endpoint(endpoint={"identify_by": None}), []),
        (endpoint(auth={"supported_algorithms_uas": "SHA-256,SHA-512-256"}), ["digest_mismatch"]),
        (endpoint(auth={"supported_algorithms_uas": "SHA-256,MD5"}), []),
        (endpoint(auth={"supported_algorithms_uas": None}), []),
        (endpoint(auth={"username": "1002"}), ["auth_name_mismatch"]),
        (endpoint(aor={"max_contacts": 0}), ["max_contacts_zero"]),
        (endpoint(aor={"max_contacts": 2}, contacts=[{}, {}]), []),
        (endpoint(aor={"max_contacts": 2, "remove_existing": "no"}, contacts=[{}, {}]), ["max_contacts_reached"]),
        # In pjsip.conf yes has several spellings.
        (endpoint(aor={"max_contacts": 2, "remove_existing": "y"}, contacts=[{}, {}]), []),
        (endpoint(auth={"md5_cred": {"set": True, "matches": False}}), ["realm_mismatch"]),
        (endpoint(auth={"md5_cred": {"set": True, "matches": True}}), []),
    ],
)
def test_rows_of_chan_pjsip(rows: dict[str, Any], expected: list[str]) -> None:
    assert causes("pjsip", rows) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (peer(), []),
        (peer(host="192.0.2.7"), ["peer_not_dynamic"]),
        (peer(transport="udp"), ["transport_mismatch"]),
        (peer(transport=None), ["transport_mismatch"]),
        (peer(md5secret={"set": True, "matches": False}), ["realm_mismatch"]),
    ],
)
def test_rows_of_chan_sip(rows: dict[str, Any], expected: list[str]) -> None:
    assert causes("sip", rows) == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("SuccessfulAuth", []),
        ("ChallengeResponseFailed", ["password_mismatch"]),
        ("InvalidPassword", ["password_mismatch"]),
        # Asterisk could not load the auth, so it compared no password.
        ("AuthNotLoaded", []),
        ("FailedACL", ["acl_denies"]),
    ],
)
def test_the_last_attempt_counts(event: str, expected: list[str]) -> None:
    unregistered = ok({"registered": False, "findings": []})
    assert causes("pjsip", endpoint(), attempts=tried(event), registry=unregistered) == expected


@pytest.mark.parametrize(
    ("field", "expected"), [("password", "password_mismatch"), ("auth_name", "auth_name_mismatch"), ("codecs", None)]
)
def test_what_differs_in_an_auth_is_why_it_was_not_loaded(field: str, expected: str | None) -> None:
    difference = {"field": field, "wanted": "a", "found": "b", "cause": expected or "codec_mismatch"}
    registry = ok({"registered": True, "findings": [difference]})
    (found,) = said("account.attempts", endpoint(), attempts=tried("AuthNotLoaded"), registry=registry)
    assert (found["status"], found["cause"]) == ("fail", expected)


def tried(event: str, address: str = OWN, detail: str = "", own: str = "SuccessfulAuth") -> dict[str, Any]:
    """The last attempt, of an account that has logged in from the address `OWN`; ``own``: its own newest event."""
    last = {"event": event, "address": address, "detail": detail, "time": "2026-01-01T10:00:09Z"}
    before = {"event": own, "address": OWN, "detail": "", "time": "2026-01-01T10:00:01Z"}
    return ok(
        {
            "events": {"SuccessfulAuth": 1, event: 1},
            "last": last,
            "latest": {OWN: before, address: last},
            "addresses": {OWN: {"SuccessfulAuth": 1}, address: {event: 1, "SuccessfulAuth": int(address == OWN)}},
        }
    )


@pytest.mark.parametrize(
    ("event", "detail", "expected"),
    [
        ("FailedACL", "not_match_endpoint_acl", ["acl_denies"]),
        ("FailedACL", "not_match_endpoint_contact_acl", ["acl_denies"]),
        ("FailedACL", "registrar_attempt_exceeds_maximum_configured_contacts", ["max_contacts_reached"]),
        ("FailedACL", "registrar_attempt_without_configured_aors", ["aor_missing"]),
        ("FailedACL", "registrar_invalid_contacts_provided", ["contact_invalid"]),
        ("FailedACL", "registrar_invalid_uri_in_to_received", ["contact_invalid"]),
        ("RequestNotSupported", "registrar_requested_aor_not_found", ["aor_missing"]),
        ("RequestNotSupported", "registrar_attempt_without_registration_permitted", ["max_contacts_zero"]),
        ("FailedACL", "peer_not_dynamic", ["peer_not_dynamic"]),
    ],
)
def test_the_reason_of_a_refusal_counts(event: str, detail: str, expected: list[str]) -> None:
    assert causes("pjsip", endpoint(), attempts=tried(event, detail=detail)) == expected


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        ("FailedACL", "registrar_something_newer"),
        ("RequestNotSupported", "registrar_something_newer"),
        ("InvalidAccountID", ""),
        ("AuthNotLoaded", ""),
        ("SessionLimit", ""),
    ],
)
def test_a_refusal_of_an_account_that_looks_well_is_a_failure(event: str, detail: str) -> None:
    attempts = tried(event, detail=detail)
    (found,) = said("account.attempts", endpoint(), attempts=attempts)
    assert (found["status"], found["cause"]) == ("fail", None)
    # It is over once the account registers, and while a client of it is registered.
    contacts = ok({"contacts": [{"uri": f"sip:1001@{OWN}:5061"}]})
    for over in ({"own": True}, {"live": contacts}):
        (found,) = said("account.attempts", endpoint(), attempts=attempts, **over)
        assert (found["status"], found["cause"]) == ("warn", None)
    # The rows say what is missing.
    if event in ("InvalidAccountID", "AuthNotLoaded"):
        assert None not in causes("pjsip", NOBODY, attempts=attempts)
        assert causes("pjsip", NOBODY, attempts=attempts) == ["account_missing"]


def test_the_contact_of_the_own_client_stays_invalid_while_ours_registers() -> None:
    attempts = tried("FailedACL", detail="registrar_invalid_contacts_provided")
    (found,) = said("account.attempts", endpoint(), attempts=attempts, own=True)
    assert (found["status"], found["cause"]) == ("fail", "contact_invalid")


@pytest.mark.attack("a stranger is refused in the name of an account, and its user is told so")
@pytest.mark.parametrize(
    ("event", "detail"), [("FailedACL", "not_match_endpoint_acl"), ("ChallengeResponseFailed", ""), ("FailedACL", "x")]
)
def test_a_stranger_is_told_and_the_own_attempt_is_judged(event: str, detail: str) -> None:
    attempts = tried(event, "203.0.113.9", detail)
    assert causes("pjsip", endpoint(), attempts=attempts) == []
    (stranger,) = said("account.strangers", endpoint(), attempts=attempts)
    assert (stranger["status"], stranger["about"]) == ("warn", "203.0.113.9")
    # The own client's mistake stays one, whoever came after it.
    attempts = tried(event, "203.0.113.9", detail, own="ChallengeResponseFailed")
    registry = ok({"registered": True, "findings": []})
    for report in (None, {"error_message": "401 Unauthorized"}):
        found = causes("pjsip", endpoint(), report, attempts=attempts, registry=registry)
        assert set(found) == {"client_wrong_password"}


def test_an_access_list_that_turns_away_who_is_registered_elsewhere_is_a_warning() -> None:
    attempts = tried("FailedACL", "203.0.113.9", "not_match_endpoint_acl")
    attempts["data"].pop("latest")
    attempts["data"]["addresses"] = {"203.0.113.9": {"FailedACL": 1}}
    contacts = ok({"contacts": [{"uri": f"sip:1001@{OWN}:5061"}]})
    (found,) = said("account.attempts", endpoint(), attempts=attempts, live=contacts)
    assert (found["status"], found["cause"]) == ("warn", None)
    assert causes("pjsip", endpoint(), attempts=attempts) == ["acl_denies"]


def said(
    code: str, found: dict[str, Any], own: bool = False, asterisk: dict[str, Any] | None = None, **account: Any
) -> list[dict[str, Any]]:
    """The findings of a code; ``own``: the account registers from our side."""
    tests = {"601": {"control": ok(REGISTERED)}, **({"1001": {"control": ok(REGISTERED)}} if own else {})}
    evidence = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "settings": {"channel_driver": "pjsip", "sip_transports": [], "test_account": "601"},
        "asterisk": {"sources": ok(realtime("pjsip")), **(asterisk or {})},
        "registrations": tests,
        "account": {"rows": ok(found), "live": ok({"contacts": []}), **account},
    }
    return [dict(one) for one in judge.judge(evidence)["findings"] if one["code"] == code]


@pytest.mark.parametrize("event", ["ChallengeResponseFailed", "InvalidPassword"])
@pytest.mark.parametrize(
    ("findings", "expected"), [([], ["client_wrong_password"]), ([PASSWORD], ["password_mismatch"])]
)
def test_whose_mistake_a_wrong_password_is(event: str, findings: list[dict[str, str]], expected: list[str]) -> None:
    registry = ok({"registered": True, "findings": findings})
    assert set(causes("pjsip", endpoint(), attempts=tried(event), registry=registry)) == set(expected)
    # A database that could not be read says nothing of the password, whatever a client tried.
    found = causes("pjsip", {}, rows=no("denied"), registry=no("denied"), attempts=tried(event))
    assert found == []


@pytest.mark.attack("the server answers 500 to everybody, and a user is sent a new link")
def test_a_server_that_accepts_nobody_is_not_its_client_s_mistake() -> None:
    registry = ok({"registered": True, "findings": []})
    attempts = tried("ChallengeResponseFailed")
    assert causes("pjsip", endpoint(), accepted=False, attempts=attempts, registry=registry) == []


@pytest.mark.attack("a stranger guesses the password of an account")
def test_the_guess_of_a_stranger_is_a_warning() -> None:
    registry = ok({"registered": True, "findings": []})
    attempts = tried("ChallengeResponseFailed", "203.0.113.9")
    assert causes("pjsip", endpoint(), attempts=attempts, registry=registry) == []


@pytest.mark.parametrize(
    "known",
    [
        {"live": ok({"contacts": [{"uri": "sip:1001@203.0.113.9:5061;transport=tls"}]})},
        {"live": ok({"contacts": [{"uri": "sip:1001@[2001:db8::9]:5061"}]}), "address": "2001:db8::9"},
        {"rows": ok(endpoint(contacts=[{"uri": "sip:1001@10.0.0.1", "via_addr": "203.0.113.9"}]))},
        {"sessions": ok({"account": {"entries": [{"event": "REGISTER", "address": "203.0.113.9:40000"}]}})},
    ],
)
def test_an_address_of_the_account_is_its_client_s(known: dict[str, Any]) -> None:
    address = known.pop("address", "203.0.113.9")
    registry = ok({"registered": True, "findings": []})
    attempts = tried("ChallengeResponseFailed", address)
    assert causes("pjsip", endpoint(), attempts=attempts, registry=registry, **known) == ["client_wrong_password"]


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"error_message": "401 Unauthorized"}, ["client_wrong_password"]),
        ({"log": ["REGISTER", "SIP/2.0 403 Forbidden (Bad auth)"]}, ["client_wrong_password"]),
        # A 401 that was answered is no refusal.
        ({"log": ["SIP/2.0 401 Unauthorized", "REGISTER", "SIP/2.0 200 OK"]}, []),
        ({"log": ["SIP/2.0 200 OK", "REGISTER", "SIP/2.0 401 Unauthorized"]}, ["client_wrong_password"]),
        ({"error_message": "500 Server Internal Error"}, []),
        ({"error_message": "408 Request Timeout", "log": ["port 4012"]}, []),
    ],
)
def test_what_the_user_s_own_device_says_of_its_login(report: dict[str, Any], expected: list[str]) -> None:
    registry = ok({"registered": True, "findings": []})
    attempts = tried("ChallengeResponseFailed", "203.0.113.9")
    assert causes("pjsip", endpoint(), report, attempts=attempts, registry=registry) == expected


def test_without_an_account_nothing_is_said_of_one() -> None:
    evidence = {"schema": "reconnect/evidence/v1", "name": "pbx", "server": {"ok": True, "seconds": 1}}
    assert not [one for one in judge.judge(evidence)["findings"] if one["subject"] == "account"]


def test_rows_that_could_not_be_read_are_no_missing_account() -> None:
    dead = {"ok": False, "seconds": 3, "error": "timed_out", "message": "the database does not answer"}
    assert causes("pjsip", {}, rows=dead) == []


@pytest.mark.parametrize(
    ("entries", "status", "words"),
    [
        ([{"event": "REGISTER", "address": "192.0.2.1:5", "seconds_ago": 30}], "pass", "30 seconds ago"),
        ([{"event": "UNREGISTER", "seconds_ago": 7200}], "warn", "by itself, 2 hours ago"),
        ([{"event": "DISCONNECT", "details": "NETWORK_ERROR", "seconds_ago": 200}] * 3, "warn", "NETWORK_ERROR"),
        ([{"event": "DISCONNECT", "seconds_ago": None}], "warn", "not known"),
        ([], "warn", "nothing of this account"),
    ],
)
def test_the_session_log_tells_and_blames_nobody(entries: list[dict[str, Any]], status: str, words: str) -> None:
    evidence = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "settings": {"channel_driver": "pjsip", "sip_transports": []},
        "account": {"sessions": ok({"account": {"entries": entries, "last": {}}, "address": {}})},
    }
    (found,) = [one for one in judge.judge(evidence)["findings"] if one["code"] == "account.sessions"]
    assert (found["status"], found["cause"]) == (status, None)
    assert words in found["summary"]


@pytest.mark.parametrize(
    ("field", "wanted", "there", "cause", "words"),
    [
        ("username", "1001", None, "account_missing", "The account registry has the account, the server has not."),
        ("password", "***", "***", "password_mismatch", "The server has another password than the account registry."),
        ("password", "***", "***", "realm_mismatch", "made for another realm."),
        ("contacts", "room", "1 of 1 taken", "max_contacts_reached", "no room for a new contact (1 of 1 taken)."),
        ("endpoint", "one", "several", "account_doubled", "The server has the account more than once."),
        ("aor", "1001", None, "aor_missing", "Its address of record (AOR) is missing on the server; by the account"),
        ("security_model", "sdes", "no", "security_model_mismatch", "is no on the server; by the account registry it"),
    ],
)
def test_what_differs_from_the_registry_is_told_in_words(
    field: str, wanted: str, there: str | None, cause: str, words: str
) -> None:
    found = {"field": field, "wanted": wanted, "found": there, "cause": cause}
    evidence = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "settings": {"channel_driver": "pjsip"},
        "asterisk": {"sources": ok(realtime("pjsip"))},
        "account": {"registry": ok({"registered": True, "findings": [found]}), "rows": ok(NOBODY)},
    }
    told = next(
        one for one in judge.judge(evidence)["findings"] if one["cause"] == cause and one["code"] == "account.registry"
    )
    assert words in told["summary"]


def test_one_contact_is_told_as_one() -> None:
    taken = endpoint(aor={"max_contacts": 1, "remove_existing": "no"}, contacts=[{}])
    evidence = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "settings": {"channel_driver": "pjsip"},
        "account": {"rows": ok(taken), "live": ok({"contacts": [{"uri": "sip:1001@192.0.2.1"}]})},
    }
    said = [one["summary"] for one in judge.judge(evidence)["findings"] if one["code"].startswith("account.")]
    assert "Its only contact is taken and none gives way to a new one." in said
    assert "Asterisk has 1 live contact of the account." in said


def judged(change: Callable[[dict[str, Any]], object], driver: str = "pjsip") -> tuple[list[str], list[str]]:
    """The root causes and remedies of an account that is missing, after a change of the evidence."""
    missing = {"field": "username", "wanted": "1001", "found": None, "cause": "account_missing"}
    evidence: dict[str, Any] = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "settings": {"channel_driver": driver},
        "asterisk": {
            "control": ok({"answered": True}),
            "endpoints": ok({"total": 20, "available": 3}),
            "sources": ok(realtime(driver)),
        },
        "database": {"accounts": ok({"total": 21, "incomplete": [], "incomplete_total": 0, "hidden": []})},
        "account": {"rows": ok({**NOBODY}), "registry": ok({"registered": True, "findings": [missing]})},
    }
    change(evidence)
    verdict = judge.judge(evidence, apply=True)["verdict"]
    return [one["cause"] for one in verdict["root_causes"]], [one["remedy"] for one in verdict["plan"]]


def lost(kind: str) -> Callable[[dict[str, Any]], object]:
    return lambda found: found["asterisk"]["sources"]["data"][kind].update(table=None)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        # The family's line in extconfig.conf, the one in sorcery.conf, another class than the inventory's.
        (lost("endpoint"), "account_mapping_lost"),
        (lost("auth"), "account_mapping_lost"),
        (
            lambda found: found["asterisk"]["sources"]["data"]["endpoint"].update(file=True, family=None, table=None),
            "account_mapping_lost",
        ),
        (
            lambda found: found["asterisk"]["sources"]["data"]["aor"]["table"].update(database="other"),
            "account_mapping_lost",
        ),
        (lambda found: found["settings"].update(account_backend="file"), "account_mapping_lost"),
        # Every account is gone, not this one alone.
        (lambda found: found["database"]["accounts"]["data"].update(total=0), "accounts_lost"),
        (lambda found: found["database"]["accounts"]["data"].update(incomplete_total=20), "accounts_lost"),
        (
            lambda found: found["database"]["accounts"]["data"].update(total=0, hidden=["ps_endpoints"]),
            "database_hides_accounts",
        ),
        (lambda found: found["asterisk"]["endpoints"]["data"].update(total=1), "unknown_cause"),
    ],
)
def test_no_account_is_created_where_more_than_one_is_lost(change: Callable[..., Any], cause: str) -> None:
    assert judged(change) == ([cause], [])


@pytest.mark.parametrize(
    "change",
    [
        # Row-level security, or a view; evidence that does not say; rows or configuration that could not be read.
        lambda found: found["account"]["rows"]["data"].update(hidden=["endpoint"]),
        lambda found: found["account"]["rows"]["data"].pop("hidden"),
        lambda found: found["account"].update(rows=no("denied")),
        lambda found: found["account"].update(rows=no("timed_out")),
        lambda found: found["asterisk"].update(sources=no("failed")),
    ],
)
def test_what_may_be_hidden_is_not_missing(change: Callable[..., Any]) -> None:
    assert judged(change) == ([], [])


def test_an_account_that_is_missing_alone_is_created() -> None:
    assert judged(lambda _found: None) == (["account_missing"], ["fix_account"])
    # chan_sip knows an account once it has used it.
    assert judged(lambda found: found["asterisk"]["endpoints"]["data"].update(total=1), "sip")[0] == ["account_missing"]


def test_a_contact_of_the_account_that_could_not_be_stored_is_a_failure() -> None:
    line = "res_pjsip_registrar.c: Unable to bind contact 'sip:1001@192.0.2.77:5061;pn-prid=x' to AOR '1001'"
    lost = [{"time": "2026-01-01T10:00:00Z", "level": "ERROR", "kind": "contact_failed", "text": line}]
    for aor, own, expected in (("1001", False, "fail"), ("1001", True, "warn"), ("1002", False, "warn")):
        texts = [{**one, "text": one["text"].replace("AOR '1001'", f"AOR '{aor}'")} for one in lost]
        log = {"path": "", "lines_read": 1, "window_seconds": 60, "matches": texts}
        (found,) = said("account.live", endpoint(), own=own, asterisk={"log": ok(log)})
        assert found["status"] == expected
        assert (found["cause"] == "contact_write_failed") == (expected == "fail")


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (endpoint(endpoint={"identify_by": "ip"}), "account.identify_by"),
        (endpoint(auth={"supported_algorithms_uas": "SHA-256"}), "account.algorithms"),
    ],
)
def test_what_a_registered_client_gets_along_with_is_a_warning(rows: dict[str, Any], code: str) -> None:
    contacts = ok({"contacts": [{"uri": f"sip:1001@{OWN}:5061"}]})
    (found,) = said(code, rows, live=contacts)
    assert (found["status"], found["cause"]) == ("warn", None)
