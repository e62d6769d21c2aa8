"""What a run changed, for the playbook that undoes it; the collection's table `remedies.yml` says which role does."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter

from reconnect.errors import InputError
from reconnect.result import UNTOUCHED, Result
from reconnect.runs.request import UNDO, Request
from reconnect.runs.store import Run

#: A link to the collection's file; a built package holds a copy of it.
FILE = Path(__file__).parents[1] / "remedies.yml"


class Remedy(BaseModel):
    """What is needed of a row of the table; the fields are described at the head of `remedies.yml`."""

    role: str = ""
    entry: str = ""
    reversible: bool = False
    fixes: dict[str, str] = {}


@functools.cache
def table() -> dict[str, Remedy]:
    """All rows, by remedy."""
    return TypeAdapter(dict[str, Remedy]).validate_python(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def request(run: Run, command: list[str]) -> Request:
    """The request that undoes `run` on every server that it changed. Raises InputError when there is nothing to
    undo."""
    asked = run.record.request
    if run.record.finished_at is None:
        raise InputError(f"Run {run.run_id} has not ended yet.")
    servers = [server for server, found in changes(run.results()).items() if found]
    if not servers:
        raise InputError(f"Run {run.run_id} changed nothing.")
    return Request(
        playbook=UNDO,
        mode="apply",
        named=servers,
        servers=servers,
        account=asked.account,
        incident=asked.incident,
        inventory=asked.inventory,
        timeout=asked.timeout,
        extra_vars=asked.extra_vars,
        language=asked.language,
        undo=run.run_id,
        command=command,
    )


def changes(results: Sequence[Result]) -> dict[str, list[dict[str, Any]]]:
    """The changes of each server, the newest first; what was rolled back is none."""
    return {
        result.server: [
            {
                "remedy": remedy.remedy,
                "cause": remedy.cause or "",
                **table().get(remedy.remedy, Remedy()).model_dump(),
                "before": remedy.before,
                "after": remedy.after,
            }
            for remedy in reversed(result.remedies)
            if remedy.state not in UNTOUCHED and not remedy.rolled_back
        ]
        for result in results
    }
