"""Runs of the service: looked up, followed to their end, and ended early."""

from __future__ import annotations

import base64
import math
import queue
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reconnect import exit_codes
from reconnect.cli.progress import Progress
from reconnect.cli.remote.connection import Connection, ServiceError
from reconnect.errors import InputError, ReconnectError
from reconnect.exit_codes import ExitCode
from reconnect.names import Incident
from reconnect.result import Result
from reconnect.runs.record import Record, Wanted
from reconnect.runs.request import Request
from reconnect.service.contract.documents import CaseShown, RunPage, RunShown
from reconnect.settings import Settings
from reconnect.text import one_line

_PREFIX = re.compile(r"[0-9][0-9a-f-]{0,31}")
#: So many runs are asked for at once.
_PAGE = 200
#: Seconds between two looks at whether somebody wants the run to end, and that a lost service is waited for.
_LOOK = 0.2
_LOST_SECONDS = 120.0
#: Seconds after which a service that could not end a run is asked again.
_CANCEL_SECONDS = 5.0
#: A step takes less than this, in seconds.
_MOST_SECONDS = 1e9
#: Seconds that an answer may wait for the end of a run.
_WAIT = 20


@dataclass(frozen=True)
class Step:
    """A step of a run, as its event says."""

    server: str
    step: str
    state: str
    seconds: float | None


def record_of(shown: RunShown) -> Record:
    """A run as the store of this machine would have it. Raises InputError."""
    request = Request(
        playbook=f"{shown.playbook}.yml",
        mode=shown.mode,
        named=shown.named,
        servers=shown.servers,
        inventory="",
        account=shown.account,
        incident=Incident.parse(shown.incident) if shown.incident else None,
        language=shown.language,
        command=shown.command,
        plan_of=shown.plan_of,
    )
    return Record(
        run_id=shown.id,
        request=request,
        started_at=shown.started_at,
        finished_at=shown.finished_at,
        exit_code=shown.exit_code,
        endings=shown.endings,
        delivery=shown.report,
        pending=shown.pending,
        question=shown.question,
        notes=shown.notes,
    )


def newest(settings: Settings, wanted: Wanted, limit: int) -> list[Record]:
    """The runs that are as wanted, the newest first."""
    return [record_of(shown) for shown in _newest(Connection(settings), wanted, limit)]


def ended(settings: Settings, prefix: str) -> tuple[Record, list[Result]]:
    """The run whose id begins with `prefix`, or the `latest`, and its results; none where it has not ended."""
    connection = Connection(settings)
    shown = _shown(connection, run_id_of(connection, prefix))
    return record_of(shown), shown.results or []


def file_of(settings: Settings, prefix: str, name: str) -> tuple[str, bytes]:
    """The id of the run whose id begins with `prefix`, and its file of that name: `report.html` or `bundle`."""
    connection = Connection(settings)
    run_id = run_id_of(connection, prefix)
    return run_id, connection.file(f"/runs/{run_id}/{name}")


def wrong(settings: Settings, prefix: str, server: str | None, cause: str) -> dict[str, bytes]:
    """Says that a verdict of the run whose id begins with `prefix` is wrong; the files of the case by their names."""
    connection = Connection(settings)
    said = {"server": server, "cause": cause}
    path = f"/runs/{run_id_of(connection, prefix)}/wrong"
    case = connection.ask(CaseShown, "POST", path, again=True, json=said)
    return {name: base64.b64decode(content) for name, content in case.files.items()}


def run_id_of(connection: Connection, prefix: str) -> str:
    """The whole id. Raises InputError unless it is exactly one."""
    name = one_line(prefix, 40)
    if prefix == "latest":
        found = list(_newest(connection, Wanted(), 1))
    elif _PREFIX.fullmatch(prefix):
        # Ids are in the order of time, so those that begin so are the newest before what would follow them.
        some = _newest(connection, Wanted(before=prefix.ljust(32, "f")), 2)
        found = [shown for shown in some if shown.id.startswith(prefix)]
    else:
        found = []
    if not found:
        raise InputError("There is no run yet." if prefix == "latest" else f"There is no run '{name}'.")
    if len(found) > 1:
        raise InputError(f"Several runs begin with '{name}'. Give more of the id.")
    return found[0].id


def cancel(connection: Connection, run_id: str) -> RunShown:
    """Has a run ended early."""
    return connection.ask(RunShown, "POST", f"/runs/{run_id}/cancel")


def follow(connection: Connection, run_id: str, progress: Progress, cancelled: threading.Event) -> RunShown:
    """The run once it has ended; its steps are shown as they come. Where `cancelled` is set meanwhile, it is ended.

    Raises ReconnectError where the service is lost for long, KeyboardInterrupt, Interrupted: the run continues there.
    """
    steps: queue.Queue[Step | ReconnectError | None] = queue.Queue()
    threading.Thread(target=_read, args=(connection, run_id, steps), daemon=True).start()
    cancel_at, refused = 0.0, ""
    while True:
        if cancelled.is_set() and time.monotonic() >= cancel_at:
            cancel_at = math.inf
            try:
                cancel(connection, run_id)
            except (ServiceError, InputError) as error:
                cancel_at = time.monotonic() + _CANCEL_SECONDS
                if str(error) != refused:
                    refused = str(error)
                    progress.note(f"{refused} Trying again. Press Ctrl-C again to leave the run to the service.")
        try:
            step = steps.get(timeout=_LOOK)
        except queue.Empty:
            continue
        if step is None:
            return _shown(connection, run_id)
        if isinstance(step, ReconnectError):
            raise ReconnectError(f"{step} {goes_on(run_id)}")
        progress.step(step)


def goes_on(run_id: str) -> str:
    """What there is to say where nobody waits for the end of a run."""
    return f"Run {run_id} continues there; 'reconnect show {run_id}' shows the result."


def reported(connection: Connection, shown: RunShown, seconds: float) -> RunShown:
    """The run once its incident knows, or after so long."""
    deadline = time.monotonic() + seconds
    while shown.report == "pending" and time.monotonic() < deadline:
        time.sleep(_LOOK)
        shown = _shown(connection, shown.id)
    return shown


def told(shown: RunShown) -> tuple[ExitCode, list[str]]:
    """The exit code of a run that has ended, and what else a person has to know."""
    code = ExitCode(shown.exit_code) if shown.exit_code in list(ExitCode) else ExitCode.DEFECT
    if shown.report != "pending":
        return code, shown.notes
    said = shown.pending.error_message if shown.pending else "it has not been tried yet."
    note = f"The report for {shown.incident} is pending: {said} The service tries again."
    return exit_codes.worst([code, ExitCode.REPORT_PENDING]), [*shown.notes, note]


def _shown(connection: Connection, run_id: str) -> RunShown:
    return connection.ask(RunShown, "GET", f"/runs/{run_id}", again=True)


def _newest(connection: Connection, wanted: Wanted, limit: int) -> Iterator[RunShown]:
    asked = {
        "server": wanted.server,
        "account": wanted.account,
        "ending": wanted.ending,
        "since": wanted.since and wanted.since.isoformat(),
        "until": wanted.until and wanted.until.isoformat(),
    }
    before = wanted.before
    while limit > 0:
        said = {name: value for name, value in (asked | {"before": before}).items() if value is not None}
        page = connection.ask(RunPage, "GET", "/runs", again=True, params=said | {"limit": min(limit, _PAGE)})
        yield from page.runs[:limit]
        limit -= len(page.runs)
        if page.next is None or (before is not None and page.next >= before):
            return
        before = page.next


def _read(connection: Connection, run_id: str, steps: queue.Queue[Step | ReconnectError | None]) -> None:
    """Puts every step of a run, then how that ended: None for the end of the run."""
    after, lost_at = 0, None
    while True:
        try:
            for number, kind, data in connection.events(f"/runs/{run_id}/events", after):
                after, lost_at = max(after, number), None
                if kind == "step":
                    steps.put(_step(data))
            shown = connection.ask(RunShown, "GET", f"/runs/{run_id}", params={"wait": _WAIT})
            if shown.state == "ended":
                steps.put(None)
                return
        except ServiceError as error:
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > _LOST_SECONDS:
                steps.put(error)
                return
            time.sleep(5 * _LOOK)
        except ReconnectError as error:
            steps.put(error)
            return
        except Exception as error:
            # Whoever waits for the steps would wait for ever.
            steps.put(ReconnectError(f"A defect of Reconnect: {type(error).__name__}: {one_line(error, 300)}."))
            return


def _step(data: dict[str, Any]) -> Step:
    seconds = data.get("seconds")
    return Step(
        server=str(data.get("server") or ""),
        step=str(data.get("step") or ""),
        state=str(data.get("state") or "")[:40],
        seconds=float(seconds) if isinstance(seconds, (int, float)) and 0 <= seconds < _MOST_SECONDS else None,
    )
