# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the playbooks come from: never from the folder that somebody happens to be in."""

from __future__ import annotations

from pathlib import Path

import pytest
from reconnect.ansible import project
from reconnect.errors import InputError
from reconnect.settings import Settings

ROOT = Path(__file__).parents[4]


def a_project(folder: Path) -> Path:
    (folder / "playbooks").mkdir(parents=True)
    (folder / "ansible.cfg").touch()
    return folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package as a wheel lays it down, without the project that belongs to it."""
    package = tmp_path / "lib" / "site-packages" / "reconnect"
    monkeypatch.setattr(project, "__file__", str(package / "ansible" / "project.py"))
    return package


def test_a_repository_uses_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(a_project(tmp_path / "somebody"))
    assert project.find(Settings()).root == ROOT


def test_a_wheel_uses_what_came_with_it(installed: Path) -> None:
    bundled = a_project(installed / "project")
    assert project.find(Settings()).root == bundled


@pytest.mark.attack("a project of a stranger in the current folder", harm="execution")
def test_the_current_folder_is_no_project(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(a_project(tmp_path / "somebody"))
    with pytest.raises(InputError, match="Cannot find the playbooks"):
        project.find(Settings())
