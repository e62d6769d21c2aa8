# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of variables that a server's own word becomes: readable by Ansible, and never a template."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.privatewave.reconnect.plugins.filter.host_vars import FilterModule
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import settings

host_vars = FilterModule().filters()["host_vars"]


def found(value: object, why: str = "It was read.") -> dict[str, object]:
    return {"value": value, "why": why}


def test_what_was_found_is_a_valid_inventory() -> None:
    setup = {
        "sip_transports": found([{"transport": "udp", "port": 5060}]),
        "database_engine": found("none"),
        "rtp_ports": found([10000, 20000]),
        "session_view": found(""),
    }
    text = host_vars(setup, "pbx1")
    known: Any = settings(yaml.safe_load(text))
    assert known["sip_transports"] == [{"transport": "udp", "port": 5060}]
    assert (known["database_engine"], known["rtp_ports"]) == ("none", [10000, 20000])
    assert text.count("# It was read.") == len(setup)


def test_what_was_not_found_is_a_comment_with_the_default() -> None:
    text = host_vars({"test_account": found(None, "Asterisk has no account 601.")}, "pbx1")
    assert yaml.safe_load(text) is None
    assert '# Asterisk has no account 601.\n# reconnect_test_account: "601"\n' in text


@pytest.mark.attack("a server answers with what Ansible would carry out", harm="execution")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sip_domain", "{{ lookup('pipe', 'id') }}"),
        ("asterisk_unit", "{% for x in y %}"),
        ("database_engine", "mysql\nansible_connection: local"),
        ("sip_transports", [{"transport": "tls; id", "port": 1}]),
        ("rtp_ports", ["x", "y"]),
        ("nobody_knows_it", "x"),
    ],
)
def test_a_hostile_answer_is_no_variable(name: str, value: str | list[str | dict[str, Any]]) -> None:
    assert yaml.safe_load(host_vars({name: found(value)}, "pbx1")) is None


@pytest.mark.attack("a reason breaks out of its comment", harm="execution")
def test_a_reason_stays_a_comment() -> None:
    text = host_vars({"sip_domain": found("pbx.example", "It\nansible_connection: local\r\nis")}, "pbx1")
    assert yaml.safe_load(text) == {"reconnect_sip_domain": "pbx.example"}
