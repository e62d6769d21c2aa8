"""A run that is ended leaves no process, no secret and no silence behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest

# Its children leave their session, their parent and, the last one, their environment.
SPAWNS = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Quick step
      ansible.builtin.command: "true"
    - name: Slow step
      ansible.builtin.shell: |
        setsid sleep 9{n}.1 &
        (setsid sh -c 'sleep 9{n}.2 & wait' &)
        (env -i setsid /bin/sleep 9{n}.3 >/dev/null 2>&1 &)
        sleep 9{n}.4
"""
HANGS_AT_START = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
time.sleep(600)
"""


def test_nothing_survives_the_time_limit(workplace, processes_named):
    workplace.playbook(SPAWNS.format(n="4004"))
    ended = workplace.diagnose("alpha", "--timeout", "8", "--json")
    assert ended.code == 13, ended.stderr
    result = ended.json()
    assert result["state"] == "timed_out"
    assert "took longer than 8 s" in result["error_message"]
    assert "Quick step" in result["error_message"]
    assert [number for number in "1234" if processes_named(f"94004.{number}")] == []
    assert processes_named(workplace.runs[0].name) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_reports_and_cleans_up(workplace, processes_named, wait, number, tmp_path):
    workplace.playbook(SPAWNS.format(n=f"10{int(number):02d}"))
    incident = tmp_path / "incident.md"
    process = workplace.start(
        "diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--json", "--incident", f"file:{incident}"
    )
    wait(lambda: processes_named(f"910{int(number):02d}.4"))
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 13, stderr
    assert '"cancelled"' in stdout
    assert [part for part in "1234" if processes_named(f"910{int(number):02d}.{part}")] == []
    assert "cancelled" in incident.read_text()
    assert (workplace.folder / "released-alpha").read_text() == workplace.runs[0].name


def test_cancelled_while_another_run_has_its_server(workplace, processes_named, wait):
    workplace.playbook(SPAWNS.format(n="1099"))
    first = workplace.start("diagnose-server", "alpha", "beta", "--inventory", str(workplace.inventory), "--json")
    wait(lambda: processes_named("91099.4"))
    second = workplace.start("diagnose-server", "beta", "--inventory", str(workplace.inventory), "--json")
    wait(lambda: len(workplace.runs) == 2)
    second.send_signal(signal.SIGTERM)
    stdout, stderr = second.communicate(timeout=60)
    assert second.returncode == 13, stderr
    assert json.loads(stdout)["error_message"] == "The run was cancelled while it waited for its turn."
    assert processes_named("91099.4")
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == 13


def test_a_second_ctrl_c_does_not_skip_the_cleanup(workplace, processes_named, wait):
    workplace.playbook(SPAWNS.format(n="2001"))
    workplace.playbook(
        "- hosts: servers\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.shell: sleep 3.20021; echo > {{ playbook_dir }}/../released\n",
        "cleanup.yml",
    )
    process = workplace.start("diagnose-server", "alpha", "--inventory", str(workplace.inventory))
    wait(lambda: processes_named("92001.4"))
    process.send_signal(signal.SIGINT)
    wait(lambda: processes_named("3.20021"))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 13
    assert "can't be skipped" in stderr
    assert (workplace.folder / "released").exists()


def test_an_ansible_that_hangs_at_its_start_is_killed(workplace):
    callbacks = workplace.folder / "plugins" / "callback"
    callbacks.unlink()
    callbacks.mkdir()
    (callbacks / "reconnect.py").write_text(HANGS_AT_START)
    workplace.environment["RECONNECT_STOP_SECONDS"] = "1"
    ended = workplace.diagnose("alpha", "--timeout", "3", "--json")
    assert ended.code == 13, ended.stderr
    assert ended.json()["state"] == "timed_out"
    assert "before its first step" in ended.json()["error_message"]


def test_a_cleanup_that_hangs_is_bounded(workplace, processes_named):
    workplace.playbook(SPAWNS.format(n="3001"))
    workplace.playbook(SPAWNS.format(n="3002"), "cleanup.yml")
    workplace.environment["RECONNECT_CLEANUP_SECONDS"] = "3"
    ended = workplace.diagnose("alpha", "--timeout", "8")
    assert ended.code == 13
    assert "clean-up on the server did not end" in ended.stdout
    assert [n for n in ("93001.1", "93001.4", "93002.1", "93002.3", "93002.4") if processes_named(n)] == []


def test_a_finished_run_leaves_no_process_either(workplace, processes_named):
    workplace.playbook(
        "- hosts: servers\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.shell: (setsid sleep 94001.1 >/dev/null 2>&1 &)\n"
        "    - ansible.builtin.set_fact: {reconnect_judgement: {verdict: {outcome: healthy}, findings: []}}\n"
    )
    ended = workplace.diagnose("alpha")
    assert ended.code == 0, ended.stderr
    assert processes_named("94001.1") == []


def test_a_closed_terminal_does_not_stop_the_ending(workplace, processes_named, wait, tmp_path):
    workplace.playbook(SPAWNS.format(n="6001"))
    incident = tmp_path / "incident.md"
    process = workplace.start(
        "diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"
    )
    process.stdout.close()
    process.stderr.close()
    wait(lambda: processes_named("96001.4"))
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 13
    assert [number for number in "1234" if processes_named(f"96001.{number}")] == []
    assert (workplace.folder / "released-alpha").exists()
    assert "cancelled" in incident.read_text()


def test_no_control_path_is_left(workplace):
    assert workplace.diagnose("alpha").code == 0
    assert list(Path("/tmp").glob(f"reconnect-{workplace.runs[0].name[-7:]}-*")) == []


def test_an_ansible_that_is_killed_from_outside_is_cleaned_up_after(workplace, processes_named, wait):
    workplace.playbook(SPAWNS.format(n="5001"))
    process = workplace.start("diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--json")
    wait(lambda: processes_named("95001.4"))
    min(psutil.Process(process.pid).children(), key=psutil.Process.create_time).kill()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stderr
    assert "left no result" in stdout
    assert [number for number in "1234" if processes_named(f"95001.{number}")] == []
    assert (workplace.folder / "released-alpha").exists()
