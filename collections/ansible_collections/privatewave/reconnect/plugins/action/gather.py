# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gather the evidence of one server: what it says of itself and how it is seen from outside, at the same time."""

from __future__ import annotations

import contextvars
import copy
import ipaddress
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import (
    AnsibleActionFail,
    AnsibleAuthenticationFailure,
    AnsibleConnectionFailure,
    AnsibleError,
)
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader, lookup_loader
from ansible.template import Templar
from ansible_collections.privatewave.reconnect.plugins.module_utils import _path
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, Round, answered, failed
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import render
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.payload import script
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import plain, settings

try:
    from ansible.executor.module_common import _BuiltModule as BuiltModule
except ImportError:
    # Not of Ansible's public interface: without it modules are built as any other.
    BuiltModule = None

SCHEMA = "reconnect/evidence/v1"
DEADLINE = 20.0
EVIDENCE_LIMIT = 4 * 1024 * 1024
VANTAGE_GROUP = "vantage_points"
CONTROL = "control"

SERVER_INFO = "privatewave.reconnect.server_info"
PATH_INFO = "privatewave.reconnect.path_info"
ACCOUNTS = "privatewave.reconnect.accounts"
# The part of module_utils that answers as the module does.
SCRIPTS = {SERVER_INFO: "_server", PATH_INFO: "_path"}

ARGUMENTS = {
    "account": {"type": "str"},
    "subsets": {"type": "list", "elements": "str", "choices": ["host", "asterisk", "database", "account"]},
    "client_report": {"type": "dict"},
    "watch": {"type": "dict"},
    "call": {"type": "dict"},
    "idle": {"type": "dict"},
    "vantage_points": {"type": "list", "elements": "str"},
    "deadline": {"type": "float", "default": DEADLINE},
}


class ActionModule(ActionBase):
    """The action `gather`, documented in plugins/modules/gather.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False
    _building = threading.Lock()

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        arguments = plain(arguments)
        server = str(variables["inventory_hostname"])
        try:
            wanted = settings(variables, self._templar.template)
        except ValueError as error:
            raise AnsibleActionFail(f"{server}: {error}") from None

        started, taken_at = time.monotonic(), time.time()
        limit = arguments["deadline"]
        target = self._target(server, wanted, variables)
        vantages = self._vantages(arguments["vantage_points"], server, variables)

        account, registry = self._registered(server, arguments["account"], variables)
        options: dict[str, Any] = {"settings": wanted}
        if account:
            # How often the server has to speak to its client was measured on the way, if at all.
            measured = (arguments["idle"] or {}).get("data") or {}
            options["wanted"] = {**account, "keep_alive_seconds": measured.get("keep_alive_seconds", 0)}
        documents, rendered = self._rendered(account, wanted, variables)
        options.update({"documents": documents} if documents else {})
        options.update({name: arguments[name] for name in ("account", "subsets") if arguments[name]})

        asked = Round()
        asked.ask("server", _in_context(lambda: self._ask(SERVER_INFO, options, variables)), limit)
        asked.ask(CONTROL, _in_context(lambda: _path.probe_target(target, CONTROL)), limit)
        for name, vantage in vantages.items():
            asked.ask(("vantage", name), _in_context(vantage, name, target), limit)
        answers = asked.answers()
        if any(answer.get("error") == "timed_out" for answer in answers.values()):
            _end_children()

        told = answers.pop("server")
        collected = told.pop("data", {})
        account = {**registry, **rendered, **collected.get("account", {})}
        account.update({"watch": arguments["watch"]} if arguments["watch"] else {})
        result.update(
            changed=False,
            evidence={
                "schema": SCHEMA,
                "name": server,
                "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(taken_at)),
                "seconds": round(time.monotonic() - started, 3),
                "settings": wanted,
                "server": told,
                **{subset: collected.get(subset, {}) for subset in ("host", "asterisk", "database")},
                **({"account": account} if arguments["account"] else {}),
                "paths": {CONTROL if name == CONTROL else name[1]: answer for name, answer in answers.items()},
                "client_report": arguments["client_report"],
                **{name: arguments[name] for name in ("call", "idle") if arguments[name]},
            },
        )
        return result

    def _configure_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        """What is sent: a small script, or what Ansible builds where the interpreter is to be discovered."""
        interpreter = str(self._templar.template(task_vars.get("ansible_python_interpreter", "auto")))
        if interpreter.startswith("auto") or BuiltModule is None:
            # Modules are built one at a time: the builder is not made for threads. They run at the same time.
            with self._building:
                return super()._configure_module(module_name, module_args, task_vars)
        own = {name: value for name, value in module_args.items() if not name.startswith("_ansible_")}
        built = BuiltModule(
            b_module_data=script(SCRIPTS[module_name], own),
            module_style="new",
            shebang=f"#!{interpreter}",
            serialization_profile="legacy",
        )
        return built, SCRIPTS[module_name] + ".py"

    def _ask(self, module: str, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Run a module over this action's connection. Raises `ProbeError` when it gives no result."""
        try:
            answer = self._execute_module(module_name=module, module_args=arguments, task_vars=variables)
        except AnsibleConnectionFailure as error:
            raise _connection_error(self._clearer(error)) from None
        except AnsibleError as error:
            raise ProbeError("failed", str(error)) from None
        finally:
            self.cleanup()
        answer = plain(answer)
        if answer.get("failed") or answer.get("unreachable"):
            details = str(answer.get("module_stderr") or answer.get("exception") or "").strip().splitlines()[-1:]
            raise ProbeError("failed", " ".join([str(answer.get("msg", f"{module} failed")), *details]))
        if len(json.dumps(answer)) > EVIDENCE_LIMIT:
            raise ProbeError("invalid", f"{module} answered with more than {EVIDENCE_LIMIT} bytes")
        return dict(answer)

    def _clearer(self, error: AnsibleConnectionFailure) -> AnsibleConnectionFailure:
        """Where ssh ended while the module was being sent, its own words are lost: have it say them again."""
        if "Broken pipe" in str(error):
            try:
                self._connection.exec_command("true", sudoable=False)
            except AnsibleConnectionFailure as again:
                return again
        return error

    def _registered(
        self, server: str, name: str | None, variables: dict[str, Any]
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """The account as the registry wants it, or the probe ``registry`` that says why there is nothing to compare."""
        if not name:
            return None, {}
        lookup = lookup_loader.get(ACCOUNTS, loader=self._loader, templar=self._templar)
        try:
            found = plain(lookup.run([server], variables=variables, username=name))
        except AnsibleError as error:
            return None, {"registry": failed("failed", str(error))}
        if not found:
            return None, {"registry": answered({"registered": False, "enabled": None, "findings": []}, 0.0)}
        return found[0], {}

    def _rendered(
        self, account: dict[str, Any] | None, wanted: dict[str, Any], variables: Mapping[str, Any]
    ) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """The documents that the role `account` renders, or the probe that says why there are none to compare."""
        names, folders = (
            plain(self._templar.template(variables.get(name, default)))
            for name, default in (("account_documents", list(render.DEFAULTS)), ("account_templates", []))
        )
        try:
            return render.documents([account] if account else [], wanted, names, folders), {}
        except render.RenderError as error:
            return [], {"documents": failed("failed", str(error))}

    def _target(self, server: str, wanted: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        """The server as the path probes want it described."""
        addresses = list(wanted["addresses"])
        if not addresses and not wanted["sip_domain"]:
            addresses = _address_of(str(self._templar.template(variables.get("ansible_host", server))))
        target = {
            "name": server,
            "addresses": addresses,
            "transports": wanted["sip_transports"],
            "user": wanted["sip_probe_user"],
            "tls_profile": {"minimum_version": wanted["tls_minimum_version"], "ciphers": wanted["tls_ciphers"]},
            **{name: wanted[name] for name in ("sip_domain", "resolvers", "srv", "provisioning_url")},
        }
        if wanted["tls_ca_file"]:
            try:
                found = self._loader.path_dwim(wanted["tls_ca_file"])
                target["tls_ca"] = Path(found).read_text(encoding="ascii", errors="replace")
            except OSError as error:
                target["tls_ca_error"] = f"the CA file {wanted['tls_ca_file']} can't be read: {error.strerror}"
        return target

    def _vantages(
        self, named: list[str] | None, server: str, variables: Mapping[str, Any]
    ) -> dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]]:
        """For each vantage point a function that probes a target from there.

        The inventory is read here, before any thread: its variables and templates are not made for several at a time.
        """
        names = named if named is not None else variables["groups"].get(VANTAGE_GROUP, [])
        found: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {}
        for name in map(str, names):
            if name == server:
                continue
            try:
                found[name] = self._vantage(name, variables)
            except AnsibleError as error:
                found[name] = _always_failing(str(error))
        return found

    def _prober(self, name: str, variables: Mapping[str, Any]) -> tuple[ActionModule, dict[str, Any]]:
        """This action as it would run on another host of the inventory, and that host's variables.

        Raises `AnsibleError`. Its connection is closed by whoever asked.
        """
        if name not in variables["hostvars"]:
            raise AnsibleError(f"the inventory knows no host {name}")
        own = dict(variables["hostvars"].raw_get(name))
        templar = Templar(loader=self._loader, variables=own)
        address = str(templar.template(own.get("ansible_host", name)))
        context = self._play_context.copy()
        context.remote_addr = address
        plugin = str(templar.template(own.get("ansible_connection", "ssh")))
        connection = connection_loader.get("ssh" if plugin == "smart" else plugin, context)
        if connection is None:
            raise AnsibleError(f"there is no connection plugin {plugin}")
        keywords = {"timeout": context.timeout, "remote_user": self._task.remote_user}
        if context.password:
            keywords["password"] = context.password
        for part, kind in ((connection, "connection"), (connection._shell, "shell")):
            known = C.config.get_plugin_vars(kind, part._load_name)
            part.set_options(
                task_keys=keywords,
                var_options={key: templar.template(own[key]) for key in known if key in own},
            )
        task = self._task.copy(exclude_parent=True)
        task.delegate_to = None
        prober = copy.copy(self)
        prober._connection, prober._play_context, prober._templar, prober._task = connection, context, templar, task
        return prober, own

    def _vantage(self, name: str, variables: Mapping[str, Any]) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
        prober, own = self._prober(name, variables)
        # Behind address translation the server sees the vantage under another address: a ban names that one.
        translated = plain(prober._templar.template(own.get("reconnect_nat_addresses", [])))

        def probe_from(vantage: str, target: dict[str, Any]) -> dict[str, Any]:
            try:
                answer = prober._ask(PATH_INFO, {"vantage": vantage, "targets": [target]}, own)
            finally:
                prober._connection.close()
            seen = answer["paths"][target["name"]]
            if not seen["ok"]:
                raise ProbeError(seen["error"], seen["message"])
            return {**seen["data"], "nat_addresses": translated}

        return probe_from


def _always_failing(message: str) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    def fail(_vantage: str, _target: dict[str, Any]) -> dict[str, Any]:
        raise ProbeError("failed", message)

    return fail


def _in_context(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A function that runs in a copy of the task's context variables, whatever thread calls it."""
    context = contextvars.copy_context()
    return lambda: context.run(function, *arguments)


def _address_of(host: str) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return []


def _connection_error(error: AnsibleConnectionFailure) -> ProbeError:
    """Which kind of silence a failed connection is, told from the words of OpenSSH."""
    message = re.sub(r"^.*can be reached over ssh: ", "", " ".join(str(error).split()), flags=re.IGNORECASE)
    lower = message.lower()
    if "host key verification failed" in lower or "identification has changed" in lower:
        return ProbeError("denied", "ssh does not trust the server: its host key is not the one that is known")
    if isinstance(error, AnsibleAuthenticationFailure) or "permission denied" in lower:
        return ProbeError("denied", message)
    if "timed out" in lower or "timeout" in lower:
        return ProbeError("timed_out", message)
    return ProbeError("unreachable", message)


def _end_children() -> None:
    """End what a connection that is still busy left running: nobody waits for it any more."""
    try:
        lines = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    except OSError:
        return
    for child in {int(number) for line in lines for number in line.split()}:
        try:
            os.kill(child, signal.SIGTERM)
        except OSError:
            continue
