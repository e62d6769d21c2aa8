# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands about the store ask before they replace or erase, and say so in the audit."""

from __future__ import annotations

from pathlib import Path

import pytest
from reconnect.cli import commands
from reconnect.cli.commands.runs import write
from reconnect.errors import InputError
from reconnect.result import now
from reconnect.runs.database import engine_of
from reconnect.runs.store import Runs
from reconnect.service import audit
from reconnect.settings import Settings

from ..conftest import a_request


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECONNECT_STATE_DIR", str(tmp_path / "state"))
    settings = Settings()
    run = Runs(settings).create(a_request(named=["a"], servers=["a"], account="1005"))
    run.record.finished_at = now()
    run.save()
    return settings


def deeds(settings: Settings) -> list[tuple[str, str]]:
    assert audit.broken(engine_of(settings)) is None
    return [(row["what"], row["subject"]) for row in audit.all_rows(engine_of(settings))]


def test_backup_erase_restore(store: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "backup")
    assert commands.run(["store", "backup", file]) == 0
    assert capsys.readouterr().out == f"Written: {file} (1 run)\n"
    assert commands.run(["store", "erase", "--account", "1005"]) == 2
    assert "This erases 1 run of 1005. Cannot ask: no terminal. Add --yes." in capsys.readouterr().err
    assert commands.run(["store", "erase", "--account", "1005", "--yes"]) == 0
    assert capsys.readouterr().out == "Erased: 1 run.\n"
    assert deeds(store) == [("runs erased", "")]
    assert commands.run(["store", "restore", file]) == 2
    assert "This backup replaces everything in the store. Cannot ask: no terminal." in capsys.readouterr().err
    engine_of(store).dispose()
    assert commands.run(["store", "restore", file, "--yes"]) == 0
    assert capsys.readouterr().out == "Restored: 1 run.\n"
    assert deeds(store) == [("store restored", "backup")]


def test_a_folder_is_no_file(
    store: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (".", "..", "/", str(tmp_path)):
        assert commands.run(["store", "backup", folder]) == 2
        assert capsys.readouterr().err == f"reconnect: Cannot write {folder}: Is a directory.\n"
        with pytest.raises(InputError, match="Is a directory"):
            write(Path(folder), b"")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Give either --account or --incident."),
        (["--account", "1", "--incident", "rt:1"], "Give either --account or --incident."),
        (["--account", "1 OR 1=1"], "is not the name of an account"),
        (["--incident", "17"], "is not an incident"),
    ],
)
def test_what_is_to_be_erased_is_said_exactly(
    store: Settings, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert commands.run(["store", "erase", *words]) == 2
    assert said in capsys.readouterr().err
    assert len(Runs(store).newest()) == 1
