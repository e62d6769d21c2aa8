# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``firewall_rules`` shows what it removes and puts back; single_rules itself has its own tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import single_rules
from ansible_collections.privatewave.reconnect.plugins.modules import firewall_rules

NAMED = {"filter": "iptables", "table": "ip filter", "chain": "INPUT", "digest": "1"}
RULE = ["-p", "tcp", "--dport", "5061", "-m", "comment", "--comment", "\x1b[31mred\n", "-j", "DROP"]
REMOVED = {**NAMED, "rule": RULE, "after": None, "number": 0}
TEXT = json.dumps(RULE) + "\n"


@dataclass
class Call:
    """call(arguments): what the module answers where the packet filter has the rule; ``checked``: how it was asked."""

    capsys: pytest.CaptureFixture[str]
    checked: list[bool] = field(default_factory=list)

    def answer(self, rules: list[dict[str, Any]], check: bool) -> list[dict[str, Any]]:
        self.checked.append(check)
        return [REMOVED]

    def __call__(self, diff: bool = True, check: bool = False, **arguments: str) -> dict[str, Any]:
        given = {"rules": [NAMED], "_ansible_diff": diff, "_ansible_check_mode": check, **arguments}
        with patch_module_args(given), pytest.raises(SystemExit):
            firewall_rules.main()
        document: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return document


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    made = Call(capsys)
    monkeypatch.setattr(single_rules, "remove", made.answer)
    monkeypatch.setattr(single_rules, "restore", made.answer)
    return made


@pytest.mark.parametrize(("state", "before", "after"), [("absent", TEXT, ""), ("present", "", TEXT)])
def test_each_rule_is_shown_before_and_after(call: Call, state: str, before: str, after: str) -> None:
    header = "iptables ip filter INPUT"
    shown = {"before_header": header, "after_header": header, "before": before, "after": after}
    assert call(state=state)["diff"] == [shown]
    assert call(state=state, check=True)["diff"] == [shown]
    assert call.checked == [False, True]
    assert "\x1b" not in TEXT


def test_nothing_is_shown_that_nobody_asked_for(call: Call) -> None:
    said = call(diff=False)
    assert ("diff" in said, said["rules"]) == (False, [REMOVED])
