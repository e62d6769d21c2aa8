# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From findings to a verdict: root causes, symptoms, plan, outcome."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.privatewave.reconnect.plugins.module_utils._common import REGISTRATION, REGISTRATIONS

from . import changes, first_level
from .catalogue import Cause, catalogue
from .client_log import measured
from .documents import (
    Carried,
    Conclusion,
    Decision,
    FindingDocument,
    Judgement,
    Level,
    Policy,
    RootCause,
    Step,
    Symptom,
    Verdict,
)
from .ending import end, message
from .evidence import Evidence
from .facts import nothing_checked, stopped_on_purpose
from .finding import RULES, STEPS, Finding, are, counted, place
from .outcomes import Outcome
from .remedies import Remedy, remedies

#: The root cause of a failure that the catalogue has no name for.
UNKNOWN_CAUSE = "unknown_cause"

#: Evidence that does not fit its schema.
SHAPE = "evidence.shape"
#: Findings without which no server is called healthy.
ESSENTIAL = (
    "asterisk.process",
    "asterisk.control",
    "asterisk.transport",
    "database.login",
    "path.tcp",
    "sip.options",
    SHAPE,
)

#: A rule that crashed says so under its subject.
CRASHED = ".rule"

#: States of a remedy that was carried out and did not help.
FAILED = ("failed", "rolled_back")

#: Whose approval lets a remedy drop calls.
RESTART = "restart_asterisk"


class _Allowed(NamedTuple):
    """What a run may do, as `judge` is told."""

    apply: bool
    approvals: Collection[str]
    ask: Collection[str]
    rotate: bool = False
    alone: str = ""


def judge(
    document: Mapping[str, Any],
    apply: bool = False,
    approvals: Collection[str] = (),
    level: Level = "second",
    rotate: bool = False,
    ask: Collection[str] = (),
    alone: str = "",
) -> Judgement:
    """Judge an evidence document.

    ``apply``: remedies may be carried out. ``approvals``: remedies that were approved. ``level``: the support level
    that acts upon the verdict. ``rotate``: first level fixes a wrong password by a new one. ``ask``: causes and
    remedies for which the site's policy wants an approval, ``all`` for every one. ``alone``: why no partner is known to
    serve while this node is interrupted, as a sentence. Raises `EvidenceError` when the document is not evidence.
    """
    evidence = Evidence(document)
    findings = find(evidence)
    judgement: Judgement = {
        "verdict": _verdict(evidence, findings, _Allowed(apply, approvals, ask, rotate and level == "first", alone)),
        "findings": [one.as_dict() for one in findings],
    }
    if level == "first":
        judgement = first_level.narrowed(judgement, evidence.client_report, rotate)
    verdict = judgement["verdict"]
    verdict["next_step"] = measured.with_decisive(verdict["next_step"], findings)
    return judgement


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
                Finding(f"{subject}{CRASHED}", "unknown", subject, summary, rule.__name__, runbook_step=STEPS[subject])
            )
    return measured.compared(findings)


def conclude(
    first: Judgement, after: Judgement | None, carried: Sequence[Carried], level: Level = "second"
) -> Conclusion:
    """The last word of a run.

    ``first`` and ``after`` are what `judge` returned before and after the remedies, ``carried`` what was done or
    refused, ``level`` is as for `judge`. The verdict keeps the causes that were found first. A cause is fixed when it
    no longer fails after its remedy.
    """
    concluded = _conclude(first, after, carried)
    if level == "first":
        concluded["verdict"] = first_level.handed_on(concluded["verdict"])
    return concluded


def _conclude(first: Judgement, after: Judgement | None, carried: Sequence[Carried]) -> Conclusion:
    refused = [one for one in carried if one.get("state") == "refused"]
    verdict: Verdict = {**first["verdict"]}
    conclusion: Conclusion = {
        "verdict": verdict,
        "findings": list((after or first)["findings"]),
        "state": "refused" if refused else "succeeded",
    }
    if after is None or not any(one.get("state") in ("done", *FAILED) for one in carried):
        if refused:
            _refuse(verdict, refused)
        return conclusion

    left = after["verdict"]["root_causes"]
    if left:
        found = {(one["cause"], one["about"]) for one in verdict["root_causes"]}
        new = [one for one in left if (one["cause"], one["about"]) not in found]
        conclusion["verdict"] = verdict = {
            **after["verdict"],
            "root_causes": [*verdict["root_causes"], *new],
            "symptoms": verdict["symptoms"],
        }
        if refused:
            _refuse(verdict, refused)
        elif verdict["outcome"] == "fault_found" and not any(one["decision"] == "approval" for one in verdict["plan"]):
            # Every remedy that may run has run, and none helped.
            tried = [str(one["reason"]) for one in carried if one.get("state") in FAILED and one.get("reason")]
            advice = [catalogue()[one["cause"]].next_step for one in left if one["cause"] in catalogue()]
            next_step = " ".join(dict.fromkeys([*tried, *advice])) or verdict["next_step"]
            end(verdict, "escalate_third_level", next_step, verdict["user_message"])
        return conclusion

    verdict["plan"] = []
    if unseen := _unseen(conclusion["findings"]):
        end(
            verdict,
            "escalate_third_level",
            f"The remedy seems to work, but these essential checks could not be repeated: {unseen}",
        )
        return conclusion
    doubts = [doubt(first, after, one["cause"]) for one in verdict["root_causes"]]
    if any(doubts):
        end(verdict, "escalate_third_level", " ".join(dict.fromkeys(filter(None, doubts))))
        return conclusion
    if unverified := _unverified(conclusion["findings"]):
        end(verdict, "unverified", f"The remedy seems to work, but that is not verified: {unverified}")
        return conclusion
    outcome = _fixed(verdict["root_causes"])
    conclusion["state"] = "succeeded"
    end(verdict, outcome, "Close the incident: the fault is fixed, and a second check found no fault.")
    return conclusion


def doubt(before: Judgement, after: Judgement, cause: str) -> str:
    """Why a remedy of a cause is not verified: the cause is still there, or a check could not run again; else ""."""
    verdict = after["verdict"]
    if cause in {one["cause"] for one in (*verdict["root_causes"], *verdict["symptoms"])}:
        return f"The remedy was carried out, but {cause} is still there."
    shown = {one["code"] for one in before["findings"] if one["status"] == "fail" and one["cause"] == cause}
    known = {check(one) for one in before["findings"] if one["status"] != "unknown"}
    unseen = [
        one["summary"]
        for one in after["findings"]
        if one["status"] == "unknown" and (one["code"] in shown or (one["code"] in ESSENTIAL and check(one) in known))
    ]
    if unseen:
        return f"The remedy was carried out and could not be verified: {' '.join(dict.fromkeys(unseen[:2]))}"
    return ""


def unconfirmed(judgement: Judgement) -> list[FindingDocument]:
    """The failures that one look alone does not establish: no cause is known, or only a registration shows it.

    A packet that is lost and a server that is busy for a moment look like that. They are looked at once more.
    """
    roots = {one["cause"] for one in judgement["verdict"]["root_causes"]}
    failing = [one for one in judgement["findings"] if one["status"] == "fail"]
    shown = {one["cause"] for one in failing if one["code"] not in REGISTRATIONS}
    return [
        one
        for one in failing
        if (one["cause"] or UNKNOWN_CAUSE) in roots and (one["cause"] is None or one["cause"] not in shown)
    ]


def check(finding: FindingDocument) -> tuple[str, str, str]:
    """What a finding checks: it stays the same whatever comes of it."""
    return finding["code"], finding["about"], finding["vantage"]


def _fixed(roots: Sequence[RootCause]) -> Outcome:
    """The outcome of the remedies of the root causes: of several kinds the service counts, else the first."""
    outcomes = [remedies()[one["remedy"]].outcome for one in roots if one["remedy"]]
    return "fixed_service" if "fixed_service" in outcomes or not outcomes else outcomes[0]


def _unseen(findings: Sequence[FindingDocument]) -> str:
    """Which essential checks could not run, at most three of them."""
    return " ".join([one["summary"] for one in findings if one["status"] == "unknown" and one["code"] in ESSENTIAL][:3])


def _unverified(findings: Sequence[FindingDocument]) -> str:
    """Why it is not verified that clients can register, at most three reasons; empty when it is."""
    seen = {one["code"] for one in findings if one["status"] != "unknown"}
    passed = {one["code"] for one in findings if one["status"] == "pass"}
    reasons = [one["summary"] for one in findings if one["code"].endswith(CRASHED)]
    # The shape has a finding only where it does not fit. Over UDP alone there is no connection to look at.
    said = {SHAPE, *(("path.tcp",) if "sip.options" in seen else ())}
    wanted = [code for code in ESSENTIAL if code not in said]
    reasons += [f"Nothing was found out about {code}." for code in wanted if code not in seen]
    if not passed.intersection(REGISTRATIONS):
        told = [one["summary"] for one in findings if one["code"] in REGISTRATIONS]
        reasons += told or ["No registration was tested."]
    return " ".join(reasons[:3])


def _refuse(verdict: Verdict, refused: Sequence[Carried]) -> None:
    """What a refusal makes of a verdict: a spent limit goes to third level, anything else waits."""
    reasons = " ".join(dict.fromkeys(str(one.get("reason", "")) for one in refused))
    next_step = reasons or verdict["next_step"]
    if any(one.get("escalate") for one in refused):
        end(verdict, "escalate_third_level", next_step, verdict["user_message"])
    else:
        verdict["outcome"] = "fault_found"
        verdict["next_step"] = next_step


# ------------------------------------------------------------------------------------------------ causes


def _verdict(evidence: Evidence, findings: list[Finding], allowed: _Allowed) -> Verdict:
    roots, symptoms = _roots([one for one in findings if one.status == "fail"])
    chosen = _remedies(roots, allowed)
    verdict: Verdict = {
        "outcome": "healthy",
        "root_causes": [_root(evidence, name, found, chosen.get(name), allowed) for name, found in roots.items()],
        "symptoms": symptoms,
        "plan": _plan(evidence, roots, chosen, allowed),
        "next_step": "",
        "user_message": None,
        "escalate_to": None,
    }
    _decide(verdict, evidence, findings, {name: _by_hand(found) for name, found in roots.items()})
    return verdict


def _roots(failing: Sequence[Finding]) -> tuple[dict[str, list[Finding]], list[Symptom]]:
    """Root causes by name with their findings, and what they explain."""
    causes = catalogue()
    named: dict[str, list[Finding]] = {}
    for one in failing:
        if one.cause:
            named.setdefault(one.cause, []).append(one)
    roots: dict[str, list[Finding]] = {}
    symptoms: dict[tuple[str, str], Symptom] = {}
    for one in failing:
        explained_by = next(
            (name for name, seen in named.items() if name != one.cause and _explains(causes[name], seen, one)), None
        )
        if explained_by is None:
            roots.setdefault(one.cause or UNKNOWN_CAUSE, []).append(one)
            continue
        # Each symptom once, however many vantages saw it.
        # Why a registration fails is known by what explains it.
        cause = None if one.code in REGISTRATIONS else one.cause
        symptom = symptoms.setdefault(
            (cause or one.code, explained_by),
            {"cause": cause, "code": one.code, "explained_by": explained_by, "summary": one.summary, "times": 0},
        )
        symptom["times"] += 1
    # A cause that another one explains in part only stays a root for the rest, but is no symptom as well.
    return roots, [one for one in symptoms.values() if one["cause"] not in roots]


#: Subjects of what every client needs.
SERVER = ("network", "host", "asterisk", "database")
#: What clients that are set up do without.
APART = ("provisioning_down",)


def _explains(cause: Cause, seen: Iterable[Finding], finding: Finding) -> bool:
    """Whether ``finding`` follows from ``cause`` as it was ``seen``: from the same vantage, at the same place."""
    if finding.code.startswith("call.") and not finding.cause:
        # A call needs everything: any other fault that was found explains it.
        return cause.name not in APART and any(not one.code.startswith("call.") for one in seen)
    if finding.code in REGISTRATIONS:
        # So does a registration. Another account or a client is no reason for the reserved account's failure.
        reasons = ("account",) if finding.code == REGISTRATION else ()
        return cause.name not in APART and any(
            one.vantage in ("", finding.vantage)
            for one in seen
            if one.code not in REGISTRATIONS and one.subject in (*SERVER, *reasons)
        )
    follows = cause.explains_cause(finding.cause) if finding.cause else cause.explains_code(finding.code)
    return follows and any(
        one.vantage in ("", finding.vantage) or finding.vantage == ""
        for one in seen
        if _same_place(one.about, finding.about, cause.reach)
    )


def _same_place(one: str, other: str, reach: str) -> bool:
    """Whether two findings can be about the same thing: without an address or port a finding is about every one."""
    pairs = list(zip(place(one), place(other), strict=True))
    return all(first == second or not first or not second for first, second in pairs[: 1 if reach == "address" else 2])


def _by_hand(findings: Iterable[Finding]) -> str:
    """Why a person has to end what was found, and how; "" where a remedy may."""
    return " ".join(dict.fromkeys(one.by_hand for one in findings if one.by_hand))


def _remedies(roots: Mapping[str, Sequence[Finding]], allowed: _Allowed) -> dict[str, Remedy]:
    """What is carried out for each root cause, where a person does not end it."""
    causes = (catalogue()[name] for name, found in roots.items() if name in catalogue() and not _by_hand(found))
    chosen = {cause.name: cause.remedy for cause in causes if cause.remedy}
    return first_level.rotated(chosen) if allowed.rotate else chosen


def _root(
    evidence: Evidence, name: str, findings: Sequence[Finding], remedy: Remedy | None, allowed: _Allowed
) -> RootCause:
    cause = catalogue().get(name)
    first = findings[0]
    return {
        "cause": name,
        "subject": cause.subject if cause else first.subject,
        "about": first.about,
        "title": cause.title if cause else "Unknown cause",
        "summary": " ".join(dict.fromkeys(one.summary for one in findings[:3])),
        "runbook_step": cause.runbook_step if cause else first.runbook_step,
        "remedy": remedy.name if remedy else None,
        "policy": _policy(cause, remedy, _purpose(evidence, remedy, allowed)) if cause and remedy else "human",
        "vantages": sorted({one.vantage for one in findings if one.vantage}),
    }


# ------------------------------------------------------------------------------------------------ plan


def _plan(
    evidence: Evidence, roots: Mapping[str, Sequence[Finding]], chosen: Mapping[str, Remedy], allowed: _Allowed
) -> list[Step]:
    """The remedies of the root causes, each once, in the order of the catalogue."""
    plan: dict[str, Step] = {}

    def strictness(name: str) -> tuple[bool, bool]:
        return name in allowed.ask, _policy(catalogue()[name], chosen[name]) == "approve"

    # One remedy for two causes: the stricter counts, by the policies alone. So a plan stays itself once it is approved.
    for name in sorted(chosen, key=strictness, reverse=True):
        cause, remedy, findings = catalogue()[name], chosen[name], roots[name]
        if remedy.name in plan:
            continue
        purpose = _purpose(evidence, remedy, allowed)
        decision, reason = _decision(cause, remedy, purpose, allowed)
        interrupts, targets = changes.interruption(evidence, remedy), _targets(findings)
        plan[remedy.name] = {
            "remedy": remedy.name,
            "role": remedy.role,
            "entry": remedy.entry,
            "cause": name,
            "about": findings[0].about,
            "policy": _policy(cause, remedy, purpose),
            "decision": decision,
            "reason": reason + changes.interruption_text(interrupts, remedy) + _calls(evidence, remedy),
            "arguments": {
                **remedy.inputs,
                "about": sorted({one.about for one in findings if one.about}),
                **({"targets": targets} if targets else {}),
                **({"drop_calls": RESTART in allowed.approvals} if remedy.drops_calls else {}),
            },
            "repeatable": remedy.repeatable,
            "reversible": remedy.reversible,
            "changes": changes.of(evidence, remedy, targets),
            "interrupts": interrupts,
        }
    return sorted(plan.values(), key=lambda step: remedies()[step["remedy"]].rank)


def _targets(findings: Iterable[Finding]) -> list[Mapping[str, Any]]:
    """What the remedy acts upon, each once; nothing where it needs no such list."""
    found: list[Mapping[str, Any]] = []
    for one in findings:
        found += [target for target in one.targets if target not in found]
    return found


def _calls(evidence: Evidence, remedy: Remedy) -> str:
    """Which calls a remedy would drop, as a sentence, or nothing."""
    if not remedy.drops_calls:
        return ""
    calls, media = evidence.probe("asterisk", "calls"), evidence.probe("asterisk", "rtp_sockets")
    if calls.ok and calls.data.get("calls"):
        up = f"{counted(calls.data['calls'], 'call')} {are(calls.data['calls'])} up"
    elif not calls.ok and media.ok and media.data.get("open"):
        number = media.data["open"]
        up = f"{counted(number, 'media socket')} {are(number)} open, so calls may be up"
    else:
        return ""
    return f" {up}: the restart waits for the end of every call, and drops one only after --approve {RESTART}."


def _purpose(evidence: Evidence, remedy: Remedy, allowed: _Allowed) -> str:
    """Why a person has to approve a remedy whatever its policy: it starts what a person stopped, or interrupts a node
    while no partner is known to serve. "" where nobody has to."""
    stopped = stopped_on_purpose(evidence, remedy.starts.unit) if remedy.starts else ""
    interrupts = remedy.drops_calls and changes.interruption_text(changes.interruption(evidence, remedy), remedy)
    return stopped or (allowed.alone if interrupts else "")


def _policy(cause: Cause, remedy: Remedy, purpose: str = "") -> Policy:
    """The policy of a remedy for a cause: what cannot be undone is never done without asking."""
    return "approve" if purpose or not remedy.can_be_undone else cause.policy


def _decision(cause: Cause, remedy: Remedy, purpose: str, allowed: _Allowed) -> tuple[Decision, str]:
    if remedy.name not in allowed.approvals:
        if purpose:
            return "approval", f"{purpose} It waits for --approve {remedy.name}."
        if {"all", cause.name, remedy.name}.intersection(allowed.ask):
            return "approval", f"The policy of this site asks for --approve {remedy.name}."
        # Who asks for a new password has approved it.
        rotated = allowed.rotate and remedy.name == first_level.ROTATE
        # A yes to the plan that is shown approves what reaches one account.
        shown = remedy.role in first_level.SUBJECTS and not allowed.apply
        if _policy(cause, remedy) == "approve" and not (rotated or shown):
            return "approval", f"It waits for --approve {remedy.name}."
    if not allowed.apply:
        return "planned", "Nothing is changed yet."
    return "run", "It was approved." if _policy(cause, remedy, purpose) != "auto" else "Its policy is auto."


# ------------------------------------------------------------------------------------------------ outcome


def _decide(verdict: Verdict, evidence: Evidence, findings: Sequence[Finding], by_hand: Mapping[str, str]) -> None:
    """Outcome, next step and message of a verdict whose causes and plan are known."""
    causes, roots = catalogue(), verdict["root_causes"]
    known = [causes[one["cause"]] for one in roots if one["cause"] in causes]
    unseen = [one.summary for one in findings if one.status == "unknown" and one.code in ESSENTIAL]
    if not evidence.server.ok and not known:
        next_step = f"{nothing_checked(evidence)}: find out why ({evidence.server.why})."
        end(verdict, "escalate_third_level", next_step)
    elif not roots and unseen:
        next_step = f"No fault found, but these essential checks could not run: {' '.join(unseen[:3])}"
        end(verdict, "escalate_third_level", next_step)
    elif not roots and (unverified := _unverified([one.as_dict() for one in findings])):
        end(verdict, "unverified", f"No fault found, but that is not verified: {unverified}")
    elif not roots:
        next_step = "Nothing to do on the server. If the user still cannot connect, check the account and the client."
        end(verdict, "healthy", next_step)
    else:
        _decide_fault(verdict, known, by_hand)


def _decide_fault(verdict: Verdict, known: Sequence[Cause], by_hand: Mapping[str, str]) -> None:
    user_message = message(known[0].user_message) if known else None
    human = [by_hand[cause.name] or cause.next_step for cause in known if cause.remedy is None or by_hand[cause.name]]
    if len(known) < len(verdict["root_causes"]) or human:
        steps = human or ["No rule knows this cause: give the findings and the evidence to third level."]
        end(verdict, "escalate_third_level", " ".join(steps), user_message)
        return
    waits = " ".join(step["reason"] for step in verdict["plan"] if step["decision"] == "approval")
    advice = " ".join(cause.next_step for cause in known)
    end(verdict, "fault_found", f"{waits or 'Run it again with --apply.'} {advice}", user_message)
