# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``remedy_lease``: arguments in, the JSON that a playbook sees out."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.privatewave.reconnect.plugins.module_utils import _lease
from ansible_collections.privatewave.reconnect.plugins.modules import remedy_lease


@pytest.fixture
def ask(tmp_path, capsys):
    """Run the module and return its answer."""

    def run(check_mode=False, **options):
        arguments = {"path": str(tmp_path / "reconnect" / "state.json"), "_ansible_check_mode": check_mode, **options}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            remedy_lease.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_acquire_begin_note_end_release(ask):
    assert ask(action="acquire", run_id="a", holder="Second level")["lease"]["holder"] == "Second level"
    assert ask(action="begin", run_id="a", remedy="restart_asterisk")["journal"][0]["state"] == "begun"
    assert ask(action="note", run_id="a", rung="now", calls=2)["changed"] is True
    entry = ask(action="end", run_id="a", outcome="done")["journal"][0]
    assert (entry["state"], entry["rungs"][0]["rung"], entry["rungs"][0]["calls"]) == ("done", "now", 2)
    assert ask(action="release", run_id="a")["lease"] is None
    assert ask(action="release", run_id="a")["changed"] is False


def test_refusal_is_a_failure_that_says_so(ask):
    ask(action="acquire", run_id="a", holder="Second level")
    answer = ask(action="acquire", run_id="b")
    assert (answer["failed"], answer["refused"]) == (True, True)
    assert "Second level" in answer["msg"]


def test_budget_is_refused_in_words(ask):
    ask(action="acquire", run_id="a")
    for _unused in range(3):
        ask(action="begin", run_id="a", remedy="restart_database")
        ask(action="end", run_id="a")
    answer = ask(action="begin", run_id="a", remedy="restart_database")
    assert (answer["refused"], answer["escalate"]) == (True, True)
    assert "3 times within the last hour" in answer["msg"]


def test_same_run_acquires_without_change(ask):
    assert ask(action="acquire", run_id="a")["changed"] is True
    assert ask(action="acquire", run_id="a")["changed"] is False


def test_what_another_run_mended_since_is_told(ask):
    ask(action="acquire", run_id="a")
    ask(action="begin", run_id="a", remedy="restart_database")
    ask(action="end", run_id="a")
    ask(action="release", run_id="a")
    assert ask(action="acquire", run_id="b", since=time.time() - 60)["mended_since"] is True
    assert ask(action="acquire", run_id="b", since=time.time() + 60)["mended_since"] is False
    assert ask(action="acquire", run_id="b")["mended_since"] is False


def test_own_remedies_are_no_news(ask):
    ask(action="acquire", run_id="a")
    ask(action="begin", run_id="a", remedy="restart_database")
    ask(action="end", run_id="a")
    assert ask(action="acquire", run_id="a", since=0)["mended_since"] is False


def test_check_mode_says_and_does_nothing(ask, tmp_path):
    assert ask(check_mode=True, action="acquire", run_id="a")["changed"] is True
    assert os.listdir(tmp_path) == []
    ask(action="acquire", run_id="a")
    assert ask(check_mode=True, action="acquire", run_id="b")["refused"] is True
    assert ask(check_mode=True, action="release", run_id="a")["changed"] is True
    assert ask()["lease"]["run_id"] == "a"


def test_note_without_an_open_entry_changes_nothing(ask):
    assert ask(action="note", run_id="a", rung="reload")["changed"] is False


def test_stamps_stay_inside(ask):
    ask(action="acquire", run_id="a")
    answer = ask(action="begin", run_id="a", remedy="restart_database")
    assert "stamp" not in answer["lease"]
    assert "stamp" not in answer["journal"][0]


def test_unreadable_state_is_a_warning(ask, tmp_path):
    (tmp_path / "reconnect").mkdir()
    (tmp_path / "reconnect" / "state.json").write_text("{")
    answer = ask(action="acquire", run_id="a")
    assert "could not be understood" in str(answer["warnings"])


def test_folder_that_cannot_be_made_is_no_refusal(ask):
    answer = ask(action="acquire", run_id="a", path="/proc/nothing/state.json")
    assert answer["refused"] is False
    assert "/proc/nothing" in answer["msg"]


@pytest.fixture
def left_behind():
    """A process that run ``a`` left on the server."""
    process = subprocess.Popen(["sleep", "600"], env={**os.environ, _lease.RUN_VARIABLE: "a"}, stdin=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


def test_cancel_ends_what_the_run_left_and_frees_the_server(ask, left_behind):
    ask(action="acquire", run_id="a")
    ask(action="begin", run_id="a", remedy="restart_database")
    answer = ask(action="cancel", run_id="a")
    assert [process["pid"] for process in answer["ended_processes"]] == [left_behind.pid]
    assert (answer["lease"], answer["journal"][0]["state"]) == (None, "failed")


def test_takeover_ends_what_the_former_run_left(ask, left_behind, tmp_path):
    ask(action="acquire", run_id="a", ttl=0)
    answer = ask(action="acquire", run_id="b")
    assert [process["pid"] for process in answer["ended_processes"]] == [left_behind.pid]
    assert answer["lease"]["run_id"] == "b"


def test_cancel_takes_back_a_pending_graceful_shutdown(ask, tmp_path, monkeypatch):
    told = tmp_path / "told"
    program = tmp_path / "asterisk"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >{told}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    ask(action="acquire", run_id="a")
    ask(action="begin", run_id="a", remedy="restart_asterisk")
    ask(action="note", run_id="a", rung="idle", calls=1)
    ask(action="cancel", run_id="a")
    assert not told.exists()
    ask(action="acquire", run_id="a")
    ask(action="begin", run_id="a", remedy="restart_asterisk")
    ask(action="note", run_id="a", rung="graceful", calls=1)
    ask(action="cancel", run_id="a")
    assert told.read_text() == "-rx|core abort shutdown|"
