"""What clients really print: each message has its meaning, and the cause that it hints at or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.catalogue import catalogue
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.client_log.signatures import signatures
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.evidence import Evidence
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.finding import Finding
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.rules.client import reported

KNOWN = yaml.safe_load(Path(__file__).with_name("messages.yml").read_text(encoding="utf-8"))


def evidence(**report: object) -> dict[str, object]:
    return {"schema": "reconnect/evidence/v1", "settings": {}, "client_report": report}


def said(**report: object) -> Iterator[Finding]:
    return (one for one in reported(Evidence(evidence(**report))) if one.code == "client.log" and one.status == "warn")


@pytest.mark.parametrize("group", KNOWN, ids=lambda group: group["about"] or "no failure")
@pytest.mark.parametrize("where", ["log", "error_message"])
def test_a_message_of_a_client_has_its_meaning(group: dict[str, Any], where: str) -> None:
    got = {}
    for message in group["messages"]:
        first = next(said(**{where: message.splitlines() if where == "log" else message}), None)
        got[message] = (first.about, first.cause) if first else (None, None)
    assert got == dict.fromkeys(group["messages"], (group["about"], group["cause"]))


def test_there_are_many_and_every_signature_has_one() -> None:
    assert sum(len(group["messages"]) for group in KNOWN) >= 250
    assert {group["about"] for group in KNOWN} - {None} >= {one.name for one in signatures()} - {"declined"}
    assert {group["cause"] for group in KNOWN} - {None} <= set(catalogue())


def test_the_most_exact_line_is_the_decisive_one() -> None:
    log = [
        "Found certificate depth=[0], flags=[expired ]:",
        "Channel [0x1]: SSL handshake failed : X509 - Certificate verification failed, e.g. CRL, CA",
        "Register refresher [503] reason [io error] for proxy [<sip:pbx22;transport=tls>]",
    ]
    assert [one.about for one in said(log=log)][:2] == ["certificate_expired", "certificate_refused"]
