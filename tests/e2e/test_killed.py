"""The command is killed at any moment of a fix on a real server, and incident and server end as if it had not been."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from trials.kept import runs
from trials.tools import INVENTORY, RECONNECT, ROOT, Ended, Lab

from . import rt
from .test_first_level import rows

#: How long the fix takes here, in seconds: the moments are spread over it and the report.
LONGEST = 16.0


def account(lab: Lab, server: str) -> list[str]:
    """The account's rows; by the registry it is for TLS alone."""
    found = [line for line in rows(lab, server).splitlines() if line.startswith("1005\t")]
    return [line.replace("tls,tcp,udp", "tls") for line in found]


def restarts(lab: Lab, server: str) -> int:
    """How often the server's database was started since it was stopped."""
    words = lab.run(server, "journalctl", "-u", "mariadb", "-n", "60", "-o", "json", "--output-fields=MESSAGE,JOB_TYPE")
    entries = [json.loads(line) for line in words.splitlines()]
    stops = [n for n, entry in enumerate(entries) if entry.get("JOB_TYPE") == "stop"]
    since = entries[stops[-1] :] if stops else entries
    return sum(entry.get("JOB_TYPE") in {"start", "restart"} and "Started" in entry["MESSAGE"] for entry in since)


@pytest.mark.attack("the command is killed at a random moment")
@pytest.mark.hosts("tracker")
def test_killed_at_any_moment_it_is_reported_once_and_fixed_once(
    lab: Lab,
    reconnect: Callable[..., Ended],
    broken: Callable[..., AbstractContextManager[None]],
    tmp_path: Path,
    moment: int,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in rt.environment().items():
        monkeypatch.setenv(name, value)
    number = rt.ticket(fields={"Server": server, "Account": "1005"})
    asked = ["diagnose-server", "--incident", f"rt:{number}", "--inventory", INVENTORY, "--apply"]
    whole = account(lab, server)
    with broken(server, "account_missing", "database_stopped"):
        process = subprocess.Popen(
            [RECONNECT, *asked],
            cwd=ROOT,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.Random(moment).uniform(0.3, LONGEST))
        process.kill()
        process.wait()
        resumed = reconnect("resume", json_output=False)
        assert resumed.code == 0, resumed.stderr
        if not runs(tmp_path):
            # It was killed before it had written anything down: whoever called it calls it again.
            assert reconnect(*asked).code == 0
        [run] = runs(tmp_path)
        result = reconnect("show", run.run_id).result
        told = [(one["remedy"], one["state"], one.get("reason")) for one in result["remedies"]]
        restarted = restarts(lab, server)
        assert restarted <= 1, told
        if restarted:
            # Whenever it was killed, the run knows what it fixed.
            assert result["verdict"]["outcome"].startswith("fixed_"), (run.record.begun, told, result["verdict"])
            assert account(lab, server) == whole, (
                run.record.begun,
                result["state"],
                told,
                result["verdict"],
            )
        else:
            # A restart that was begun and did nothing is not begun again: the next level is told.
            assert result["verdict"]["outcome"] == "escalate_third_level", told
            assert any("not done twice" in (reason or "") for _, _, reason in told), told
    kinds = collections.Counter(rt.subjects(number))
    assert kinds["report"] == 1, kinds
    assert set(kinds.values()) == {1}, kinds
    assert reconnect("resume", json_output=False).code == 0
    assert collections.Counter(rt.subjects(number)) == kinds
