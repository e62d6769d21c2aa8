# SPDX-License-Identifier: GPL-3.0-or-later
"""Byte code that a host keeps: it is run only when nobody else can have written it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _carried

CODES = {"_server": b"code", "_net.path": b"more code"}
NAME = "name"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder in which the codes are kept."""
    folder = tmp_path / "reconnect"
    _carried.keep(str(folder), NAME, CODES)
    return folder


def kept(folder: Path) -> dict[str, bytes] | None:
    return _carried.kept(str(folder), NAME)


def test_what_is_kept_is_found_again_and_is_for_this_user_alone(home: Path) -> None:
    assert kept(home) == CODES
    assert [stat.S_IMODE(path.stat().st_mode) for path in (home, home / NAME)] == [0o700, 0o600]
    assert [path.name for path in home.iterdir()] == [NAME]


def test_nothing_is_kept_at_first(tmp_path: Path) -> None:
    assert kept(tmp_path / "reconnect") is None


def linked_folder(home: Path) -> None:
    home.rename(home.with_name("elsewhere"))
    home.symlink_to("elsewhere")


def linked_file(home: Path) -> None:
    (home / NAME).rename(home / "elsewhere")
    (home / NAME).symlink_to("elsewhere")


def hard_link(home: Path) -> None:
    (home.parent / "elsewhere").hardlink_to(home / NAME)


def pipe(home: Path) -> None:
    (home / NAME).unlink()
    os.mkfifo(home / NAME, 0o600)


def damaged(home: Path) -> None:
    content = (home / NAME).read_bytes()
    (home / NAME).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def cut_short(home: Path) -> None:
    os.truncate(home / NAME, 20)


def empty(home: Path) -> None:
    os.truncate(home / NAME, 0)


def group_reads_the_folder(home: Path) -> None:
    home.chmod(0o750)


def anybody_writes_the_file(home: Path) -> None:
    (home / NAME).chmod(0o666)


def anybody_replaces_the_folder(home: Path) -> None:
    home.parent.chmod(0o777)


ATTACKS = (
    linked_folder,
    linked_file,
    hard_link,
    pipe,
    damaged,
    cut_short,
    empty,
    group_reads_the_folder,
    anybody_writes_the_file,
    anybody_replaces_the_folder,
)


@pytest.mark.attack("a local user leaves byte code where ours is kept", harm="execution")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_what_somebody_else_may_have_written_is_not_run(home: Path, attack: Callable[[Path], None]) -> None:
    attack(home)
    assert kept(home) is None


@pytest.mark.attack("a local user owns the folder where byte code is kept", harm="execution")
@pytest.mark.parametrize("part", ["folder", "file"])
def test_what_belongs_to_somebody_else_is_not_run(home: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fstat, somebody = os.fstat, os.geteuid() + 1

    def owned(handle: int) -> os.stat_result:
        found = fstat(handle)
        if stat.S_ISDIR(found.st_mode) is not (part == "folder"):
            return found
        return os.stat_result((*found[:4], somebody, *found[5:]))

    monkeypatch.setattr(os, "fstat", owned)
    assert kept(home) is None


@pytest.mark.attack("a link lies where byte code is to be kept", harm="wrong")
def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "reconnect").symlink_to("elsewhere")
    _carried.keep(str(tmp_path / "reconnect"), NAME, CODES)
    assert list((tmp_path / "elsewhere").iterdir()) == []

    (tmp_path / "file").write_text("kept")
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "own" / NAME).symlink_to(tmp_path / "file")
    _carried.keep(str(tmp_path / "own"), NAME, CODES)
    assert (tmp_path / "file").read_text() == "kept"
    assert kept(tmp_path / "own") == CODES


def test_only_the_newest_are_kept(home: Path) -> None:
    for number in range(2 * _carried.MOST_KEPT):
        _carried.keep(str(home), f"{number}", CODES)
        os.utime(home / f"{number}", (number, number))
    os.utime(home / NAME)
    _carried.keep(str(home), "last", CODES)
    names = {path.name for path in home.iterdir()}
    assert len(names) == _carried.MOST_KEPT
    assert {NAME, "last"} < names


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path) -> None:
    _carried.keep(str(tmp_path / "none" / "reconnect"), NAME, CODES)
    assert not (tmp_path / "none").exists()


@pytest.fixture
def carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that answers, as it is sent."""
    monkeypatch.setattr(_carried, "home", lambda: str(tmp_path / "reconnect"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return json.dumps({"_echo": "def answer(text):\n    return {'text': text}\n"})


def sent(sources: str) -> tuple[str, str]:
    """The digest of sources, and the sources as they are sent."""
    content = sources.encode()
    return hashlib.sha256(content).hexdigest(), base64.b85encode(zlib.compress(content)).decode()


def test_the_host_runs_what_it_kept_when_it_was_sent(carried: str) -> None:
    digest, sources = sent(carried)
    arguments = json.dumps({"text": "{{ 7*7 }}"})
    assert _carried.run("_echo", arguments, digest) == {_carried.UNKEPT: True}
    assert _carried.run("_echo", arguments, digest, sources) == {"text": "{{ 7*7 }}", "changed": False}
    sys.modules.pop(_carried.PACKAGE + "._echo")
    assert _carried.run("_echo", arguments, digest) == {"text": "{{ 7*7 }}", "changed": False}


def test_sources_of_another_digest_are_neither_run_nor_kept(carried: str, tmp_path: Path) -> None:
    answer = _carried.run("_echo", "{}", "0" * 64, sent(carried)[1])
    assert answer == {"failed": True, "msg": "ValueError: the sources have another digest than was told"}
    assert not (tmp_path / "reconnect").exists()
