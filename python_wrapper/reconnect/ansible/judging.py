"""The collection's judge and its catalogue of causes, for use without Ansible."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from reconnect import invalid, texts
from reconnect.ansible import collection
from reconnect.ansible.project import Project
from reconnect.common import plain_json
from reconnect.errors import InputError, ReconnectError
from reconnect.result import Judgement
from reconnect.text import one_line

#: The largest saved evidence, in bytes when unpacked; a hundred times that of the largest server seen.
MAX_EVIDENCE_BYTES = 8 * 1024 * 1024
#: So many values it may have: each of them takes far more memory than its text.
MAX_EVIDENCE_VALUES = 200_000

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Cause:
    """An entry of the catalogue; `remedy` is the name to approve it by, None where only a person can fix it."""

    name: str
    policy: str
    remedy: str | None
    title: str
    sentence: str
    subject: str
    runbook_step: str
    explains: list[str]
    next_step: str
    user_message: str


def causes(project: Project) -> dict[str, Cause]:
    """All causes by name, in the order of the catalogue."""
    return {
        name: Cause(
            name=name,
            title=entry.title,
            sentence=entry.sentence,
            subject=entry.subject,
            runbook_step=entry.runbook_step,
            policy=entry.policy,
            explains=list(entry.explains),
            remedy=entry.remedy.name if entry.remedy else None,
            next_step=entry.next_step,
            user_message=texts.text(entry.user_message),
        )
        for name, entry in _judge(project).catalogue().items()
    }


def judge(project: Project, path: Path) -> tuple[str, Judgement]:
    """The server of the evidence in `path` (JSON, also compressed by gzip), and its judgement.

    Raises InputError when the file is not evidence.
    """
    evidence = _evidence(path)
    module = _judge(project)
    try:
        judgement = Judgement.model_validate(module.judge(module.fitted(evidence)))
    except module.EvidenceError as error:
        raise InputError(f"Cannot judge {one_line(path)}: {one_line(error)}.") from None
    except ValidationError as error:
        raise ReconnectError(f"The judgement is not valid: {invalid.where(error.errors()[0])}.") from None
    return str(evidence.get("name") or path.stem), judgement


def _evidence(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == _GZIP
            content = (gzip.GzipFile(fileobj=file) if packed else file).read(MAX_EVIDENCE_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(f"The compressed evidence {one_line(path)} is damaged.") from None
    except OSError as error:
        raise InputError(f"Cannot read the evidence {one_line(path)}: {error.strerror}.") from None
    if len(content) > MAX_EVIDENCE_BYTES:
        raise InputError(f"The evidence {one_line(path)} is larger than {MAX_EVIDENCE_BYTES // 1024**2} MiB.")
    if sum(map(content.count, (b",", b"[", b"{"))) > MAX_EVIDENCE_VALUES:
        raise InputError(f"The evidence {one_line(path)} has more than {MAX_EVIDENCE_VALUES} values.")
    try:
        evidence = plain_json(content)
    except ValueError:
        raise InputError(f"The evidence {one_line(path)} is not JSON.") from None
    if not isinstance(evidence, dict):
        raise InputError(f"The evidence {one_line(path)} has no fields.")
    return evidence


def _judge(project: Project) -> ModuleType:
    try:
        return collection.module(str(project.collections), "plugin_utils.judge")
    except ImportError as error:
        raise ReconnectError(f"Cannot load the judge from {project.collections}: {one_line(error)}.") from None
