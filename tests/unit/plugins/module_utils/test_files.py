# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are replaced as a whole, and locked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _files


def test_a_new_file_is_private(tmp_path: Path) -> None:
    _files.replace(str(tmp_path / "state"), "one\n")
    assert (tmp_path / "state").read_text() == "one\n"
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600


def test_mode_and_foreign_bytes_stay(tmp_path: Path) -> None:
    path = tmp_path / "pjsip.conf"
    path.write_bytes(b"; \xe9\n")
    path.chmod(0o640)
    _files.replace(str(path), path.read_text(encoding="utf-8", errors="surrogateescape") + "[1001]\n", keep=True)
    assert path.read_bytes() == b"; \xe9\n[1001]\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    path.write_text("old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _files.replace(str(path), "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["state"]


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path, os.O_RDONLY) for _unused in range(2))
    try:
        assert _files.lock(first, 0) is True
        assert _files.lock(second, 0.05) is False
    finally:
        os.close(first)
    assert _files.lock(second, 0) is True
    os.close(second)
