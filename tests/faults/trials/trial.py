"""One way to run a case, for the table of ``make faults`` and for the end-to-end tests."""

from __future__ import annotations

import contextlib
import gzip
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import expect, kept
from .cases import KINDS, Case
from .phone import follows_the_message
from .tools import ROOT, Ended, Interrupted, Lab, ToolError, inventory_of, locked, pbx_of, reconnect

sys.path.append(str(ROOT / "collections"))

from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

EVIDENCE = ROOT / "tests" / "evidence"


@dataclass
class Outcome:
    """How a case went; plain data."""

    case: str
    kind: str
    name: str
    server: str
    expected: list[str]
    must_fix: bool
    named: list[str] = field(default_factory=list)
    symptoms: list[str] = field(default_factory=list)
    right: bool = False
    wrong: bool = False
    fixed: bool | None = None
    #: Whether judging the saved evidence again gave the same; None when there was none.
    same_offline: bool | None = None
    #: Of the diagnosis, with its fix; the time to break and heal is in `total_seconds`.
    seconds: float = 0.0
    total_seconds: float = 0.0
    #: Where the time went: `wait` for the hosts, `break`, `diagnose`, `approve`, `heal`; `wait` is not in the total.
    phases: dict[str, float] = field(default_factory=dict)
    #: The same of the diagnosis: seconds by step, as the run's timeline says.
    steps: dict[str, float] = field(default_factory=dict)
    misses: list[str] = field(default_factory=list)
    #: What was found, for whoever looks into a miss.
    details: str = ""


def run(case: Case, workspace: Path, record: bool = False) -> Outcome:
    """Inject the case, diagnose it, compare, heal it. Never raises for what the product or the lab did wrong.

    Raises `Interrupted` when the command was ended from outside; the case is healed then, too.
    """
    outcome = Outcome(case.id, case.kind, case.name, case.server, case.causes, case.must_fix)
    asked = time.monotonic()
    with locked(case.places):
        began = time.monotonic()
        outcome.phases["wait"] = round(began - asked, 1)
        try:
            with broken(case, outcome):
                examine(case, workspace, outcome, record)
        except ToolError as error:
            outcome.misses.append(str(error))
        outcome.total_seconds = round(time.monotonic() - began, 1)
    return outcome


@contextlib.contextmanager
def timed(outcome: Outcome, phase: str) -> Iterator[None]:
    """Add the time of a phase to the outcome, however it ends."""
    began = time.monotonic()
    try:
        yield
    finally:
        outcome.phases[phase] = round(outcome.phases.get(phase, 0.0) + time.monotonic() - began, 1)


@contextlib.contextmanager
def broken(case: Case, outcome: Outcome) -> Iterator[None]:
    """The state of the case is in effect; afterwards its hosts are healthy, booted again when healing failed."""
    lab = Lab()
    # Each case is the first of its hour: the journal of remedies is the guardrails' tests' matter, and what clients
    # tried before is another case's.
    fresh = "rm -f /var/lib/reconnect/state.json; truncate --no-create --size=0 /var/log/asterisk/security.log"
    try:
        with timed(outcome, "break"):
            lab.run(pbx_of(case.server), "sh", "-c", fresh)
            for name in case.breaks:
                lab("break", name, "--host", case.server)
        yield
    finally:
        with timed(outcome, "heal"):
            try:
                # All at once: with one of two faults left the host would not get well, and be booted again.
                lab("heal", "--host", case.server)
            except ToolError as error:
                lab("reset", *sorted(case.places))
                raise ToolError(f"it had to be reset: {error}") from error


def examine(case: Case, workspace: Path, outcome: Outcome, record: bool) -> None:
    """Diagnose and compare, fix what `--apply` may, then what an approval may."""
    workspace.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with timed(outcome, "diagnose"), user_of(case):
        ended = diagnose(case, workspace)
        outcome.seconds = round(time.monotonic() - began, 1)
    result = ended.result
    for step in result["timeline"]:
        outcome.steps[step["step"]] = round(outcome.steps.get(step["step"], 0.0) + (step["seconds"] or 0.0), 1)
    verdict = result["verdict"]
    if verdict is None:
        raise ToolError(f"the run {result['state']} without a verdict: {result['error_message']}")
    outcome.named, outcome.symptoms = expect.named(verdict), expect.symptoms(verdict)
    outcome.right = outcome.named == sorted(case.causes)
    outcome.wrong = case.kind != "control" and expect.is_wrong(case, outcome.named)
    evidence = kept.runs(workspace)[0].evidence(case.server)
    if evidence:
        again = judge.judge(evidence, apply=case.kind == "fault")
        # After a fix the result's findings are the later ones; the case is about the first evidence.
        outcome.misses += expect.judgement_misses(case, again["verdict"], again["findings"])
        outcome.same_offline = (outcome.named, outcome.symptoms) == (
            expect.named(again["verdict"]),
            expect.symptoms(again["verdict"]),
        )
        if not outcome.same_offline:
            outcome.misses.append(
                f"judged again from its evidence it names {', '.join(expect.named(again['verdict']))}"
            )
        if record:
            keep(case, evidence)
    else:
        outcome.misses.append("no evidence was kept")
    if case.kind == "fault":
        outcome.misses += fixing_misses(case, ended, outcome)
        if case.expects.get("fixed_approved") and not outcome.misses:
            with timed(outcome, "approve"), user_of(case):
                approved = diagnose(case, workspace / "approved", "--approve", case.expects["remedy"])
            outcome.fixed = fixed(approved) and done(approved.result) == [case.expects["remedy"]]
            if not outcome.fixed:
                outcome.misses.append(f"{case.expects['remedy']} was approved and did not fix it: {ending(approved)}")
                result = approved.result
        if case.expects.get("undone") and not outcome.misses:
            with timed(outcome, "undo"):
                outcome.misses += undoing_misses(case, workspace if case.must_fix else workspace / "approved")
    if outcome.misses:
        outcome.details = told(result)


def user_of(case: Case) -> contextlib.AbstractContextManager[None]:
    """The user of the case's phone, who follows the link of a message where the case says so."""
    return follows_the_message(Lab(), case.account) if case.follows else contextlib.nullcontext()


def diagnose(case: Case, workspace: Path, *more: str) -> Ended:
    """Run the command on the case; nothing is fixed but faults. Raises `Interrupted` when it was told to stop."""
    words = [case.command, case.server]
    if case.command == "fix-account-config":
        words = [case.command, case.account, "--server", case.server, "--watch", "0"]
    elif case.account:
        words += ["--account", case.account]
    if case.idle_test:
        words += ["--idle-test", str(case.idle_test)]
    if case.client_report is not None:
        workspace.mkdir(parents=True, exist_ok=True)
        report = workspace / "client-report.json"
        report.write_text(json.dumps(case.client_report), encoding="utf-8")
        words += ["--client-report", str(report)]
    if case.kind == "fault":
        words.append("--apply")
    ended = reconnect(workspace, *words, "--inventory", inventory_of(case.server), *more)
    if ended.result["state"] == "cancelled":
        raise Interrupted("the run was cancelled, so it says nothing of the case")
    return ended


def fixing_misses(case: Case, ended: Ended, outcome: Outcome) -> list[str]:
    """Whether it was fixed as it must be, or left alone as it must be."""
    if case.must_fix:
        outcome.fixed = fixed(ended)
        return [] if outcome.fixed else [f"not fixed: {ending(ended)}"]
    missed = []
    # An approval that is missing is a guardrail's refusal; what is left to people is a fault that was found.
    code = case.expects.get("exit_code", 11 if case.expects["remedy"] else 10)
    if ended.code != code:
        missed.append(f"the exit code is {ended.code}, not {code}")
    if done(ended.result):
        missed.append(f"{', '.join(done(ended.result))} was done")
    return missed


def undoing_misses(case: Case, workspace: Path) -> list[str]:
    """Whether `reconnect undo` takes the remedy of the latest run back, and the fault is there again."""
    undone = reconnect(workspace, "undo", "latest")
    if undone.code or undone.result["verdict"]["outcome"] != "undone":
        return [f"not undone, exit code {undone.code}: {undone.result['remedies']}"]
    again = diagnose(case, workspace / "undone").result["verdict"]
    return [] if expect.named(again) == sorted(case.causes) else ["it was undone, and the fault is not there again"]


def fixed(ended: Ended) -> bool:
    """Whether the command says that it fixed the fault."""
    return ended.code == 0 and ended.result["verdict"]["outcome"].startswith("fixed")


def ending(ended: Ended) -> str:
    """How the command ended, and what became of each remedy."""
    remedies = [f"{one['remedy']} {one['state']}: {one['reason']}" for one in ended.result["remedies"]]
    return "; ".join([f"{ended.result['verdict']['outcome']}, exit code {ended.code}", *remedies])


def done(result: dict[str, Any]) -> list[str]:
    """The remedies that were carried out."""
    return [one["remedy"] for one in result["remedies"] if one["state"] == "done"]


def keep(case: Case, evidence: dict[str, Any]) -> None:
    """Keep the evidence of a case for the unit tests of the judge, bounded and redacted as the server gave it."""
    text = json.dumps(evidence, separators=(",", ":"), sort_keys=True)
    # Where this checkout lies is nobody's business.
    text = text.replace(f"{ROOT}/", "")
    target = saved(case)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Without a time inside, the same evidence is the same file.
    target.write_bytes(gzip.compress(text.encode(), mtime=0))


def saved(case: Case) -> Path:
    """Where the evidence of a case is kept."""
    return EVIDENCE / KINDS[case.kind] / f"{case.name}.{case.server}.json.gz"


def told(result: dict[str, Any]) -> str:
    """What was found, for a case that missed."""
    lines = [
        f"{one['status']} {one['code']} {one['vantage']}: {one['summary']}"
        for one in result["findings"]
        if one["status"] != "pass"
    ]
    return "\n".join([json.dumps(result["verdict"], indent=1), *lines])
