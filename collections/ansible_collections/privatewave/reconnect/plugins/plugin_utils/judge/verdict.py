# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From findings to a verdict: root causes, symptoms, plan, outcome."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from . import changes, first_level
from .catalogue import Cause, catalogue
from .evidence import Evidence
from .finding import RULES, STEPS, Finding, are, counted, place

UNKNOWN_CAUSE = "unknown_cause"

#: Remedies from the least to the most intrusive: what a person would try first.
ORDER = (
    "reload_tls",
    "reload_odbc",
    "load_modules",
    "fix_account",
    "render_configuration",
    "deliver_configuration",
    "rotate_password",
    "restart_provisioning",
    "bring_up_interface",
    "unban_client",
    "open_host_firewall",
    "restart_database",
    "free_sip_port",
    "restart_asterisk",
)

#: Findings without which nobody may be told that a server is well.
ESSENTIAL = ("asterisk.process", "asterisk.control", "asterisk.transport", "database.login", "path.tcp", "sip.options")

#: What the user is told once it is mended, by outcome.
MENDED = {
    "fixed_account": "Your account was not right on the server and is corrected. Please connect again.",
    "fixed_client_configuration": "Your application has its right configuration now. Please connect again, unless it "
    "has done so by itself.",
    "fixed_network": "The way to the server is mended. Please connect again.",
    "fixed_service": "The fault on the server is mended. Please connect again.",
}

#: What a remedy is that was carried out, whether it helped or not.
TRIED = ("done", "failed", "rolled_back")

Document = dict[str, Any]


def judge(
    document: Mapping[str, Any],
    apply: bool = False,
    approvals: Collection[str] = (),
    level: str = "second",
    rotate: bool = False,
) -> Document:
    """Judge an evidence document.

    ``apply`` says that remedies may be carried out, ``approvals`` names those that were approved, ``level`` is the
    support level that acts upon it, ``first`` or ``second``, ``rotate`` says that first level mends a wrong password by
    a new one. Returns ``{verdict, findings}`` as docs/documents.md describes them. Raises `EvidenceError` when it is
    no evidence.
    """
    evidence = Evidence(document)
    findings = find(evidence)
    verdict = _verdict(evidence, findings, apply, approvals)
    judgement = {"verdict": verdict, "findings": [one.as_dict() for one in findings]}
    return first_level.narrowed(judgement, evidence.client_report, rotate) if level == "first" else judgement


def find(evidence: Evidence) -> list[Finding]:
    """What every rule finds. A rule that crashes says ``unknown`` and takes no other with it."""
    findings: list[Finding] = []
    for rule in RULES:
        try:
            findings.extend(list(rule(evidence)))
        except Exception as error:
            module = rule.__module__.rpartition(".")[2]
            subject = next((one for one in STEPS if module.startswith(one)), "network")
            summary = f"The rule {rule.__name__} failed on this evidence ({type(error).__name__}: {error})."
            findings.append(
                Finding(f"{subject}.rule", "unknown", subject, summary, rule.__name__, runbook_step=STEPS[subject])
            )
    return findings


def conclude(
    first: Mapping[str, Any],
    after: Mapping[str, Any] | None,
    remedies: Sequence[Mapping[str, Any]],
    level: str = "second",
) -> Document:
    """The last word of a run: ``{verdict, findings, state}``.

    ``first`` and ``after`` are what `judge` returned before and after the remedies, ``remedies`` what was done or
    refused, ``level`` is as for `judge`. The verdict keeps the causes that were found first; mended is what no longer
    fails after its remedy.
    """
    concluded = _conclude(first, after, remedies)
    if level == "first":
        concluded["verdict"] = first_level.handed_on(concluded["verdict"])
    return concluded


def _conclude(
    first: Mapping[str, Any],
    after: Mapping[str, Any] | None,
    remedies: Sequence[Mapping[str, Any]],
) -> Document:
    verdict: Document = dict(first["verdict"])
    findings = list((after or first)["findings"])
    refused = [one for one in remedies if one.get("state") == "refused"]
    state = "refused" if refused else "succeeded"
    if after is None or not any(one.get("state") in TRIED for one in remedies):
        if refused:
            verdict = _refused(verdict, refused)
        return {"verdict": verdict, "findings": findings, "state": state}

    causes = catalogue()
    left = list(after["verdict"]["root_causes"])
    found = {(one["cause"], one["about"]) for one in verdict["root_causes"]}
    if left:
        verdict.update(
            {key: after["verdict"][key] for key in ("outcome", "plan", "next_step", "user_message", "escalate_to")}
        )
        verdict["root_causes"] = [
            *verdict["root_causes"],
            *(one for one in left if (one["cause"], one["about"]) not in found),
        ]
        if refused:
            verdict = _refused(verdict, refused)
        elif verdict["outcome"] == "fault_found" and not any(one["decision"] == "approval" for one in verdict["plan"]):
            # Everything that we may do was done, and it did not help.
            tried = [str(one["reason"]) for one in remedies if one.get("state") in TRIED[1:] and one.get("reason")]
            advice = [causes[one["cause"]].next_step for one in left if one["cause"] in causes]
            verdict.update(
                outcome="escalate_third_level",
                escalate_to="third level",
                next_step=" ".join(dict.fromkeys([*tried, *advice])) or verdict["next_step"],
            )
        return {"verdict": verdict, "findings": findings, "state": state}

    unseen = _unseen(findings)
    if unseen:
        verdict.update(
            outcome="escalate_third_level",
            plan=[],
            next_step=f"It was mended as far as anybody can tell; what matters could not be seen afterwards: {unseen}",
            user_message="The server is being looked into by our engineers.",
            escalate_to="third level",
        )
        return {"verdict": verdict, "findings": findings, "state": state}

    outcomes = [causes[one["cause"]].fixed for one in verdict["root_causes"] if one["cause"] in causes]
    outcome = "fixed_service" if "fixed_service" in outcomes else next(filter(None, outcomes), "fixed_service")
    verdict.update(
        outcome=outcome,
        plan=[],
        next_step="Close the incident: it is mended, and a second look found nothing wrong.",
        user_message=MENDED[outcome],
        escalate_to=None,
    )
    return {"verdict": verdict, "findings": findings, "state": "succeeded"}


def _unseen(findings: Sequence[Mapping[str, Any]]) -> str:
    """What nobody could see of the findings without which nobody may be told that a server is well."""
    return " ".join([one["summary"] for one in findings if one["status"] == "unknown" and one["code"] in ESSENTIAL][:3])


def _refused(verdict: Document, refused: Sequence[Mapping[str, Any]]) -> Document:
    reasons = " ".join(dict.fromkeys(str(one.get("reason", "")) for one in refused))
    limit = any(one.get("escalate") for one in refused)
    return {
        **verdict,
        "outcome": "escalate_third_level" if limit else "fault_found",
        "next_step": reasons or verdict["next_step"],
        "escalate_to": "third level" if limit else verdict["escalate_to"],
    }


# ------------------------------------------------------------------------------------------------ causes


def _verdict(evidence: Evidence, findings: list[Finding], apply: bool, approvals: Collection[str]) -> Document:
    failing = [one for one in findings if one.status == "fail"]
    roots, symptoms = _roots(failing)
    plan = _plan(evidence, roots, apply, approvals)
    root_causes = [_root(name, about) for name, about in roots.items()]
    return {
        "root_causes": root_causes,
        "symptoms": symptoms,
        "plan": plan,
        **_outcome(evidence, findings, root_causes, plan),
    }


def _roots(failing: Sequence[Finding]) -> tuple[dict[str, list[Finding]], list[Document]]:
    """Root causes by name with their findings, and what they explain."""
    causes = catalogue()
    named: dict[str, list[Finding]] = {}
    for one in failing:
        if one.cause:
            named.setdefault(one.cause, []).append(one)
    roots: dict[str, list[Finding]] = {}
    symptoms: list[Document] = []
    for one in failing:
        explained_by = next(
            (name for name, seen in named.items() if name != one.cause and _explains(causes[name], seen, one)), None
        )
        if explained_by:
            symptoms.append(
                {"cause": one.cause, "code": one.code, "explained_by": explained_by, "summary": one.summary}
            )
        else:
            roots.setdefault(one.cause or UNKNOWN_CAUSE, []).append(one)
    # A cause that another one explains in part only stays a root for the rest, but is no symptom as well.
    symptoms = [one for one in symptoms if one["cause"] not in roots]
    return roots, _merged(symptoms)


#: What clients that are set up do without.
APART = ("provisioning_down",)


def _explains(cause: Cause, seen: Iterable[Finding], finding: Finding) -> bool:
    """Whether ``finding`` follows from ``cause`` as it was ``seen``: from the same vantage, at the same place."""
    if finding.code.startswith("call.") and not finding.cause:
        # A call takes everything: whatever was found to fail elsewhere explains it.
        return cause.name not in APART and any(not one.code.startswith("call.") for one in seen)
    follows = cause.explains_cause(finding.cause) if finding.cause else cause.explains_code(finding.code)
    return follows and any(
        one.vantage in ("", finding.vantage) or finding.vantage == ""
        for one in seen
        if _same_place(one.about, finding.about, cause.reach)
    )


def _same_place(one: str, other: str, reach: str) -> bool:
    """Whether two findings can be about the same thing: what has no address or port is about every one."""
    pairs = list(zip(place(one), place(other), strict=True))
    return all(first == second or not first or not second for first, second in pairs[: 1 if reach == "address" else 2])


def _merged(symptoms: Sequence[Document]) -> list[Document]:
    """Each symptom once, however many vantages saw it."""
    merged: dict[tuple[Any, ...], Document] = {}
    for one in symptoms:
        key = (one["cause"] or one["code"], one["explained_by"])
        merged.setdefault(key, {**one, "times": 0})["times"] += 1
    return list(merged.values())


def _root(name: str, findings: Sequence[Finding]) -> Document:
    cause = catalogue().get(name)
    first = findings[0]
    return {
        "cause": name,
        "subject": cause.subject if cause else first.subject,
        "about": first.about,
        "title": cause.title if cause else "Unknown cause",
        "summary": " ".join(dict.fromkeys(one.summary for one in findings[:3])),
        "runbook_step": cause.runbook_step if cause else first.runbook_step,
        "remedy": cause.remedy.name if cause and cause.remedy else None,
        "policy": cause.policy if cause else "human",
        "vantages": sorted({one.vantage for one in findings if one.vantage}),
    }


# ------------------------------------------------------------------------------------------------ plan


def _plan(
    evidence: Evidence, roots: Mapping[str, Sequence[Finding]], apply: bool, approvals: Collection[str]
) -> list[Document]:
    """The remedies of the root causes, each once, the least intrusive first."""
    plan: dict[str, Document] = {}
    for name, findings in roots.items():
        cause = catalogue().get(name)
        if cause is None or cause.remedy is None:
            continue
        decision, reason = _decision(cause, cause.remedy.name, apply, approvals)
        step = {
            "remedy": cause.remedy.name,
            "role": cause.remedy.role,
            "entry": cause.remedy.entry,
            "cause": name,
            "about": findings[0].about,
            "policy": cause.policy,
            "decision": decision,
            "reason": reason + _calls(evidence, cause.remedy.name),
            "arguments": {**cause.remedy.arguments, **_arguments(findings)},
            "changes": changes.of(evidence, cause.remedy.name),
        }
        known = plan.get(cause.remedy.name)
        # One remedy for two causes: the stricter policy counts.
        if known is None or (known["policy"] == "auto" and cause.policy != "auto"):
            plan[cause.remedy.name] = step
    return sorted(plan.values(), key=lambda step: ORDER.index(step["remedy"]))


def _arguments(findings: Sequence[Finding]) -> Document:
    """What a remedy has to know about the thing: its name, and the addresses or processes found."""
    about = sorted({one.about for one in findings if one.about})
    return {"about": about}


def _calls(evidence: Evidence, remedy: str) -> str:
    """What a restart of Asterisk would drop, as a sentence, or nothing."""
    if remedy != "restart_asterisk":
        return ""
    calls, media = evidence.probe("asterisk", "calls"), evidence.probe("asterisk", "rtp_sockets")
    if calls.ok and calls.data.get("calls"):
        up = f"{counted(calls.data['calls'], 'call')} {are(calls.data['calls'])} up"
    elif not calls.ok and media.ok and media.data.get("open"):
        number = media.data["open"]
        up = f"{counted(number, 'media socket')} {are(number)} open, so calls may be up"
    else:
        return ""
    return f" {up}: the restart waits for the end of every call, and drops one only after --approve {remedy}."


def _decision(cause: Cause, remedy: str, apply: bool, approvals: Collection[str]) -> tuple[str, str]:
    if cause.policy == "approve" and remedy not in approvals:
        return "approval", f"It waits for --approve {remedy}."
    if not apply:
        return "planned", "Nothing is changed yet."
    return "run", "Its policy is auto." if cause.policy == "auto" else "It was approved."


# ------------------------------------------------------------------------------------------------ outcome


def _outcome(
    evidence: Evidence, findings: Sequence[Finding], roots: Sequence[Document], plan: Sequence[Document]
) -> Document:
    causes = catalogue()
    if not evidence.server.ok and not any(one["cause"] in causes for one in roots):
        return {
            "outcome": "escalate_third_level",
            "next_step": f"Find out why the server cannot be entered ({evidence.server.why}); its inside is unseen.",
            "user_message": "The server is being looked into by our engineers.",
            "escalate_to": "third level",
        }
    unseen = [one.summary for one in findings if one.status == "unknown" and one.code in ESSENTIAL]
    if not roots and unseen:
        return {
            "outcome": "escalate_third_level",
            "next_step": f"Nothing was found to fail, but what matters could not be seen: {' '.join(unseen[:3])}",
            "user_message": "The server is being looked into by our engineers.",
            "escalate_to": "third level",
        }
    if not roots:
        return {
            "outcome": "healthy",
            "next_step": "Nothing on the server. If the user still cannot connect, look at the account and the client.",
            "user_message": "The server and the way to it are well. Please try to connect again.",
            "escalate_to": None,
        }
    known = [causes[one["cause"]] for one in roots if one["cause"] in causes]
    message = known[0].user_message if known else "The server is being looked into by our engineers."
    open_ends = [cause for cause in known if cause.remedy is None]
    if len(known) < len(roots) or open_ends:
        steps = [cause.next_step for cause in open_ends] or [
            "No rule knows this cause: give the findings and the evidence to third level."
        ]
        return {
            "outcome": "escalate_third_level",
            "next_step": " ".join(steps),
            "user_message": message,
            "escalate_to": "third level",
        }
    waits = [step for step in plan if step["decision"] == "approval"]
    reasons = " ".join(step["reason"] for step in waits)
    advice = " ".join(cause.next_step for cause in known)
    return {
        "outcome": "fault_found",
        "next_step": f"{reasons} {advice}" if waits else f"Run it again with --apply. {advice}",
        "user_message": message,
        "escalate_to": None,
    }
