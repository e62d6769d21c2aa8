"""One diagnosis of a fault of a server, however many incidents say it: the run of an incident takes the verdict of the
run that it waited for.

Only a verdict about the server itself is shared, with who asked before it was found. In a storm, which begins when one
incident has waited for the run of another, a verdict that nothing is fixed answers for some minutes more: a single
incident that comes later may have another reason. What was done stays the first run's.
"""

from __future__ import annotations

from datetime import timedelta

from reconnect import texts
from reconnect.errors import StoreError
from reconnect.incidents import escalation
from reconnect.result import Result
from reconnect.runs.record import Wanted
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

#: So long after its end a verdict that nothing is fixed still answers in a storm.
_LATE = timedelta(minutes=5)
#: So many runs that waited for the same one are looked through.
_MOST = 100


def results(run: Run, settings: Settings) -> list[Result] | None:
    """The results that answer a run which begins now; None where it has to find out itself."""
    try:
        first, later = _before(run, settings)
        found = first.results() if first is not None else []
    except StoreError:
        return None
    return [_shared(result, first, run) for result in found] if first and _answers(found, later, run) else None


def _before(run: Run, settings: Settings) -> tuple[Run | None, list[Run]]:
    """The last run on the same server that was carried out, if it may answer this one, and those that came after it."""
    record, request, kept = run.record, run.record.request, run.kept()
    by_incident = kept is not None and kept.asker.is_incident and request.plan_of is None
    offline = (run.client_report() or {}).get("internet") is False
    if not by_incident or offline or record.begun or len(request.servers) != 1:
        return None, []
    older = Runs(settings).newest(Wanted(server=request.servers[0], before=run.run_id), _MOST)
    at = next((at for at, one in enumerate(older) if one.record.begun and one.record.finished_at), None)
    if at is None:
        return None, []
    known = older[at].record.request
    alike = (known.servers, known.mode) == (request.servers, request.mode)
    return (older[at] if alike and known.incident not in {None, request.incident} else None), older[:at]


def _answers(found: list[Result], later: list[Run], run: Run) -> bool:
    """Whether what the last run found answers this one; the runs of `later` came between."""
    verdict = found[0].verdict if len(found) == 1 and found[0].state == "succeeded" else None
    if verdict is None or not verdict.root_causes or not all(map(escalation.is_of_server, verdict.root_causes)):
        return False
    ended = found[0].finished_at
    is_storm = any(one.record.finished_at and one.record.started_at < ended for one in later)
    late = _LATE if is_storm and not verdict.outcome.startswith("fixed_") else timedelta(0)
    return ended > run.record.started_at - late


def _shared(result: Result, first: Run, run: Run) -> Result:
    """The result as this run has it."""
    request, verdict = run.record.request, result.verdict
    assert verdict is not None, "only a verdict answers"
    said = {"run": first.run_id, "server": result.server, "incident": str(first.record.request.incident)}
    words = (texts.text("report.shared", request.language, **said), verdict.next_step)
    told = verdict.model_copy(update={"plan": [], "next_step": " ".join(filter(None, words))})
    own = {"run_id": run.run_id, "account": request.account, "incident": str(request.incident)}
    return result.model_copy(update={**own, "verdict": told, "remedies": [], "timeline": []})
