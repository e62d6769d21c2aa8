# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow an account's attempts to register on a server, with the settings that the inventory has of it."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import command, live
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import answer_of
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.senders import Endpoint, making_folders, no_folder
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import settings

REGISTRATION_WATCH = "privatewave.reconnect.registration_watch"


class ActionModule(ActionBase):
    """The action `registration_watch`, documented in plugins/modules/registration_watch.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        if not arguments.get("settings"):
            try:
                arguments["settings"] = settings(variables, self._templar.template)
            except ValueError as error:
                raise AnsibleActionFail(f"{variables['inventory_hostname']}: {error}") from None
        job = bool(self._task.async_val)
        told = contextlib.nullcontext() if job or command.address() is None else self._told(arguments, variables)
        with told, making_folders():
            answer = self._execute_module(
                module_name=REGISTRATION_WATCH, module_args=arguments, task_vars=variables, wrap_async=job
            )
        return {**result, **answer_of(REGISTRATION_WATCH, answer, job=job)}

    def _told(self, arguments: dict[str, Any], variables: dict[str, Any]) -> contextlib.AbstractContextManager[None]:
        """Has the command that started the playbook told of each attempt meanwhile. Ansible removes the folder; where
        the run is cancelled, the module does."""
        server = str(variables["inventory_hostname"])
        try:
            folder = self._make_tmp_path()
        except AnsibleConnectionFailure as error:
            if not (why := no_folder(error)):
                raise
            self._display.warning(f"{server}: the attempts are told only when the watch has ended. {why}")
            return contextlib.nullcontext()
        arguments["seen"] = self._connection._shell.join_path(folder, "seen")
        return live.followed(Endpoint.of(self, variables), server, arguments["seen"])
