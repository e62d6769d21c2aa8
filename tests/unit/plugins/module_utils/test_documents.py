# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded evidence has the shape that the typed documents describe."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import LogKind
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.log import KINDS
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import Host
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ERRORS, Answered, Failed
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.documents import Evidence
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.schemas import schema_of
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import DEFAULTS
from jsonschema import Draft202012Validator

EVIDENCE = Path(__file__).resolve().parents[3] / "evidence"
RECORDED = sorted(EVIDENCE.rglob("*.json.gz"))


@functools.cache
def validator() -> Draft202012Validator:
    schema = schema_of(Evidence)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def violations(evidence: object) -> list[str]:
    return [f"{error.json_path}: {error.message[-200:]}" for error in validator().iter_errors(evidence)]


def evidence_of(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def objects(value: object) -> Iterator[dict[str, Any]]:
    """Every object of a document, the document first."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(one)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name.removesuffix(".json.gz"))
def test_recorded_evidence_is_valid(path: Path) -> None:
    assert violations(evidence_of(path)) == []


@pytest.mark.parametrize("part", ["host", "asterisk", "database", "account", "paths", "idle", "settings"])
def test_an_unknown_field_is_invalid(part: str) -> None:
    evidence = next(found for found in map(evidence_of, RECORDED) if part in found)
    probes = [one for one in objects(evidence[part]) if "ok" in one]
    for one in [evidence, evidence[part], *probes]:
        one["invented"] = 1
        assert violations(evidence) != []
        del one["invented"]
    assert violations(evidence) == []


def test_every_setting_is_typed() -> None:
    assert set(Settings.__annotations__) == set(DEFAULTS)


def test_errors_are_those_of_the_type() -> None:
    failed = schema_of(Answered[Host] | Failed)["$defs"]["probe.Failed"]
    assert failed["properties"]["error"] == {"enum": list(ERRORS)}


def test_kinds_of_log_lines_are_those_of_the_type() -> None:
    assert sorted(get_args(LogKind)) == sorted(kind for kind, _pattern in KINDS)
