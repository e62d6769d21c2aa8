"""Evidence that was really taken, judged again: a rule's change shows at once what it would now say about it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from trials.cases import Case, cases
from trials.expect import judgement_misses
from trials.trial import saved

TESTS = Path(__file__).resolve().parents[4]
FILES = sorted((TESTS / "evidence").glob("*.json.gz"))
CASES = [case for case in cases() if saved(case).exists()]
FIELD = sorted((TESTS / "evidence" / "field").glob("*.yml"))


def evidence(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return document


def test_there_is_a_corpus() -> None:
    assert len(FILES) >= 40


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".json.gz"))
def test_saved_evidence_gives_the_cause_that_was_injected(file: Path) -> None:
    verdict = judge.judge(evidence(file))["verdict"]
    name = file.name.split(".")[0]
    causes = [one["cause"] for one in verdict["root_causes"]]
    if name == "healthy":
        assert (causes, verdict["outcome"]) == ([], "healthy")
        return
    expects = yaml.safe_load((TESTS / "faults" / f"{name}.yml").read_text())["expects"]
    assert causes == [expects["root_cause"]]
    assert {one["cause"] for one in verdict["symptoms"] if one["cause"]} <= set(expects["symptoms"])


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_saved_evidence_of_every_kind_says_what_its_file_expects(case: Case) -> None:
    judged = judge.judge(evidence(saved(case)), apply=case.kind == "fault")
    assert judgement_misses(case, judged["verdict"], judged["findings"]) == []


@pytest.mark.parametrize("file", FIELD, ids=lambda file: file.stem)
def test_what_was_wrong_in_the_field_is_right_now(file: Path) -> None:
    case = yaml.safe_load(file.read_text())
    verdict = judge.judge(evidence(file.with_suffix(".json.gz")))["verdict"]
    causes = sorted({one["cause"] for one in verdict["root_causes"]})
    expected = case["expects"]["root_causes"]
    # Where nobody knows the cause, it is not what was said.
    assert causes != case["said"] if expected is None else causes == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".json.gz"))
def test_every_finding_has_a_sentence_and_every_verdict_a_next_step(file: Path) -> None:
    judged = judge.judge(evidence(file))
    assert all(one["summary"].endswith((".", "?", "!")) or "last: " in one["summary"] for one in judged["findings"])
    assert judged["verdict"]["next_step"]
    assert judged["verdict"]["user_message"]
    assert not [one for one in judged["findings"] if one["code"].endswith(".rule")], "a rule crashed"
