"""A path that this user may not look at is one sentence, never a defect."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from reconnect import files, settings
from reconnect.ansible import inventory, project, remembered
from reconnect.cli.commands import running
from reconnect.errors import InputError, TrackerError
from reconnect.incidents.trackers.file import FileTracker
from reconnect.names import Incident
from reconnect.runs.request import DIAGNOSE, Asked
from reconnect.settings.trackers import FileSettings

HERE = project.Project(Path(__file__).parents[3])
NONE = settings.Settings()


@pytest.fixture
def folder() -> Iterator[Callable[[int], Path]]:
    """folder(mode): a folder of that mode with a file in it, for somebody who is not root."""
    with tempfile.TemporaryDirectory() as name:

        def made(mode: int) -> Path:
            path = Path(name)
            (path / "file").touch()
            path.chmod(mode)
            if os.getuid() == 0:
                os.seteuid(pwd.getpwnam("nobody").pw_uid)
            return path

        yield made
        os.seteuid(os.getuid())
        os.chmod(name, 0o700)


def test_what_is_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    said = [files.kind(tmp_path / name) for name in ("", "file", "pipe", "none", "file/none")]
    assert said == ["folder", "file", "other", None, None]
    for name in ("x" * 300, "\0"):
        with pytest.raises(InputError, match="Cannot look at"):
            files.kind(tmp_path / name)


def test_settings_of_the_site_that_are_not_for_this_user(
    folder: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RECONNECT_SETTINGS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    monkeypatch.setattr(settings, "SITE_FILE", folder(0) / "file")
    said = (
        r"/file': permission denied\. Use the command as the user of the service, or write settings of your own into "
    )
    with pytest.raises(InputError, match=said + "'/nowhere/reconnect/settings.yml'"):
        settings.load()


@pytest.mark.parametrize(
    "look",
    [
        lambda path: inventory.source_of(path, NONE, HERE),
        lambda path: project.find(NONE.model_copy(update={"project": path})),
        lambda path: running._passwords(Asked(playbook=DIAGNOSE, vault_password_file=path)),
        lambda path: FileTracker(Incident("file", str(path)), FileSettings()),
    ],
    ids=["inventory", "project", "password file", "incident"],
)
def test_a_folder_that_cannot_be_entered(folder: Callable[[int], Path], look: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"Cannot look at '.*': permission denied\."):
        look(folder(0) / "file")


def test_an_incident_whose_folder_cannot_be_listed(folder: Callable[[int], Path]) -> None:
    tracker = FileTracker(Incident("file", str(folder(0o311))), FileSettings())
    for ask in (tracker.read, lambda: tracker.told("marker")):
        with pytest.raises(TrackerError, match="Cannot read the incident folder"):
            ask()


def test_an_inventory_whose_files_cannot_be_looked_at(folder: Callable[[int], Path]) -> None:
    assert remembered.files(folder(0o444)) == []


def test_a_secret_is_itself_or_what_its_file_holds(tmp_path: Path) -> None:
    # Windows puts a mark before it.
    (tmp_path / "secret").write_text("of the file\r\n", encoding="utf-8-sig")
    (tmp_path / "odd").write_bytes(b"\xff")
    assert files.secret(SecretStr(" itself "), tmp_path / "none", "x") == "itself"
    assert files.secret(SecretStr(""), tmp_path / "secret", "x") == "of the file"
    assert files.secret(None, None, "x") == ""
    for file in (tmp_path / "none", tmp_path / "odd", tmp_path, Path("~no-such-user/secret")):
        with pytest.raises(InputError, match=r"^Cannot read the token file\.$"):
            files.secret(None, file, "token file")
