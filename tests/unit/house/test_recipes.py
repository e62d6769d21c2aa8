# SPDX-License-Identifier: GPL-3.0-or-later
"""What CONTRIBUTING.md's recipes ask for is there: a step that was left out is named here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import catalogue
from reconnect.runs.request import DIAGNOSE, FIX, Asked, Playbook
from reconnect.settings.trackers import Trackers
from trials.cases import cases
from trials.trial import saved

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOKS = ROOT / "collections/ansible_collections/privatewave/reconnect/playbooks"


def test_every_cause_has_a_fault_and_its_evidence() -> None:
    faults = [case for case in cases() if case.kind == "fault"]
    injected = {cause for case in faults for cause in case.causes}
    assert set(catalogue()) - injected == set(), "write tests/faults/CAUSE.yml"
    recorded = {cause for case in faults if saved(case).exists() for cause in case.causes}
    assert injected - recorded == set(), "record the evidence: tests/faults/run.py --record CAUSE"


def test_every_tracker_has_a_page_that_is_listed() -> None:
    pages = {f"{'webhook' if name == 'webhooks' else name}.md" for name in Trackers.model_fields}
    folder = ROOT / "docs/how-to/trackers"
    assert {path.name for path in folder.glob("*.md")} == {"index.md", *pages}
    index, site = (folder / "index.md").read_text(), (ROOT / "mkdocs.yml").read_text()
    assert {page for page in pages if f"({page})" not in index} == set(), "name it in index.md"
    assert {page for page in pages if f"how-to/trackers/{page}" not in site} == set(), "name it in mkdocs.yml"


def measurements() -> list[str]:
    [task] = yaml.safe_load((PLAYBOOKS / "tasks/measure.yml").read_text())
    return re.findall(r"'(\w+)':", task["vars"]["reconnect_measurements"])


@pytest.mark.parametrize("name", measurements())
def test_somebody_reads_what_was_measured(name: str) -> None:
    own = PLAYBOOKS / "tasks" / f"{name}.yml"
    answers = set(re.findall(r"register: (\w+)", own.read_text()))
    others = "\n".join(path.read_text() for path in PLAYBOOKS.rglob("*.yml") if path != own)
    assert answers
    assert {answer for answer in answers if not re.search(rf"\b{answer}\b", others)} == set(), "give it to gather"


@pytest.mark.parametrize("playbook", [DIAGNOSE, FIX])
def test_every_variable_of_an_option_is_used(playbook: Playbook) -> None:
    # What `make docs` writes names them all: comments, and the list in begin.yml.
    lines = "\n".join(path.read_text() for path in PLAYBOOKS.rglob("*.yml")).splitlines()
    used = re.sub(r"(?s)reconnect_variables: \[.*?\]", "", "\n".join(one for one in lines if not one.startswith("#")))
    variables = {one.option.variable for one in Asked.options(playbook) if one.option.variable}
    unused = {one for one in variables if not re.search(rf"\b{one}\b", used)}
    assert unused == set(), "use it in a file of playbooks/tasks/"
