from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from reconnect.errors import StoreError
from reconnect.runs import unsent
from reconnect.runs.record import Record
from reconnect.runs.request import Request
from reconnect.runs.store import Runs
from reconnect.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return Settings(state_dir=tmp_path / "state")


@pytest.fixture
def record() -> Record:
    request = Request(
        playbook="p.yml", mode="diagnose", named=["alpha"], servers=["alpha"], inventory="i", command=["x"]
    )
    return Runs(Settings(), in_memory=True).create(request).record


def test_a_report_is_given_back_as_it_was(settings: Settings, record: Record) -> None:
    file = unsent.keep(record, [], settings)
    assert file.parent == settings.state / "unsent"
    assert not file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    (file.parent / "damaged.json").write_text("{")
    assert [(kept, one.record) for kept, one in unsent.kept(settings)] == [(file, record)]


@pytest.mark.attack("another user makes the folder of unsent reports", harm="leak")
@pytest.mark.parametrize("harm", ["open", "link", "foreign"])
def test_a_folder_of_another_user_is_neither_written_nor_read(
    settings: Settings, record: Record, tmp_path: Path, harm: str
) -> None:
    settings.state.write_text("in the way")
    folder = Path(tempfile.gettempdir()) / f"reconnect-unsent-{os.getuid()}"
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    if harm == "link":
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir(mode=0o700)
        (folder / "x.json").write_text(unsent.Unsent(record=record, results=[]).model_dump_json(by_alias=True))
    if harm == "open":
        folder.chmod(0o777)
    if harm == "foreign":
        if os.getuid():
            pytest.skip("root is needed")
        os.chown(folder, 65534, 65534)
    with pytest.raises(StoreError, match="belongs to somebody else"):
        unsent.keep(record, [], settings)
    assert list(unsent.kept(settings)) == []
    assert list((tmp_path / "elsewhere").iterdir()) == []
