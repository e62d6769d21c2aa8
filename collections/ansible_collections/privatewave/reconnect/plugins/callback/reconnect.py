# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows a run: each step as it ends, the verdict at the end, and the result document of every server.

It reads the evidence and the first judgement of the action ``gather``, the packets of ``packet_capture``, four facts,
and nothing else of what tasks return:

``reconnect_run``        {run_id, mode, account, incident}, the same run_id for every server
``reconnect_server_id``  the id that the server gave with the lease
``reconnect_judgement``  {verdict, findings, state}; the state only once the run has come to its conclusion
``reconnect_remedies``   [{remedy, cause, state, reason, before, after, rolled_back, started_at, finished_at}]

With ``RECONNECT_RESULT_DIR`` in the environment it keeps there, per server, ``SERVER.json`` (the result),
``evidence-SERVER.json`` (the first evidence), ``evidence-SERVER.after.json`` (the evidence after the last remedy) and
``packets-SERVER.pcap`` (the captured packets). It writes them as soon as there is something to keep, so that a run that
is killed leaves what it knew.
"""

from __future__ import annotations

DOCUMENTATION = """
    name: reconnect
    type: stdout
    short_description: Steps as they end, the verdict, the result documents
    description:
      - Prints each step as it ends and, at the end, what was found, done and comes next.
      - Keeps the result document of every server in the folder that E(RECONNECT_RESULT_DIR) names.
    extends_documentation_fragment:
      - default_callback
"""

import base64
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ansible import constants as C
from ansible.plugins.callback import CallbackBase
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import one_line
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import command, result_folder
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.bounded import bound
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import Carried
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.outcomes import endings
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.results import (
    EVIDENCE,
    RESULT,
    UNFINISHED,
    state_of,
)

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.plugin_utils.documents import Evidence
    from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import Verdict
    from ansible_collections.privatewave.reconnect.plugins.plugin_utils.results import Result, Step

#: Says how the run ended. It may fail on purpose, and is no step of the run.
PUBLISH = "publish_verdict"
#: Actions that only decide which tasks come next, or note something down.
UNSHOWN = {
    "assert",
    "include_tasks",
    "include_role",
    "import_role",
    "validate_argument_spec",
    "meta",
    "set_fact",
    PUBLISH,
}
#: Who may say what: any other task's result is the answer of a managed host.
SET_FACT = "set_fact"
GATHER = "gather"
CAPTURED = ("async_status", "packet_capture")
#: Facts that are shown as a step all the same.
SHOWN = {"reconnect_judgement", "reconnect_later", "reconnect_remedies"}
#: The reason of a remedy without a state.
UNSAID = "It did not say how it ended."
#: The id that a server got with its first lease.
SERVER_ID = re.compile(r"[0-9a-f]{32}")


class Server:
    """What a run learnt of one server."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.first_evidence: Evidence | None = None
        self.evidence: Evidence | None = None
        #: The action has written its first evidence, and returned the head of it.
        self.evidence_in_file = False
        self.judgement: Mapping[str, Any] = {}
        self.remedies: list[Carried] = []
        self.failure: str | None = None
        self.unreachable: str | None = None
        self.timeline: list[Step] = []
        #: A capture file.
        self.packets: bytes | None = None
        self.server_id: str | None = None
        #: The run as this server has it.
        self.run: Mapping[str, Any] = {}
        #: False where the task that looks at many servers could not look at this one. It ends with the last task.
        self.looked_at = True
        #: How many of its failed tasks say only that a fault was found.
        self.failed_on_purpose = 0

    def learn(self, result: Mapping[str, Any], action: str) -> bool:
        """Take what is known by name from a task's result; True when it is worth keeping at once.

        Only actions of the control node are believed: a module's answer is whatever the server makes it.
        """
        evidence = result.get("evidence") if action == GATHER else None
        facts = facts_of(result, action)
        known = {name: facts[name] for name in ("reconnect_judgement", "reconnect_remedies") if facts.get(name)}
        if isinstance(evidence, dict) and evidence.get("schema") == EVIDENCE:
            self.evidence = cast("Evidence", evidence)
            self.evidence_in_file = self.evidence_in_file or (not self.first_evidence and "evidence_file" in result)
            self.first_evidence = self.first_evidence or self.evidence
        if action in CAPTURED:
            self.packets = packets_of(result.get("capture")) or self.packets
        # The first judgement is the action's own; facts say how the run goes on from there.
        first = _judgement(result) if action == GATHER and not self.judgement else self.judgement
        self.judgement = known.get("reconnect_judgement", first)
        if "reconnect_remedies" in known:
            self.remedies = [_remedy(one) for one in known["reconnect_remedies"]]
        return bool(known) or (evidence is not None and self.evidence is evidence)

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, or None when it never came to one."""
        verdict: Verdict | None = self.judgement.get("verdict")
        return verdict

    def ending(self, finished: bool, failed: bool) -> tuple[str, str | None]:
        """Run state and the sentence that explains it."""
        if self.unreachable:
            return "unreachable", self.unreachable
        evidence: Mapping[str, Any] = self.evidence or {}
        state, message = state_of(evidence.get("server") or {}, self.judgement, self.remedies)
        if failed and state != "unreachable":
            return "failed", self.failure or "A step failed."
        if state == "failed" or (state == "succeeded" and not finished):
            return "failed", self.failure or UNFINISHED
        return state, message


class CallbackModule(CallbackBase):
    """The callback ``reconnect``."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "reconnect"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        bound()
        folder = os.environ.get("RECONNECT_RESULT_DIR")
        self._folder = Path(folder) if folder else None
        self._run: Mapping[str, Any] = {"run_id": os.environ.get("RECONNECT_RUN_ID", "")}
        self._started_at = utc(time.time())
        self._playbook = ""
        self._servers: dict[str, Server] = {}
        #: The servers whose result the disk did not take.
        self._refused: set[str] = set()
        #: When a task began on a server, in seconds since 1970, by server and task.
        self._begun: dict[tuple[str, str], float] = {}
        #: What a server waits for, as it was last shown.
        self._waits: dict[str, str] = {}

    # What Ansible tells

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._playbook = Path(playbook._file_name).name

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._begun[host.get_name(), task._uuid] = time.time()

    def v2_runner_on_ok(self, result: Any) -> None:
        if result.task.action.rpartition(".")[2] == GATHER and "servers" in result.result:
            self._together(result)
            return
        self._step(result, "changed" if result.is_changed() else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if ignore_errors:
            self._step(result, "ignored")
            return
        name = str(result.host.get_name())
        if result.task.action.rpartition(".")[2] == PUBLISH:
            self._server(name).failed_on_purpose = int(self._server(name).looked_at)
            return
        self._failed(result, name, result.result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        server = self._server(str(result.host.get_name()))
        server.unreachable = one_line(result.result.get("msg") or "The server could not be reached.")
        self._step(result, "unreachable")
        self._keep(server)

    def v2_runner_retry(self, result: Any) -> None:
        # Only a server that another run works on is waited for. It is shown once for each run that holds the server.
        shown = one_line(result.result.get("msg") or "")
        if result.result.get("refused") and self._waits.get(result.host.get_name()) != shown:
            self._waits[result.host.get_name()] = shown
            name = one_line(result.host.get_name(), 80)
            self._display.display(f"{name} ➜ {step_name(result)}: waiting\n    {shown}", color=C.COLOR_WARN)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._display.display("No server of the inventory matches.", color=C.COLOR_ERROR)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        for server in self._servers.values():
            counts = stats.summarize(server.name)
            if server.first_evidence or server.judgement or counts["failures"] or counts["unreachable"]:
                self._keep(server, finished=True, failed=counts["failures"] > server.failed_on_purpose)
        self._conclude(stats)

    # Following

    def _server(self, name: str) -> Server:
        if name not in self._servers:
            self._servers[name] = Server(name)
        return self._servers[name]

    def _together(self, result: Any) -> None:
        """Take what one task says of many servers, as if it had run for each of them."""
        self._handle_warnings(result.result)
        began = self._begun.pop((result.host.get_name(), result.task._uuid), None)
        for name, text in result.result["servers"].items():
            said = json.loads(text)
            self._show(result, "ok", name, said, began, said["evidence"]["seconds"])
        for name, message in result.result["failures"].items():
            self._server(name).looked_at = False
            self._failed(result, name, {"msg": message})

    def _failed(self, result: Any, name: str, said: Mapping[str, Any]) -> None:
        self._server(name).failure = f"{step_name(result)}: {one_line(said.get('msg') or 'failed')}"
        self._step(result, "refused" if said.get("refused") else "failed", name, said)

    def _step(self, result: Any, state: str, name: str | None = None, said: Mapping[str, Any] | None = None) -> None:
        """Take what a task said of a server: of its own, unless it is given."""
        name, said = name or str(result.host.get_name()), said or result.result
        began = self._begun.pop((name, result.task._uuid), None)
        action = result.task.action.rpartition(".")[2]
        facts = facts_of(said, action)
        if run := facts.get("reconnect_run"):
            # What one task says for all servers comes with the first of them.
            self._run = run if run["run_id"] != self._run["run_id"] else {**run, **self._run}
            self._server(name).run = run
        if SERVER_ID.fullmatch(str(facts.get("reconnect_server_id"))):
            self._server(name).server_id = facts["reconnect_server_id"]
        if state == "ok" and action in UNSHOWN and not facts.keys() & SHOWN:
            return
        if self._display.verbosity:
            self._handle_warnings_and_exception(result)
        else:
            self._handle_warnings(result.result)
        self._show(result, state, name, said, began, round(time.time() - began, 3) if began else None)

    def _show(
        self,
        result: Any,
        state: str,
        name: str,
        said: Mapping[str, Any],
        began: float | None,
        seconds: float | None,
    ) -> None:
        """Show a step of a server, and keep what it said."""
        server = self._server(name)
        server.timeline.append(
            {"at": utc(began or time.time()), "step": step_name(result), "state": state, "seconds": seconds}
        )
        shown = "" if seconds is None else f"  {seconds:.1f} s"
        self._display.display(
            f"{one_line(server.name, 80)} ➜ {step_name(result)}: {state}{shown}",
            color={"changed": C.COLOR_CHANGED, "ok": C.COLOR_OK, "ignored": C.COLOR_WARN}.get(state, C.COLOR_ERROR),
        )
        if state not in ("ok", "changed", "ignored"):
            self._display.display(f"    {one_line(said.get('msg') or '')}", color=C.COLOR_ERROR)
        if server.learn(said, result.task.action.rpartition(".")[2]):
            self._keep(server)

    # Keeping

    def _document(self, server: Server, finished: bool, failed: bool) -> Result:
        state, message = server.ending(finished, failed)
        run = server.run if server.run.get("run_id") == self._run["run_id"] else self._run
        return {
            "schema": RESULT,
            "run_id": run["run_id"],
            "state": state,
            "playbook": self._playbook,
            "mode": run.get("mode") or "diagnose",
            "server": server.name,
            "server_id": server.server_id,
            "account": run.get("account") or None,
            "incident": run.get("incident") or None,
            "started_at": self._started_at,
            "finished_at": utc(time.time()),
            "error_message": message,
            "verdict": server.verdict,
            "findings": server.judgement.get("findings") or [],
            "remedies": server.remedies,
            "timeline": server.timeline,
        }

    def _keep(self, server: Server, finished: bool = False, failed: bool = False) -> None:
        if not self._folder:
            return
        name_of = partial(result_folder.name_of, server.name)
        documents: dict[str, Result | Evidence] = {name_of(): self._document(server, finished, failed)}
        if server.first_evidence and not server.evidence_in_file:
            documents[name_of("evidence-")] = server.first_evidence
        if server.evidence and server.evidence is not server.first_evidence:
            documents[name_of("evidence-", ".after.json")] = server.evidence
        try:
            result_folder.make(self._folder)
            for file_name, document in documents.items():
                result_folder.write(self._folder / file_name, document)
            if server.packets is not None:
                result_folder.write_bytes(self._folder / name_of("packets-", ".pcap"), server.packets)
        except OSError as problem:
            self._display.warning(f"The result cannot be kept in {self._folder}: {problem.strerror}.")
            self._refused.add(server.name)
        except (ValueError, TypeError, RecursionError) as problem:
            # What one server says is never a reason to keep nothing of the others.
            self._display.warning(f"What {one_line(server.name, 80)} said cannot be kept: {one_line(problem)}.")
        # From then on every result: the command takes what was handed over last.
        if server.name in self._refused:
            self._hand_over(server, documents[name_of()])

    def _hand_over(self, server: Server, document: Result | Evidence) -> None:
        """Give the command the result that the disk does not take; it needs no disk to tell it."""
        path = command.address()
        if path is None:
            return
        try:
            command.ask(path, {"server": server.name, "result": document})
        except (OSError, ValueError, RecursionError) as problem:
            self._display.warning(f"The result cannot be handed over either: {one_line(problem)}.")

    # Showing people

    def _conclude(self, stats: Any) -> None:
        # Servers are asked side by side, in no order.
        servers = sorted((one for one in self._servers.values() if one.timeline), key=lambda server: server.name)
        failures = {one.name: stats.summarize(one.name)["failures"] > one.failed_on_purpose for one in servers}
        self._display.display("")
        for server in servers:
            self._headline(server, *server.ending(True, failures[server.name]))
        self._found(servers)
        for server in servers:
            self._done(server)
        self._advice(servers)

    def _headline(self, server: Server, state: str, message: str | None) -> None:
        verdict = server.verdict
        ending = endings()[verdict["outcome"] if verdict and state == "succeeded" else state]
        self._display.display(
            f"{one_line(server.name, 80)}: {ending.name}: {ending.headline}",
            color=C.COLOR_OK if ending.tone == "good" else C.COLOR_ERROR,
        )
        if message:
            self._display.display(f"  {one_line(message)}")

    def _found(self, servers: Iterable[Server]) -> None:
        """Every root cause once, with all servers that have it."""
        causes: dict[tuple[str, str | None], dict[str, Any]] = {}
        for server in servers:
            if not (verdict := server.verdict):
                continue
            for cause in verdict.get("root_causes") or []:
                entry = causes.setdefault((cause["cause"], cause.get("about")), {"cause": cause, "on": [], "so": []})
                entry["on"].append(server.name)
                for symptom in verdict.get("symptoms") or []:
                    name = symptom.get("cause") or symptom.get("code")
                    if symptom["explained_by"] == cause["cause"] and name not in entry["so"]:
                        entry["so"].append(name)
        for entry in causes.values():
            cause = entry["cause"]
            step = f", {cause['runbook_step']}" if cause.get("runbook_step") else ""
            self._display.display(
                f"  found     {one_line(', '.join(entry['on']))}: {one_line(cause['title'])} ({cause['cause']}{step})",
                color=C.COLOR_ERROR,
            )
            self._display.display(f"            {one_line(cause['summary'])}")
            if entry["so"]:
                self._display.display(f"            explains: {one_line(', '.join(entry['so']))}")

    def _advice(self, servers: Iterable[Server]) -> None:
        """What comes next, once for all servers for which it is the same."""
        texts: dict[str, list[str]] = {}
        for server in servers:
            if server.verdict and (text := server.verdict.get("next_step")):
                texts.setdefault(text, []).append(server.name)
        for text, names in texts.items():
            self._display.display(f"  next      {one_line(', '.join(names))}: {one_line(text)}")

    def _done(self, server: Server) -> None:
        for remedy in server.remedies:
            reason = f": {remedy['reason']}" if remedy.get("reason") else ""
            said = f"{server.name}: {remedy['remedy']} {remedy['state']}{reason}"
            self._display.display(
                f"  done      {one_line(said)}",
                color=C.COLOR_OK if remedy["state"] in ("done", "not_needed") else C.COLOR_ERROR,
            )


def _remedy(entry: Mapping[str, Any]) -> Carried:
    """A remedy as the result holds it; what a playbook adds to it is left out. One whose end nobody said failed."""
    known = {name: entry[name] for name in Carried.__annotations__ if name in entry}
    unsaid = {} if "state" in known else {"state": "failed", "reason": known.get("reason") or UNSAID}
    return cast(Carried, {"remedy": "unknown", "rolled_back": False, **known, **unsaid})


def _judgement(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The judgement of the action ``gather``, whose findings may be a text."""
    found: Mapping[str, Any] = result.get("judgement") or {}
    return {**found, "findings": json.loads(result["findings"])} if "findings" in result else found


def facts_of(result: Mapping[str, Any], action: str) -> Mapping[str, Any]:
    """The facts that a task of the control node set. What a module answers is no fact."""
    return (result.get("ansible_facts") or {}) if action == SET_FACT else {}


def packets_of(capture: object) -> bytes | None:
    """The capture file that a server answered with, None where there is none: it is a server that says so."""
    data = capture.get("data") if isinstance(capture, dict) and capture.get("ok") is True else None
    encoded = data.get("pcap") if isinstance(data, dict) else None
    try:
        return base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else None
    except ValueError:
        return None


def step_name(result: Any) -> str:
    """Name of a task as a person reads it, without the role it is in."""
    return one_line(result.task_name or result.task.action, 120)


def utc(seconds: float) -> str:
    """RFC 3339 in UTC, to the millisecond, of seconds since the epoch."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
