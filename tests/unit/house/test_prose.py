# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages are easy to read and to compare: one sentence per line, no line longer than 120 characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WIDEST = 120
#: A sentence that ends in the middle of a line, where the next one begins: a capital letter, a number or a name.
TWO = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<![ (]vs)[.!?][*_)\"”]* +(?=[*_\[(\"“]*[`A-Z0-9])")
PAGES = ("*.md", "docs/**/*.md", "tests/*/README.md", "collections/ansible_collections/*/*/README.md")


def pages() -> list[Path]:
    own = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    return sorted(path for path in own if not {"output", ".state"} & set(path.parts))


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines that are neither code nor a table."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith(("    ", "|", "\t")):
            yield number, re.sub(r"`[^`]*`", "``", re.sub(r"^[# ]*\d+\. ", "", line))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_one_sentence_per_line(page: Path) -> None:
    found = [(number, line) for number, line in prose(page.read_text(encoding="utf-8")) if TWO.search(line)]
    assert found == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_line_is_longer_than_a_window(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > WIDEST] == []


@pytest.mark.parametrize(
    ("line", "two"),
    [
        ("It stops. It starts.", True),
        ("**It stops.** Then it starts.", True),
        ("Is it there? Yes.", True),
        ("It stops, e.g. at night.", False),
        ("It stops. `it` starts.", True),
        ("Version 2.19 or newer.", False),
        ("It starts … and stops.", False),
    ],
)
def test_two_sentences_are_told_from_one(line: str, two: bool) -> None:
    assert bool(TWO.search(line)) is two
