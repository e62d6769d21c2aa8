# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the module what the inventory says of the server."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import settings


class ActionModule(ActionBase):
    """The action `registration_watch`, documented in plugins/modules/registration_watch.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        if not arguments.get("settings"):
            try:
                arguments["settings"] = settings(variables, self._templar.template)
            except ValueError as error:
                raise AnsibleActionFail(f"{variables['inventory_hostname']}: {error}") from None
        answer = self._execute_module(module_args=arguments, task_vars=variables, wrap_async=bool(self._task.async_val))
        result.update(answer)
        return result
