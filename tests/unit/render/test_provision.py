"""Documents on the server: at once or not at all; links: once, and not too late."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _provision

NAME = "privategsm.json"


def document(content: str = "{}", username: str = "601", name: str = NAME) -> dict[str, str]:
    return {"username": username, "name": name, "content": content}


def put(folder: Path, content: str, **more: object) -> str:
    return _provision.put(str(folder), document(content), None, 0o600, **more)["state"]


def test_a_document_is_created_changed_and_then_the_same(tmp_path):
    assert [put(tmp_path, text) for text in ("one", "two", "two")] == ["created", "changed", "same"]
    home = tmp_path / "accounts" / "601"
    assert {file.name: file.read_text() for file in home.iterdir()} == {NAME: "two", f"{NAME}.old": "one"}
    assert (home / NAME).stat().st_mode & 0o777 == 0o600


def test_without_leave_to_change_it_only_tells(tmp_path):
    assert put(tmp_path, "one", change=False) == "created"
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    put(tmp_path, "one")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        put(tmp_path, "two")
    assert {file.name for file in (tmp_path / "accounts" / "601").iterdir()} == {NAME}
    assert (tmp_path / "accounts" / "601" / NAME).read_text() == "one"


def test_the_one_before_can_be_brought_back(tmp_path):
    put(tmp_path, "one")
    assert _provision.restore(str(tmp_path), "601", NAME) is False
    put(tmp_path, "two")
    assert _provision.restore(str(tmp_path), "601", NAME) is True
    assert (tmp_path / "accounts" / "601" / NAME).read_text() == "one"


@pytest.mark.parametrize(
    ("username", "name"), [("../x", NAME), ("601", "../x"), ("601", ".x"), ("601", "a/b"), ("", NAME)]
)
def test_nothing_leaves_the_folder(tmp_path, username, name):
    with pytest.raises(_provision.ProvisionError):
        _provision.put(str(tmp_path), document(username=username, name=name), None, 0o600)
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_used_once(tmp_path):
    put(tmp_path, "one")
    token = _provision.activate(str(tmp_path), "601", NAME, 60, None)
    assert _provision.claim(str(tmp_path), token) == (200, NAME, b"one")
    assert _provision.claim(str(tmp_path), token)[0] == 410


def test_a_link_expires(tmp_path):
    put(tmp_path, "one")
    token = _provision.activate(str(tmp_path), "601", NAME, 60, None, now=1000)
    assert _provision.claim(str(tmp_path), token, now=1061)[0] == 410
    assert _provision.claim(str(tmp_path), token, now=1001)[0] == 410


def test_a_new_link_takes_the_old_one_back_and_leaves_those_of_others(tmp_path):
    put(tmp_path, "one")
    _provision.put(str(tmp_path), document("two", "602"), None, 0o600)
    other = _provision.activate(str(tmp_path), "602", NAME, 60, None)
    first, second = (_provision.activate(str(tmp_path), "601", NAME, 60, None) for _ in range(2))
    assert [_provision.claim(str(tmp_path), token)[0] for token in (first, second, other)] == [410, 200, 200]


def test_the_server_keeps_no_token(tmp_path):
    put(tmp_path, "one")
    token = _provision.activate(str(tmp_path), "601", NAME, 60, None)
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert all(token not in file.name and token not in file.read_text() for file in kept)
    (link,) = (file for file in kept if file.suffix == ".json" and file.parent.name == "activations")
    assert json.loads(link.read_text())["username"] == "601"


@pytest.mark.parametrize("token", ["", "../../accounts/601", "a" * 43, "é" * 30, "a" * 5000])
def test_a_made_up_token_finds_nothing(tmp_path, token):
    put(tmp_path, "one")
    assert _provision.claim(str(tmp_path), token) == (404, "", b"")


def test_a_link_without_a_document_is_not_made(tmp_path):
    with pytest.raises(_provision.ProvisionError, match="no document"):
        _provision.activate(str(tmp_path), "601", NAME, 60, None)


def test_of_many_who_come_at_once_one_gets_it(tmp_path):
    put(tmp_path, "one")
    token = _provision.activate(str(tmp_path), "601", NAME, 60, None)
    answers: list[int] = []
    start = threading.Barrier(8)

    def come() -> None:
        start.wait()
        answers.append(_provision.claim(str(tmp_path), token)[0])

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [410] * 7
