"""Runs of earlier versions, which had a folder each: taken into the store once, then left alone."""

from __future__ import annotations

import contextlib
import re
import secrets
from pathlib import Path

from pydantic import ValidationError

from reconnect.machine import worker
from reconnect.result import Result
from reconnect.runs.record import Asker, Record
from reconnect.runs.rows import Origin, Rows

#: Written into the old folder once all of its runs are in the store.
MARK = ".in-the-store"
_RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{7}")
_EVIDENCE = re.compile(r"(?P<server>.+?)(?P<kind>\.after\.json|\.json|\.pcap)")
_KINDS = {".json": "evidence", ".after.json": "evidence_after", ".pcap": "packets"}


def take_over(state: Path, rows: Rows) -> None:
    """Takes the old runs of this state folder into the store; where that was interrupted, it goes on.

    What had not ended, or was not told, is then the first worker's. A run that cannot be read stays where it is.
    """
    old = state / "runs"
    if not old.is_dir() or (old / MARK).exists():
        return
    for folder in sorted(old.iterdir()):
        if _RUN_ID.fullmatch(folder.name):
            with contextlib.suppress(OSError, ValidationError):
                _take(folder, rows, worker(state, 1))
    with contextlib.suppress(OSError):
        (old / MARK).touch(mode=0o600)


def _take(folder: Path, rows: Rows, first_worker: str) -> None:
    record = Record.model_validate_json((folder / "run.json").read_bytes())
    if rows.get(record.run_id) is not None:
        return
    done = record.finished_at is not None and record.delivery != "pending"
    origin = Origin(None if done else first_worker, Asker(None, "command", secrets.token_hex(16)))
    client_report = folder / "client-report.json"
    documents = [
        (_KINDS[found["kind"]], found["server"], file.read_bytes())
        for file in sorted((folder / "evidence").glob("*"))
        if (found := _EVIDENCE.fullmatch(file.name))
    ]
    if (report := folder / "report.md").is_file():
        documents.append(("report", "", report.read_bytes()))
    results = []
    for file in sorted((folder / "results").glob("*.json")):
        with contextlib.suppress(ValidationError):
            results.append(Result.model_validate_json(file.read_bytes()))
    rows.take(record, origin, client_report.read_bytes() if client_report.is_file() else None, documents, results)
