# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What actions share that have one vantage point do something with a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.action.gather import VANTAGE_GROUP
from ansible_collections.privatewave.reconnect.plugins.action.gather import ActionModule as Gather
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import settings


class VantageAction(Gather):
    """The base of such actions. What it raises names the server."""

    def _wanted(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """What the server should be like. Raises `AnsibleActionFail`."""
        try:
            return settings(variables, self._templar.template)
        except ValueError as error:
            raise AnsibleActionFail(f"{variables['inventory_hostname']}: {error}") from None

    def _point(self, named: object, variables: Mapping[str, Any]) -> str:
        """The vantage point: the one that is named, else the first of the inventory, else ""."""
        points = [named or "", *variables["groups"].get(VANTAGE_GROUP, [])]
        return next((str(name) for name in points if name), "")

    def _at(self, vantage: str, variables: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """This action as it would run there, and the variables of that host. Raises `AnsibleActionFail`."""
        try:
            prober, own = self._prober(vantage, variables)
        except AnsibleError as error:
            raise AnsibleActionFail(f"{variables['inventory_hostname']}: {error}") from None
        return prober, own

    def _authorities(
        self, wanted: Mapping[str, Any], arguments: Mapping[str, Any], variables: Mapping[str, Any]
    ) -> dict[str, str]:
        """The argument ``tls_ca`` of a module, where the inventory names a file and the task gives no other.

        Raises `AnsibleActionFail`.
        """
        if not wanted["tls_ca_file"] or "tls_ca" in arguments:
            return {}
        try:
            found = Path(self._loader.path_dwim(wanted["tls_ca_file"]))
            return {"tls_ca": found.read_text(encoding="ascii", errors="replace")}
        except OSError as error:
            name = variables["inventory_hostname"]
            raise AnsibleActionFail(f"{name}: {wanted['tls_ca_file']}: {error.strerror}") from None

    def _configure_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        # Modules are built one at a time: the builder is not made for threads. They run at the same time.
        with self._building:
            return ActionBase._configure_module(self, module_name, module_args, task_vars)
