# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a vantage point measure how long a connection to the server may be silent."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import failed, probe
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import plain
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.vantage import VantageAction

IDLE_TEST = "privatewave.reconnect.idle_test"


class ActionModule(VantageAction):
    """The action `idle_test`, documented in plugins/modules/idle_test.py."""

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = ActionBase.run(self, tmp, task_vars)
        variables = task_vars or {}
        server = str(variables["inventory_hostname"])
        wanted = self._wanted(variables)
        arguments = plain(self._task.args)
        vantage = self._point(arguments.pop("vantage", None), variables)
        ways = {one["transport"]: one["port"] for one in wanted["sip_transports"]}
        transport = next((one for one in ("tls", "tcp") if one in ways), None)
        if not vantage or not transport:
            why = "clients use neither TLS nor TCP" if vantage else "the inventory has no vantage point to measure from"
            return {**result, "changed": False, "idle": failed("skipped", why)}
        arguments = {
            "domain": wanted["sip_domain"] or server,
            "server": next(iter(wanted["addresses"]), wanted["sip_domain"] or server),
            "transport": transport,
            "port": ways[transport],
            **self._authorities(wanted, arguments, variables),
            **arguments,
        }
        prober, own = self._at(vantage, variables)
        answer = probe(lambda: prober._ask(IDLE_TEST, arguments, own)["idle"])
        prober._connection.close()
        # What was asked answers with a probe of its own.
        idle = answer["data"] if answer["ok"] else answer
        if idle["ok"]:
            idle["data"] = {"vantage": vantage, **idle["data"]}
        return {**result, "changed": False, "idle": idle}
