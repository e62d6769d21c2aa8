# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which account a test logs in with, and whose password it sends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import expected


@pytest.fixture
def prober(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server whose site has the reserved account 700, and a registry that has 700 and the disabled 701."""

    def registered(_server: str, name: str, _endpoint: object) -> list[dict[str, Any]]:
        if name == "broken":
            raise AnsibleError("The account registry has 1 mistake.")
        known = {"700": True, "701": False}
        return [{"username": name, "password": f"p{name}", "enabled": known[name]}] if name in known else []

    monkeypatch.setattr(expected, "registered", registered)
    return SimpleNamespace(name="pbx", server=None, settings={"test_account": "700", "test_callee": ""})


def test_a_test_logs_in_as_the_sites_reserved_account(prober: Any) -> None:
    assert expected.reserved(prober, "test_account", {}, "caller", "secret") == {"caller": "700", "secret": "p700"}


def test_what_a_task_gives_counts(prober: Any) -> None:
    given = {"account": "9", "password": "own"}
    assert expected.reserved(prober, "test_account", given, "account", "password") == given


@pytest.mark.parametrize(
    ("setting", "given", "error", "message"),
    [
        ("test_callee", {}, "skipped", "reconnect_test_callee is empty"),
        ("test_account", {"account": "702"}, "missing", "has no account 702"),
        ("test_account", {"account": "701"}, "skipped", "has disabled the account 701"),
        ("test_account", {"account": "broken"}, "skipped", "has 1 mistake"),
    ],
)
def test_why_nobody_logs_in(prober: Any, setting: str, given: dict[str, str], error: str, message: str) -> None:
    with pytest.raises(ProbeError, match=message) as raised:
        expected.reserved(prober, setting, given, "account", "password")
    assert raised.value.error == error
