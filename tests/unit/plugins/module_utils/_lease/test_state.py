# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease and the journal of remedies, as a library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._lease import state as lease_state

ROOT = Path(__file__).parents[5]

#: A process of another run: tries once to take the lease as soon as it is told to.
RIVAL = """
import sys
sys.path.insert(0, {folder!r})
from ansible_collections.privatewave.reconnect.plugins.module_utils._lease import state as state_module
sys.stdin.readline()
with state_module.locked({path!r}) as state:
    try:
        state.acquire(sys.argv[1], "rival", "here", 60)
    except state_module.Refused:
        print("refused")
    else:
        state.save()
        print("won")
"""


class FakeClock(lease_state.Clock):
    """A server whose clocks the test turns."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.up = 1000.0
        self.boot = "first"
        self.machine_hash = "0123"

    def machine(self) -> str:
        return self.machine_hash

    def wall(self) -> float:
        return self.now

    def since_boot(self) -> float:
        return self.up

    def boot_id(self) -> str:
        return self.boot

    def passes(self, seconds: int) -> None:
        self.now += seconds
        self.up += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "reconnect" / "state.json")


@pytest.fixture
def open_state(path: str, clock: FakeClock) -> Callable[..., Any]:
    return lambda **options: lease_state.locked(path, clock=clock, **options)


def test_one_of_many_processes_gets_the_lease(path: str) -> None:
    code = RIVAL.format(folder=str(ROOT / "collections"), path=path)
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"run-{number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(6)
    ]
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("\n")
        rival.stdin.flush()
    answers = [rival.communicate(timeout=30)[0].strip() for rival in rivals]
    assert sorted(answers) == ["refused"] * 5 + ["won"]
    with open(path, encoding="utf-8") as file:
        assert json.load(file)["lease"]["run_id"] == f"run-{answers.index('won')}"


def test_refusal_names_holder_and_end(open_state: Callable[..., Any]) -> None:
    with open_state() as state:
        state.acquire("a", "Second level", "noc1", 60)
        state.save()
    with open_state() as state, pytest.raises(lease_state.Refused) as refusal:
        state.acquire("b", "", "", 60)
    assert "Second level" in str(refusal.value)
    assert "noc1" in str(refusal.value)
    assert lease_state.utc(1_800_000_060) in str(refusal.value)


def test_same_run_acquires_again(open_state: Callable[..., Any]) -> None:
    with open_state() as state:
        assert state.acquire("a", "", "", 60) is True
        assert state.acquire("a", "", "", 60) is False


def test_expired_lease_is_taken_over(open_state: Callable[..., Any], clock: FakeClock) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        clock.passes(60)
        assert state.acquire("b", "", "", 60) is True
        with pytest.raises(lease_state.Refused, match="lost its lease"):
            state.renew("a", 60)


def test_renewal_counts_from_now(open_state: Callable[..., Any], clock: FakeClock) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        clock.passes(50)
        state.renew("a", 60)
        clock.passes(50)
        with pytest.raises(lease_state.Refused):
            state.acquire("b", "", "", 60)


@pytest.mark.parametrize("step", [-86400, 86400])
def test_stepping_the_wall_clock_changes_nothing(open_state: Callable[..., Any], clock: FakeClock, step: int) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        clock.now += step
        clock.passes(59)
        assert state.holder()["run_id"] == "a"
        clock.passes(2)
        assert state.holder() is None


def test_lease_survives_a_quick_boot_and_expires_after_it(open_state: Callable[..., Any], clock: FakeClock) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        clock.boot, clock.up = "second", 0.0
        clock.passes(20)
        assert state.holder()["run_id"] == "a"
        clock.passes(41)
        assert state.holder() is None


def test_boot_with_a_wall_clock_in_the_past_does_not_keep_a_lease(
    open_state: Callable[..., Any], clock: FakeClock
) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        clock.boot, clock.up, clock.now = "second", 61.0, 0.0
        assert state.holder() is None


def test_fourth_remedy_within_the_hour_is_refused_with_the_times(
    open_state: Callable[..., Any], clock: FakeClock
) -> None:
    with open_state() as state:
        began = []
        for run_id in "abc":
            state.acquire(run_id, "", "", 7200)
            began.append(state.begin(run_id, "restart_database", "database_stopped", 3, 3600)["began_at"])
            state.close(run_id, "done")
            state.release(run_id)
            clock.passes(600)
        state.acquire("d", "", "", 7200)
        with pytest.raises(lease_state.Refused) as refusal:
            state.begin("d", "restart_database", "database_stopped", 3, 3600)
        assert all(time in str(refusal.value) for time in began)
        assert "3 times within the last hour" in str(refusal.value)
        state.begin("d", "restart_asterisk", "asterisk_stopped", 3, 3600)
        clock.passes(1801)
        state.begin("d", "restart_database", "database_stopped", 3, 3600)


def test_a_run_that_is_started_again_does_not_begin_its_remedy_twice(open_state: Callable[..., Any]) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        state.begin("a", "restart_asterisk", "asterisk_stopped", 3, 3600)
        with pytest.raises(lease_state.Refused, match="not done twice"):
            state.begin("a", "restart_asterisk", "asterisk_stopped", 3, 3600)
        state.begin("a", "restart_asterisk", "asterisk_hung", 3, 3600)


def test_what_does_no_harm_twice_is_begun_again(open_state: Callable[..., Any]) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        state.begin("a", "fix_account", "account_missing", 3, 3600, again=True)
        state.close("a", "failed")
        assert state.begin("a", "fix_account", "account_missing", 3, 3600, again=True)["state"] == lease_state.OPEN


def test_a_remedy_of_an_account_is_counted_for_that_account(open_state: Callable[..., Any]) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        for number, account in enumerate(("1001", "1001", "1002")):
            state.begin("a", "fix_account", f"cause {number}", 2, 3600, account=account)
        with pytest.raises(lease_state.Refused, match="an account that keeps needing"):
            state.begin("a", "fix_account", "again", 2, 3600, account="1001")
        state.begin("a", "fix_account", "another", 2, 3600, account="1002")
        state.begin("a", "fix_account", "of the server", 1, 3600)


def test_what_was_refused_does_not_use_up_the_budget(open_state: Callable[..., Any]) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        for _unused in range(5):
            state.begin("a", "restart_asterisk", "", 1, 3600)
            state.close("a", "refused")


def test_no_remedy_without_the_lease(open_state: Callable[..., Any], clock: FakeClock) -> None:
    with open_state() as state:
        with pytest.raises(lease_state.Refused, match="holds no lease"):
            state.begin("a", "restart_database", "", 3, 3600)
        state.acquire("a", "", "", 60)
        clock.passes(61)
        with pytest.raises(lease_state.Refused, match="expired"):
            state.begin("a", "restart_database", "", 3, 3600)


def test_release_ends_what_was_left_open(open_state: Callable[..., Any]) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        state.begin("a", "restart_database", "", 3, 3600)
        assert state.release("b") is False
        assert state.release("a") is True
        assert state.journal[0]["state"] == "failed"
        assert state.release("a") is False


@pytest.mark.parametrize(
    "content",
    [b"", b'{"schema": "reconnect/state/v1", "lease": nu', b"\xff\xfe\x00", b"[]", b'{"schema": "reconnect/state/v9"}']
    + [
        json.dumps({"schema": "reconnect/state/v1", "lease": lease, "journal": journal}).encode()
        for lease, journal in [
            ({}, []),
            ({"run_id": 7}, []),
            (None, {}),
            (None, [{}]),
            (None, [{"stamp": {"boot_id": "", "wall": "x", "since_boot": 1}}]),
        ]
    ],
)
def test_invalid_file_is_moved_aside_and_reported(open_state: Callable[..., Any], path: str, content: bytes) -> None:
    Path(path).parent.mkdir()
    Path(path).write_bytes(content)
    with open_state() as state:
        assert len(state.warnings) == 1
        assert path in state.warnings[0]
        state.acquire("a", "", "", 60)
        state.save()
    assert Path(path + ".unreadable").read_bytes() == content
    with open_state() as state:
        assert state.warnings == []
        assert state.holder()["run_id"] == "a"


def test_every_acquisition_gets_the_next_number(open_state: Callable[..., Any], clock: FakeClock) -> None:
    for run_id, number in (("a", 1), ("a", 2), ("b", 3)):
        with open_state() as state:
            assert state.fence == number - 1
            state.acquire(run_id, "", "", 60)
            state.renew(run_id, 60)
            assert state.fence == number
            clock.boot, clock.up = f"boot {number}", 0.0
            if number == 2:
                state.release("a")
            state.save()


def test_a_refused_acquisition_gets_no_number(open_state: Callable[..., Any]) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        with pytest.raises(lease_state.Refused):
            state.acquire("b", "", "", 60)
        assert state.fence == 1


def test_older_number_is_refused_even_of_the_same_run(open_state: Callable[..., Any]) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        state.check_fence("a", 1)
        state.acquire("a", "", "", 60)
        with pytest.raises(lease_state.Refused, match="number 1, but number 2 was given out since"):
            state.check_fence("a", 1)
        state.check_fence("a", 2)
        state.check_fence("a", None)


def test_file_of_an_older_release_has_number_0(open_state: Callable[..., Any], path: str, clock: FakeClock) -> None:
    with open_state() as state:
        state.acquire("a", "Second level", "noc1", 60)
        state.begin("a", "restart_database", "", 3, 3600)
        state.save()
    document = json.loads(Path(path).read_text())
    assert document.pop("fence") == 1
    Path(path).write_text(json.dumps(document))
    with open_state() as state:
        assert (state.warnings, state.fence) == ([], 0)
        assert state.holder()["holder"] == "Second level"
        assert state.journal[0]["remedy"] == "restart_database"
        state.check_fence("a", 0)


@pytest.mark.parametrize("fence", [-1, "7", True, 1.5, None])
def test_invalid_number_makes_the_file_invalid(
    open_state: Callable[..., Any], path: str, fence: str | float | None
) -> None:
    Path(path).parent.mkdir()
    document: dict[str, Any] = {"schema": "reconnect/state/v1", "lease": None, "journal": [], "fence": fence}
    Path(path).write_text(json.dumps(document))
    with open_state() as state:
        assert "fencing number" in state.warnings[0]


def test_no_number_of_an_invalid_file_is_given_out_again(open_state: Callable[..., Any], path: str) -> None:
    with open_state() as state:
        for _unused in range(7):
            state.acquire("a", "", "", 60)
        state.save()
    Path(path).write_bytes(Path(path).read_bytes().rstrip(b"}\n"))
    with open_state() as state:
        assert len(state.warnings) == 1
        state.acquire("b", "", "", 60)
        assert state.fence == 8


def test_folder_and_file_are_private(open_state: Callable[..., Any], path: str) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        state.save()
    assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert os.listdir(Path(path).parent) == ["state.json"]


def test_looking_creates_nothing(open_state: Callable[..., Any], path: str) -> None:
    with open_state(writable=False) as state:
        assert state.holder() is None
    assert not Path(path).parent.exists()


def test_lock_that_is_never_released_costs_its_limit(open_state: Callable[..., Any], path: str) -> None:
    with open_state(), pytest.raises(lease_state.StateError, match="locked by another process"), open_state(limit=0.1):
        pass


def test_folder_that_cannot_be_made_is_reported(clock: FakeClock) -> None:
    with (
        pytest.raises(lease_state.StateError, match="/proc/nothing"),
        lease_state.locked("/proc/nothing/state.json", clock=clock),
    ):
        pass


def test_journal_stays_short(open_state: Callable[..., Any], path: str, clock: FakeClock) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 10**6)
        for _unused in range(lease_state.JOURNAL_LENGTH + 50):
            state.begin("a", "reload_asterisk", "", 10**6, 3600)
            state.close("a", "done")
        state.save()
    with open_state() as state:
        assert len(state.journal) == lease_state.JOURNAL_LENGTH


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.13"])
def test_runs_on_the_pythons_of_servers(path: str, version: str) -> None:
    candidates = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    if not candidates:
        pytest.skip(f"no Python {version} here")
    code = RIVAL.format(folder=str(ROOT / "collections"), path=path)
    answer = subprocess.run([candidates[-1], "-c", code, "old"], input="\n", capture_output=True, text=True, timeout=30)
    assert (answer.stdout, answer.stderr) == ("won\n", "")


def test_two_names_of_one_server_get_one_lease(open_state: Callable[..., Any]) -> None:
    """The run that has it under one name is refused it under another, whose release takes nothing away."""
    with open_state() as state:
        state.acquire("a", "", "", 60, "pbx1")
        state.begin("a", "restart_database", "", 3, 3600)
        state.save()
    with open_state() as state:
        with pytest.raises(lease_state.Refused, match="other and pbx1 are two names of one server") as refusal:
            state.acquire("a", "", "", 60, "other")
        assert refusal.value.final
        assert state.release("a", "other") is False
        assert state.holder()["server_name"] == "pbx1"
        assert state.journal[0]["state"] == lease_state.OPEN
        state.renew("a", 60)
        assert state.acquire("a", "", "", 60, "pbx1") is False
        assert state.release("a", "pbx1") is True


def test_other_runs_are_waited_for_under_whatever_name(open_state: Callable[..., Any]) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60, "pbx1")
        with pytest.raises(lease_state.Refused) as refusal:
            state.acquire("b", "", "", 60, "other")
        assert not refusal.value.final


def test_server_keeps_the_id_of_its_first_lease(open_state: Callable[..., Any]) -> None:
    with open_state() as state:
        assert state.server is None
        state.acquire("a", "", "", 60)
        state.save()
    with open_state() as state:
        first = state.server
        state.acquire("a", "", "", 60)
        state.release("a")
        state.save()
    with open_state() as state:
        assert state.server == first
        assert state.warnings == []
    assert len(first["id"]) == 32
    assert first["machine"] == "0123"


def test_clone_gets_an_id_of_its_own(open_state: Callable[..., Any], clock: FakeClock) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        state.release("a")
        state.save()
        original = state.server
    clock.machine_hash = "4567"
    with open_state() as state:
        state.acquire("b", "", "", 60)
        assert state.server["id"] != original["id"]
        assert state.server["machine"] == "4567"
        assert "comes from another machine" in state.warnings[0]


def test_machine_whose_id_cannot_be_read_is_no_clone(open_state: Callable[..., Any], clock: FakeClock) -> None:
    with open_state() as state:
        state.acquire("a", "", "", 60)
        original = dict(state.server)
        clock.machine_hash = ""
        state.acquire("a", "", "", 60)
        assert state.server == original


def test_hash_does_not_give_the_machine_id_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "machine-id"
    file.write_text("b08dfa6083e7567a1921a715000001fb\n")
    monkeypatch.setattr(lease_state, "_MACHINE_ID", str(file))
    assert lease_state.Clock().machine() == "ecd45203b47a1676e465635819e7f24f"
    file.unlink()
    assert lease_state.Clock().machine() == ""
