# SPDX-License-Identifier: GPL-3.0-or-later
"""The hold on a server: whatever stands at the path holds it, and its content is never more than a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._lease import hold


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hold"


def test_without_the_file_nobody_holds_it(path: Path) -> None:
    hold.check(str(path))
    hold.check(str(path / "below" / "it"))


def test_who_since_when_and_why(path: Path) -> None:
    path.write_text("We move\nthe rack.\n")
    os.utime(path, (1_800_000_000, 1_800_000_000))
    with pytest.raises(hold.OnHold) as refusal:
        hold.check(str(path))
    assert str(refusal.value) == (
        "The server is on hold since 2027-01-15T08:00:00Z by root: We move the rack. "
        f"Nothing is changed while the file {path} stands."
    ).replace("root", path.owner())


def test_empty_file_holds_it(path: Path) -> None:
    path.touch()
    assert f"by {path.owner()}. Nothing is changed" in hold.sentence(str(path))


@pytest.mark.attack("a hold file with control characters, bytes that are no text, and no end")
def test_hostile_reason_is_one_short_printable_line(path: Path) -> None:
    path.write_bytes(b"\x1b[2J\xff\nrun: {{ 7*7 }}" + b"a" * 10**6)
    said = hold.sentence(str(path))
    assert "\\x1b[2J\ufffd run: {{ 7*7 }}aaa" in said
    assert len(said) < 600
    assert said.isprintable()


@pytest.mark.attack("a hold that is a FIFO, a folder, or a link to a secret or to nowhere")
@pytest.mark.parametrize("make", ["fifo", "folder", "link", "dangling"])
def test_anything_else_holds_it_without_being_read(path: Path, tmp_path: Path, make: str) -> None:
    (tmp_path / "secret").write_text("canary")
    if make == "fifo":
        os.mkfifo(path)
    elif make == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / ("secret" if make == "link" else "nothing"))
    said = hold.sentence(str(path))
    assert "on hold" in said
    assert "canary" not in said
