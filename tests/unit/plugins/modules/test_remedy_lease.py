# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``remedy_lease``: arguments in, the JSON that a playbook sees out."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.privatewave.reconnect.plugins.module_utils._lease import processes
from ansible_collections.privatewave.reconnect.plugins.modules import remedy_lease


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run the module and return its answer."""

    def run(check_mode: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {
            "path": str(tmp_path / "reconnect" / "state.json"),
            "hold": str(tmp_path / "hold"),
            "_ansible_check_mode": check_mode,
            **options,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            remedy_lease.main()
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return run


def test_acquire_begin_note_end_release(ask: Callable[..., dict[str, Any]]) -> None:
    assert ask(action="acquire", run_id="a", holder="Second level")["lease"]["holder"] == "Second level"
    assert ask(action="begin", run_id="a", remedy="restart_asterisk")["journal"][0]["state"] == "begun"
    assert ask(action="note", run_id="a", rung="now", calls=2)["changed"] is True
    entry = ask(action="end", run_id="a", outcome="done")["journal"][0]
    assert (entry["state"], entry["rungs"][0]["rung"], entry["rungs"][0]["calls"]) == ("done", "now", 2)
    assert ask(action="release", run_id="a")["lease"] is None
    assert ask(action="release", run_id="a")["changed"] is False


def test_refusal_is_a_failure_that_says_so(ask: Callable[..., dict[str, Any]]) -> None:
    ask(action="acquire", run_id="a", holder="Second level")
    answer = ask(action="acquire", run_id="b")
    assert (answer["failed"], answer["refused"]) == (True, True)
    assert "Second level" in answer["msg"]


def test_number_is_handed_on_and_an_older_one_refused(ask: Callable[..., dict[str, Any]]) -> None:
    assert ask()["fence"] == 0
    former = ask(action="acquire", run_id="a")["fence"]
    newer = ask(action="acquire", run_id="a")["fence"]
    assert (former, newer) == (1, 2)
    for action in ("renew", "begin", "note", "end", "release", "cancel"):
        answer = ask(action=action, run_id="a", fence=former, remedy="restart_asterisk", rung="now")
        assert (answer["failed"], answer["refused"]) == (True, True)
        assert "number 1, but number 2 was given out since" in answer["msg"]
    assert ask(action="begin", run_id="a", fence=newer, remedy="restart_asterisk")["fence"] == 2
    assert ask(action="release", run_id="a", fence=newer)["fence"] == 2
    assert ask(action="acquire", run_id="b")["fence"] == 3


def test_older_number_ends_no_process_of_the_newer(
    ask: Callable[..., dict[str, Any]], left_behind: subprocess.Popen[bytes]
) -> None:
    ask(action="acquire", run_id="a")
    ask(action="acquire", run_id="a")
    ask(action="cancel", run_id="a", fence=1)
    assert left_behind.poll() is None


def test_budget_is_refused_in_words(ask: Callable[..., dict[str, Any]]) -> None:
    ask(action="acquire", run_id="a")
    for _unused in range(3):
        ask(action="begin", run_id="a", remedy="restart_database")
        ask(action="end", run_id="a")
    answer = ask(action="begin", run_id="a", remedy="restart_database")
    assert (answer["refused"], answer["escalate"]) == (True, True)
    assert "3 times within the last hour" in answer["msg"]


def test_same_run_acquires_without_change(ask: Callable[..., dict[str, Any]]) -> None:
    assert ask(action="acquire", run_id="a")["changed"] is True
    assert ask(action="acquire", run_id="a")["changed"] is False


def test_what_another_run_fixed_since_is_told(ask: Callable[..., dict[str, Any]]) -> None:
    ask(action="acquire", run_id="a")
    ask(action="begin", run_id="a", remedy="restart_database")
    ask(action="end", run_id="a")
    ask(action="release", run_id="a")
    assert ask(action="acquire", run_id="b", since=time.time() - 60)["fixed_since"] is True
    assert ask(action="acquire", run_id="b", since=time.time() + 60)["fixed_since"] is False
    assert ask(action="acquire", run_id="b")["fixed_since"] is False


def test_own_remedies_are_no_news(ask: Callable[..., dict[str, Any]]) -> None:
    ask(action="acquire", run_id="a")
    ask(action="begin", run_id="a", remedy="restart_database")
    ask(action="end", run_id="a")
    assert ask(action="acquire", run_id="a", since=0)["fixed_since"] is False


def test_check_mode_says_and_does_nothing(ask: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    assert ask(check_mode=True, action="acquire", run_id="a")["changed"] is True
    assert os.listdir(tmp_path) == []
    ask(action="acquire", run_id="a")
    assert ask(check_mode=True, action="acquire", run_id="b")["refused"] is True
    assert ask(check_mode=True, action="release", run_id="a")["changed"] is True
    assert ask()["lease"]["run_id"] == "a"


def test_note_without_an_open_entry_changes_nothing(ask: Callable[..., dict[str, Any]]) -> None:
    assert ask(action="note", run_id="a", rung="reload")["changed"] is False


def test_stamps_stay_inside(ask: Callable[..., dict[str, Any]]) -> None:
    ask(action="acquire", run_id="a")
    answer = ask(action="begin", run_id="a", remedy="restart_database")
    assert "stamp" not in answer["lease"]
    assert "stamp" not in answer["journal"][0]


def test_unreadable_state_is_a_warning(ask: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "reconnect").mkdir()
    (tmp_path / "reconnect" / "state.json").write_text("{")
    answer = ask(action="acquire", run_id="a")
    assert "is invalid" in str(answer["warnings"])


def test_folder_that_cannot_be_made_is_no_refusal(ask: Callable[..., dict[str, Any]]) -> None:
    answer = ask(action="acquire", run_id="a", path="/proc/nothing/state.json")
    assert answer["refused"] is False
    assert "/proc/nothing" in answer["msg"]


@pytest.fixture
def left_behind() -> Iterator[subprocess.Popen[bytes]]:
    """A process that run ``a`` left on the server."""
    process = subprocess.Popen(
        ["sleep", "600"], env={**os.environ, processes.RUN_VARIABLE: "a"}, stdin=subprocess.DEVNULL
    )
    yield process
    process.kill()
    process.wait()


def test_cancel_ends_what_the_run_left_and_frees_the_server(
    ask: Callable[..., dict[str, Any]], left_behind: subprocess.Popen[bytes]
) -> None:
    ask(action="acquire", run_id="a")
    ask(action="begin", run_id="a", remedy="restart_database")
    answer = ask(action="cancel", run_id="a")
    assert [process["pid"] for process in answer["ended_processes"]] == [left_behind.pid]
    assert (answer["lease"], answer["journal"][0]["state"]) == (None, "failed")


def test_takeover_ends_what_the_former_run_left(
    ask: Callable[..., dict[str, Any]], left_behind: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    ask(action="acquire", run_id="a", ttl=0)
    answer = ask(action="acquire", run_id="b")
    assert [process["pid"] for process in answer["ended_processes"]] == [left_behind.pid]
    assert answer["lease"]["run_id"] == "b"


def test_cancel_takes_back_a_pending_graceful_shutdown(
    ask: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_two_names_of_one_server(ask: Callable[..., dict[str, Any]]) -> None:
    first = ask(action="acquire", run_id="a", server_name="pbx1")
    refused = ask(action="acquire", run_id="a", server_name="other")
    assert (refused["failed"], refused["refused"], refused["final"]) == (True, True, True)
    assert ask(action="release", run_id="a", server_name="other")["changed"] is False
    seen = ask()
    assert (seen["lease"]["run_id"], seen["server_id"]) == ("a", first["server_id"])
    assert len(first["server_id"]) == 32
    assert ask(action="release", run_id="a", server_name="pbx1")["changed"] is True


def test_state_of_an_older_release_has_no_name_and_no_id(ask: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    ask(action="acquire", run_id="a")
    file = tmp_path / "reconnect" / "state.json"
    document = json.loads(file.read_text())
    del document["server"], document["lease"]["server_name"]
    file.write_text(json.dumps(document))
    assert ask()["server_id"] == ""
    answer = ask(action="release", run_id="a", server_name="pbx1")
    assert (answer["changed"], answer["lease"]) == (True, None)


def test_clone_is_a_warning(ask: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    first = ask(action="acquire", run_id="a")["server_id"]
    file = tmp_path / "reconnect" / "state.json"
    document = json.loads(file.read_text())
    document["server"]["machine"] = "0" * 32
    file.write_text(json.dumps(document))
    answer = ask(action="acquire", run_id="a")
    assert answer["server_id"] != first
    assert "comes from another machine" in str(answer["warnings"])


def test_hold_refuses_the_lease_and_every_further_remedy(ask: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    ask(action="acquire", run_id="a")
    (tmp_path / "hold").write_text("we move the rack")
    for refused in (ask(action="begin", run_id="a", remedy="restart_database"), ask(action="acquire", run_id="b")):
        assert (refused["failed"], refused["refused"], refused["final"]) == (True, True, True)
        assert "we move the rack" in refused["msg"]
    assert "we move the rack" in ask()["held"]
    # What was begun before comes to its end.
    assert ask(action="end", run_id="a")["journal"] == []
    assert ask(action="release", run_id="a")["lease"] is None
    (tmp_path / "hold").unlink()
    assert ask(action="acquire", run_id="b")["held"] == ""
