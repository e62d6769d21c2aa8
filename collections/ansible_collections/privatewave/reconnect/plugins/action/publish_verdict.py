# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish how a run ended as statistics of the job, and fail where a fault is left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.outcomes import Ending, endings
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.results import state_of

#: The name of the statistics.
STATISTICS = "reconnect"


class ActionModule(ActionBase):
    """The action `publish_verdict`, documented in plugins/modules/publish_verdict.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(
            argument_spec={"fail_on_fault": {"type": "bool", "default": False}}
        )
        variables = task_vars or {}
        hosts, server = variables["hostvars"], str(variables["inventory_hostname"])
        if server == (variables.get("ansible_play_hosts") or [server])[0]:
            result["ansible_stats"] = {
                "data": {STATISTICS: verdicts(hosts, variables.get("ansible_play_hosts_all") or [server])},
                # Over everything that another task, and so a server, wrote there.
                "aggregate": False,
                "per_host": False,
            }
        if failure := (hosts.raw_get(server).get("reconnect_gathered") or {}).get("failures", {}).get(server):
            return {**result, "failed": True, "msg": plain(failure)}
        ending = ended(facts(hosts, server))
        if arguments["fail_on_fault"] and ending.exit_code:
            return {**result, "failed": True, "msg": f"{ending.headline.capitalize()}."}
        return {**result, "changed": False}


def verdicts(hosts: Any, servers: list[Any]) -> dict[str, Any]:
    """What AWX hands on to the next job, which trusts it as its own variables: only words of our catalogues."""
    known = {str(server): facts(hosts, str(server)) for server in servers}
    run_id = next((one["run"]["run_id"] for one in known.values() if one["run"]), "")
    return {"run_id": run_id, "servers": {server: summary(one) for server, one in known.items()}}


def facts(hosts: Any, server: str) -> dict[str, Any]:
    """The facts of a run on a server, as far as it came; ``hosts`` are Ansible's ``hostvars``."""
    # What tasks have set is resolved. To resolve it again costs more than all the rest of this task.
    own = hosts.raw_get(server)
    gathered = own.get("reconnect_gathered") or {}
    if "servers" in gathered:
        gathered = json.loads(gathered["servers"].get(server) or "{}")
    return {
        "run": plain(own.get("reconnect_run") or {}),
        "reached": plain((gathered.get("evidence") or {}).get("server") or {}),
        "judgement": plain(own.get("reconnect_judgement") or gathered.get("judgement") or {}),
        "remedies": plain(own.get("reconnect_remedies") or []),
    }


def ended(known: Mapping[str, Any]) -> Ending:
    """The row of the table of outcomes."""
    state, _message = state_of(known["reached"], known["judgement"], known["remedies"])
    return endings()[known["judgement"]["verdict"]["outcome"] if state == "succeeded" else state]


def summary(known: Mapping[str, Any]) -> dict[str, Any]:
    """How the run ended on one server, without a word that a server said."""
    verdict = known["judgement"].get("verdict") or {}
    ending = ended(known)
    return {
        "outcome": ending.name,
        "headline": ending.headline,
        "exit_code": ending.exit_code,
        "causes": [cause["cause"] for cause in verdict.get("root_causes") or []],
        "remedies": [{name: one[name] for name in ("remedy", "state")} for one in known["remedies"]],
        "escalate_to": ending.escalate_to,
    }
