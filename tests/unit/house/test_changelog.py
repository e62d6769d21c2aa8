# SPDX-License-Identifier: GPL-3.0-or-later
"""The changelog of the collection is the one that `make changelog` makes of its fragments."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = ROOT / "collections" / "ansible_collections" / "privatewave" / "reconnect"


def test_the_changelog_is_that_of_the_fragments(tmp_path: Path) -> None:
    copy = tmp_path / "ansible_collections" / "privatewave" / "reconnect"
    shutil.copytree(COLLECTION, copy, ignore=shutil.ignore_patterns("__pycache__", "output", "CHANGELOG.md"))
    subprocess.run([ROOT / "tests" / "setup" / "changelog", copy], check=True, capture_output=True)
    made = (copy / "CHANGELOG.md").read_text(encoding="utf-8")
    assert made == (COLLECTION / "CHANGELOG.md").read_text(encoding="utf-8"), "run `make changelog`"
    assert made.count("\n* ") >= len(list((COLLECTION / "changelogs" / "fragments").glob("*.yml")))
