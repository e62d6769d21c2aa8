# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gather the evidence of one server: what it says of itself and how it is seen from outside, at the same time."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import path
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, Round, probe
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import expected, result_folder
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import documented, plain, probes_of
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import (
    EvidenceError,
    catalogue,
    check,
    fitted,
    judge,
    prepare,
    unconfirmed,
)
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.payload import SCRIPTS, SERVER_INFO
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.prober import CONTROL, Beside, Prober
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.registrations import MOST_REFUSED, Registering
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.results import EVIDENCE
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.senders import Endpoint, ask_all, in_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import Account
    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import Asterisk
    from ansible_collections.privatewave.reconnect.plugins.module_utils._database.documents import Database
    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import Host
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe
    from ansible_collections.privatewave.reconnect.plugins.plugin_utils.documents import Earlier, Evidence
    from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import (
        FindingDocument,
        Judgement,
    )

#: What is returned of evidence that nobody reads from the result.
HEAD = ("schema", "name", "taken_at", "seconds", "server")
#: How many servers are looked at at the same time. Each asks the vantage point to register, and sshd opens no more than
#: ten sessions on one connection.
AT_ONCE = 8
#: How long a look may take beside the time limits of its questions, in seconds.
MORE_SECONDS = 10.0
#: Variables and templates are made for one server at a time.
preparing = threading.Lock()

ARGUMENTS = {
    "account": {"type": "str"},
    "subsets": {"type": "list", "elements": "str", "choices": ["host", "asterisk", "database", "account"]},
    "client_report": {"type": "dict"},
    "watch": {"type": "dict"},
    "call": {"type": "dict"},
    "idle": {"type": "dict"},
    "registrations": {"type": "dict"},
    "vantage_points": {"type": "list", "elements": "str"},
    "deadline": {"type": "float", "default": 20.0},
    "folder": {"type": "path"},
    "servers": {"type": "list", "elements": "str"},
    "judge": {
        "type": "dict",
        "options": {
            "apply": {"type": "bool", "default": False},
            "approvals": {"type": "list", "elements": "str", "default": []},
            "ask": {"type": "list", "elements": "str", "default": []},
            "fix_groups": {"type": "list", "elements": "str", "default": []},
            "alone": {"type": "str", "default": ""},
            "level": {"type": "str", "choices": ["first", "second"], "default": "second"},
            "rotate": {"type": "bool", "default": False},
        },
    },
}

# Ansible starts a process for each server. What every one of them needs is loaded before, once.
importlib.import_module("ansible_collections.privatewave.reconnect.plugins.plugin_utils.accounts")
catalogue()
prepare()
for _module in SCRIPTS:
    documented(_module)


class ActionModule(ActionBase):
    """The action `gather`, documented in plugins/modules/gather.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = plain(self.validate_argument_spec(argument_spec=ARGUMENTS)[1])
        check_mode = bool(self._task.check_mode)
        if arguments["servers"]:
            here = Endpoint.of(self, task_vars or {})
            return {**result, "changed": False, **together(here, arguments, check_mode)}
        return {**result, "changed": False, **looked_at(Prober.of(self, task_vars), arguments, check_mode)}


def together(here: Endpoint, arguments: dict[str, Any], check_mode: bool) -> dict[str, dict[str, str]]:
    """The answers of many servers, each as one text, and why others have none; from one process, some at a time.

    Ansible would start a process for each, and resolve the templates of the task again.
    """
    answers: dict[str, Probe[Any]] = {}
    probers: list[Prober] = []
    for name in arguments["servers"]:
        found = probe(partial(_prober, here, name))
        if found["ok"]:
            probers.append(found["data"])
        else:
            answers[name] = found
    asked, turns = Round(), threading.Semaphore(AT_ONCE)
    # Each is looked at twice at the most.
    limit = 2 * (arguments["deadline"] + MORE_SECONDS) * math.ceil(len(probers) / AT_ONCE)
    for first in range(0, len(probers), AT_ONCE):
        group = probers[first : first + AT_ONCE]
        beside = Beside(group)
        for prober in group:
            look = partial(_in_turn, turns, prober, arguments, check_mode, beside)
            asked.ask(prober.name, in_context(look), limit)
    answers.update(asked.answers())
    return {
        "servers": {name: json.dumps(one["data"]) for name, one in answers.items() if one["ok"]},
        "failures": {name: one["message"] for name, one in answers.items() if not one["ok"]},
    }


def _prober(here: Endpoint, name: str) -> Prober:
    with _answering():
        return Prober(here.peer(name))


def _in_turn(
    turns: threading.Semaphore, prober: Prober, arguments: dict[str, Any], check_mode: bool, beside: Beside
) -> dict[str, Any]:
    with turns, _answering():
        try:
            return looked_at(prober, arguments, check_mode, beside)
        finally:
            prober.server.close()


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """Makes what fails the task of one server an answer, in Ansible's own words."""
    try:
        yield
    except AnsibleError as error:
        raise ProbeError("failed", error) from None


def looked_at(
    prober: Prober, arguments: dict[str, Any], check_mode: bool, beside: Beside | None = None
) -> dict[str, Any]:
    """What the task returns of a server. Raises `AnsibleActionFail`."""
    if not arguments["judge"]:
        return returned(evidence(prober, arguments, check_mode, beside=beside), None, arguments["folder"])
    options = dict(arguments["judge"])
    groups = options.pop("fix_groups")
    if groups and not set(groups) & set(prober.variables["group_names"]):
        options["ask"] = ["all"]
    found, judgement = judged(prober, {**arguments, "judge": options}, check_mode, beside)
    return {**returned(found, judgement, arguments["folder"]), "ask": options["ask"]}


def returned(found: Evidence, judgement: Judgement | None, folder: str | None) -> dict[str, Any]:
    """The evidence and its judgement; of evidence that goes to a folder, or to nobody, only the head.

    Ansible copies a result several times, value by value: with many servers that costs more than to judge it.
    """
    whole = {"evidence": found, **({"judgement": judgement} if judgement else {})}
    if folder is None:
        return whole
    short: dict[str, Any] = {"evidence": {name: value for name, value in found.items() if name in HEAD}}
    if folder:
        file = Path(folder) / result_folder.name_of(found["name"], "evidence-")
        try:
            result_folder.make(file.parent)
            result_folder.write(file, found)
        except (OSError, ValueError):
            # The callback says why it cannot be kept.
            return whole
        short["evidence_file"] = str(file)
    if judgement:
        short.update(judgement={"verdict": judgement["verdict"]}, findings=json.dumps(judgement["findings"]))
    return short


def judged(
    prober: Prober, arguments: dict[str, Any], check_mode: bool, beside: Beside | None = None
) -> tuple[Evidence, Judgement]:
    """The evidence of a server and its judgement. Raises `AnsibleActionFail`.

    Failures that one look does not establish are looked at again; what they were then counts.
    """
    found = evidence(prober, arguments, check_mode, beside=beside)
    judgement = judge(found, **arguments["judge"])
    doubtful = unconfirmed(judgement)
    if not doubtful:
        return found, judgement
    # A password that was refused is an answer, and one more could ban the control node.
    found = evidence(prober, {**arguments, "registrations": found["registrations"]}, check_mode, most_refused=1)
    judgement = judge(found, **arguments["judge"])
    left = {check(one) for one in judgement["findings"] if one["status"] == "fail"}
    earlier = [_earlier(one) for one in doubtful if check(one) not in left]
    if earlier:
        found["earlier"] = earlier
        judgement = judge(found, **arguments["judge"])
    return found, judgement


def _earlier(finding: FindingDocument) -> Earlier:
    names = ("code", "subject", "about", "vantage", "summary")
    return cast("Earlier", {name: value for name, value in finding.items() if name in names})


def evidence(
    prober: Prober,
    arguments: dict[str, Any],
    check_mode: bool,
    most_refused: int = MOST_REFUSED,
    beside: Beside | None = None,
) -> Evidence:
    """The evidence of the server that ``prober`` asks, by one look. Raises `AnsibleActionFail`."""
    started, taken_at = time.monotonic(), time.time()
    with preparing:
        target, vantages = prober.target(), prober.paths(arguments["vantage_points"], beside)
        wanted, account = expected.account(prober.name, arguments["account"], prober.server)
        documents, rendered = expected.documents(wanted, prober.settings, prober.server) if wanted else ([], {})
        registering = Registering(
            prober, arguments["account"], wanted, check_mode, arguments["registrations"], most_refused
        )
        registrations = registering.questions(next(iter(vantages), None))
    options: dict[str, Any] = {"settings": prober.settings}
    if wanted:
        # How often the server has to speak to its client was measured on the path, if at all.
        measured = (arguments["idle"] or {}).get("data") or {}
        options["wanted"] = {**wanted, "keep_alive_seconds": measured.get("keep_alive_seconds", 0)}
    options.update({"documents": documents} if documents else {})
    # An authority that cannot be read must not be replaced by those of the server's system: no text verifies nothing.
    if "tls_ca" in target or "tls_ca_error" in target:
        options["tls_ca"] = target.get("tls_ca", "")
    options.update({name: arguments[name] for name in ("account", "subsets") if arguments[name]})
    options.update({"contacts_of": registering.contacts_of(), "testers": registering.testers()})

    questions: dict[tuple[str, ...], Any] = {
        ("server",): registering.watched_server(lambda: prober.server.ask(SERVER_INFO, options)),
        ("path", CONTROL): lambda: path.probe_target(target, CONTROL),
        **{("path", name): registering.watched_path(name, question) for name, question in vantages.items()},
        **{("registration", *name): question for name, question in registrations.items()},
    }
    answers = ask_all({name: (question, arguments["deadline"]) for name, question in questions.items()})
    told = answers.pop(("server",))
    for name in registrations:
        registering.take(name, answers.pop(("registration", *name)))
    collected: dict[str, Any] = told["data"] if told["ok"] else {}
    found: Evidence = {
        "schema": EVIDENCE,
        "name": prober.name,
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(taken_at)),
        "seconds": round(time.monotonic() - started, 3),
        "settings": prober.settings,
        # What it said stands below, subset by subset.
        "server": {"ok": True, "seconds": told["seconds"]} if told["ok"] else told,
        "host": cast("Host", probes_of(collected.get("host"))),
        "asterisk": cast("Asterisk", probes_of(collected.get("asterisk"))),
        "database": cast("Database", probes_of(collected.get("database"))),
        "paths": {name: answer for (_kind, name), answer in answers.items()},
        "registrations": registering.found,
        "client_report": arguments["client_report"],
    }
    if arguments["account"]:
        asked = cast("Account", probes_of(collected.get("account")))
        found["account"] = {**account, **rendered, **asked}
        if arguments["watch"]:
            found["account"]["watch"] = arguments["watch"]
    if arguments["call"]:
        found["call"] = arguments["call"]
    if arguments["idle"]:
        found["idle"] = arguments["idle"]
    try:
        # Servers and vantage points are believed nothing that is of another shape than documented.
        return cast("Evidence", fitted(found))
    except EvidenceError as error:
        raise AnsibleActionFail(f"{prober.name}: {error}") from None
