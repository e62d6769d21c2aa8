# SPDX-License-Identifier: GPL-3.0-or-later
"""A page that a comment, a message or a README names is there. Links inside docs/ are checked by the strict build."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NAMED = re.compile(r"\bdocs/[A-Za-z0-9_/.-]+\.(?:md|json)\b")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")


def files(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_every_page_that_is_named_exists() -> None:
    gone = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files(".", ":!tests/evidence", ":!tests/unit/house")
        for name in NAMED.findall(path.read_text(encoding="utf-8", errors="replace"))
        if not (ROOT / name).is_file()
    }
    assert gone == set()


def test_every_link_of_a_readme_leads_somewhere() -> None:
    gone = {
        f"{path.relative_to(ROOT)}: {target}"
        for path in files("*.md", ":!docs", ":!*CHANGELOG.md")
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    }
    assert gone == set()
