# SPDX-License-Identifier: GPL-3.0-or-later
"""How a server is found: its addresses, and why ssh does not let us in."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import senders
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.prober import Prober
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.senders import Endpoint
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import settings


class Server(Endpoint):
    def __init__(self) -> None:
        pass

    def template(self, value: Any) -> Any:
        return value


@pytest.mark.parametrize(
    ("variables", "addresses"),
    [
        ({"reconnect_sip_domain": "192.0.2.7"}, ["192.0.2.7"]),
        ({"reconnect_sip_domain": "2001:db8::7"}, ["2001:db8::7"]),
        ({"reconnect_sip_domain": "192.0.2.7", "reconnect_addresses": ["192.0.2.8"]}, ["192.0.2.8"]),
        ({"reconnect_sip_domain": "pbx.example", "ansible_host": "192.0.2.9"}, []),
        ({"ansible_host": "192.0.2.9"}, ["192.0.2.9"]),
    ],
)
def test_a_domain_that_is_an_address_is_where_the_server_is(variables: dict[str, Any], addresses: list[str]) -> None:
    asked = object.__new__(Prober)
    asked.name, asked.variables, asked.settings = "pbx", variables, settings(variables)
    asked.server = Server()
    assert asked.target()["addresses"] == addresses


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Host key verification failed.", "log in once by hand"),
        ("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! Host key verification failed.", "not the one that is known"),
    ],
)
def test_a_host_key_that_nobody_has_seen_is_told_from_one_that_changed(said: str, advice: str) -> None:
    error = senders._connection_error(f"Failed to connect to the host via ssh: {said}")
    assert error.error == "denied"
    assert advice in str(error)


@pytest.mark.parametrize("said", ["mkdir: …: No space left on device", "Failed to create temporary directory. In …"])
def test_a_folder_that_cannot_be_made_is_no_server_that_cannot_be_reached(said: str) -> None:
    error = senders._connection_error(said)
    assert error.error == "failed"
    assert "home folder" in str(error)
