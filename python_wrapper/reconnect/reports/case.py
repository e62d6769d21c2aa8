"""A run whose verdict is wrong, as a case that the tests judge again: its evidence, and what the verdict should say.

In the folder tests/evidence/field the unit tests read such cases.
"""

from __future__ import annotations

import gzip
import json
from importlib import metadata
from typing import Any

import yaml

from reconnect.reports import pages
from reconnect.reports.redaction import Redaction
from reconnect.result import Result
from reconnect.runs.store import Run
from reconnect.settings import Settings

#: What people say where they name no cause: they do not know it, or nothing was wrong.
UNKNOWN, NONE = "unknown", "none"


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
