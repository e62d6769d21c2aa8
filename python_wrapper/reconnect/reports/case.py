"""A run whose verdict is wrong, as a case that the tests judge again: its evidence, and what the verdict should say.

In the folder tests/evidence/field the unit tests read such cases.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Sequence
from importlib import metadata
from typing import Any

import yaml

from reconnect import names
from reconnect.errors import InputError
from reconnect.reports import pages
from reconnect.reports.redaction import Redaction
from reconnect.result import Result
from reconnect.runs.store import Run
from reconnect.settings import Settings

#: What people say where they name no cause: they do not know it, or nothing was wrong.
UNKNOWN, NONE = "unknown", "none"


def mark_wrong(
    run: Run, results: Sequence[Result], server: str | None, right: str, causes: Collection[str], settings: Settings
) -> tuple[str, dict[str, bytes]]:
    """Keeps that the verdict on a server is wrong, see `case_of`; the server, where the run had one alone, and the
    files. Raises InputError."""
    known = [*causes, NONE, UNKNOWN]
    if names.checked("cause", right) not in known:
        raise names.unknown("cause", right, known)
    result = _of_server(run, results, server)
    if result.verdict is None:
        raise InputError(f"The run {run.run_id} has no verdict on {result.server}: {result.state}.")
    if said(result) == ([] if right == NONE else [right]):
        raise InputError(f"The run {run.run_id} says so already: {', '.join(said(result)) or 'no cause'}.")
    evidence = run.evidence(result.server)
    if not evidence:
        raise InputError(f"The run {run.run_id} kept no evidence of {result.server}.")
    files = case_of(run, result, evidence, right, settings)
    run.mark_wrong(result.server, right)
    return result.server, files


def _of_server(run: Run, results: Sequence[Result], server: str | None) -> Result:
    by_server = {result.server: result for result in results}
    if server is not None and names.checked("server", server) not in by_server:
        raise names.unknown("server", server, by_server)
    if server is None and len(results) != 1:
        raise InputError(f"The run {run.run_id} had {len(results)} servers. Give --server.")
    return by_server[server or results[0].server]


def case_of(run: Run, result: Result, evidence: dict[str, Any], right: str, settings: Settings) -> dict[str, bytes]:
    """The files of the case by their names: the evidence without secrets (JSON, gzip), and what is right (YAML).

    `right` is the root cause, or one of the words above. The same run gives the same bytes.
    """
    redaction = Redaction(pages.secrets_of(settings), settings.mask_numbers)
    packed = json.dumps(redaction.document(evidence), separators=(",", ":"), sort_keys=True).encode()
    case = {
        "version": metadata.version("reconnect"),
        "outcome": result.verdict.outcome if result.verdict else None,
        "said": said(result),
        "expects": {"root_causes": None if right == UNKNOWN else [] if right == NONE else [right]},
    }
    # A foreign name never becomes part of a path.
    name = f"{run.run_id}.{run.record.request.servers.index(result.server) + 1:03d}"
    return {
        f"{name}.json.gz": gzip.compress(packed, mtime=0),
        f"{name}.yml": yaml.safe_dump(case, sort_keys=False).encode(),
    }


def said(result: Result) -> list[str]:
    """The root causes that the verdict names."""
    return sorted({cause.cause for cause in result.verdict.root_causes}) if result.verdict else []
