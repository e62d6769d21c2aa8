# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of causes, remedies and outcomes, from the catalogues."""

from __future__ import annotations

from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.catalogue import SUBJECTS, Cause, catalogue
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.outcomes import Ending, endings
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.remedies import Remedy
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.remedies import remedies as all_remedies
from reconnect import texts
from reconnect.exit_codes import ExitCode

from reference.text import code, item, items, page, prose, table

POLICIES = {
    "auto": "fixed with `--apply`",
    "approve": "fixed after `--approve REMEDY`",
    "human": "left to a person",
}
EXIT_CODES = {
    ExitCode.OK: "healthy, fixed or closed",
    ExitCode.DEFECT: "a defect of Reconnect, or a step that failed",
    ExitCode.USAGE: "invalid input; nothing was executed",
    ExitCode.NOT_FIXED: "a fault was found and not fixed, nothing registered, or the incident is escalated",
    ExitCode.REFUSED: "refused by a guardrail",
    ExitCode.UNREACHABLE: "the server could not be reached",
    ExitCode.STOPPED: "timed out or cancelled; nothing is left running",
    ExitCode.REPORT_PENDING: "done (it would have been 0 or 10), but the report is pending",
}


def pages() -> dict[str, str]:
    """``causes.md``, ``remedies.md`` and ``outcomes.md``."""
    return {"causes.md": causes(), "remedies.md": remedies(), "outcomes.md": outcomes()}


def causes() -> str:
    """Every cause that the judge can name."""
    known = catalogue().values()
    overview = table(
        ["cause", "step", "policy", "remedy"],
        [
            [f"[{one.name}](#{one.name})", one.runbook_step, one.policy, one.remedy.name if one.remedy else "—"]
            for one in known
        ],
    )
    sections = []
    for subject in SUBJECTS:
        own = [one for one in known if one.subject == subject]
        if own:
            sections.append(f"## {subject.capitalize()}")
        for one in own:
            sections += [f"### {one.name}", f"**{one.title}.**", prose(one.sentence), _facts(one)]
    return page("Causes", items(item(code(name), f"{text}.") for name, text in POLICIES.items()), overview, *sections)


def _facts(cause: Cause) -> str:
    explains = ", ".join(code(name) for name in cause.explains)
    by = f" by {_remedy(cause)}" if cause.remedy else ""
    return items(
        [
            *([item("explains", explains)] if explains else []),
            item("policy", f"{POLICIES[cause.policy]}{by}"),
            item("what to do", cause.next_step),
            item("message to the user", texts.text(cause.user_message)),
        ]
    )


def _remedy(cause: Cause) -> str:
    return f"[{cause.remedy.name}](remedies.md#{cause.remedy.name})" if cause.remedy else "—"


def remedies() -> str:
    """Every remedy in the order in which they run: who carries it out, and the causes that it fixes."""
    sections = [text for remedy in all_remedies().values() for text in (f"## {remedy.name}", _remedy_facts(remedy))]
    return page(
        "Remedies", prose("[How it fixes safely](../explanation/fixing.md) says when a remedy runs."), *sections
    )


def _remedy_facts(remedy: Remedy) -> str:
    fixes = [one.name for one in catalogue().values() if one.remedy is remedy]
    may = {"repeatable": remedy.repeatable, "reversible": remedy.reversible}
    stops = remedy.interrupts
    return items(
        [
            item("role", f"[{remedy.role}: {remedy.entry}](roles.md#{remedy.role}-{remedy.entry})"),
            *([item("fixes", ", ".join(f"[{cause}](causes.md#{cause})" for cause in fixes))] if fixes else []),
            item("outcome", f"[{remedy.outcome}](outcomes.md#outcomes)"),
            *([item("interrupts", f"{' and '.join(stops.what)}, for up to {stops.seconds} s")] if stops else []),
            *(item(name, "yes") for name, so in may.items() if so),
            *([] if remedy.reversible else [item("leaves behind when it is not verified", remedy.leaves)]),
        ]
    )


def outcomes() -> str:
    """How a run can end: exit codes, and what becomes of the incident."""
    return page(
        "Exit codes and outcomes",
        "## Exit codes",
        table(["code", "meaning"], [[str(int(one)), EXIT_CODES[one]] for one in ExitCode]),
        "With several servers the worst one counts: 1, 13, 12, 11, 14, 10, 0.",
        "## Outcomes",
        items(item(code(one.name), *_ending(one)) for one in endings().values()),
        "The setting `outcomes` [replaces a row](../how-to/trackers/index.md#what-an-incident-gets).",
    )


def _ending(one: Ending) -> list[str]:
    did = {
        "close": f"is closed: {one.incident.reason}",
        "move": f"moves to {one.escalate_to}",
        "comment": "stays open",
    }
    told = "The user gets the message." if one.incident.tell_user else ""
    return [f"{one.headline}.", f"Exit code {one.exit_code}.", f"The incident {did[one.incident.do]}.", told]
