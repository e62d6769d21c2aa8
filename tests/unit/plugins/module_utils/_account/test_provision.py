"""Documents on the server: at once or not at all; links: once, and not too late."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import activation, provision

NAME = "privategsm.json"


def document(content: str = "{}", username: str = "601", name: str = NAME) -> dict[str, str]:
    return {"username": username, "name": name, "content": content}


def put(folder: Path, content: str, **more: bool) -> str:
    return provision.put(str(folder), document(content), None, 0o600, **more)["state"]


def test_a_document_is_created_changed_and_then_the_same(tmp_path: Path) -> None:
    assert [put(tmp_path, text) for text in ("one", "two", "two")] == ["created", "changed", "same"]
    home = tmp_path / "accounts" / "601"
    assert {file.name: file.read_text() for file in home.iterdir()} == {NAME: "two", f"{NAME}.old": "one"}
    assert (home / NAME).stat().st_mode & 0o777 == 0o600


def test_without_leave_to_change_it_only_tells(tmp_path: Path) -> None:
    assert put(tmp_path, "one", change=False) == "created"
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "one")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        put(tmp_path, "two")
    assert {file.name for file in (tmp_path / "accounts" / "601").iterdir()} == {NAME}
    assert (tmp_path / "accounts" / "601" / NAME).read_text() == "one"


def test_what_was_put_is_taken_back(tmp_path: Path) -> None:
    file = tmp_path / "accounts" / "601" / NAME
    created, changed = (provision.put(str(tmp_path), document(text), None, 0o600) for text in ("one", "two"))
    assert provision.restore(str(tmp_path), changed) is True
    assert file.read_text() == "one"
    # There is none before it.
    assert provision.restore(str(tmp_path), {**changed, "version": ""}) is False
    # What was brought back is the same file as before.
    assert provision.restore(str(tmp_path), created) is True
    assert not file.exists()
    assert provision.restore(str(tmp_path), {**created, "version": ""}) is False


@pytest.mark.attack("somebody changed a document since")
@pytest.mark.parametrize("before", [[], ["one"]])
def test_what_was_changed_since_stays(tmp_path: Path, before: list[str]) -> None:
    for text in before:
        put(tmp_path, text)
    done = provision.put(str(tmp_path), document("two"), None, 0o600)
    file = tmp_path / "accounts" / "601" / NAME
    file.write_text("three")
    with pytest.raises(provision.ProvisionError, match="was changed since"):
        provision.restore(str(tmp_path), done)
    assert file.read_text() == "three"


@pytest.mark.parametrize(
    ("username", "name"), [("../x", NAME), ("601", "../x"), ("601", ".x"), ("601", "a/b"), ("", NAME)]
)
def test_nothing_leaves_the_folder(tmp_path: Path, username: str, name: str) -> None:
    with pytest.raises(provision.ProvisionError):
        provision.put(str(tmp_path), document(username=username, name=name), None, 0o600)
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_used_once(tmp_path: Path) -> None:
    put(tmp_path, "one")
    token = provision.activate(str(tmp_path), "601", NAME, 60, None)
    assert activation.claim(str(tmp_path), token) == (200, NAME, b"one")
    assert activation.claim(str(tmp_path), token)[0] == 410


def test_a_link_expires(tmp_path: Path) -> None:
    put(tmp_path, "one")
    token = provision.activate(str(tmp_path), "601", NAME, 60, None, now=1000)
    assert activation.claim(str(tmp_path), token, now=1061)[0] == 410
    assert activation.claim(str(tmp_path), token, now=1001)[0] == 410


@pytest.mark.attack("a link whose end is no number, so that it never comes", harm="leak")
@pytest.mark.parametrize("end", ["NaN", "Infinity", "1e999", "null", '"x"'])
def test_a_link_that_does_not_say_when_it_ends_is_none(tmp_path: Path, end: str) -> None:
    put(tmp_path, "one")
    token = provision.activate(str(tmp_path), "601", NAME, 60, None)
    link = tmp_path / "activations" / f"{activation.digest(token)}.json"
    link.write_text(f'{{"username": "601", "name": "{NAME}", "expires_at": {end}}}')
    assert activation.claim(str(tmp_path), token) == (404, "", b"")


def test_a_new_link_takes_the_old_one_back_and_leaves_those_of_others(tmp_path: Path) -> None:
    put(tmp_path, "one")
    provision.put(str(tmp_path), document("two", "602"), None, 0o600)
    other = provision.activate(str(tmp_path), "602", NAME, 60, None)
    first, second = (provision.activate(str(tmp_path), "601", NAME, 60, None) for _ in range(2))
    assert [activation.claim(str(tmp_path), token)[0] for token in (first, second, other)] == [410, 200, 200]


def test_the_server_keeps_no_token(tmp_path: Path) -> None:
    put(tmp_path, "one")
    token = provision.activate(str(tmp_path), "601", NAME, 60, None)
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert all(token not in file.name and token not in file.read_text() for file in kept)
    (link,) = (file for file in kept if file.suffix == ".json" and file.parent.name == "activations")
    assert json.loads(link.read_text())["username"] == "601"


@pytest.mark.parametrize("token", ["", "../../accounts/601", "a" * 43, "é" * 30, "a" * 5000])
def test_a_made_up_token_finds_nothing(tmp_path: Path, token: str) -> None:
    put(tmp_path, "one")
    assert activation.claim(str(tmp_path), token) == (404, "", b"")


def test_a_link_without_a_document_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(provision.ProvisionError, match="no document"):
        provision.activate(str(tmp_path), "601", NAME, 60, None)


def test_of_many_who_come_at_once_one_gets_it(tmp_path: Path) -> None:
    put(tmp_path, "one")
    token = provision.activate(str(tmp_path), "601", NAME, 60, None)
    answers: list[int] = []
    start = threading.Barrier(8)

    def come() -> None:
        start.wait()
        answers.append(activation.claim(str(tmp_path), token)[0])

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [410] * 7
