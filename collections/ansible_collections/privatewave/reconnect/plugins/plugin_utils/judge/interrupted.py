# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the remedies that a run had begun before it was interrupted. Nothing is done twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from .catalogue import Cause, catalogue
from .documents import Carried, Judgement, Level, RemedyState, RootCause, TakenUp, Verdict
from .evidence import Evidence
from .first_level import SUBJECTS
from .remedies import remedies

#: The start of a process is known to this many seconds.
BLUR = timedelta(seconds=2)


def take_up(
    judgement: Judgement,
    journal: Iterable[Mapping[str, Any]],
    run_id: str,
    evidence: Evidence,
    level: Level = "second",
    known: Sequence[Carried] = (),
) -> TakenUp:
    """What a run that starts again makes of what it had begun before.

    ``judgement`` is what `judge` returned now, ``journal`` what the module ``remedy_lease`` returns, ``known`` the
    remedies that this run has reported already, ``level`` as for `judge`. A remedy whose cause is gone counts as done,
    its cause as found. One whose cause is still there counts as tried and failed, unless the remedy is repeatable.
    """
    causes = catalogue()
    still = {finding["cause"] for finding in judgement["findings"] if finding["status"] == "fail"}
    planned = {step["remedy"]: step["cause"] for step in judgement["verdict"]["plan"]}
    carried: dict[str, Carried] = {one["remedy"]: one for one in known}
    roots: list[RootCause] = []
    for entry in reversed(list(journal)):
        cause, remedy = causes.get(str(entry.get("cause"))), str(entry["remedy"])
        if entry["run_id"] != run_id or entry["state"] in ("refused", "not_needed") or remedy in carried:
            continue
        if cause is None or (level == "first" and cause.subject not in SUBJECTS):
            continue
        gone = cause.name not in still
        if planned.get(remedy, cause.name) != cause.name or (not gone and _repeatable(cause, remedy)):
            # It is carried out, for the fault that is there now.
            continue
        if gone and entry["state"] == "rolled_back":
            continue
        carried[remedy] = _told(entry, cause, gone, evidence)
        if carried[remedy]["state"] == "done":
            roots.insert(0, _root(cause, remedy))
    taken = list(carried.values())
    if len(taken) == len(known):
        return {"judgement": judgement, "later": None, "remedies": taken}
    found = {one["cause"] for one in judgement["verdict"]["root_causes"]}
    verdict: Verdict = {
        **judgement["verdict"],
        "root_causes": [*(one for one in roots if one["cause"] not in found), *judgement["verdict"]["root_causes"]],
    }
    return {"judgement": {**judgement, "verdict": verdict}, "later": judgement, "remedies": taken}


def _repeatable(cause: Cause, remedy: str) -> bool:
    return cause.remedy is not None and cause.remedy.name == remedy and cause.remedy.repeatable


def _told(entry: Mapping[str, Any], cause: Cause, gone: bool, evidence: Evidence) -> Carried:
    """The remedy as the result reports it."""
    began = str(entry["began_at"])
    rolled_back = entry["state"] == "rolled_back"
    since, sentence = _started(entry, evidence)
    before = f"The run was interrupted after it began {entry['remedy']} at {began}."
    state: RemedyState = "done"
    if not gone:
        state = "rolled_back" if rolled_back else "failed"
        reason = f"{before} {sentence}{cause.name} is still there, and the remedy is not done twice."
    elif since is False:
        state = "not_needed"
        reason = f"{before} {sentence}{cause.name} is gone by itself."
    else:
        reason = f"{before} {sentence}A second check finds {cause.name} gone."
    return {
        "remedy": str(entry["remedy"]),
        "cause": cause.name,
        "rolled_back": rolled_back,
        "started_at": began,
        "finished_at": entry.get("ended_at") or None,
        "state": state,
        "reason": reason,
    }


def _started(entry: Mapping[str, Any], evidence: Evidence) -> tuple[bool | None, str]:
    """Whether the service was started after the remedy had begun, None where that says nothing, and in words."""
    remedy = remedies().get(str(entry["remedy"]))
    if remedy is None or remedy.starts is None:
        return None, ""
    probe = evidence.probe(remedy.starts.subset, "process")
    if not probe.ok or not isinstance(probe.data.get("start_time"), int | float):
        return None, ""
    at = datetime.fromtimestamp(probe.data["start_time"], UTC)
    since = at >= datetime.fromisoformat(str(entry["began_at"]).replace("Z", "+00:00")) - BLUR
    name, when = evidence.settings.get(remedy.starts.unit) or remedy.starts.subset, at.strftime("%Y-%m-%dT%H:%M:%SZ")
    if since:
        return True, f"{name} was started at {when}, after that. "
    if any(rung.get("rung") == "reload" for rung in entry.get("rungs") or ()):
        # The lowest rung of the ladder starts nothing.
        return None, ""
    return False, f"{name} has run since {when}, before that. "


def _root(cause: Cause, remedy: str) -> RootCause:
    """A cause that was found before the run was interrupted."""
    return {
        "cause": cause.name,
        "subject": cause.subject,
        "about": "",
        "title": cause.title,
        "summary": f"This was found before the run was interrupted; {remedy} was begun for it.",
        "runbook_step": cause.runbook_step,
        "remedy": remedy,
        "policy": cause.policy,
        "vantages": [],
    }
