from __future__ import annotations

import json

import pytest
from reconnect.redaction import MASK, Redaction, is_secret_name

CANARY = "Kanarienvogel7"


@pytest.mark.parametrize(
    "text",
    [
        f"password = {CANARY}",
        f'"secret": "{CANARY} and more", "x": 1',
        f'<entry name="passwd" overwrite="true">{CANARY}</entry>',
        f"md5_cred={CANARY}",
        f"secret=>{CANARY}",
        f"sip_auth.password: '{CANARY}'",
        f"https://user:{CANARY}@host/",
        f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
        f'Digest username="601", nonce="{CANARY}", response="{CANARY}", cnonce="{CANARY}"',
        f"Authorization: Bearer {CANARY}",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{CANARY}{CANARY}",
    ],
)
def test_a_secret_in_text_is_taken_out_and_counted(text):
    redaction = Redaction()
    shown = redaction.text(text)
    assert CANARY not in shown
    assert MASK in shown
    assert redaction.taken.total() > 0


@pytest.mark.parametrize(
    "text",
    [
        "wrong password for 601",
        "Access denied for user 'asterisk'@'127.0.0.1' (using password: YES)",
        "keep_alive: 3",
        "The certificate is valid until 2027-11-23.",
        "198.18.20.22:5061",
    ],
)
def test_what_holds_no_secret_stays(text):
    assert Redaction(numbers=True).text(text) == text


def test_a_document_keeps_its_shape():
    document = {
        "rows": {"auth": {"password": {"set": True, "matches": False}, "md5_cred": CANARY}},
        "sipPassword": CANARY,
        "obfuscation_key": [CANARY, None],
        "obfuscation": {"mode": "x", "key": CANARY},
        "lines": [f"secret={CANARY}", "fine"],
        "InvalidPassword": 2,
        "modules": {"res_pjsip_authenticator_digest.so": "Running"},
    }
    shown = Redaction().document(document)
    assert CANARY not in json.dumps(shown)
    assert shown["rows"]["auth"]["password"] == {"set": True, "matches": False}
    assert shown["lines"][1] == "fine"
    assert shown["InvalidPassword"] == 2
    assert shown["modules"] == {"res_pjsip_authenticator_digest.so": "Running"}


def test_known_secrets_are_found_anywhere():
    assert CANARY not in Redaction([CANARY]).text(f"dial({CANARY})")


def test_numbers_are_masked_only_where_the_site_wants_it():
    line = "call from +390212345678 to 601"
    assert Redaction().text(line) == line
    assert Redaction(numbers=True).text(line) == f"call from {MASK}78 to 601"


def test_a_document_of_any_depth_is_bounded():
    deep: object = CANARY
    for _ in range(500):
        deep = [deep]
    assert CANARY not in json.dumps(Redaction().document(deep))


@pytest.mark.parametrize("name", ["md5_cred", "sipPassword", "obfuscation.key", "API-Key", "auth_user_pass"])
def test_names_of_secrets(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["monkey", "compass", "keep_alive", "key", "bypass"])
def test_names_of_anything_else(name):
    assert not is_secret_name(name)
