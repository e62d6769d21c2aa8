# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the remedies that a run had begun before it was interrupted; nothing is done twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from .catalogue import Cause, catalogue
from .evidence import Evidence
from .first_level import SUBJECTS

#: What makes an account what the registry says does no harm when it is done again.
AGAIN = "account"
#: The start of a process is known to this many seconds.
BLUR = timedelta(seconds=2)
#: Whose process a remedy starts anew.
STARTS = {
    "restart_database": ("database", "database_unit"),
    "restart_asterisk": ("asterisk", "asterisk_unit"),
}

Document = dict[str, Any]


def take_up(
    judgement: Mapping[str, Any],
    journal: Iterable[Mapping[str, Any]],
    run_id: str,
    evidence: Evidence,
    level: str = "second",
    known: Sequence[Mapping[str, Any]] = (),
) -> Document:
    """What a run that is begun anew makes of what it had begun before: ``{judgement, later, remedies}``.

    ``judgement`` is what `judge` returned now, ``journal`` what the module ``remedy_lease`` tells, ``known`` the
    remedies that this run has told already, ``level`` as for `judge`. A remedy whose cause is gone counts as done, its
    cause as found; one whose cause is still there counts as tried and failed, unless doing it again does no harm.
    ``later`` is the judgement after those remedies: the one of now, or None where there is none of them.
    """
    causes = catalogue()
    still = {finding.get("cause") for finding in judgement["findings"] if finding["status"] == "fail"}
    planned = {step["remedy"]: step["cause"] for step in judgement["verdict"]["plan"]}
    remedies = {one["remedy"]: one for one in known}
    roots: list[Document] = []
    for entry in reversed(list(journal)):
        cause, remedy = causes.get(str(entry.get("cause"))), str(entry["remedy"])
        if entry["run_id"] != run_id or entry["state"] in ("refused", "not_needed") or remedy in remedies:
            continue
        if cause is None or (level == "first" and cause.subject not in SUBJECTS):
            continue
        gone = cause.name not in still
        if planned.get(remedy, cause.name) != cause.name or (not gone and _harmless(cause, remedy)):
            # It is carried out, for what is wrong now.
            continue
        if gone and entry["state"] == "rolled_back":
            continue
        remedies[remedy] = _told(entry, cause, gone, evidence)
        if remedies[remedy]["state"] == "done":
            roots.insert(0, _root(cause, remedies[remedy]))
    taken = list(remedies.values())
    if len(taken) == len(known):
        return {"judgement": dict(judgement), "later": None, "remedies": taken}
    found = {one["cause"] for one in judgement["verdict"]["root_causes"]}
    verdict = {
        **judgement["verdict"],
        "root_causes": [*(one for one in roots if one["cause"] not in found), *judgement["verdict"]["root_causes"]],
    }
    return {"judgement": {**judgement, "verdict": verdict}, "later": dict(judgement), "remedies": taken}


def _harmless(cause: Cause, remedy: str) -> bool:
    return cause.remedy is not None and (cause.remedy.name, cause.remedy.role) == (remedy, AGAIN)


def _told(entry: Mapping[str, Any], cause: Cause, gone: bool, evidence: Evidence) -> Document:
    """The remedy as the result tells it."""
    began = str(entry["began_at"])
    told = {
        "remedy": entry["remedy"],
        "cause": cause.name,
        "rolled_back": entry["state"] == "rolled_back",
        "started_at": began,
        "finished_at": entry.get("ended_at") or None,
    }
    since, sentence = _started(entry, evidence)
    before = f"The run was interrupted after it had begun {entry['remedy']} at {began}."
    if not gone:
        reason = f"{before} {sentence}{cause.name} is still there, and it is not done twice."
        return {**told, "state": "rolled_back" if told["rolled_back"] else "failed", "reason": reason}
    if since is False:
        return {**told, "state": "not_needed", "reason": f"{before} {sentence}{cause.name} is gone by itself."}
    return {**told, "state": "done", "reason": f"{before} {sentence}A new look finds {cause.name} gone."}


def _started(entry: Mapping[str, Any], evidence: Evidence) -> tuple[bool | None, str]:
    """Whether the service was started after the remedy had begun, None where that says nothing, and in words."""
    subset, setting = STARTS.get(str(entry["remedy"]), ("", ""))
    probe = evidence.probe(subset, "process")
    if not subset or not probe.ok or not isinstance(probe.data.get("start_time"), int | float):
        return None, ""
    at = datetime.fromtimestamp(probe.data["start_time"], UTC)
    since = at >= datetime.fromisoformat(str(entry["began_at"]).replace("Z", "+00:00")) - BLUR
    name, when = evidence.settings.get(setting) or subset, at.strftime("%Y-%m-%dT%H:%M:%SZ")
    if since:
        return True, f"{name} was started at {when}, after that. "
    if any(rung.get("rung") == "reload" for rung in entry.get("rungs") or ()):
        # The lowest rung of the ladder starts nothing.
        return None, ""
    return False, f"{name} has run since {when}, before that. "


def _root(cause: Cause, remedy: Mapping[str, Any]) -> Document:
    """A cause that was found before the run was interrupted."""
    return {
        "cause": cause.name,
        "subject": cause.subject,
        "about": "",
        "title": cause.title,
        "summary": f"This was found before the run was interrupted; {remedy['remedy']} was begun for it.",
        "runbook_step": cause.runbook_step,
        "remedy": remedy["remedy"],
        "policy": cause.policy,
        "vantages": [],
    }
