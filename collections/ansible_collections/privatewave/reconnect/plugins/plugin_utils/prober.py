# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the server of a task, and the vantage points that it is seen from."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, probe
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import probe_of
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.payload import PATH_INFO
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.senders import Endpoint
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import settings

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import Path as SeenPath
    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import Target
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe

VANTAGE_GROUP = "vantage_points"
#: What the control node is called among the vantage points.
CONTROL = "control"


class Prober:
    """A server, its ``settings``, and its vantage points.

    ``server`` is the endpoint of the server itself. Whatever raises `AnsibleActionFail` names the server.
    """

    def __init__(self, server: Endpoint) -> None:
        self.variables = server.variables
        self.name = str(self.variables["inventory_hostname"])
        self.server = server
        try:
            self.settings = settings(self.variables, self.server.templar.template)
        except ValueError as error:
            raise self._failure(error) from None

    @classmethod
    def of(cls, action: Any, variables: dict[str, Any] | None) -> Prober:
        """The server that an action runs for."""
        return cls(Endpoint.of(action, variables or {}))

    def vantage(self, named: object) -> str:
        """The name of one vantage point: the one that is named, else the first of the inventory, else ""."""
        points = [named or "", *self._points()]
        return next((str(name) for name in points if name), "")

    def at(self, vantage: str) -> Endpoint:
        """A vantage point; whoever asks closes it. Raises `AnsibleActionFail`."""
        try:
            return self.server.elsewhere(vantage)
        except AnsibleError as error:
            raise self._failure(error) from None

    def paths(self, named: list[str] | None, beside: Beside | None = None) -> dict[str, Callable[[], SeenPath]]:
        """For each vantage point a question: how is the server seen from there?

        ``named`` are the vantage points, None those of the inventory. Those of ``beside`` are asked for many servers at
        once. The inventory is read here, before any thread.
        """
        names, asked = map(str, self._points() if named is None else named), beside or Beside([self])
        return {name: self._path(name, asked) for name in names if name != self.name}

    def target(self) -> Target:
        """The server as M(privatewave.reconnect.path_info) wants it described."""
        wanted = self.settings
        addresses = list(wanted["addresses"]) or _address_of(wanted["sip_domain"])
        if not addresses and not wanted["sip_domain"]:
            addresses = _address_of(str(self.server.template(self.variables.get("ansible_host", self.name))))
        target: Target = {
            "name": self.name,
            "addresses": addresses,
            "sip_domain": wanted["sip_domain"],
            "transports": wanted["sip_transports"],
            "resolvers": wanted["resolvers"],
            "srv": wanted["srv"],
            "provisioning_url": wanted["provisioning_url"],
            "user": wanted["sip_probe_user"],
            "tls_profile": {"minimum_version": wanted["tls_minimum_version"], "ciphers": wanted["tls_ciphers"]},
        }
        try:
            if pem := self._authorities():
                target["tls_ca"] = pem
        except OSError as error:
            target["tls_ca_error"] = f"cannot read the CA file {wanted['tls_ca_file']}: {error.strerror}"
        return target

    def authorities(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """The argument ``tls_ca`` of a module, where the inventory names a file and the task gives no other.

        Raises `AnsibleActionFail`.
        """
        try:
            pem = "" if "tls_ca" in arguments else self._authorities()
        except OSError as error:
            raise self._failure(f"{self.settings['tls_ca_file']}: {error.strerror}") from None
        return {"tls_ca": pem} if pem else {}

    def _authorities(self) -> str:
        """The PEM text of the file that the inventory names, empty without one. Raises `OSError`."""
        if not self.settings["tls_ca_file"]:
            return ""
        found = Path(self.server.loader.path_dwim(self.settings["tls_ca_file"]))
        return found.read_text(encoding="ascii", errors="replace")

    def _points(self) -> list[str]:
        return list(self.variables["groups"].get(VANTAGE_GROUP, []))

    def _path(self, vantage: str, beside: Beside) -> Callable[[], SeenPath]:
        try:
            # Behind address translation the server sees the vantage under another address: a ban names that one.
            translated, everybody = beside.seen_from(vantage, self.server)
        except AnsibleError as error:
            return _failing(str(error))

        def ask() -> SeenPath:
            seen: Probe[Any] = probe_of(everybody().get(self.name))
            if not seen["ok"]:
                raise ProbeError(seen["error"], seen["message"])
            if not isinstance(seen["data"], dict):
                raise ProbeError("invalid", f"{PATH_INFO} answered with something else than a path")
            return cast("SeenPath", {**seen["data"], "nat_addresses": translated})

        return ask

    def _failure(self, why: object) -> Any:
        return AnsibleActionFail(f"{self.name}: {why}")


class Beside:
    """Servers that are looked at together: each vantage point is asked once for all of them."""

    def __init__(self, servers: list[Prober]) -> None:
        self._targets = [one.target() for one in servers]
        self._seen: dict[str, tuple[Any, Callable[[], Mapping[str, Any]]]] = {}

    def seen_from(self, vantage: str, server: Endpoint) -> tuple[Any, Callable[[], Mapping[str, Any]]]:
        """The addresses that a vantage point is translated to, and the question for the paths that it sees, by server.

        Raises `AnsibleError`. Not for threads; the question is.
        """
        if vantage not in self._seen:
            there = server.elsewhere(vantage)
            asked = {"vantage": vantage, "targets": self._targets}
            self._seen[vantage] = (
                there.template(there.variables.get("reconnect_nat_addresses", [])),
                _once(partial(_ask_and_close, there, asked)),
            )
        return self._seen[vantage]


def _ask_and_close(there: Endpoint, asked: dict[str, Any]) -> Mapping[str, Any]:
    try:
        answer = there.ask(PATH_INFO, asked)
    finally:
        there.close()
    paths: Mapping[str, Any] = answer.get("paths") or {}
    return paths


def _once(question: Callable[[], Mapping[str, Any]]) -> Callable[[], Mapping[str, Any]]:
    """Whoever comes first asks the question; whoever comes later waits for the same answer."""
    lock = threading.Lock()
    told: list[Probe[Mapping[str, Any]]] = []

    def ask() -> Mapping[str, Any]:
        with lock:
            if not told:
                told.append(probe(question))
        if not told[0]["ok"]:
            raise ProbeError(told[0]["error"], told[0]["message"])
        return told[0]["data"]

    return ask


def _failing(message: str) -> Callable[[], SeenPath]:
    def fail() -> SeenPath:
        raise ProbeError("failed", message)

    return fail


def _address_of(host: str) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return []
