"""Whatever the state folder is called, the umask is and the caller closed: the same run, and no other file."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import Workplace

READS = """
- hosts: servers
  gather_facts: false
  vars:
    report: "{{ lookup('ansible.builtin.file', reconnect_client_report_file) | from_json }}"
  tasks:
    - name: Say something to every stream
      ansible.builtin.shell: echo said; echo said >&2
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: healthy, user_message: "{{ report.error_message }}"}, findings: []}
"""


def modes(folder: Path) -> set[str]:
    """What others may do with anything in `folder`."""
    return {
        f"{path.relative_to(folder.parent)}: {stat.filemode(path.lstat().st_mode)}"
        for path in [folder, *folder.rglob("*")]
        if path.lstat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    }


@pytest.mark.attack("odd names, umasks and closed streams", harm="leak")
@pytest.mark.parametrize(
    ("name", "umask", "closed"),
    [("st%20?x#y", "000", "<&- >&- 2>&-"), ("st{{7*7}}", "077", ">&-"), ("a'b\\ c\u202e", "000", "2>&-")],
)
def test_a_run_in_odd_surroundings(workplace: Workplace, tmp_path: Path, name: str, umask: str, closed: str) -> None:
    workplace.playbook(READS)
    report, incident = tmp_path / "report.json", tmp_path / "incident.md"
    report.write_text(json.dumps({"error_message": "PrivateGSM 12"}))
    home = tmp_path / "home"
    home.mkdir()
    words = [sys.executable, "-m", "reconnect", "diagnose-server", "alpha", "--inventory", str(workplace.inventory)]
    words += ["--client-report", str(report), "--incident", f"file:{incident}", "--json"]
    process = subprocess.run(
        ["sh", "-c", f'umask {umask}; exec "$@" {closed}', "sh", *words],
        cwd=tmp_path,
        env={**workplace.environment, "RECONNECT_STATE_DIR": str(home / "above" / name)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = (process.stdout + process.stderr).decode()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert incident.read_text().count("-report]") == 1
    assert "PrivateGSM 12" in incident.read_text()
    assert [path.name for path in home.iterdir()] == ["above"]
    assert [path.name for path in (home / "above").iterdir()] == [name]
    assert modes(home / "above") == set()
    # No stream took the place of a file.
    assert (home / "above" / name / "workflows.sqlite").read_bytes().startswith(b"SQLite format 3\0")
