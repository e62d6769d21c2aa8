# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases of RFC 4475 as messages of our own: `torture/valid` parse to the right fields, `torture/invalid` do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import sip

TORTURE = Path(__file__).parent / "torture"
VALID = sorted((TORTURE / "valid").glob("*.sip"))
INVALID = sorted((TORTURE / "invalid").glob("*.sip"))


def valid(section: str) -> sip.Message:
    (path,) = (TORTURE / "valid").glob(f"{section}-*.sip")
    return sip.parse(path.read_bytes())


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_legal_message_is_parsed_and_keeps_its_meaning_when_built_again(path: Path) -> None:
    message = sip.parse(path.read_bytes())
    if "every-character" in path.stem:
        return  # It holds a NUL inside quotes, which we never send.
    again = sip.parse(bytes(message))
    assert (again.method, again.uri, again.status, again.body) == (
        message.method,
        message.uri,
        message.status,
        message.body,
    )
    assert [header for header in again.headers if header[0] != "Content-Length"] == [
        header for header in message.headers if header[0] != "Content-Length"
    ]


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_illegal_message_raises_one_clear_error(path: Path) -> None:
    with pytest.raises(sip.SIPError) as caught:
        sip.parse(path.read_bytes())
    assert str(caught.value)
    assert len(str(caught.value)) < 200


def test_every_section_about_parsing_has_its_message() -> None:
    sections = {path.stem.split("-")[0] for path in VALID + INVALID}
    wanted = {f"3.1.1.{n}" for n in range(1, 14)} | {f"3.1.2.{n}" for n in range(1, 20)} | {"3.2.1", "3.4.1"}
    wanted |= {f"3.3.{n}" for n in range(1, 15)}
    assert wanted == sections


def test_folded_and_compact_fields_of_the_odd_invite() -> None:
    message = valid("3.1.1.1")
    assert message.cseq == (12, "INVITE")
    assert int(str(message.get("Max-Forwards"))) == 70
    assert sip.parse_address(str(message.get("To"))) == {
        "display": "",
        "uri": "sip:1001@pbx.example.com",
        "parameters": {"tag": "77aa"},
    }
    assert sip.parse_address(str(message.get("From")))["display"] == 'J \\ "Jo"'
    assert [sip.parse_via(via)["transport"] for via in message.listed("Via")] == ["UDP", "TCP", "UDP"]
    assert message.branch == "z9hG4bKodd1"
    assert sip.parse_address(str(message.get("Contact")))["parameters"] == {
        "newone": "newvalue",
        "flagonly": None,
        "q": "0.33",
    }
    assert message.get("Subject") == ""
    assert message.body.startswith(b"v=0\r\n")


def test_every_character_that_the_grammar_allows() -> None:
    message = valid("3.1.1.2")
    assert message.method == "!odd-Method0123456789_*+`.%plus'yes~"
    uri = sip.parse_uri(str(message.uri))
    assert uri["user"] == "1_odd.USER~(really!so)&isn't+it$/what?,/;;*"
    assert uri["password"] == "&word+has=1,odd!*pas$wo~rd.(isn't-it)"
    assert sip.parse_address(str(message.get("To")))["display"] == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.get("extension-!.%*+_`'~") == "é大電"


def test_escapes_stay_escaped() -> None:
    assert sip.parse_uri(str(valid("3.1.1.3").uri))["user"] == "sips%3A1001%40example.com"
    assert [sip.parse_address(c)["uri"] for c in valid("3.1.1.4").listed("Contact")] == [
        "sip:%00@host.example.com",
        "sip:%00%00@host.example.com",
    ]
    assert valid("3.1.1.5").method == "RE%47IST%45R"


def test_a_display_name_may_touch_its_bracket() -> None:
    assert sip.parse_address(str(valid("3.1.1.6").get("From")))["display"] == "caller"


def test_long_values_are_kept_whole() -> None:
    message = valid("3.1.1.7")
    assert len(message.listed("Via")) == 31
    assert len(str(sip.parse_address(str(message.get("From")))["parameters"]["tag"])) == 240


def test_bytes_after_content_length_are_dropped() -> None:
    assert valid("3.1.1.8").body == b""


def test_semicolons_belong_to_the_user_part() -> None:
    uri = sip.parse_uri(str(valid("3.1.1.9").uri))
    assert (uri["user"], uri["host"], uri["parameters"]) == ("user;par=u%40example.net", "example.com", {})


def test_unknown_transports() -> None:
    vias = [sip.parse_via(via) for via in valid("3.1.1.10").listed("Via")]
    assert [via["transport"] for via in vias] == ["UDP", "SCTP", "TLS", "UNHEARDOF", "TCP"]
    assert (vias[4]["host"], vias[4]["port"], vias[4]["parameters"]["received"]) == (
        "[2001:db8::9]",
        5061,
        "2001:db8::9",
    )


def test_a_binary_body_is_not_touched() -> None:
    assert b"\x30\x82\x00\xff\r\n\r\n\xfe" in valid("3.1.1.11").body


def test_reasons_of_any_kind() -> None:
    assert valid("3.1.1.12").reason.startswith("= 2**3 * 5**2 но сто")
    assert (valid("3.1.1.13").status, valid("3.1.1.13").reason) == (100, "")


def test_schemes_other_than_sip() -> None:
    assert sip.parse_uri(str(valid("3.3.2").uri))["scheme"] == "nobodyknows"
    assert sip.parse_uri(str(valid("3.3.3").uri))["opaque"] == "//192.0.2.103:3002"


def test_parameters_of_a_contact_without_brackets_are_the_header_fields() -> None:
    bare, bracketed = valid("3.3.12").get("Contact"), valid("3.3.13").get("Contact")
    assert sip.parse_address(str(bare))["parameters"] == {"unknownparam": None}
    assert sip.parse_address(str(bracketed))["parameters"] == {}
    assert sip.parse_uri(sip.parse_address(str(bracketed))["uri"])["parameters"] == {"unknownparam": None}
