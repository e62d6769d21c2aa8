# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge gives back has the shape that its types promise."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import (
    Carried,
    Conclusion,
    Judgement,
    Level,
)
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.schemas import schema_of
from jsonschema import Draft202012Validator

CORPUS = sorted((Path(__file__).resolve().parents[4] / "evidence").glob("*.pbx22.json.gz"))
assert CORPUS
JUDGEMENT, CONCLUSION = (Draft202012Validator(schema_of(kind)) for kind in (Judgement, Conclusion))


def plain(document: Any) -> Any:
    return json.loads(json.dumps(document))


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name.partition(".")[0])
def test_every_judgement_and_conclusion_has_its_shape(file: Path) -> None:
    evidence = json.loads(gzip.decompress(file.read_bytes()))
    levels: tuple[Level, ...] = ("first", "second")
    for level in levels:
        judged = judge.judge(evidence, apply=True, level=level, rotate=level == "first")
        done: list[Carried] = [
            {"remedy": step["remedy"], "cause": step["cause"], "state": "failed"} for step in judged["verdict"]["plan"]
        ]
        concluded = judge.conclude(judged, judged, done, level)
        assert [error.message for error in JUDGEMENT.iter_errors(plain(judged))] == []
        assert [error.message for error in CONCLUSION.iter_errors(plain(concluded))] == []


def test_what_closes_an_incident_at_first_level_has_its_shape() -> None:
    assert [error.message for error in CONCLUSION.iter_errors(plain(judge.triage({"internet": False})))] == []
