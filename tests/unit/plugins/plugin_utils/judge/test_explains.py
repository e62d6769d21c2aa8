"""What follows from what: seen from the same vantage, at the same place."""

from __future__ import annotations

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import verdict
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.finding import Finding, Say, place

FOUR, SIX = "192.0.2.5:5061", "[2001:db8::5]:5061"


@pytest.mark.parametrize(
    ("about", "where"),
    [
        (FOUR, ("192.0.2.5", 5061)),
        (SIX, ("2001:db8::5", 5061)),
        ("2001:db8:0::5", ("2001:db8::5", 0)),
        (f"tls:{SIX}", ("2001:db8::5", 5061)),
        ("https://pbx.example/provisioning", ("", 443)),
        ("https://192.0.2.5:8443/", ("192.0.2.5", 8443)),
        ("https://[broken/", ("", 0)),
        ("pbx.example at 192.0.2.53", ("", 0)),
        ("asterisk.service", ("", 0)),
        ("", ("", 0)),
    ],
)
def test_the_place_a_finding_is_about(about: str, where: tuple[str, int]) -> None:
    assert place(about) == where


def roots(*findings: Finding) -> dict[str, list[str]]:
    return {name: [one.about for one in found] for name, found in verdict._roots(findings)[0].items()}


def fails(code: str, about: str, cause: str | None = None, vantage: str = "phone") -> Finding:
    return Say(code, "network", about, vantage).fails("It fails.", cause)


def test_a_block_explains_what_fails_behind_it() -> None:
    assert roots(
        fails("path.tcp", FOUR, "firewall_edge_blocks"),
        fails("sip.options", f"tls:{FOUR}"),
    ) == {"firewall_edge_blocks": [FOUR]}


@pytest.mark.parametrize("about", [f"tls:{SIX}", "tls:192.0.2.5:5060", "https://pbx.example/"])
def test_a_block_does_not_hide_what_fails_at_another_address_or_port(about: str) -> None:
    code = "provisioning.https" if "//" in about else "sip.options"
    found = roots(fails("path.tcp", FOUR, "firewall_edge_blocks"), fails(code, about))
    assert found == {"firewall_edge_blocks": [FOUR], "unknown_cause": [about]}


def test_a_ban_explains_every_port_of_its_address_and_no_other_address() -> None:
    found = roots(
        fails("path.tcp", FOUR, "client_banned"),
        fails("provisioning.https", "https://192.0.2.5/"),
        fails("path.tcp", SIX, "firewall_edge_blocks"),
    )
    assert found == {"client_banned": [FOUR], "firewall_edge_blocks": [SIX]}


def test_what_one_vantage_sees_does_not_explain_what_another_sees() -> None:
    found = roots(
        fails("path.tcp", FOUR, "firewall_edge_blocks", "phone"), fails("sip.options", f"tls:{FOUR}", None, "control")
    )
    assert set(found) == {"firewall_edge_blocks", "unknown_cause"}


def test_what_happened_to_the_server_itself_explains_what_fails_anywhere() -> None:
    stopped = Say("asterisk.process", "asterisk", "asterisk.service").fails("It is stopped.", "asterisk_stopped")
    assert set(roots(stopped, fails("path.tcp", SIX, "firewall_edge_blocks"))) == {"asterisk_stopped"}
