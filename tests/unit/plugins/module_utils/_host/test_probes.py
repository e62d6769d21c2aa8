# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of systemd, and the limits of the questions."""

from __future__ import annotations

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import probes as host
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import dns
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Error, ProbeError


def test_units_that_systemd_did_not_describe() -> None:
    with pytest.raises(ProbeError):
        host.parse_units("LoadState=loaded\n", ["asterisk.service", "mariadb.service"])


@pytest.mark.parametrize(("text", "span"), [("100ms", 100000), ("1min 30s", 90000000), ("infinity", None), ("0", 0)])
def test_spans_of_systemd(text: str, span: int | None) -> None:
    assert host._span(text) == span


def test_every_question_of_the_host_has_a_limit() -> None:
    asked = host.questions({})
    assert all(0 < limit <= 3 for _function, limit in asked.values())


def test_a_server_without_resolvers_asks_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(resolver: str, _name: str, _kind: str, _limit: float) -> None:
        raise ProbeError("refused", f"{resolver} refused")

    monkeypatch.setattr(dns, "system_resolvers", list)
    monkeypatch.setattr(dns, "lookup", refused)
    assert host.resolvers({}) == {"127.0.0.1": {"answers": False, "message": "127.0.0.1 refused"}}


def test_a_resolver_answers_whatever_its_answer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: dict[str, Error | None] = {
        "192.0.2.1": None,
        "192.0.2.2": "invalid",
        "192.0.2.3": "timed_out",
        "192.0.2.4": None,
    }

    def lookup(resolver: str, _name: str, _kind: str, limit: float) -> None:
        assert 0 < limit < 1
        if error := errors[resolver]:
            raise ProbeError(error, "no answer")

    monkeypatch.setattr(dns, "system_resolvers", lambda: list(errors))
    monkeypatch.setattr(dns, "lookup", lookup)
    found = host.resolvers({"sip_domain": "pbx.example"})
    # A program asks three of them.
    assert {address: one["answers"] for address, one in found.items()} == {
        "192.0.2.1": True,
        "192.0.2.2": True,
        "192.0.2.3": False,
    }
