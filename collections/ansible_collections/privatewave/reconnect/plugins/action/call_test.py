# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Place a call from a vantage point, and have the server count its media at the same time."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, failed
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import expected
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import inner, plain, probe_of
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.prober import Prober
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.senders import ask_all

CALL_TEST = "privatewave.reconnect.call_test"
CALL_WATCH = "privatewave.reconnect.call_watch"
#: Seconds that sending a module and ending it may take beside what it does.
AROUND = 15.0


class ActionModule(ActionBase):
    """The action `call_test`, documented in plugins/modules/call_test.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        prober = Prober.of(self, task_vars)
        arguments = {"limit": 40.0, **plain(self._task.args)}
        try:
            limit = float(arguments["limit"])
        except ValueError as error:
            raise AnsibleActionFail(f"{prober.name}: {error}") from None
        vantage = prober.vantage(arguments.pop("vantage", None))
        if not vantage or self._task.check_mode:
            why = "nobody is called in check mode" if vantage else "the inventory has no vantage point to call from"
            return {**result, "changed": False, "call": failed("skipped", why)}
        arguments = {
            "domain": prober.settings["sip_domain"],
            "port": prober.settings["sip_port"],
            **prober.authorities(arguments),
            **arguments,
        }
        try:
            for who, setting in (("caller", "test_account"), ("callee", "test_callee")):
                arguments.update(expected.reserved(prober, setting, arguments, who, f"{who}_password"))
        except ProbeError as error:
            return {**result, "changed": False, "call": failed(error.error, error)}
        watched = {
            "settings": prober.settings,
            "accounts": [arguments["caller"], arguments["callee"]],
            "seconds": limit,
        }
        there = prober.at(vantage)
        answers = ask_all(
            {
                "call": (lambda: probe_of(there.ask(CALL_TEST, arguments).get("call")), limit + AROUND),
                "server": (lambda: probe_of(prober.server.ask(CALL_WATCH, watched).get("call")), limit + AROUND),
            }
        )
        there.close()
        call, server = inner(answers["call"]), inner(answers["server"])
        if call["ok"]:
            call["data"] = {"vantage": vantage, **call["data"], "server": server}
        return {**result, "changed": False, "call": call}
