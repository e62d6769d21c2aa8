"""One escalation of one cause, however many incidents say it: the later ones point to the first.

Only of a cause that a person has to fix, and that is the server's own: what is wrong with an account or a client is
another thing each time, and so is a cause that nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconnect import texts
from reconnect.errors import StoreError
from reconnect.names import Incident
from reconnect.result import UNKNOWN_CAUSE, Result, RootCause, ending
from reconnect.runs.guards import Guards
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

_OF_SERVER = frozenset({"network", "host", "asterisk", "database"})


@dataclass(frozen=True)
class Joined:
    """The escalation that a run joined: the incident that has it, what this one is told, and what that one is told
    where it did not know all of it."""

    incident: Incident
    here: str
    there: str | None


def decide(run: Run, results: Sequence[Result], settings: Settings, window: int) -> None:
    """Decides whether a run that ends escalates, or joins another one that has within `window` seconds. Raises
    StoreError, TakenError."""
    if causes := _causes(results, settings):
        Guards(settings, run.worker).escalate(run.run_id, causes, window)


def joined(run: Run, settings: Settings) -> Joined | None:
    """What the run joined; None where it escalates, as it does where the store does not say."""
    try:
        found = Guards(settings).joined(run.run_id)
        first = Runs(settings).get(found.run_id) if found is not None else None
    except StoreError:
        return None
    if found is None or first is None or first.record.request.incident is None:
        return None
    said = {"cause": found.cause, "run": first.run_id, "incident": first.record.request.incident}
    here = texts.text("report.joined", run.record.request.language, server=found.server, **said)
    there = None
    if found.more:
        said = {"cause": found.cause, "run": run.run_id, "incident": run.record.request.incident}
        there = texts.text("report.joined_by", first.record.request.language, servers=", ".join(found.more), **said)
    return Joined(first.record.request.incident, here, there)


def is_of_server(root: RootCause) -> bool:
    """Whether a cause is known, and the server's own."""
    return root.subject in _OF_SERVER and root.cause != UNKNOWN_CAUSE


def _causes(results: Sequence[Result], settings: Settings) -> list[tuple[str, str]]:
    """The causes that are escalated, with their servers; none where something else is escalated, too."""
    found = []
    for result in results:
        if settings.answers[ending(result)].do != "move":
            continue
        roots = result.verdict.root_causes if result.verdict else []
        if not roots or any(one.policy != "human" or not is_of_server(one) for one in roots):
            return []
        found += [(result.server, one.cause) for one in roots]
    return list(dict.fromkeys(found))
