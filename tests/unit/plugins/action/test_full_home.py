# SPDX-License-Identifier: GPL-3.0-or-later
"""A server where Ansible cannot make its temporary folder is no server that cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible_collections.privatewave.reconnect.plugins.action import packet_capture, registration_watch
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import command

FULL = "mkdir: cannot create directory ‘/home/ansible/.ansible/tmp/ansible-tmp-1’: No space left on device"
NOT_MADE = "Failed to create temporary directory. In some cases, you may have been able to authenticate and did not …"
SSH = "Failed to connect to the host via ssh"
LOST = f"{SSH}: Connection reset by peer"
DONE = {"changed": False, "attempts": [], "sources": [], "ended": "time", "seconds": 1.0, "why": [], "begun": None}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """run(plugin, error, job): what an action answers where no folder can be made, in the background or not."""

    def act(plugin: ModuleType, error: str, job: bool) -> dict[str, Any]:
        def make_folder(*_arguments: object) -> None:
            raise AnsibleConnectionFailure(error)

        def execute(action: Any, wrap_async: bool = False, **_options: object) -> dict[str, Any]:
            if wrap_async:
                action._make_tmp_path()
            return DONE

        monkeypatch.setattr(plugin.ActionModule, "_make_tmp_path", make_folder)
        monkeypatch.setattr(plugin.ActionModule, "_execute_module", execute)
        monkeypatch.setattr(command, "address", lambda: "/nowhere")
        task = Task()
        task.args, task.async_val = {"account": "1001", "settings": {"channel_driver": "pjsip"}}, 60 if job else 0
        variables = {"inventory_hostname": "alpha", "hostvars": {}}
        loader = DataLoader()
        action = plugin.ActionModule(task, MagicMock(), PlayContext(), loader, Templar(loader, variables), None)
        document: dict[str, Any] = action.run(task_vars=variables)
        return document

    return act


@pytest.mark.parametrize("error", [FULL, NOT_MADE])
def test_the_watch_goes_on_and_nothing_is_told_meanwhile(run: Callable[..., dict[str, Any]], error: str) -> None:
    answer = run(registration_watch, error, False)
    assert (answer["ended"], answer.get("failed")) == ("time", None)


@pytest.mark.parametrize("plugin", [registration_watch, packet_capture])
@pytest.mark.parametrize(("error", "words"), [(FULL, "is full"), (NOT_MADE, "may be full")])
def test_what_needs_a_folder_fails_and_says_why(
    run: Callable[..., dict[str, Any]], plugin: ModuleType, error: str, words: str
) -> None:
    with pytest.raises(AnsibleActionFail, match=words):
        run(plugin, error, True)


@pytest.mark.parametrize("job", [False, True])
# The disk of the control node may be full, too.
@pytest.mark.parametrize("error", [LOST, f"{SSH}: unix_listener: cannot bind to path: No space left on device"])
def test_a_connection_that_is_lost_stays_one(run: Callable[..., dict[str, Any]], error: str, job: bool) -> None:
    with pytest.raises(AnsibleConnectionFailure, match="via ssh"):
        run(registration_watch, error, job)
