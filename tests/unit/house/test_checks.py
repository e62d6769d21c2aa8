# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks before a commit are the checks of `make lint`, and what a target needs is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import yaml
from attacks import HARMS

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_pre_commit_runs_what_make_lint_runs() -> None:
    found = re.search(r"^lint: (?P<checks>[a-z -]+?) ##", MAKEFILE, re.MULTILINE)
    assert found is not None
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["id"] for hook in hooks] == found["checks"].split()
    assert [hook["entry"] for hook in hooks] == [f"make {hook['id']}" for hook in hooks]


def test_pre_commit_needs_no_network() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    assert {hook["language"] for repository in config["repos"] for hook in repository["hooks"]} == {"system"}


def test_make_help_names_every_target_that_a_person_calls() -> None:
    phony = re.search(r"^\.PHONY: (?P<targets>(?:.|\\\n)+?)(?<!\\)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    targets = {target for target in phony["targets"].replace("\\\n", " ").split() if not target.startswith("lint-")}
    helped = set(re.findall(r"^([a-z0-9]+):.*## \S", MAKEFILE, re.MULTILINE))
    assert helped == targets


def test_every_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("tests/*/README.md")]
    named = {
        target
        for page in pages
        for call in re.findall(
            r"(?m)^    make ((?:[a-z0-9-]+ ?)+)|`make ([a-z0-9 -]+)`", page.read_text(encoding="utf-8")
        )
        for target in " ".join(call).split()
    }
    assert {"demo", "setup", "docs"} <= named
    assert named <= targets


def test_make_attack_takes_each_mark() -> None:
    """It stops at the first one that it cannot read."""
    files = [path for folder in ("unit", "e2e") for path in (ROOT / "tests" / folder).rglob("test_*.py")]
    marks = [
        node
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.attack"
    ]
    harms = [ast.literal_eval(word.value) for mark in marks for word in mark.keywords if word.arg == "harm"]
    assert len(marks) > 100
    assert [ast.unparse(mark) for mark in marks if len(mark.args) != 1] == []
    assert set(harms) <= HARMS.keys()
