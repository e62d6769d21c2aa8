# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Place a call from a vantage point, and have the server count its media at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.action.gather import VANTAGE_GROUP, _in_context
from ansible_collections.privatewave.reconnect.plugins.action.gather import ActionModule as Gather
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Round, failed
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import plain, settings

CALL_TEST = "privatewave.reconnect.call_test"
CALL_WATCH = "privatewave.reconnect.call_watch"
#: Seconds that sending a module and ending it may take beside what it does.
AROUND = 15.0


class ActionModule(Gather):
    """The action `call_test`, documented in plugins/modules/call_test.py."""

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = ActionBase.run(self, tmp, task_vars)
        variables = task_vars or {}
        arguments = {"caller": "601", "callee": "602", "limit": 40.0, **plain(self._task.args)}
        server = str(variables["inventory_hostname"])
        try:
            wanted = settings(variables, self._templar.template)
            limit = float(arguments["limit"])
        except ValueError as error:
            raise AnsibleActionFail(f"{server}: {error}") from None
        points = [arguments.pop("vantage", None) or "", *variables["groups"].get(VANTAGE_GROUP, [])]
        vantage = next((str(name) for name in points if name), "")
        if not vantage or self._task.check_mode:
            why = "nobody is called in check mode" if vantage else "the inventory has no vantage point to call from"
            return {**result, "changed": False, "call": failed("skipped", why)}
        arguments.setdefault("domain", wanted["sip_domain"])
        arguments.setdefault("port", wanted["sip_port"])
        if wanted["tls_ca_file"] and "tls_ca" not in arguments:
            try:
                text = Path(self._loader.path_dwim(wanted["tls_ca_file"])).read_text(encoding="ascii", errors="replace")
            except OSError as error:
                raise AnsibleActionFail(f"{server}: {wanted['tls_ca_file']}: {error.strerror}") from None
            arguments["tls_ca"] = text
        watched = {"settings": wanted, "accounts": [arguments["caller"], arguments["callee"]], "seconds": limit}

        try:
            prober, own = self._prober(vantage, variables)
        except AnsibleError as error:
            raise AnsibleActionFail(f"{server}: {error}") from None
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

    def _configure_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        # Modules are built one at a time: the builder is not made for threads. They run at the same time.
        with self._building:
            return ActionBase._configure_module(self, module_name, module_args, task_vars)
