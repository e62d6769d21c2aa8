# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the control node whether a remedy may begin, and say how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import command
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain

ARGUMENTS = {
    "remedy": {"type": "str", "default": ""},
    "cause": {"type": "str", "default": ""},
    "role": {"type": "str", "default": ""},
    "outcome": {"type": "str", "choices": ["done", "not_needed", "refused", "failed", "rolled_back"]},
    "server_id": {"type": "str", "default": ""},
}
#: Remedies of these roles reach one account.
ACCOUNT_ROLES = ("account", "client")


class ActionModule(ActionBase):
    """The action `remedy_permission`, documented in plugins/modules/remedy_permission.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        arguments = plain(arguments)
        variables = task_vars or {}
        path = command.address()
        if path:
            groups = variables.get("groups") or {}
            answer = ask(
                path,
                {
                    **arguments,
                    "of_account": arguments["role"] in ACCOUNT_ROLES,
                    "server": str(variables["inventory_hostname"]),
                    "groups": [str(name) for name in variables.get("group_names") or []],
                    "servers": len(groups.get("servers") or groups.get("all") or [""]),
                },
            )
        else:
            answer = alone(arguments, variables)
        if answer["allowed"]:
            return {**result, "changed": False}
        told = {"failed": True, "refused": True, "escalate": bool(answer.get("escalate")), "msg": str(answer["reason"])}
        return {**result, **told}


def ask(path: str, question: dict[str, Any]) -> dict[str, Any]:
    """What the command answers. Raises `AnsibleActionFail` when it does not answer."""
    try:
        return command.ask(path, question)
    except OSError as error:
        raise AnsibleActionFail(
            f"Cannot ask whether the remedy may begin ({type(error).__name__}). Nothing was changed."
        ) from None
    except (ValueError, RecursionError):
        raise AnsibleActionFail("The answer whether the remedy may begin is invalid. Nothing was changed.") from None


def alone(arguments: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Of the servers of one play that need the same remedy, the first is fixed: nobody counts those of other plays."""
    if not arguments["remedy"] or arguments["outcome"] or arguments["role"] in ACCOUNT_ROLES:
        return {"allowed": True}
    hostvars = variables.get("hostvars") or {}
    for server in variables.get("ansible_play_hosts_all") or []:
        if server == variables["inventory_hostname"]:
            break
        step = hostvars[server].get("reconnect_step") if server in hostvars else None
        if isinstance(step, Mapping) and step.get("remedy") == arguments["remedy"]:
            return {
                "allowed": False,
                "reason": f"{server} needs {arguments['remedy']} too and comes first. Once it is fixed there, "
                "run this server again.",
            }
    return {"allowed": True}
