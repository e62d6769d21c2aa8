"""What a diagnosis has to say of a case; the same for a live one and for one from saved evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconnect.result import UNKNOWN_CAUSE

from .cases import Case

Document = Mapping[str, Any]


def named(verdict: Document) -> list[str]:
    """The root causes, sorted."""
    return sorted(one["cause"] for one in verdict["root_causes"])


def symptoms(verdict: Document) -> list[str]:
    """The causes that were put down to another one, sorted."""
    return sorted({one["cause"] for one in verdict["symptoms"] if one["cause"]})


def judgement_misses(case: Case, verdict: Document, findings: Sequence[Document]) -> list[str]:
    """What is not as the case's file expects it, one sentence each; for a verdict before anything was fixed."""
    missed = []
    roots, allowed = named(verdict), set(case.expects.get("symptoms", []))
    failing = [one for one in findings if one["status"] == "fail"]
    if roots != sorted(case.causes):
        missed.append(f"named {', '.join(roots) or 'nothing'} instead of {', '.join(case.causes) or 'nothing'}")
    if case.kind != "unknown" and (more := set(symptoms(verdict)) - allowed):
        missed.append(f"unexpected symptoms: {', '.join(sorted(more))}")
    if case.kind == "fault" and not missed and verdict["root_causes"][0]["remedy"] != case.expects["remedy"]:
        missed.append(f"the remedy is {verdict['root_causes'][0]['remedy']}, not {case.expects['remedy']}")
    if case.kind == "pair":
        missed += [
            f"{one} is no symptom" for one in case.expects.get("must_explain", []) if one not in symptoms(verdict)
        ]
    if case.kind == "control":
        missed += [f"false alarm {one['code']}: {one['summary']}" for one in failing]
        warned = {one["code"] for one in findings if one["status"] == "warn"}
        missed += [f"no warning {code}" for code in case.expects.get("warns", []) if code not in warned]
        if not case.causes and verdict["outcome"] != "healthy":
            missed.append(f"the outcome is {verdict['outcome']}, not healthy: {verdict['next_step']}")
    if case.kind == "unknown":
        missed += unknown_misses(verdict, failing)
    return missed


def unknown_misses(verdict: Document, failing: list[Document]) -> list[str]:
    """A fault that nobody wrote a rule for is escalated with its evidence."""
    missed = []
    if verdict["outcome"] != "escalate_third_level":
        missed.append(f"it is not escalated, the outcome is {verdict['outcome']}")
    own = [one for one in failing if one["cause"] is None]
    if not own or not all(one["evidence"] for one in own):
        missed.append("no failing finding brings its evidence along")
    return missed


def is_wrong(case: Case, roots: list[str]) -> bool:
    """Whether a wrong root cause was named: worse than naming none."""
    return bool(set(roots) - set(case.causes) - {UNKNOWN_CAUSE})
