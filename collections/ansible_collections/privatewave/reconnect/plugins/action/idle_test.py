# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a vantage point measure how long a connection to the server may be idle."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, failed, probe
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import expected
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import inner, plain, probe_of
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.prober import Prober

IDLE_TEST = "privatewave.reconnect.idle_test"


class ActionModule(ActionBase):
    """The action `idle_test`, documented in plugins/modules/idle_test.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        prober = Prober.of(self, task_vars)
        wanted, arguments = prober.settings, plain(self._task.args)
        vantage = prober.vantage(arguments.pop("vantage", None))
        ports = {one["transport"]: one["port"] for one in wanted["sip_transports"]}
        transport = next((one for one in ("tls", "tcp") if one in ports), None)
        if not vantage or not transport:
            why = "clients use neither TLS nor TCP" if vantage else "the inventory has no vantage point to measure from"
            return {**result, "changed": False, "idle": failed("skipped", why)}
        arguments = {
            "domain": wanted["sip_domain"] or prober.name,
            "server": next(iter(wanted["addresses"]), wanted["sip_domain"] or prober.name),
            "transport": transport,
            "port": ports[transport],
            **prober.authorities(arguments),
            **arguments,
        }
        try:
            arguments.update(expected.reserved(prober, "test_account", arguments, "account", "password"))
        except ProbeError as error:
            return {**result, "changed": False, "idle": failed(error.error, error)}
        there = prober.at(vantage)
        idle = inner(probe(lambda: probe_of(there.ask(IDLE_TEST, arguments).get("idle"))))
        there.close()
        if idle["ok"]:
            idle["data"] = {"vantage": vantage, **idle["data"]}
        return {**result, "changed": False, "idle": idle}
