# SPDX-License-Identifier: GPL-3.0-or-later
"""In check mode, the actions that store a password or call say so and do nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible_collections.privatewave.reconnect.plugins.action import call_test, rotate_password
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import expected
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.prober import Prober

REGISTRY = """
group: {name: sales, server: alpha}
accounts:
  - {username: "1001", virtual_number: "+390212345601", password: !vault "$ANSIBLE_VAULT;1.1;AES256\\n6161"}
  - {username: "1002", virtual_number: "+390212345602", password: "{{ lookup('x') }}"}
"""


def never(*_arguments: object, **_more: object) -> None:
    raise AssertionError("something was done in check mode")


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """check(plugin, arguments): what an action answers in check mode, on the server ``alpha``."""

    def run(plugin: ModuleType, **arguments: object) -> dict[str, Any]:
        task = Task()
        task.args, task.check_mode = arguments, True
        given = {"inventory_hostname": "alpha", "inventory_dir": str(tmp_path), "groups": {"vantage_points": ["phone"]}}
        loader = DataLoader()
        monkeypatch.setattr(plugin.ActionModule, "_execute_module", never)
        action = plugin.ActionModule(task, Mock(), PlayContext(), loader, Templar(loader, given), None)
        document: dict[str, Any] = action.run(task_vars=given)
        return document

    return run


def test_rotate_password_says_whether_it_can_be_stored(
    check: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "accounts").mkdir()
    file = tmp_path / "accounts" / "sales.yml"
    file.write_text(REGISTRY)
    monkeypatch.setattr(expected, "registered", lambda server, username, endpoint: [{"username": username}])
    said = check(rotate_password, account="1001", settings={})
    assert (said["changed"], said["registry"]) == (True, "accounts/sales.yml:4")
    with pytest.raises(AnsibleActionFail, match=r"No new password was made\. .*is looked up"):
        check(rotate_password, account="1002", settings={})
    assert file.read_text() == REGISTRY


def test_call_test_calls_nobody(check: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prober, "at", never)
    said = check(call_test, caller="601", caller_password="x", callee="602", callee_password="x")
    assert (said["changed"], said["call"]["error"]) == (False, "skipped")
    assert "in check mode" in said["call"]["message"]
