"""The module account on pjsip.conf and sip.conf: what is not ours stays byte for byte, what is new is whole."""

from __future__ import annotations

import stat

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _account_files, _accounts, _config
from ansible_collections.privatewave.reconnect.plugins.module_utils._account_plan import LEFT_TO_PEOPLE
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

WANTED = {
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


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write the files; returns ``(work, folder)``."""
    folder = tmp_path / "asterisk"
    folder.mkdir()
    (folder / "pjsip.conf").write_text(PJSIP)
    (folder / "more.conf").write_text(MORE)
    (folder / "sip.conf").write_text("[general]\nrealm=here\n")
    (folder / "pjsip.conf").chmod(0o640)
    monkeypatch.setattr(_config, "DIRECTORY", str(folder))
    monkeypatch.setattr(_config.read, "__defaults__", (str(folder),))
    monkeypatch.setattr(_account_files.Sections.__init__, "__defaults__", (str(folder),))

    def work(driver, *accounts, state="present", check=False):
        made = _accounts.Accounts({"channel_driver": driver}, "auto", check, str(tmp_path / "journal" / "accounts"))
        with made.journal.held():
            return made.recover(), made.apply(list(accounts), state, LEFT_TO_PEOPLE)

    return work, folder


@pytest.mark.parametrize("driver", ["pjsip", "sip"])
def test_a_new_account_is_whole_and_goes_away_without_a_trace(files, driver):
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


def test_only_the_lines_that_are_wrong_change(files):
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


def test_what_comes_from_a_template_is_overridden_in_the_account(files):
    work, folder = files
    anna = {**WANTED, "username": "1002", "security_model": "end_to_end", "password": "old;one"}
    work("pjsip", anna)
    text = (folder / "pjsip.conf").read_text()
    assert "media_encryption = sdes\n" in text
    assert "[1002](phones) ; Anna\nmedia_encryption=no\n" in text
    assert work("pjsip", anna)[1][0]["state"] == "ok"


def test_a_line_break_never_becomes_a_line(files):
    work, folder = files
    with pytest.raises(ProbeError, match="line break"):
        work("pjsip", {**WANTED, "password": "x\n[admin]"})
    assert (folder / "pjsip.conf").read_text() == PJSIP


def test_a_file_that_cannot_be_written_stays_as_it_was(files, monkeypatch):
    work, folder = files

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_account_files.os, "replace", full)
    with pytest.raises(Exception, match="No space left"):
        work("pjsip", WANTED)
    assert (folder / "pjsip.conf").read_text() == PJSIP
    assert {path.name for path in folder.iterdir()} == {"pjsip.conf", "more.conf", "sip.conf"}


def test_no_file_is_told(files):
    work, folder = files
    (folder / "sip.conf").unlink()
    with pytest.raises(ProbeError, match=r"no .*sip\.conf"):
        work("sip", WANTED)
