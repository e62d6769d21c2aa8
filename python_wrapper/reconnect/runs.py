"""The runs on disk: one private folder per run, which holds no secret once the run has ended.

run.json              what was asked, how it ended, where the report went
results/SERVER.json   the result documents
evidence/SERVER.json  the evidence they were judged from; SERVER.pcap, packets, where they were asked for
client-report.json    what the client said, when it said something
report.md             the report as the incident gets it
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from reconnect.errors import InputError, ReconnectError
from reconnect.exit_codes import ExitCode
from reconnect.result import Mode, Result, Time, now, to_json
from reconnect.text import one_line

_RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{7}")

#: Whether the incident knows: there is none, or it is not to be told; not all is told yet; all is told.
Delivery = Literal["none", "pending", "delivered"]


class Request(BaseModel):
    """What was asked of a run.

    `watch` is how many seconds the account's registration attempts are watched (fix-account-config), `go_on` whether
    first level goes straight on into second level's diagnosis, `rotate_password` whether it mends a wrong password by a
    new one, `call_test` whether the reserved accounts place a call, `idle_test` for up to how many seconds connections
    are silent, `capture` for how many seconds packets of SIP are captured.
    """

    model_config = ConfigDict(extra="forbid")

    playbook: str
    mode: Mode
    named: list[str]
    servers: list[str]
    inventory: str
    account: str | None = None
    incident: str | None = None
    client_report: bool = False
    approvals: list[str] = []
    watch: int = 0
    go_on: bool = False
    rotate_password: bool = False
    call_test: bool = False
    idle_test: int = 0
    capture: int = 0
    timeout: float
    command: list[str]


class Pending(BaseModel):
    """How the delivery of a report stands that was tried and failed.

    `rounds`: how often a person had it tried anew; `final`: trying again soon changes nothing; `given_up`: it is not
    tried any more.
    """

    model_config = ConfigDict(extra="forbid")

    since: Time
    attempts: int = 0
    rounds: int = 0
    error_message: str = ""
    final: bool = False
    next_at: Time | None = None
    given_up: bool = False


class Record(BaseModel):
    """A run as run.json tells it. `finished_at` is missing while it is under way or waits for its turn.

    `endings` is the outcome of each server, or the state where the run did not succeed. `begun` is how often it was
    begun: more than once where its process was killed. `question` is what the incident is asked where it can't be
    worked on, a sentence each: then nothing is executed, and the question is all there is to tell.
    """

    model_config = ConfigDict(extra="forbid")

    run_id: str
    request: Request
    started_at: Time
    finished_at: Time | None = None
    exit_code: int | None = None
    endings: dict[str, str] = {}
    delivery: Delivery = "none"
    pending: Pending | None = None
    notes: list[str] = []
    begun: int = 0
    question: list[str] = []


class Run:
    """One run and its folder."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.record = record

    @property
    def run_id(self) -> str:
        return self.record.run_id

    @property
    def results_dir(self) -> Path:
        return self.folder / "results"

    @property
    def evidence_dir(self) -> Path:
        return self.folder / "evidence"

    @property
    def work_dir(self) -> Path:
        """What Ansible needs while it runs; removed at its end."""
        return self.folder / "work"

    @property
    def report_file(self) -> Path:
        return self.folder / "report.md"

    @property
    def client_report_file(self) -> Path:
        return self.folder / "client-report.json"

    def save(self) -> None:
        """Writes run.json."""
        write_json(self.folder / "run.json", self.record.model_dump(mode="json"))

    def save_result(self, result: Result) -> None:
        """Writes the result document of one server."""
        write_json(self.results_dir / f"{result.server}.json", to_json(result))

    def results(self) -> list[Result]:
        """The result documents, in the order in which the servers were asked for."""
        return [
            Result.model_validate_json(path.read_bytes())
            for server in self.record.request.servers
            if (path := self.results_dir / f"{server}.json").is_file()
        ]

    def evidence(self, server: str, after: bool = False) -> dict[str, Any]:
        """The evidence document of one server, as it was before (`after`: once the last remedy was done); empty where
        there is none that can be read."""
        path = self.evidence_dir / f"{server}{'.after' if after else ''}.json"
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    def packets_file(self, server: str) -> Path:
        """The packets that were captured on one server, where it was asked for (pcap)."""
        return self.evidence_dir / f"{server}.pcap"

    def read(self) -> Record:
        """The record as it is on disk now; what is known where it can't be read."""
        latest = _load(self.folder)
        return latest.record if latest else self.record

    def told(self) -> bool:
        """Whether the incident knows, or trying again soon would not help; by the record as it is on disk now."""
        self.record = self.read()
        pending = self.record.pending
        return self.record.delivery != "pending" or (pending is not None and (pending.final or pending.given_up))

    def tried(self) -> bool:
        """Whether the incident knows, or an attempt to tell it has failed; by the record as it is on disk now."""
        self.record = self.read()
        return self.record.delivery != "pending" or self.record.pending is not None

    def remove_work(self) -> None:
        """Removes what Ansible and ansible-runner left behind: it may name secrets."""
        shutil.rmtree(self.work_dir, ignore_errors=True)


class Runs:
    """All runs below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(
        self,
        request: Request,
        client_report: dict[str, Any] | None = None,
        noted: Callable[[str], None] | None = None,
        question: Sequence[str] = (),
    ) -> Run:
        """A new run in a new folder that only this user can enter. Raises ReconnectError when it can't be made.

        `noted` gets its id before there is anything of it: no moment exists at which it is there and nobody's. One with
        a `question` has ended already, and is to be told.
        """
        started_at = now()
        milliseconds = started_at.microsecond // 1000
        run_id = f"{started_at:%Y%m%d-%H%M%S}-{milliseconds:03d}{secrets.token_hex(2)}"
        record = Record(run_id=run_id, request=request, started_at=started_at)
        if question:
            record.question, record.delivery = list(question), "pending"
            record.finished_at, record.exit_code = started_at, int(ExitCode.USAGE)
        run = Run(self.folder / run_id, record)
        try:
            if noted is not None:
                noted(run_id)
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (run.folder, run.results_dir, run.evidence_dir, run.work_dir):
                folder.mkdir(mode=0o700)
            if client_report is not None:
                write_json(run.client_report_file, client_report)
            run.save()
        except OSError as error:
            raise ReconnectError(f"The run can't be kept in {self.folder}: {error.strerror}.") from None
        return run

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Nobody else begins a run meanwhile."""
        with alone(self.folder):
            yield

    def __iter__(self) -> Iterator[Run]:
        """Every run that can be read, the newest first."""
        if not self.folder.is_dir():
            return
        for folder in sorted(self.folder.iterdir(), reverse=True):
            if _RUN_ID.fullmatch(folder.name) and (run := _load(folder)):
                yield run

    def get(self, run_id: str) -> Run | None:
        """The run with this id; None where it isn't there any more."""
        return _load(self.folder / run_id) if _RUN_ID.fullmatch(run_id) else None

    def find(self, prefix: str) -> Run:
        """The run whose id begins with `prefix`; `latest` is the newest. Raises InputError unless it is exactly one."""
        shown = one_line(prefix, 40)
        matching = [run for run in self if prefix and run.run_id.startswith(prefix)]
        if prefix == "latest":
            matching = list(self)[:1]
        if not matching:
            raise InputError(f"There is no run '{shown}' in {self.folder}.")
        if len(matching) > 1:
            raise InputError(f"{len(matching)} runs begin with '{shown}': give more of the id.")
        return matching[0]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else is here for the same folder meanwhile. Raises ReconnectError when it can't be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ReconnectError(f"Runs can't be kept in {folder}: {error.strerror}.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Writes `content` as JSON, see `write_text`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, see `write_bytes`."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` at once or not at all, readable by this user only."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _load(folder: Path) -> Run | None:
    try:
        return Run(folder, Record.model_validate_json((folder / "run.json").read_bytes()))
    except (OSError, ValidationError):
        return None
