# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Place a call from a vantage point, and have the server count its media at the same time."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.action.gather import _in_context
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Round, failed
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import plain
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.vantage import VantageAction

CALL_TEST = "privatewave.reconnect.call_test"
CALL_WATCH = "privatewave.reconnect.call_watch"
#: Seconds that sending a module and ending it may take beside what it does.
AROUND = 15.0


class ActionModule(VantageAction):
    """The action `call_test`, documented in plugins/modules/call_test.py."""

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = ActionBase.run(self, tmp, task_vars)
        variables = task_vars or {}
        arguments = {"caller": "601", "callee": "602", "limit": 40.0, **plain(self._task.args)}
        server = str(variables["inventory_hostname"])
        wanted = self._wanted(variables)
        try:
            limit = float(arguments["limit"])
        except ValueError as error:
            raise AnsibleActionFail(f"{server}: {error}") from None
        vantage = self._point(arguments.pop("vantage", None), variables)
        if not vantage or self._task.check_mode:
            why = "nobody is called in check mode" if vantage else "the inventory has no vantage point to call from"
            return {**result, "changed": False, "call": failed("skipped", why)}
        arguments = {
            "domain": wanted["sip_domain"],
            "port": wanted["sip_port"],
            **self._authorities(wanted, arguments, variables),
            **arguments,
        }
        watched = {"settings": wanted, "accounts": [arguments["caller"], arguments["callee"]], "seconds": limit}

        prober, own = self._at(vantage, variables)
        asked = Round()
        asked.ask("call", _in_context(lambda: prober._ask(CALL_TEST, arguments, own)["call"]), limit + AROUND)
        asked.ask("server", _in_context(lambda: self._ask(CALL_WATCH, watched, variables)["call"]), limit + AROUND)
        answers = asked.answers()
        prober._connection.close()
        # What was asked answers with a probe of its own.
        call, server_side = (
            answer["data"] if answer["ok"] else answer for answer in (answers["call"], answers["server"])
        )
        if call["ok"]:
            call["data"] = {"vantage": vantage, **call["data"], "server": server_side}
        return {**result, "changed": False, "call": call}
