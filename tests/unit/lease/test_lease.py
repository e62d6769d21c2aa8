# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease and the journal of remedies, as a library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _lease

ROOT = Path(__file__).parents[3]

#: A process of another run: tries once to take the lease as soon as it is told to.
RIVAL = """
import sys
sys.path.insert(0, {folder!r})
import _lease
sys.stdin.readline()
with _lease.locked({path!r}) as state:
    try:
        state.acquire(sys.argv[1], "rival", "here", 60)
    except _lease.Refused:
        print("refused")
    else:
        state.save()
        print("won")
"""


class FakeClock(_lease.Clock):
    """A server whose clocks the test turns."""

    def __init__(self):
        self.now = 1_800_000_000.0
        self.up = 1000.0
        self.boot = "first"

    def wall(self):
        return self.now

    def since_boot(self):
        return self.up

    def boot_id(self):
        return self.boot

    def passes(self, seconds):
        self.now += seconds
        self.up += seconds


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "reconnect" / "state.json")


@pytest.fixture
def open_state(path, clock):
    return lambda **options: _lease.locked(path, clock=clock, **options)


def spawn(run_id, *command, **options):
    """A process that belongs to a run, running its own code by the time this returns."""
    return subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"], _lease.RUN_VARIABLE: run_id},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def stubborn(run_id):
    """A process that ignores SIGTERM."""
    process = spawn(
        run_id,
        sys.executable,
        "-uc",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); signal.pause()",
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_one_of_many_processes_gets_the_lease(path):
    code = RIVAL.format(folder=str(Path(_lease.__file__).parent), path=path)
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"run-{number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(6)
    ]
    for rival in rivals:
        rival.stdin.write("\n")
        rival.stdin.flush()
    answers = [rival.communicate(timeout=30)[0].strip() for rival in rivals]
    assert sorted(answers) == ["refused"] * 5 + ["won"]
    with open(path, encoding="utf-8") as file:
        assert json.load(file)["lease"]["run_id"] == f"run-{answers.index('won')}"


def test_refusal_names_holder_and_end(open_state):
    with open_state() as state:
        state.acquire("a", "Second level", "noc1", 60)
        state.save()
    with open_state() as state, pytest.raises(_lease.Refused) as refusal:
        state.acquire("b", "", "", 60)
    assert "Second level" in str(refusal.value)
    assert "noc1" in str(refusal.value)
    assert _lease.utc(1_800_000_060) in str(refusal.value)


def test_same_run_acquires_again(open_state):
    with open_state() as state:
        assert state.acquire("a", "", "", 60) is True
        assert state.acquire("a", "", "", 60) is False


def test_expired_lease_is_taken_over(open_state, clock):
    with open_state() as state:
        state.acquire("a", "", "", 60)
        clock.passes(60)
        assert state.acquire("b", "", "", 60) is True
        with pytest.raises(_lease.Refused, match="lost its lease"):
            state.renew("a", 60)


def test_renewal_counts_from_now(open_state, clock):
    with open_state() as state:
        state.acquire("a", "", "", 60)
        clock.passes(50)
        state.renew("a", 60)
        clock.passes(50)
        with pytest.raises(_lease.Refused):
            state.acquire("b", "", "", 60)


@pytest.mark.parametrize("step", [-86400, 86400])
def test_stepping_the_wall_clock_changes_nothing(open_state, clock, step):
    with open_state() as state:
        state.acquire("a", "", "", 60)
        clock.now += step
        clock.passes(59)
        assert state.holder()["run_id"] == "a"
        clock.passes(2)
        assert state.holder() is None


def test_lease_survives_a_quick_boot_and_expires_after_it(open_state, clock):
    with open_state() as state:
        state.acquire("a", "", "", 60)
        clock.boot, clock.up = "second", 0.0
        clock.passes(20)
        assert state.holder()["run_id"] == "a"
        clock.passes(41)
        assert state.holder() is None


def test_boot_with_a_wall_clock_in_the_past_does_not_keep_a_lease_for_ever(open_state, clock):
    with open_state() as state:
        state.acquire("a", "", "", 60)
        clock.boot, clock.up, clock.now = "second", 61.0, 0.0
        assert state.holder() is None


def test_fourth_remedy_within_the_hour_is_refused_with_the_times(open_state, clock):
    with open_state() as state:
        began = []
        for run_id in "abc":
            state.acquire(run_id, "", "", 7200)
            began.append(state.begin(run_id, "restart_database", "database_stopped", 3, 3600)["began_at"])
            state.close(run_id, "done")
            state.release(run_id)
            clock.passes(600)
        state.acquire("d", "", "", 7200)
        with pytest.raises(_lease.Refused) as refusal:
            state.begin("d", "restart_database", "database_stopped", 3, 3600)
        assert all(time in str(refusal.value) for time in began)
        assert "3 times within the last hour" in str(refusal.value)
        state.begin("d", "restart_asterisk", "asterisk_stopped", 3, 3600)
        clock.passes(1801)
        state.begin("d", "restart_database", "database_stopped", 3, 3600)


def test_a_run_that_is_begun_anew_does_not_begin_its_remedy_twice(open_state):
    with open_state() as state:
        state.acquire("a", "", "", 60)
        state.begin("a", "restart_asterisk", "asterisk_stopped", 3, 3600)
        with pytest.raises(_lease.Refused, match="not done twice"):
            state.begin("a", "restart_asterisk", "asterisk_stopped", 3, 3600)
        state.begin("a", "restart_asterisk", "asterisk_hung", 3, 3600)


def test_what_does_no_harm_twice_is_begun_anew(open_state):
    with open_state() as state:
        state.acquire("a", "", "", 60)
        state.begin("a", "fix_account", "account_missing", 3, 3600, again=True)
        state.close("a", "failed")
        assert state.begin("a", "fix_account", "account_missing", 3, 3600, again=True)["state"] == _lease.OPEN


def test_what_was_refused_does_not_use_up_the_budget(open_state):
    with open_state() as state:
        state.acquire("a", "", "", 60)
        for _unused in range(5):
            state.begin("a", "restart_asterisk", "", 1, 3600)
            state.close("a", "refused")


def test_no_remedy_without_the_lease(open_state, clock):
    with open_state() as state:
        with pytest.raises(_lease.Refused, match="holds no lease"):
            state.begin("a", "restart_database", "", 3, 3600)
        state.acquire("a", "", "", 60)
        clock.passes(61)
        with pytest.raises(_lease.Refused, match="expired"):
            state.begin("a", "restart_database", "", 3, 3600)


def test_release_ends_what_was_left_open(open_state):
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
def test_torn_file_is_kept_aside_and_told(open_state, path, content):
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


def test_folder_and_file_are_private(open_state, path):
    with open_state() as state:
        state.acquire("a", "", "", 60)
        state.save()
    assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert os.listdir(Path(path).parent) == ["state.json"]


def test_looking_creates_nothing(open_state, path):
    with open_state(writable=False) as state:
        assert state.holder() is None
    assert not Path(path).parent.exists()


def test_lock_that_is_never_given_back_costs_its_limit(open_state, path):
    with open_state(), pytest.raises(_lease.StateError, match="locked by another process"), open_state(limit=0.1):
        pass


def test_folder_that_cannot_be_made_is_told(clock):
    with (
        pytest.raises(_lease.StateError, match="/proc/nothing"),
        _lease.locked("/proc/nothing/state.json", clock=clock),
    ):
        pass


def test_journal_stays_short(open_state, path, clock):
    with open_state() as state:
        state.acquire("a", "", "", 10**6)
        for _unused in range(_lease.JOURNAL_LENGTH + 50):
            state.begin("a", "reload_asterisk", "", 10**6, 3600)
            state.close("a", "done")
        state.save()
    with open_state() as state:
        assert len(state.journal) == _lease.JOURNAL_LENGTH


def test_processes_of_the_run_are_ended_and_no_others(path):
    run = f"run-{uuid.uuid4()}"
    mine = spawn(run, "sleep", "600")
    deaf = stubborn(run)
    other = spawn(f"another-{run}", "sleep", "600")
    prefix = spawn(f"{run}-and-more", "sleep", "600")
    try:
        ended = _lease.end_processes(run, limit=2)
        assert {(process["pid"], process["ended_by"]) for process in ended} == {
            (mine.pid, "SIGTERM"),
            (deaf.pid, "SIGKILL"),
        }
        assert mine.wait(5) == -signal.SIGTERM
        assert deaf.wait(5) == -signal.SIGKILL
        assert other.poll() is None
        assert prefix.poll() is None
        assert _lease.processes_of(run) == []
    finally:
        for process in (mine, deaf, other, prefix):
            process.kill()
            process.wait()


def test_the_one_who_cleans_up_is_spared():
    folder = str(Path(_lease.__file__).parent)
    me = f"run-{uuid.uuid4()}"
    code = f"import sys; sys.path.insert(0, {folder!r}); import _lease; print(_lease.end_processes({me!r}))"
    asker = spawn(me, "sh", "-c", 'exec "$0" -c "$1" ', sys.executable, code)
    assert asker.communicate(timeout=20)[0] == "[]\n"
    assert asker.returncode == 0


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.13"])
def test_runs_on_the_pythons_of_servers(path, version):
    candidates = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    if not candidates:
        pytest.skip(f"no Python {version} here")
    code = RIVAL.format(folder=str(Path(_lease.__file__).parent), path=path)
    answer = subprocess.run([candidates[-1], "-c", code, "old"], input="\n", capture_output=True, text=True, timeout=30)
    assert (answer.stdout, answer.stderr) == ("won\n", "")
