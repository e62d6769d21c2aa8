"""A run that is ended leaves no process, no secret and no silence behind."""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from ..conftest import Workplace, there

# Its children leave their session, their parent and, the last one, their environment.
SPAWNS = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Quick step
      ansible.builtin.command: "true"
    - name: Slow step
      ansible.builtin.shell: |
        setsid sleep {n}.1 &
        (setsid sh -c 'sleep {n}.2 & wait' &)
        (env -i setsid /bin/sleep {n}.3 >/dev/null 2>&1 &)
        sleep {n}.4
"""
HANGS_AT_START = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
time.sleep(600)
"""


@pytest.fixture
def own() -> str:
    """A number of seconds that no process sleeps for but this test's."""
    return f"9{secrets.randbelow(10**8):08}"


def test_nothing_survives_the_time_limit(
    workplace: Workplace, processes_named: Callable[[str], list[psutil.Process]], own: str
) -> None:
    # Time enough for the first step to end, however busy the machine is; the clean-up hangs as well.
    workplace.playbook(SPAWNS.format(n=own))
    workplace.playbook(SPAWNS.format(n=f"8{own}"), "cleanup.yml")
    workplace.environment["RECONNECT_CLEANUP_SECONDS"] = "3"
    ended = workplace.diagnose("alpha", "--timeout", "15", "--json")
    assert ended.code == 13, ended.stderr
    result = ended.json()
    assert result["state"] == "timed_out"
    assert "took longer than 15 s" in result["error_message"]
    assert "Quick step" in result["error_message"]
    assert "clean-up on the server did not end" in ended.stderr
    assert [n for n in "1234" if processes_named(f"{own}.{n}") or processes_named(f"8{own}.{n}")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_reports_and_cleans_up(
    workplace: Workplace,
    processes_named: Callable[[str], list[psutil.Process]],
    wait: Callable[..., Any],
    own: str,
    number: signal.Signals,
    tmp_path: Path,
) -> None:
    workplace.playbook(SPAWNS.format(n=own))
    incident = tmp_path / "incident.md"
    process = workplace.start(
        "diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--json", "--incident", f"file:{incident}"
    )
    wait(lambda: processes_named(f"{own}.4"))
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 13, stderr
    assert '"cancelled"' in stdout
    assert [part for part in "1234" if processes_named(f"{own}.{part}")] == []
    assert "cancelled" in incident.read_text()
    assert (workplace.folder / "released-alpha").read_text() == workplace.runs[0].run_id


def test_cancelled_while_another_run_has_its_server(
    workplace: Workplace, processes_named: Callable[[str], list[psutil.Process]], wait: Callable[..., Any], own: str
) -> None:
    workplace.playbook(SPAWNS.format(n=own))
    first = workplace.start("diagnose-server", "alpha", "beta", "--inventory", str(workplace.inventory), "--json")
    wait(lambda: processes_named(f"{own}.4"))
    second = workplace.start("diagnose-server", "beta", "--inventory", str(workplace.inventory), "--json")
    wait(lambda: len(workplace.runs) == 2)
    second.send_signal(signal.SIGTERM)
    stdout, stderr = second.communicate(timeout=300)
    assert second.returncode == 13, stderr
    assert json.loads(stdout)["error_message"] == "The run was cancelled while it waited for its turn."
    assert processes_named(f"{own}.4")
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=300)
    assert first.returncode == 13


def test_a_second_ctrl_c_does_not_skip_the_cleanup(
    workplace: Workplace, processes_named: Callable[[str], list[psutil.Process]], wait: Callable[..., Any], own: str
) -> None:
    workplace.playbook(SPAWNS.format(n=own))
    workplace.playbook(
        "- hosts: servers\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.shell: touch cleaning; while ! test -e go; do sleep 0.1; done; touch released\n"
        "      args: {chdir: '{{ playbook_dir }}/..'}\n",
        "cleanup.yml",
    )
    process = workplace.start("diagnose-server", "alpha", "--inventory", str(workplace.inventory))
    wait(lambda: processes_named(f"{own}.4"))
    process.send_signal(signal.SIGINT)
    wait(lambda: (workplace.folder / "cleaning").exists())
    process.send_signal(signal.SIGINT)
    assert any("cannot be skipped" in line for line in there(process.stderr))
    (workplace.folder / "go").touch()
    process.communicate(timeout=300)
    assert process.returncode == 13
    assert (workplace.folder / "released").exists()


@pytest.mark.attack("ansible-playbook hangs", harm="hang")
def test_an_ansible_that_hangs_at_its_start_is_killed(workplace: Workplace) -> None:
    callbacks = workplace.folder / "plugins" / "callback"
    callbacks.unlink()
    callbacks.mkdir()
    (callbacks / "reconnect.py").write_text(HANGS_AT_START)
    workplace.environment["RECONNECT_STOP_SECONDS"] = "1"
    ended = workplace.diagnose("alpha", "--timeout", "3", "--json")
    assert ended.code == 13, ended.stderr
    assert ended.json()["state"] == "timed_out"
    assert "before its first step" in ended.json()["error_message"]


def test_a_finished_run_leaves_no_process_either(
    workplace: Workplace, processes_named: Callable[[str], list[psutil.Process]], own: str
) -> None:
    workplace.playbook(
        "- hosts: servers\n  gather_facts: false\n  tasks:\n"
        f"    - ansible.builtin.shell: (setsid sleep {own} >/dev/null 2>&1 &)\n"
        "    - ansible.builtin.set_fact: {reconnect_judgement: {verdict: {outcome: healthy}, findings: []}}\n"
    )
    ended = workplace.diagnose("alpha")
    assert ended.code == 0, ended.stderr
    assert processes_named(own) == []


def test_a_closed_terminal_does_not_stop_the_ending(
    workplace: Workplace,
    processes_named: Callable[[str], list[psutil.Process]],
    wait: Callable[..., Any],
    own: str,
    tmp_path: Path,
) -> None:
    workplace.playbook(SPAWNS.format(n=own))
    incident = tmp_path / "incident.md"
    process = workplace.start(
        "diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"
    )
    there(process.stdout).close()
    there(process.stderr).close()
    wait(lambda: processes_named(f"{own}.4"))
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=300) == 13
    assert [number for number in "1234" if processes_named(f"{own}.{number}")] == []
    assert (workplace.folder / "released-alpha").exists()
    assert "cancelled" in incident.read_text()


def test_no_control_path_is_left(workplace: Workplace) -> None:
    assert workplace.diagnose("alpha").code == 0
    assert list(Path("/tmp").glob(f"reconnect-{workplace.runs[0].run_id[-7:]}-*")) == []


@pytest.mark.attack("ansible-playbook is killed")
def test_an_ansible_that_is_killed_from_outside_is_cleaned_up_after(
    workplace: Workplace, processes_named: Callable[[str], list[psutil.Process]], wait: Callable[..., Any], own: str
) -> None:
    workplace.playbook(SPAWNS.format(n=own))
    process = workplace.start("diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--json")
    wait(lambda: processes_named(f"{own}.4"))
    min(psutil.Process(process.pid).children(), key=psutil.Process.create_time).kill()
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 1, stderr
    assert "left no result" in stdout
    assert [number for number in "1234" if processes_named(f"{own}.{number}")] == []
    assert (workplace.folder / "released-alpha").exists()
