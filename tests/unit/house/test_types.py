"""mypy checks all Python of the repository, whatever its name is."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


def programs() -> set[str]:
    """All Python of the repository, by its suffix or its first line; a link is the file that it leads to."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0")[:-1] if is_python(ROOT / name)}


def is_python(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return path.suffix == ".py" or re.match(rb"#!.*python", file.readline(100)) is not None


def settings() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    return found


def test_mypy_checks_all_python() -> None:
    files = settings()["files"]
    # In a folder it finds what ends in .py; all else has to be named.
    unchecked = {
        name
        for name in programs()
        if name not in files and not (name.endswith(".py") and any(name.startswith(f"{one}/") for one in files))
    }
    assert unchecked == set()


def test_nothing_is_left_out_of_the_strict_check() -> None:
    found = settings()
    assert found["strict"]
    loosened = {"exclude", "ignore_errors", "disallow_untyped_defs", "check_untyped_defs", "disable_error_code"}
    assert [one for one in (found, *found["overrides"]) if loosened & set(one)] == []
