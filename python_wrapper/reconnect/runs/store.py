"""The runs of this site, kept in its database (`database`), each with a scratch folder while it is under way.

SQLAlchemy is imported with the first run that is looked for: who asks for help does not wait for it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reconnect import machine
from reconnect.errors import InputError, ReconnectError, StoreError, TakenError
from reconnect.exit_codes import ExitCode
from reconnect.machine import make_private
from reconnect.result import Result, State, now
from reconnect.runs.record import Asker, Ended, Kept, Record, Wanted
from reconnect.runs.request import Request
from reconnect.settings import Settings
from reconnect.text import one_line

if TYPE_CHECKING:
    from reconnect.runs.rows import Origin, Rows, Within

_PREFIX = re.compile(r"[0-9][0-9a-f-]{0,22}")
#: How long old runs are removed for at most, in seconds; what is left goes with the next command.
REMOVING_SECONDS = 10.0

Evidence = Literal["evidence", "evidence_after"]


class _Moments:
    """When the runs of this process begin: no two of them in one millisecond, for their ids tell their order."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._last: datetime | None = None

    def next(self) -> datetime:
        """Now, or the millisecond after the last one. A clock that was set back is believed."""
        with self._turn:
            at = now()
            if self._last and self._last - timedelta(seconds=1) < at <= self._last:
                at = self._last + timedelta(milliseconds=1)
            self._last = at
            return at


_MOMENTS = _Moments()


class Run:
    """One run: its record, its documents, and its scratch folder while it is under way. One `in_memory` ends with this
    process. What the `worker` that carries it out writes raises TakenError where somebody else has it by now."""

    def __init__(self, rows: Rows, work: Path, record: Record, in_memory: bool = False) -> None:
        self._rows = rows
        self._work = work
        self.record = record
        self.in_memory = in_memory

    @property
    def run_id(self) -> str:
        return self.record.run_id

    @property
    def worker(self) -> str | None:
        return self._rows.worker

    def by(self, worker: str) -> Run:
        """The run as this worker has it."""
        return Run(self._rows.by(worker), self._work, self.record, self.in_memory)

    def check(self) -> None:
        """Raises TakenError where somebody else has the run by now."""
        kept = self.kept() if self.worker is not None else None
        if kept is not None and kept.worker != self.worker:
            raise TakenError(self.run_id)

    def traced(self) -> dict[str, object]:
        """What the log says of the run in every line; without the trace id where the store refuses it."""
        kept = None
        with contextlib.suppress(StoreError):
            kept = self.kept()
        return {"run": self.run_id, "trace_id": kept.asker.trace_id if kept else None}

    @property
    def work_dir(self) -> Path:
        """What Ansible needs while it runs; removed at its end."""
        return self._work / self.run_id

    @property
    def client_report_file(self) -> Path:
        """The client report, for the playbook; see `begin_work`."""
        return self.work_dir / "client-report.json"

    def begin_work(self) -> None:
        """Makes an empty scratch folder that only this user can enter, with the client report where there is one.

        Raises ReconnectError.
        """
        said = self._rows.document(self.run_id, "client_report", "")
        self.remove_work()
        try:
            make_private(self.work_dir)
            if said is not None:
                write_bytes(self.client_report_file, said)
        except OSError as error:
            raise ReconnectError(f"Cannot make the folder {self.work_dir}: {error.strerror}.") from None

    def remove_work(self) -> None:
        """Removes what Ansible and ansible-runner left behind: it may name secrets."""
        shutil.rmtree(self.work_dir, ignore_errors=True)

    def save(self) -> None:
        """Keeps the record as it is now."""
        self._rows.save(self.record)

    def touch(self) -> None:
        """Writes nothing new, to see whether the store takes it. Raises StoreError where it does not."""
        self._rows.touch(self.run_id)

    def save_result(self, result: Result) -> None:
        """Keeps the result document of one server."""
        self._rows.save_result(result)

    def finish(self, results: Sequence[Result], report: str) -> None:
        """Keeps how the run ended: record, results, report (Markdown) and the event `ended`, all or nothing."""
        self._rows.finish(self.record, results, report.encode(errors="backslashreplace"))

    def results(self) -> list[Result]:
        """The result documents, in the order in which the servers were asked for."""
        return self._rows.results(self.run_id)

    def keep_evidence(self, server: str, document: bytes, after: bool = False) -> None:
        """Keeps the evidence document of one server (JSON)."""
        self._rows.keep(self.run_id, _evidence(after), server, document)

    def evidence(self, server: str, after: bool = False) -> dict[str, Any]:
        """The evidence document of one server, as it was before (`after`: once the last remedy was done); empty where
        there is none that can be read."""
        try:
            document = json.loads(self._rows.document(self.run_id, _evidence(after), server) or b"")
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    def keep_packets(self, server: str, packets: bytes) -> None:
        """Keeps the packets that were captured on one server (pcap)."""
        self._rows.keep(self.run_id, "packets", server, packets)

    def packets(self, server: str) -> bytes | None:
        """The packets that were captured on one server; None where there are none."""
        return self._rows.document(self.run_id, "packets", server)

    def client_report(self) -> dict[str, Any] | None:
        """What the client reported; None where it reported nothing."""
        document = self._rows.document(self.run_id, "client_report", "")
        return None if document is None else dict(json.loads(document))

    def mark_wrong(self, server: str, right: str) -> None:
        """Keeps that the verdict on a server is wrong, and what is right: a cause, `none` or `unknown`."""
        self._rows.keep(self.run_id, "wrong", server, right.encode())

    def report(self) -> str | None:
        """The report as it was written at the end (Markdown)."""
        document = self._rows.document(self.run_id, "report", "")
        return None if document is None else document.decode()

    def happened(self, kind: str, server: str | None = None, **data: Any) -> None:
        """Adds an event."""
        self.add_events([event(kind, server, **data)])

    def add_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Adds events, in this order."""
        self._rows.add_events(self.run_id, events)

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """What happened after the event numbered `after`."""
        return self._rows.events(self.run_id, after)

    def kept(self) -> Kept | None:
        """What is kept beside the record; None where the run isn't there any more."""
        return self._rows.kept(self.run_id)

    def withdraw(self, state: State, said: str) -> bool:
        """Has the run end, whoever carries it out, in whatever process; whether it had not ended."""
        return self._rows.withdraw(self.run_id, state, said)

    def withdrawn(self) -> tuple[State, str] | None:
        """The state that the run is to end with, and why, where it is withdrawn."""
        return self._rows.withdrawn(self.run_id)

    def ended(self) -> bool:
        """Whether it has ended, by what is kept now."""
        return self._rows.ended(self.run_id)

    def read(self) -> Record:
        """The record as it is kept now; what is known where it is not there any more."""
        return self._rows.get(self.run_id) or self.record

    def told(self) -> bool:
        """Whether the incident knows, or trying again soon would not help; by the record as it is kept now."""
        self.record = self.read()
        pending = self.record.pending
        return self.record.delivery != "pending" or (pending is not None and (pending.final or pending.given_up))

    def tried(self) -> bool:
        """Whether the incident knows, or an attempt to tell it has failed; by the record as it is kept now."""
        self.record = self.read()
        return self.record.delivery != "pending" or self.record.pending is not None


class Runs:
    """All runs of this site. Whatever it does raises StoreError when the database fails.

    Those `in_memory` end with this process: they are runs that the database refuses.
    """

    def __init__(self, settings: Settings, *, in_memory: bool = False) -> None:
        self._settings = settings
        self._in_memory = in_memory

    def create(
        self,
        request: Request,
        client_report: dict[str, Any] | None = None,
        *,
        worker: str | None = None,
        question: Sequence[str] = (),
        within: Within | None = None,
        at: datetime | None = None,
        asker: Asker | None = None,
    ) -> Run:
        """A new run that the worker of that name carries out, and what `within` writes in the same transaction. Without
        a worker it waits until one adopts it; without an `asker` the user of this command asked for it.

        One with a `question` has ended already, and is to be told.
        """
        run = self._new(request, question, at)
        origin = self._origin(run, worker, asker, asked_once=False)
        self._rows.insert(run.record, origin, _json(client_report), within)
        return run.by(worker) if worker is not None else run

    def copy(self, record: Record, results: Sequence[Result], worker: str | None = None) -> Run:
        """A run with this record and these results, which other runs than these have; the worker of that name reports
        it."""
        run = self._run(record)
        self._rows.take(record, self._origin(run, worker, None, asked_once=False), None, [], results)
        return run

    def claim(
        self,
        request: Request,
        client_report: dict[str, Any] | None,
        *,
        worker: str | None = None,
        within: Within | None = None,
        ended_after: datetime,
        question: Sequence[str] = (),
        asker: Asker | None = None,
        notes: Sequence[str] = (),
    ) -> tuple[Run, bool]:
        """The run that answers this request of an incident, and whether it is a new one, made as by `create`.

        On all machines that use the database it is one: a run that is open, or that ended after `ended_after`, answers
        the same request of an incident or the same plan; one that asked the same `question` answers it for ever.
        """
        run = self._new(request, question)
        run.record.notes += notes
        origin = self._origin(run, worker, asker, asked_once=True)
        known = self._rows.insert_unless(run.record, origin, _json(client_report), within, ended_after)
        if known is not None:
            return self._run(known), False
        return run.by(worker) if worker is not None else run, True

    def answering(self, request: Request, ended_after: datetime, question: Sequence[str] = ()) -> Run | None:
        """The run that `claim` would find now."""
        found = self._rows.same(self._origin(self._new(request, question), None, None, asked_once=True), ended_after)
        return None if found is None else self._run(found)

    def get(self, run_id: str) -> Run | None:
        """The run with this id; None where it isn't there any more."""
        record = self._rows.get(run_id)
        return None if record is None else self._run(record)

    def readable(self, run_ids: Sequence[str]) -> list[Run]:
        """Those that are there and can be read, the oldest first; the log names the others once."""
        return [self._run(record) for record in self._rows.readable(run_ids)]

    def find(self, prefix: str) -> Run:
        """The run whose id begins with `prefix`; `latest` is the newest. Raises InputError unless it is exactly one."""
        shown = one_line(prefix, 40)
        if prefix == "latest":
            found = self._rows.newest(Wanted(), 1)
        else:
            found = self._rows.beginning_with(prefix, 2) if _PREFIX.fullmatch(prefix) else []
        if not found:
            raise InputError("There is no run yet." if prefix == "latest" else f"There is no run '{shown}'.")
        if len(found) > 1:
            raise InputError(f"Several runs begin with '{shown}'. Give more of the id.")
        return self._run(found[0])

    def newest(self, wanted: Wanted | None = None, limit: int | None = None) -> list[Run]:
        """The runs that are as wanted and can be read, the newest first."""
        return [self._run(record) for record in self._rows.newest(wanted or Wanted(), limit)]

    def waiting(self) -> list[tuple[str | None, Run]]:
        """The runs that have not ended or whose report is pending, each with its worker; the oldest first."""
        return [(worker, self._run(record)) for worker, record in self._rows.waiting()]

    def worked_at(self, worker: str) -> list[str]:
        """The ids of those that are this worker's, the oldest first."""
        return self._rows.worked_at(worker)

    def adopt(
        self, run_id: str, worker: str, left_by: str | None = None, withdrawn: tuple[State, str] | None = None
    ) -> bool:
        """Gives a run that no worker has, or an open one of a worker that is gone, to this one; whether it is this
        one's now. Nobody begins one that is `withdrawn`: whoever has it ends it so."""
        return self._rows.adopt(run_id, worker, left_by, withdrawn)

    def workers(self) -> list[str]:
        """The workers that have any of those."""
        return self._rows.workers()

    def endings(self, since: datetime | None = None) -> Iterator[Ended]:
        """Every result of the runs that began since then; those of a run one after the other."""
        return self._rows.endings(since)

    def remove_old(self, days: float) -> int:
        """Removes the runs that ended more than `days` ago, a few at a time and for a bounded time, and gives back how
        many; never one that is under way or whose report is pending."""
        before, until = now() - timedelta(days=days), now() + timedelta(seconds=REMOVING_SECONDS)
        removed = 0
        while some := self._rows.remove_ended(before):
            removed += some
            if now() > until:
                break
        return removed

    @functools.cached_property
    def _rows(self) -> Rows:
        from reconnect.runs import database, folders
        from reconnect.runs.rows import Rows

        if self._in_memory:
            return Rows(database.in_memory())
        rows = Rows(database.engine_of(self._settings))
        folders.take_over(self._settings.state, rows)
        return rows

    def _run(self, record: Record) -> Run:
        return Run(self._rows, self._settings.state / "work", record, self._in_memory)

    def _new(self, request: Request, question: Sequence[str], at: datetime | None = None) -> Run:
        from reconnect.runs.rows import stamp

        started_at = at or _MOMENTS.next()
        record = Record(run_id=f"{stamp(started_at)}{secrets.token_hex(2)}", request=request, started_at=started_at)
        if question:
            record.question, record.delivery = list(question), "pending"
            record.finished_at, record.exit_code = started_at, int(ExitCode.USAGE)
        return self._run(record)

    def _origin(self, run: Run, worker: str | None, asker: Asker | None, asked_once: bool) -> Origin:
        from reconnect.runs.rows import Origin

        request, question = run.record.request, run.record.question
        return Origin(
            worker=worker,
            asker=asker or Asker(machine.user(), "command", secrets.token_hex(16)),
            request_key=_key(*request.same)
            if asked_once and (request.incident or request.plan_of) and not question
            else None,
            question_key=_key(request.incident, question) if asked_once and question else None,
        )


def event(kind: str, server: str | None = None, **data: Any) -> dict[str, Any]:
    """Something that happens now."""
    return {"at": now(), "kind": kind, "server": server, "data": data}


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, see `write_bytes`."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` at once or not at all, readable by this user only. Raises OSError."""
    temporary = beside(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def beside(path: Path) -> Path:
    """Where the content of `path` is written before it is put there. Raises OSError where it is a folder."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return path.with_name(f"{path.name}.new")


def _evidence(after: bool) -> Evidence:
    return "evidence_after" if after else "evidence"


def _json(content: dict[str, Any] | None) -> bytes | None:
    return None if content is None else json.dumps(content).encode()


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()
