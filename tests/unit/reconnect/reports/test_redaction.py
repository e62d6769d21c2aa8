from __future__ import annotations

import io
import json
import time

import pytest
import typer
from reconnect.cli import options, screen
from reconnect.reports.redaction import Redaction, command_of
from reconnect.reports.secret_forms import MASK, is_secret_name
from reconnect.result import now
from reconnect.runs.record import Record
from reconnect.runs.request import DIAGNOSE, Asked
from rich.console import Console

from ..conftest import a_request
from .written import CANARY, HARMLESS, OTHERS, WRITTEN


def assert_masked(text: str) -> None:
    """The secret in a text is taken out and counted."""
    redaction = Redaction()
    shown = redaction.text(text)
    assert CANARY not in shown
    assert MASK in shown
    assert redaction.taken.total() > 0


@pytest.mark.attack("secrets in text, in many forms", harm="leak")
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
def test_a_secret_in_text_is_taken_out_and_counted(text: str) -> None:
    assert_masked(text)


@pytest.mark.attack("secrets in text, in many forms", harm="leak")
def test_no_form_of_a_secret_stays_in_a_text(form: str) -> None:
    assert_masked(form)


@pytest.mark.attack("secrets as programs and people write them", harm="leak")
@pytest.mark.parametrize("text", WRITTEN)
def test_no_written_form_stays(text: str) -> None:
    assert_masked(text)
    assert CANARY not in json.dumps(Redaction().document({"lines": text.split("\n")}))


@pytest.mark.attack("secrets as programs and people write them", harm="leak")
@pytest.mark.parametrize(("text", "secret"), OTHERS)
def test_no_other_secret_stays(text: str, secret: str) -> None:
    assert secret not in Redaction().text(text)


@pytest.mark.attack("a secret that is known, in any encoding", harm="leak")
@pytest.mark.parametrize(
    "shown",
    [
        "t\u00falip\u00e1n &x",
        "t%C3%BAlip%C3%A1n%20%26x",
        "t\\u00falip\\u00e1n &x",
        "t\u00falip\u00e1n &amp;x",
        "dMO6bGlww6FuICZ4",
    ],
)
def test_a_known_secret_is_found_in_any_encoding(shown: str) -> None:
    assert Redaction(["t\u00falip\u00e1n &x"]).text(f"dial({shown})") == f"dial({MASK})"


def test_the_lines_of_a_list_stay_where_they_are() -> None:
    lines = ["a", "-----BEGIN PRIVATE KEY-----", CANARY, "-----END PRIVATE KEY-----", "b\nc", "password", f"{CANARY}"]
    shown = Redaction().document(lines)
    assert shown == ["a", MASK, "", "", "b\nc", "password", MASK]


@pytest.mark.attack("a name that is there twice in a JSON text", harm="leak")
def test_no_value_of_a_name_that_is_there_twice_stays() -> None:
    assert CANARY not in Redaction().text(f'{{"password": "{CANARY}", "password": null}}')


def test_a_json_text_with_nothing_secret_stays_as_it_was() -> None:
    text = '{"a":  1e999, "password": null,\n "b": [ "x" ]} and [2026-11-27] {"c": NaN}'
    assert Redaction().text(text) == text


@pytest.mark.attack("secrets in documents, in many forms", harm="leak")
def test_no_form_of_a_secret_stays_in_a_document(forms: list[str]) -> None:
    document = {"log": forms, "message": "\n".join(forms), "rows": [{"name": form} for form in forms]}
    assert CANARY not in json.dumps(Redaction().document(document))


@pytest.mark.parametrize("name", ["pin", "pw", "userpassword", "sip.password", "userPassword", "Passwort"])
def test_a_value_beside_its_name_is_masked(name: str) -> None:
    assert Redaction().document([{"name": name, "value": CANARY, "about": "601"}]) == [
        {"name": name, "value": MASK, "about": "601"}
    ]
    assert Redaction().document({name: CANARY, "userid": "601"}) == {name: MASK, "userid": "601"}


PIECES = [
    *(
        "a_",
        "-",
        "password\\",
        'password="',
        '\\"',
        "://",
        "://a:",
        "sip:a:",
        "=,",
        "secret=a,",
        "<pass ",
        "%22",
        "&quot;",
    ),
    *("password%3D%22", "cookie:", "authorization: a ", "mysql ", "curl -u ", "identified by ", "://h/activate/a/"),
    *(
        "-----END PRIVATE KEY-----",
        "AAAAAAAA\n",
        "id,password\n",
        "insert into a values ('",
        '{"a":',
        "[[",
        "\\",
        "%25",
    ),
    *("set a ", "password is ", "value=a name=password ", "password ", "register => a:", "a:a:", "AAAA", "pin of a "),
    *("secret=" + "'" * 3, "--a-", "-----BEGIN PRIVATE KEY-----", "eyJaaaaaaaaa.", "password" + " " * 50, "k=clear:"),
]


@pytest.mark.attack("hostile text for the patterns of the redaction", harm="hang")
@pytest.mark.parametrize("piece", PIECES)
def test_hostile_text_takes_no_longer(piece: str) -> None:
    begun = time.process_time()
    Redaction().text(piece * (200_000 // len(piece)))
    # A pattern that goes back takes minutes.
    assert time.process_time() - begun < 10


@pytest.mark.parametrize(
    "text",
    [
        "wrong password for 601",
        "password is wrong",
        "the password is not correct",
        "La password è sbagliata",
        "Passwort ist falsch",
        "Access denied for user 'asterisk'@'127.0.0.1' (using password: YES)",
        "keep_alive: 3",
        "198.18.20.22:5061",
        "Call-ID: Ys8DkA~9abcXYZ0123456789abcdefABCD@198.18.20.3",
        "Via: SIP/2.0/TLS 198.18.20.3:5061;branch=z9hG4bK-524287-1---f3a9bC7dE1234567890abcdefABCD;rport",
        "From: <sip:1001@pbx.example>;tag=aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW",
        "To: <sip:1001@pbx.example:5061;transport=tls>",
        "Contact: <sip:1001@198.18.20.3:5061;transport=TLS;ob>",
        "User-Agent: PrivateGSM/12.3 (Android 14)",
        "REGISTER sip:pbx.example:5061 SIP/2.0",
        "SIP/2.0 401 Unauthorized",
        "CSeq: 1824 REGISTER",
        'WWW-Authenticate: Digest realm="asterisk",algorithm=MD5,qop="auth"',
        "https://pbx.example:8443/provisioning/1001.xml",
        "https://pbx.example:8443/provisioning/",
        "host key SHA256:abcDEF0123456789abcDEF0123456789abcDEF01234",
        "sip:192.0.2.1:5061",
        "http://198.18.20.22:8443/x?mail=a@b",
        "IPv6 [2001:db8::1]:5061",
        "module res_pjsip_authenticator_digest.so",
        "InvalidPassword 2 times",
        "ChallengeResponseFailed",
        "ping: 3 packets, pin-point",
        "PASS 12 FAIL 0",
        "token expired",
        "Basic authentication is required",
        "cookies are disabled",
        "Secret code",
        "compass: north",
        "spin: 3",
        "password: ",
        'password=""',
        "ssl key: /etc/asterisk/keys/pbx.key",
        "The certificate is valid until 2027-11-23.",
        "tls_cipher=ECDHE-RSA-AES256-GCM-SHA384",
        "Negotiated ECDHE-RSA-AES256-GCM-SHA384",
        "negotiate TLSv1.3",
        "SHA-256: 3A:5B:0C",
        "Request 'REGISTER' from '<sip:1001@pbx>' failed for '198.18.20.3:40112' "
        "(callid: Ab3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW)",
        "ping pinned certificate",
        "es la clave del problema",
        "The PIN was rejected",
        "the secret is out",
        "--password-file /etc/x",
        "mysql -P 3306 -h db",
        "curl -u https://h/",
        "run 20261126-180000-abcd12",
        "https://tracker.example/Ticket/Display.html?id=17",
        "https://reconnect.example/runs/20261126-180000-abcd12",
        *HARMLESS,
    ],
)
def test_what_holds_no_secret_stays(text: str) -> None:
    assert Redaction(numbers=True).text(text) == text


def test_a_document_keeps_its_shape() -> None:
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


@pytest.mark.attack("a secret of the settings in a report", harm="leak")
def test_known_secrets_are_found_anywhere() -> None:
    assert CANARY not in Redaction([CANARY]).text(f"dial({CANARY})")


def test_numbers_are_masked_only_where_the_site_wants_it() -> None:
    line = "call from +390212345678 to 601"
    assert Redaction().text(line) == line
    assert Redaction(numbers=True).text(line) == f"call from {MASK}78 to 601"


def test_a_document_of_any_depth_is_bounded() -> None:
    deep: object = CANARY
    for _ in range(500):
        deep = [deep]
    assert CANARY not in json.dumps(Redaction().document(deep))


@pytest.mark.parametrize(
    "name", ["md5_cred", "sipPassword", "userpassword", "pin", "pw", "obfuscation.key", "API-Key", "auth_user_pass"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["monkey", "compass", "keep_alive", "key", "bypass", "spin", "pinned", "opinion"])
def test_names_of_anything_else(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.attack("a secret typed as a variable of any name", harm="leak")
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["-e", f"a={CANARY} b='x y={CANARY}'"], ["-e", "a=••• b=•••"]),
        ([f"-ea={CANARY}"], ["-ea=•••"]),
        (["--extra-vars", f'{{"a": {{"b": "{CANARY}"}}, "c": 1}}'], ["--extra-vars", '{"a": "•••", "c": "•••"}']),
        ([f"--extra-vars=a={CANARY}"], ["--extra-vars=a=•••"]),
        (["-e", f"{{a: {CANARY}}}"], ["-e", "•••"]),
        (["-e", "@more.yml", "alpha", "--check"], ["-e", "@more.yml", "alpha", "--check"]),
        (["-De", f"a={CANARY}", "-e", f"ba={CANARY}"], ["-De", "a=•••", "-e", "ba=•••"]),
        ([f"-Dea={CANARY}", "alpha"], ["-Dea=•••", "alpha"]),
        (["-D", "-e", f"a={CANARY}", "-D"], ["-D", "-e", "a=•••", "-D"]),
        (
            ["alpha", "--timeout", "30", "--client-report", "a=b"],
            ["alpha", "--timeout", "30", "--client-report", "a=b"],
        ),
    ],
)
def test_a_command_has_the_names_of_its_variables_and_no_values(words: list[str], shown: list[str]) -> None:
    app, parsed = typer.Typer(), list[Asked]()
    app.callback()(lambda: None)
    options.command(app, DIAGNOSE, lambda asked, _: parsed.append(asked))
    command = ["diagnose-server", *words]
    typer.main.get_command(app).main(args=command, standalone_mode=False, obj=command)
    request = a_request(command=command, extra_vars=parsed[0].extra_vars)
    assert command_of(request) == ["diagnose-server", *shown]
    screen.show(Console(file=(said := io.StringIO())), Record(run_id="1", request=request, started_at=now()), [])
    assert ("Again" in said.getvalue(), CANARY in said.getvalue()) == (True, False)
