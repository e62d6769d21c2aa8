# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows a run: each step as it ends, the verdict at the end, and the result document of every server.

It reads the evidence that the action ``gather`` returns, the packets that ``packet_capture`` does, three facts, and
nothing else of what tasks return:

``reconnect_run``        {run_id, mode, account, incident}, the same for every server
``reconnect_judgement``  {verdict, findings, state}; the state only once the run has come to its conclusion
``reconnect_remedies``   [{remedy, cause, state, reason, before, after, rolled_back, started_at, finished_at}]

With ``RECONNECT_RESULT_DIR`` in the environment it keeps there, per server, ``SERVER.json`` (the result,
``reconnect/result/v1``), ``evidence-SERVER.json`` (what was found at first), ``evidence-SERVER.after.json`` (what was
found after the last remedy) and ``packets-SERVER.pcap`` (what ``packet_capture`` captured). They are written as soon as
there is something to keep, so that a run which is killed half-way leaves what it knew.
"""

from __future__ import annotations

import base64
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from ansible import constants as C
from ansible.plugins.callback import CallbackBase

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

SCHEMA = "reconnect/result/v1"
EVIDENCE_SCHEMA = "reconnect/evidence/v1"
#: Actions that only decide which tasks come next, or note something down.
SILENT = {"assert", "include_tasks", "include_role", "import_role", "validate_argument_spec", "meta", "set_fact"}
#: Facts that are worth a step all the same.
TOLD = {"reconnect_judgement", "reconnect_later", "reconnect_remedies"}
#: Why a server gave no evidence that means it could not be reached.
UNREACHABLE = {"unreachable", "timed_out", "denied"}
#: The fields of a remedy in the result.
REMEDY = (
    "remedy",
    "cause",
    "state",
    "reason",
    "before",
    "after",
    "rolled_back",
    "escalate",
    "started_at",
    "finished_at",
)
UNFINISHED = "The run ended before it came to its conclusion."

HEADLINES = {
    "healthy": "healthy",
    "not_an_issue": "not an issue of the server",
    "temporary_network_problem": "a temporary network problem that is over",
    "fixed_client_configuration": "mended: client configuration",
    "fixed_account": "mended: account",
    "fixed_service": "mended: service",
    "fixed_network": "mended: network",
    "fault_found": "a fault was found and not mended",
    "escalate_second_level": "escalate to second level",
    "escalate_third_level": "escalate to third level",
}


class Server:
    """What a run learnt of one server."""

    def __init__(self, name):
        self.name = name
        self.first_evidence = None
        self.evidence = None
        self.judgement = {}
        self.remedies = []
        self.failure = None
        self.unreachable = None
        self.timeline = []
        self.packets = None

    def learn(self, result):
        """Take what is known by name from a task's result; True when it is worth keeping at once."""
        evidence = result.get("evidence")
        facts = result.get("ansible_facts") or {}
        known = {name: facts[name] for name in ("reconnect_judgement", "reconnect_remedies") if facts.get(name)}
        if isinstance(evidence, dict) and evidence.get("schema") == EVIDENCE_SCHEMA:
            self.evidence = evidence
            self.first_evidence = self.first_evidence or evidence
        capture = result.get("capture")
        if isinstance(capture, dict) and capture.get("ok"):
            self.packets = capture["data"]["pcap"]
        self.judgement = known.get("reconnect_judgement", self.judgement)
        self.remedies = known.get("reconnect_remedies", self.remedies)
        return bool(known) or (evidence is not None and self.evidence is evidence)

    @property
    def verdict(self):
        """The verdict, or None when it never came to one."""
        return self.judgement.get("verdict")

    def ending(self, finished, failed):
        """Run state and the sentence that explains it."""
        reached = (self.evidence or {}).get("server") or {"ok": True}
        if self.unreachable:
            return "unreachable", self.unreachable
        if not reached.get("ok") and reached.get("error") in UNREACHABLE:
            return "unreachable", reached.get("message") or "The server could not be reached."
        if failed:
            return "failed", self.failure or "A step failed."
        if self.judgement.get("state") == "refused":
            return "refused", next((one.get("reason") for one in self.remedies if one.get("state") == "refused"), None)
        if not finished or not self.verdict:
            return "failed", self.failure or UNFINISHED
        return "succeeded", None


class CallbackModule(CallbackBase):
    """The callback ``reconnect``."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "reconnect"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        folder = os.environ.get("RECONNECT_RESULT_DIR")
        self._folder = Path(folder) if folder else None
        self._run = {"run_id": os.environ.get("RECONNECT_RUN_ID", "")}
        self._started_at = utc(time.time())
        self._playbook = ""
        self._servers = {}
        self._begun = {}
        self._waits = {}

    # What Ansible tells

    def v2_playbook_on_start(self, playbook):
        self._playbook = Path(playbook._file_name).name

    def v2_runner_on_start(self, host, task):
        self._begun[host.get_name(), task._uuid] = time.time()

    def v2_runner_on_ok(self, result):
        self._step(result, "changed" if result.is_changed() else "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if ignore_errors:
            self._step(result, "ignored")
            return
        server = self._server(result)
        server.failure = f"{step_name(result)}: {one_line(result.result.get('msg') or 'failed')}"
        self._step(result, "refused" if result.result.get("refused") else "failed")

    def v2_runner_on_unreachable(self, result):
        server = self._server(result)
        server.unreachable = one_line(result.result.get("msg") or "The server could not be reached.")
        self._step(result, "unreachable")
        self._keep(server)

    def v2_runner_retry(self, result):
        # Only a server that another run mends is waited for; told once for each that holds it.
        said = one_line(result.result.get("msg") or "")
        if result.result.get("refused") and self._waits.get(result.host.get_name()) != said:
            self._waits[result.host.get_name()] = said
            name = one_line(result.host.get_name(), 80)
            self._display.display(f"{name} ➜ {step_name(result)}: waiting\n    {said}", color=C.COLOR_WARN)

    def v2_playbook_on_no_hosts_matched(self):
        self._display.display("No server of the inventory matches.", color=C.COLOR_ERROR)

    def v2_playbook_on_stats(self, stats):
        for server in self._servers.values():
            counts = stats.summarize(server.name)
            if server.first_evidence or server.judgement or counts["failures"] or counts["unreachable"]:
                self._keep(server, finished=True, failed=bool(counts["failures"]))
        self._conclude(stats)

    # Following

    def _server(self, result):
        name = result.host.get_name()
        if name not in self._servers:
            self._servers[name] = Server(name)
        return self._servers[name]

    def _step(self, result, state):
        began = self._begun.pop((result.host.get_name(), result.task._uuid), None)
        facts = result.result.get("ansible_facts") or {}
        self._run = facts.get("reconnect_run", self._run)
        if state == "ok" and result.task.action.rpartition(".")[2] in SILENT and not facts.keys() & TOLD:
            return
        if self._display.verbosity:
            self._handle_warnings_and_exception(result)
        else:
            self._handle_warnings(result.result)
        server = self._server(result)
        seconds = round(time.time() - began, 3) if began else None
        server.timeline.append(
            {"at": utc(began or time.time()), "step": step_name(result), "state": state, "seconds": seconds}
        )
        shown = "" if seconds is None else f"  {seconds:.1f} s"
        self._display.display(
            f"{one_line(server.name, 80)} ➜ {step_name(result)}: {state}{shown}",
            color={"changed": C.COLOR_CHANGED, "ok": C.COLOR_OK, "ignored": C.COLOR_WARN}.get(state, C.COLOR_ERROR),
        )
        if state not in ("ok", "changed", "ignored"):
            self._display.display(f"    {one_line(result.result.get('msg') or '')}", color=C.COLOR_ERROR)
        if server.learn(result.result):
            self._keep(server)

    # Keeping

    def _document(self, server, finished, failed):
        state, message = server.ending(finished, failed)
        return {
            "schema": SCHEMA,
            "run_id": self._run.get("run_id") or "",
            "state": state,
            "playbook": self._playbook,
            "mode": self._run.get("mode") or "diagnose",
            "server": server.name,
            "account": self._run.get("account") or None,
            "incident": self._run.get("incident") or None,
            "started_at": self._started_at,
            "finished_at": utc(time.time()),
            "error_message": message,
            "verdict": server.verdict,
            "findings": server.judgement.get("findings") or [],
            "remedies": [
                {"rolled_back": False} | {key: one[key] for key in REMEDY if key in one} for one in server.remedies
            ],
            "timeline": server.timeline,
        }

    def _keep(self, server, finished=False, failed=False):
        if not self._folder:
            return
        name = quote(server.name, safe="")
        documents = {f"{name}.json": self._document(server, finished, failed)}
        if server.first_evidence:
            documents[f"evidence-{name}.json"] = server.first_evidence
        if server.evidence is not server.first_evidence:
            documents[f"evidence-{name}.after.json"] = server.evidence
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file_name, document in documents.items():
                write(self._folder / file_name, document)
            if server.packets is not None:
                write_bytes(self._folder / f"packets-{name}.pcap", base64.b64decode(server.packets))
        except OSError as problem:
            self._display.warning(f"The result cannot be kept in {self._folder}: {problem.strerror}.")

    # Telling people

    def _conclude(self, stats):
        # Side by side, either may have been the first.
        told = sorted((one for one in self._servers.values() if one.timeline), key=lambda server: server.name)
        endings = {server.name: server.ending(True, bool(stats.summarize(server.name)["failures"])) for server in told}
        self._display.display("")
        for server in told:
            self._headline(server, *endings[server.name])
        self._found(told)
        for server in told:
            self._done(server)
        for title, field in (("next", "next_step"), ("user", "user_message")):
            self._advice(title, field, told)

    def _headline(self, server, state, message):
        outcome = (server.verdict or {}).get("outcome")
        good = state == "succeeded" and (outcome or "").startswith(("healthy", "fixed", "not_an", "temporary"))
        words = HEADLINES.get(outcome, "no verdict")
        if state != "succeeded":
            words = f"{state}, {words}" if outcome else state
        self._display.display(f"{one_line(server.name, 80)}: {words}", color=C.COLOR_OK if good else C.COLOR_ERROR)
        if message:
            self._display.display(f"  {one_line(message)}")

    def _found(self, servers):
        """Every root cause once, with all servers that have it."""
        causes = {}
        for server in servers:
            verdict = server.verdict or {}
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

    def _advice(self, title, field, servers):
        """What comes next, once for all servers for which it is the same."""
        texts = {}
        for server in servers:
            if text := (server.verdict or {}).get(field):
                texts.setdefault(text, []).append(server.name)
        for text, names in texts.items():
            self._display.display(f"  {title:<9} {one_line(', '.join(names))}: {one_line(text)}")

    def _done(self, server):
        for remedy in server.remedies:
            reason = f": {remedy['reason']}" if remedy.get("reason") else ""
            self._display.display(
                one_line(f"  done      {server.name}: {remedy['remedy']} {remedy['state']}{reason}", strip=False),
                color=C.COLOR_OK if remedy["state"] in ("done", "not_needed") else C.COLOR_ERROR,
            )


def step_name(result):
    """Name of a task as a person reads it, without the role it is in."""
    return one_line(result.task_name or result.task.action, 120)


def one_line(text, limit=400, strip=True):
    """``text`` as one printable line: what comes from servers and tickets must not steer a terminal."""
    line = "".join(character if character.isprintable() else " " for character in str(text))
    line = line.strip() if strip else line.rstrip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def utc(seconds):
    """RFC 3339 in UTC, to the millisecond, of seconds since the epoch."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def write(path, document):
    """Write a JSON document, see `write_bytes`."""
    text = json.dumps(document, indent=1, ensure_ascii=False, default=str)
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_bytes(path, content):
    """Write a file at once or not at all, for this user only."""
    new = path.with_name(f".{path.name}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(new, path)
