"""Which runs are looked for, and which are old enough to go."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconnect.result import now
from reconnect.runs import Run, Runs


@dataclass(frozen=True)
class Wanted:
    """What a run has to be; None wants nothing. `since` and `until` are of its start."""

    server: str | None = None
    account: str | None = None
    ending: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def chosen(runs: Iterable[Run], wanted: Wanted) -> Iterator[Run]:
    """The runs that are as wanted; an ending is looked for on the wanted server."""
    for run in runs:
        record = run.record
        if wanted.account not in (None, record.request.account):
            continue
        if (wanted.since and record.started_at < wanted.since) or (wanted.until and record.started_at > wanted.until):
            continue
        endings = [end for name, end in record.endings.items() if wanted.server in (None, name)]
        if wanted.ending in endings or (wanted.ending is None and (endings or wanted.server is None)):
            yield run


def remove_old(runs: Runs, days: float) -> int:
    """Removes the runs that ended more than `days` ago and gives back how many; never one that is under way or whose
    report is pending."""
    before = now() - timedelta(days=days)
    old = [
        run
        for run in runs
        if run.record.finished_at and run.record.finished_at < before and run.record.delivery != "pending"
    ]
    for run in old:
        shutil.rmtree(run.folder, ignore_errors=True)
    return len(old)
