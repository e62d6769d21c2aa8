# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory variables that say what a server should be like."""

from __future__ import annotations

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _settings as probe_settings
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import DEFAULTS, settings


def test_defaults_fill_what_the_inventory_does_not_say() -> None:
    found = settings({"reconnect_sip_domain": "pbx.example", "other": 1})
    assert found["sip_domain"] == "pbx.example"
    assert found["sip_transports"] == [{"transport": "tls", "port": 5061}]
    assert set(found) == set(DEFAULTS)


def test_a_null_is_the_default() -> None:
    assert settings({"reconnect_sip_port": None})["sip_port"] == 5061


def test_transports_by_name_and_with_a_port() -> None:
    found = settings(
        {
            "reconnect_sip_port": 5071,
            "reconnect_sip_transports": [
                "tls",
                "UDP",
                {
                    "transport": "tcp",
                    "port": "5062",
                },
            ],
        }
    )
    assert found["sip_transports"] == [
        {"transport": "tls", "port": 5071},
        {"transport": "udp", "port": 5060},
        {"transport": "tcp", "port": 5062},
    ]


def test_values_are_templated_by_whoever_asks() -> None:
    found = settings({"reconnect_addresses": "{{ x }}"}, lambda value: ["192.0.2.1"])
    assert found["addresses"] == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("addresses", ["pbx.example"]),
        ("addresses", {"a": 1}),
        ("proxy", ["sbc.example"]),
        ("sip_port", "x"),
        ("sip_port", 0),
        ("sip_port", 70000),
        ("sip_transports", ["sctp"]),
        ("sip_transports", [{"port": 1}]),
        ("channel_driver", "iax"),
        ("tls_minimum_version", "1.1"),
        ("tls_ciphers", "NO-SUCH-CIPHER"),
        ("srv", "sips.tcp"),
        ("database_engine", "oracle"),
        ("session_columns", "username"),
        ("session_columns", {"account": "1=1 OR username"}),
        ("rtp_ports", [1]),
        ("rtp_ports", ["a", "b"]),
        ("sip_domain", ["a"]),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"reconnect_{name}"):
        settings({f"reconnect_{name}": value})


def test_a_proxy_is_where_clients_are_led_to() -> None:
    led = {"reconnect_addresses": ["203.0.113.5"]}
    assert settings({**led, "reconnect_proxy": ["203.0.113.5", "10.0.0.5"]})["proxy"] == ["203.0.113.5", "10.0.0.5"]
    with pytest.raises(ValueError, match=r"reconnect_proxy .* none of its addresses is in reconnect_addresses"):
        settings({**led, "reconnect_proxy": "10.0.0.5"})


def test_plain_data_are_copies_of_plain_types() -> None:
    class Tagged(str):
        __slots__ = ("tag",)

    copied = plain({Tagged("a"): (Tagged("b"), True, None, 1.5)})
    assert copied == {"a": ["b", True, None, 1.5]}
    assert {type(key) for key in copied} == {str}
    assert type(copied["a"][0]) is str


def test_without_a_database_accounts_are_in_files_and_nothing_of_one_is_wanted() -> None:
    found = settings({"reconnect_database_engine": "none", "reconnect_odbc_class": "asterisk"})
    assert found["account_backend"] == "file"
    assert not any(found[name] for name in ("database_unit", "odbc_dsn", "odbc_class", "session_view"))
    assert probe_settings.filled(found) == found
