"""The module account on pjsip.conf and sip.conf: what is not ours stays byte for byte, what is new is whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import files as account_files
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import store
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
    Applied,
    Recovered,
    WantedAccount,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.plan import LEFT_TO_PEOPLE
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import filled

WANTED: WantedAccount = {
    "username": "1001",
    "password": "semi;colon",
    "enabled": True,
    "security_model": "end_to_site",
    "keep_alive": True,
    "transport": "tls",
    "context": "internal",
    "codecs": ["ulaw", "alaw"],
    "max_contacts": 1,
    "acl": [],
}
PJSIP = """\
; what a person wrote
[transport-tls]
type=transport
protocol=tls

[phones](!)
type = endpoint
context = internal
disallow = all
allow = ulaw
allow = alaw
media_encryption = sdes

;-- [1001]
type=endpoint
--;
[1002](phones) ; Anna
auth = 1002
aors = 1002
#include more.conf
"""
MORE = """\
[1002]
type=auth
username=1002
password=old\\;one ; changed lately
[1002]
type=aor
max_contacts=0
"""


Files = tuple[Callable[..., tuple[list[Recovered], list[Applied]]], Path]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Write the files; returns ``(work, folder)``."""
    folder = tmp_path / "asterisk"
    folder.mkdir()
    (folder / "pjsip.conf").write_text(PJSIP)
    (folder / "more.conf").write_text(MORE)
    (folder / "sip.conf").write_text("[general]\nrealm=here\n")
    (folder / "pjsip.conf").chmod(0o640)
    monkeypatch.setattr(config, "DIRECTORY", str(folder))
    monkeypatch.setattr(config.read, "__defaults__", (str(folder),))
    monkeypatch.setattr(config.text, "__defaults__", (str(folder), config.DEPTH))
    monkeypatch.setattr(account_files.Sections.__init__, "__defaults__", (str(folder),))

    def work(
        driver: str, *accounts: WantedAccount, state: str = "present", check: bool = False, changed_at: str = ""
    ) -> tuple[list[Recovered], list[Applied]]:
        settings = filled({"channel_driver": driver, "account_backend": "file"})
        made = store.Accounts(settings, "auto", check, str(tmp_path / "journal" / "accounts"))
        with made.journal.held():
            return made.recover(), made.apply(list(accounts), state, LEFT_TO_PEOPLE, changed_at)

    return work, folder


@pytest.mark.parametrize("driver", ["pjsip", "sip"])
def test_a_new_account_is_whole_and_goes_away_without_a_trace(files: Files, driver: str) -> None:
    work, folder = files
    before = (folder / f"{driver}.conf").read_text()
    assert work(driver, WANTED, check=True)[1][0]["state"] == "created"
    assert (folder / f"{driver}.conf").read_text() == before
    assert work(driver, WANTED)[1][0]["state"] == "created"
    after = (folder / f"{driver}.conf").read_text()
    assert after.startswith(before)
    assert "=semi\\;colon\n" in after
    assert work(driver, WANTED)[1][0]["state"] == "ok"
    assert (folder / f"{driver}.conf").read_text() == after
    assert work(driver, WANTED, state="absent")[1][0]["state"] == "removed"
    assert (folder / f"{driver}.conf").read_text().split() == before.split()
    assert work(driver, WANTED, state="restored")[1][0]["state"] == "restored"
    assert work(driver, WANTED)[1][0]["state"] == "ok"


def test_only_the_lines_that_are_wrong_change(files: Files) -> None:
    work, folder = files
    anna = {**WANTED, "username": "1002"}
    _recovered, (told,) = work("pjsip", anna)
    assert [one["cause"] for one in told["findings"]] == ["password_mismatch", "max_contacts_zero"]
    assert (folder / "pjsip.conf").read_text() == PJSIP
    changed = (folder / "more.conf").read_text().splitlines()
    assert "password=semi\\;colon" in changed
    assert "max_contacts=1" in changed
    assert stat.S_IMODE((folder / "pjsip.conf").stat().st_mode) == 0o640
    assert work("pjsip", anna)[1][0]["state"] == "ok"


def test_what_comes_from_a_template_is_overridden_in_the_account(files: Files) -> None:
    work, folder = files
    anna = {**WANTED, "username": "1002", "security_model": "end_to_end", "password": "old;one"}
    work("pjsip", anna)
    text = (folder / "pjsip.conf").read_text()
    assert "media_encryption = sdes\n" in text
    assert "[1002](phones) ; Anna\nmedia_encryption=no\n" in text
    assert work("pjsip", anna)[1][0]["state"] == "ok"


def test_a_line_break_never_becomes_a_line(files: Files) -> None:
    work, folder = files
    with pytest.raises(ProbeError, match="line break"):
        work("pjsip", {**WANTED, "password": "x\n[admin]"})
    assert (folder / "pjsip.conf").read_text() == PJSIP


def test_a_file_that_cannot_be_written_stays_as_it_was(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    work, folder = files

    def full(*_arguments: str, **_options: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Exception, match="No space left"):
        work("pjsip", WANTED)
    assert (folder / "pjsip.conf").read_text() == PJSIP
    assert {path.name for path in folder.iterdir()} == {"pjsip.conf", "more.conf", "sip.conf"}


def test_no_file_is_told(files: Files) -> None:
    work, folder = files
    (folder / "sip.conf").unlink()
    with pytest.raises(ProbeError, match=r"no .*sip\.conf"):
        work("sip", WANTED)


def test_only_the_change_that_is_named_is_undone(files: Files) -> None:
    work, folder = files
    anna = {**WANTED, "username": "1002"}
    before = (folder / "more.conf").read_text()
    (changed,) = work("pjsip", anna)[1]
    with pytest.raises(store.ChangedSince, match="1002 was changed again at 2"):
        work("pjsip", anna, state="restored", changed_at="2026-01-31T03:00:00Z")
    assert work("pjsip", anna, state="restored", changed_at=changed["changed_at"])[1][0]["state"] == "restored"
    assert "password=old\\;one" in (folder / "more.conf").read_text()
    assert (folder / "more.conf").read_text().count("\n") == before.count("\n")
    # Once more, even where somebody has changed it meanwhile.
    text = (folder / "more.conf").read_text().replace("old\\;one", "mine")
    (folder / "more.conf").write_text(text)
    assert work("pjsip", anna, state="restored", changed_at=changed["changed_at"])[1][0]["state"] == "ok"
    assert (folder / "more.conf").read_text() == text


def test_what_somebody_changed_since_is_not_undone(files: Files) -> None:
    work, folder = files
    anna = {**WANTED, "username": "1002"}
    (changed,) = work("pjsip", anna)[1]
    text = (folder / "more.conf").read_text().replace("semi\\;colon", "mine")
    (folder / "more.conf").write_text(text)
    with pytest.raises(store.ChangedSince, match="Somebody has changed the account 1002 since"):
        work("pjsip", anna, state="restored", changed_at=changed["changed_at"])
    assert (folder / "more.conf").read_text() == text


@pytest.mark.parametrize("driver", ["pjsip", "sip"])
@pytest.mark.parametrize("field", ["context", "codecs"])
def test_an_account_that_could_not_call_is_not_created(driver: str, field: str) -> None:
    found: Any = {"doubled": [], "endpoint": {}, "auth": {}, "aor": {}, "peer": {}, "contact": []}
    kinds = dict.fromkeys(account_files.KINDS[driver])
    sections = type("Store", (), {"columns": kinds, "hides": lambda _self, _kind: False})()
    assert store.plan_of(sections, driver, WANTED, found, {}).changes
    cut: Any = {**WANTED, field: ""}
    with pytest.raises(ProbeError, match=f"no {field} for 1001"):
        store.plan_of(sections, driver, cut, found, {})
