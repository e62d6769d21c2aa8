# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts, the disks of Asterisk and database, and their largest files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import disks as disk_probes
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import Mount


def test_mounts_are_found_by_the_longest_and_the_last() -> None:
    mounts: list[Mount] = [
        {"mount": "/", "device": "root", "fstype": "ext4", "read_only": False},
        {"mount": "/var", "device": "var", "fstype": "ext4", "read_only": False},
        {"mount": "/var/lib/mysql", "device": "old", "fstype": "ext4", "read_only": False},
        {"mount": "/var/lib/mysql", "device": "new", "fstype": "ext4", "read_only": False},
    ]
    found = {
        path: disk_probes.mount_of(path, mounts)["device"] for path in ("/", "/vari", "/var", "/var/lib/mysql/ibdata1")
    }
    assert found == {"/": "root", "/vari": "root", "/var": "var", "/var/lib/mysql/ibdata1": "new"}


def test_the_disk_of_a_cluster_is_looked_at_and_the_newest_release_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release in ("15", "17"):
        (tmp_path / release / "main").mkdir(parents=True)
    monkeypatch.setitem(disk_probes._DATA, "postgresql", (f"{tmp_path}/*/*", str(tmp_path)))
    assert ("database", f"{tmp_path}/17/main") in disk_probes.folders({"database_engine": "postgresql"})
    monkeypatch.setitem(disk_probes._DATA, "postgresql", (f"{tmp_path}/nothing/*", str(tmp_path)))
    assert ("database", str(tmp_path)) in disk_probes.folders({"database_engine": "postgresql"})


def test_folders_on_one_file_system_are_one_disk() -> None:
    disks = disk_probes.disks({})
    assert len({disk["mount"] for disk in disks}) == len(disks)
    assert [role for disk in disks for role in disk["role"].split()].count("root") == 1
    assert all(disk["size"] >= disk["available"] >= 0 for disk in disks)


def test_the_largest_files_come_first_and_sparse_ones_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "large").write_bytes(b"x" * 300000)
    (tmp_path / "small").write_bytes(b"x" * 5000)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(10**9)
    found = sorted(disk_probes._files(str(tmp_path), time.monotonic() + 60, [100]), reverse=True)
    assert [os.path.basename(path) for _size, path in found] == ["large", "small", "sparse"]
    assert list(disk_probes._files(str(tmp_path), time.monotonic() - 1, [100])) == []
