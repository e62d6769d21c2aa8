# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the control node whether a remedy may begin, and say how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import command, pairs
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain

ARGUMENTS = {
    "remedy": {"type": "str", "default": ""},
    "cause": {"type": "str", "default": ""},
    "role": {"type": "str", "default": ""},
    "outcome": {"type": "str", "choices": ["done", "not_needed", "refused", "failed", "rolled_back"]},
    "server_id": {"type": "str", "default": ""},
    "pairs": {"type": "list", "elements": "str", "default": []},
    "undoes": {"type": "bool", "default": False},
}
#: Remedies of these roles reach one account.
ACCOUNT_ROLES = ("account", "client")
#: How a remedy ended that changed nothing.
UNTOUCHED = ("refused", "not_needed")


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
        groups = variables.get("groups") or {}
        try:
            partners = pairs.partners(str(variables["inventory_hostname"]), arguments.pop("pairs"), groups)
        except pairs.PairError as error:
            return {**result, **_refused(str(error))}
        path = command.address()
        if path:
            answer = ask(
                path,
                {
                    **arguments,
                    "of_account": arguments["role"] in ACCOUNT_ROLES,
                    "server": str(variables["inventory_hostname"]),
                    "groups": [str(name) for name in variables.get("group_names") or []],
                    "partners": partners,
                    "servers": len(groups.get("servers") or groups.get("all") or [""]),
                },
            )
        else:
            answer = alone(arguments, variables, partners)
        if answer["allowed"]:
            return {**result, "changed": False}
        return {**result, **_refused(str(answer["reason"]), bool(answer.get("escalate")))}


def _refused(reason: str, escalate: bool = False) -> dict[str, Any]:
    return {"failed": True, "refused": True, "escalate": escalate, "msg": reason}


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


def alone(arguments: dict[str, Any], variables: Mapping[str, Any], partners: Sequence[str] = ()) -> dict[str, Any]:
    """Of the servers of one play that need the same remedy, the first is fixed, whatever their rounds. Of partners that
    need any, the first goes first. Nobody counts those of other plays."""
    if not arguments["remedy"] or arguments["outcome"] or arguments["role"] in ACCOUNT_ROLES:
        return {"allowed": True}
    hostvars, remedy = variables.get("hostvars") or {}, arguments["remedy"]
    servers = list(variables.get("ansible_play_hosts_all") or [])
    own = servers.index(variables["inventory_hostname"]) if variables["inventory_hostname"] in servers else 0
    if arguments.get("undoes"):
        first = next((server for server in servers[:own] if server in partners), "")
        said = f"{first}, a partner of this server, comes first. Once it is undone there, undo it on this server again."
        return {"allowed": False, "reason": said} if first else {"allowed": True}
    for number, server in enumerate(servers):
        facts = hostvars[server] if number != own and server in hostvars else {}
        if number < own and _is(facts.get("reconnect_step"), remedy):
            said = f"{server} needs {remedy} too and comes first. Once it is fixed there, run this server again."
            return {"allowed": False, "reason": said}
        step = facts.get("reconnect_step") or {}
        if number < own and server in partners and step and step.get("role") not in ACCOUNT_ROLES:
            said = f"{server}, a partner of this server, needs {step['remedy']} and comes first."
            said += " Once it is fixed there, run this server again."
            return {"allowed": False, "reason": said}
        if server in partners and any(
            _is(done, remedy) and done.get("state") != "done" for done in facts.get("reconnect_remedies") or []
        ):
            said = f"{remedy} did not help on {server}, a partner of this server: find out why."
            return {"allowed": False, "reason": said, "escalate": True}
        if any(_is(done, remedy) for done in facts.get("reconnect_remedies") or []):
            said = f"{server} got {remedy} before. If that helped there, run this server again."
            return {"allowed": False, "reason": said}
    return {"allowed": True}


def _is(step: object, remedy: str) -> bool:
    """Whether that remedy is under way, or has changed something."""
    return isinstance(step, Mapping) and step.get("remedy") == remedy and step.get("state") not in UNTOUCHED
