"""Runs and reports under way are kept in PostgreSQL where the settings say so."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_durable import SLOW, ended_once

PROGRAMS = [shutil.which(name) for name in ("initdb", "postgres", "runuser")]
PASSWORD = "Kanarienvogel7"
pytestmark = pytest.mark.skipif(None in PROGRAMS or os.getuid() != 0, reason="PostgreSQL's server and root are needed")


@pytest.fixture
def database(wait) -> Iterator[str]:
    """The address of a server of its own; it does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="reconnect-pg-"))
    shutil.chown(folder, "postgres")
    (folder / "password").write_text(PASSWORD)
    shutil.chown(folder / "password", "postgres")
    as_postgres = ["runuser", "-u", "postgres", "--"]
    options = ["-U", "reconnect", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync"]
    subprocess.run(
        [*as_postgres, "initdb", "-D", folder / "data", *options],
        check=True,
        capture_output=True,
        timeout=120,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*as_postgres, "postgres", "-D", folder / "data", "-k", folder, "-p", str(port), "-h", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait(lambda: (folder / f".s.PGSQL.{port}").exists(), 60)
        yield f"postgresql://reconnect:{PASSWORD}@127.0.0.1:{port}/reconnect"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_run_that_was_killed_is_carried_to_its_end(workplace, database, wait, tmp_path):
    workplace.environment["RECONNECT_DATABASE"] = database
    workplace.playbook(SLOW)
    incident = tmp_path / "incident.md"
    asked = ["diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"]
    process = workplace.start(*asked)
    wait(lambda: (tmp_path / "begun").exists(), 60)
    process.kill()
    process.communicate()
    (tmp_path / "go").touch()
    resumed = workplace.reconnect("resume")
    assert resumed.code == 0, resumed.stderr
    ended_once(incident)
    assert not list((tmp_path / "state").rglob("*.sqlite"))
    for path in (tmp_path / "state").rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


def test_a_database_that_is_not_there_is_one_sentence(workplace):
    workplace.environment["RECONNECT_DATABASE"] = f"postgresql://reconnect:{PASSWORD}@127.0.0.1:9/reconnect"
    ended = workplace.diagnose("alpha")
    assert ended.code == 1
    [line] = ended.stderr.splitlines()
    assert "can't be kept in the database" in line
    assert PASSWORD not in line
