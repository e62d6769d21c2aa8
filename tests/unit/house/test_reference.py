# SPDX-License-Identifier: GPL-3.0-or-later
"""The generated pages are those that `make docs` makes now."""

from __future__ import annotations

from pathlib import Path

import pytest
from reconnect.runs.request import DIAGNOSE, FIX
from reconnect.settings.trackers import Trackers
from reference import FOLDER, awx, packaging, pages, playbooks, roles
from reference.text import BY_HAND, item, markup, prose


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


def test_no_page_is_stale(made: dict[str, str]) -> None:
    found = {str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in files()}
    assert {name for name in made if found.get(name) != made[name]} == set(), "run `make docs`"
    assert set(found) == {*made, *BY_HAND}


def test_no_comment_of_a_playbook_is_stale() -> None:
    assert {path.name for path, text in playbooks.texts().items() if path.read_text(encoding="utf-8") != text} == set()
    for playbook in (DIAGNOSE, FIX):
        assert playbooks.comment(playbook) in playbooks.texts()[playbooks.FOLDER / playbook.replace("-", "_")]


def test_no_readme_manual_or_completion_is_stale() -> None:
    texts = {**roles.readmes(), **packaging.texts(), **awx.texts()}
    assert {path for path, text in texts.items() if path.read_text(encoding="utf-8") != text} == set()


def files() -> list[Path]:
    return [path for path in FOLDER.rglob("*") if path.is_file()]


def test_every_tracker_has_its_variables(made: dict[str, str]) -> None:
    names = {line.split("`")[1] for line in made["settings.md"].splitlines() if line.startswith("- `")}
    assert {"RECONNECT_FILE_INCOMING", "RECONNECT_JIRA_URL", "RECONNECT_SERVICE_PORT"} <= names
    # A tracker's settings have names; the tracker by itself is none.
    assert {f"RECONNECT_{name.upper()}" for name in Trackers.model_fields} & names == set()


def test_the_index_links_every_page(made: dict[str, str]) -> None:
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert [name for name in made if name.endswith(".md") and f"]({name})" not in index] == []


def test_prose_has_a_sentence_per_line() -> None:
    assert prose("One. Two `x` is. `y` too, e.g. Z.") == "One.\nTwo `x` is.\n`y` too, e.g. Z."
    assert prose("word " * 40).splitlines() == [("word " * 24).strip(), ("word " * 16).strip()]


def test_an_item_stays_in_its_width() -> None:
    assert item("`a`", "Short.", "Shorter.") == "- `a`: Short.\n  Shorter."
    assert item("`a`", "Short.", depth=1) == "  - `a`: Short."
    assert item("`a`", "w" * 115) == f"- `a`:\n  {'w' * 115}"


def test_ansibles_markup_becomes_markdown() -> None:
    said = "Needs O(state=ok), V(x), C(y) and M(privatewave.reconnect.gather); B(not) L(this,https://example.com)."
    assert markup(said) == (
        "Needs `state=ok`, `x`, `y` and `privatewave.reconnect.gather`; **not** [this](https://example.com)."
    )
