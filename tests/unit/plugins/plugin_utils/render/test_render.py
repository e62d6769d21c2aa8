"""What a client is told: the documents, and that a wrong one is never handed out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import render

SETTINGS = {"sip_domain": "pbx.example", "sip_transports": [{"transport": "tls", "port": 5061}]}
OURS = (render.TEMPLATES / "privategsm.json.j2").read_text()
HOSTILE = "a<b>&\"'{{ 7*7 }}]]>\\é"


def account(username: str = "601", **fields: Any) -> dict[str, Any]:
    return {
        "username": username,
        "password": HOSTILE,
        "virtual_number": "+39022200601",
        "enabled": True,
        "edition": "professional",
        "security_model": "end_to_site",
        "obfuscation": {"mode": "none", "key": ""},
        "keep_alive": True,
        "transport": "tls",
        "codecs": ["ulaw"],
        "profile": {"name": "default", "read_only": False},
        **fields,
    }


def test_both_documents_say_what_the_registry_says_whatever_is_in_the_password() -> None:
    ours, linphone = render.documents([account()], SETTINGS)
    said = json.loads(ours["content"])
    assert (said["account"]["password"], said["server"]["port"]) == (HOSTILE, 5061)
    assert said["security"]["media_encryption"] == "sdes"
    tree = ElementTree.fromstring(linphone["content"])
    entries = {entry.get("name"): entry.text for entry in tree.iter() if entry.get("name")}
    assert entries["passwd"] == HOSTILE
    assert entries["reg_proxy"] == "<sip:pbx.example:5061;transport=tls>"


def test_rendering_is_the_same_every_time() -> None:
    assert render.documents([account()], SETTINGS) == render.documents([account()], SETTINGS)


def test_many_accounts_in_one_call_and_none_of_a_disabled_one() -> None:
    many = [account(str(1000 + number), enabled=number != 7) for number in range(300)]
    found = render.documents(many, SETTINGS)
    assert len(found) == 2 * 299
    assert "1007" not in {one["username"] for one in found}


@pytest.mark.parametrize(
    ("fields", "settings", "said"),
    [
        ({"transport": "udp"}, SETTINGS, "uses udp, its server offers tls"),
        ({}, {**SETTINGS, "sip_domain": ""}, "no reconnect_sip_domain"),
    ],
)
def test_what_cannot_be_rendered_is_one_sentence_without_the_password(
    fields: dict[str, str], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(render.RenderError, match=said) as raised:
        render.documents([account(**fields)], settings)
    assert HOSTILE not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "template", "said"),
    [
        ("own.json", "{{ account.password }", "is wrong"),
        ("own.json", "{{ nothing.there }}", "fails for account 601"),
        ("own.json", "{{ account.__class__.__mro__[1].__subclasses__() }}", "fails for account 601"),
        ("own.json", '{"a": }', "it is no JSON"),
        ("own.xml", "<a><b></a>", "it is no XML"),
        ("privategsm.json", '{"schema": "privategsm/configuration/v1"}', "account reads back otherwise"),
        ("privategsm.json", "[]", "it is no JSON object"),
        ("privategsm.json", OURS.replace("v1", "v2"), "schema reads back otherwise"),
        ("privategsm.json", OURS.replace('"verify_server": true', '"verify_server": false'), "security reads back"),
        ("privategsm.json", OURS.replace('"verify_server": true', '"verify_server": 1'), "security reads back"),
        ("privategsm.json", OURS.replace("security.obfuscation", "{}"), "security reads back otherwise"),
        (
            "privategsm.json",
            OURS.replace('"codecs"', '"extra": 1, "codecs"'),
            "it has a part that a client does not know",
        ),
        ("lpconfig.xml", "<config/>", "proxy_0.reg_proxy reads back otherwise"),
    ],
)
def test_a_sites_own_template_is_checked_like_ours(tmp_path: Path, name: str, template: str, said: str) -> None:
    (tmp_path / f"{name}.j2").write_text(template)
    with pytest.raises(render.RenderError, match=said) as raised:
        render.documents([account()], SETTINGS, [name], [str(tmp_path)])
    assert HOSTILE not in str(raised.value)


def test_a_sites_own_template_comes_first_and_may_be_of_any_kind(tmp_path: Path) -> None:
    (tmp_path / "phone.cfg.j2").write_text("user={{ account.username }}\n")
    (found,) = render.documents([account()], SETTINGS, ["phone.cfg"], [str(tmp_path)])
    assert found["content"] == "user=601\n"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", ".hidden", "missing.json"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(render.RenderError):
        render.documents([account()], SETTINGS, [name])
