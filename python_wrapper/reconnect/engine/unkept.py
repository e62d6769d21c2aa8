"""Runs that the store refuses: their incident is told from memory.

The marks of a run keep it from being told twice, whoever else tries to. What the store still has of the run is resumed
later: a run whose report the incident has is not performed again (see `perform`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from reconnect import exit_codes
from reconnect.engine.perform import Performed
from reconnect.errors import ReconnectError, StoreError, TakenError, TrackerError
from reconnect.exit_codes import ExitCode
from reconnect.incidents import delivery
from reconnect.reports import comment
from reconnect.result import Result, ending, now
from reconnect.runs import unsent
from reconnect.runs.record import Record
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

#: Seconds between two attempts.
_PAUSE = 2.0


@dataclass(frozen=True)
class Unkept:
    """What a person has to know of a run that was told from memory."""

    exit_code: ExitCode
    notes: list[str]


def finish(run: Run, performed: Performed, refused: StoreError, settings: Settings) -> Unkept:
    """Tells the incident how `run` ended, and keeps what the store takes. Raises TakenError."""
    with contextlib.suppress(StoreError):
        run.check()
    record, results = performed.record, performed.results
    notes = list(dict.fromkeys([*record.notes, str(refused)]))
    codes = [ExitCode.DEFECT, *(exit_codes.of_result(result) for result in results)]
    record.delivery = "none"
    if record.request.incident is not None and not performed.superseded:
        why = report(run, results, settings)
        record.delivery = "delivered" if why is None else "pending"
        if why is not None:
            notes.append(f"Cannot report to {record.request.incident}: {why}")
    record.endings = {result.server: ending(result) for result in results}
    record.finished_at, record.exit_code, record.notes = now(), exit_codes.worst(codes), notes
    run.record = record
    try:
        run.finish(results, comment.markdown(record, results))
        is_kept = not run.in_memory
    except TakenError:
        raise
    except ReconnectError:
        is_kept = False
    if record.delivery == "pending" and not is_kept:
        notes.append(_keep(record, results, settings))
    return Unkept(exit_codes.worst(codes), notes)


def _keep(record: Record, results: Sequence[Result], settings: Settings) -> str:
    try:
        file = unsent.keep(record, results, settings)
    except StoreError as error:
        return f"{error} Tell the incident by hand."
    return f"The report is kept in {file}. 'reconnect resume' sends it."


def report(run: Run, results: Sequence[Result], settings: Settings) -> str | None:
    """Reports to the incident; gives back why that failed. It is tried for as long as a command waits for its report,
    and once in any case. Raises TakenError."""
    deadline = time.monotonic() + settings.report_seconds
    while True:
        try:
            delivery.report(run, results, settings)
        except StoreError:
            # The evidence cannot be read either.
            run = Runs(settings, in_memory=True).copy(run.record, results)
        except TakenError:
            raise
        except ReconnectError as error:
            final = isinstance(error, TrackerError) and error.code in delivery.FINAL
            if final or time.monotonic() + _PAUSE > deadline:
                return str(error)
            time.sleep(_PAUSE)
        else:
            return None
