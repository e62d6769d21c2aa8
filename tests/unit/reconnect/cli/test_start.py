# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command loads before it does anything: only what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from reconnect.cli import commands
from reconnect.result import Result, Verdict, now
from reconnect.runs.request import Request
from reconnect.runs.store import Runs
from reconnect.settings import Settings
from typer.main import get_command

#: What only runs and reports need.
OF_RUNS = {"ansible", "ansible_runner", "dbos", "psutil", "jinja2", "reconnect.incidents", "reconnect.engine"}
DATABASE = {"sqlalchemy", "alembic"}
#: What takes long to load and nobody needs who only looks: other databases, clients of a registry, readers of a format.
HEAVY = {"alembic", "babel", "httpx", "psycopg", "psycopg2", "pymysql", "sqlalchemy.dialects.postgresql"}
LOADED = (
    "import sys; from reconnect.cli import commands; code = commands.run(sys.argv[1:]); "
    "print(code, *sys.modules, file=sys.stderr)"
)


def loaded(state: Path, *words: str) -> set[str]:
    """The modules that a command had loaded when it ended well."""
    ended = subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        env={"RECONNECT_STATE_DIR": str(state), "XDG_CONFIG_HOME": str(state), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    code, *modules = ended.stderr.split()
    assert (code, ended.stdout != "") == ("0", True)
    return set(modules)


def test_who_asks_for_help_loads_no_command(tmp_path: Path) -> None:
    found = loaded(tmp_path, "--help")
    assert found & (OF_RUNS | DATABASE | {"pydantic", "pydantic_settings", "yaml", "asyncio"}) == set()
    assert not any(name.startswith("reconnect.cli.commands.") for name in found)


def test_the_catalogue_needs_no_database(tmp_path: Path) -> None:
    assert loaded(tmp_path, "causes") & (OF_RUNS | DATABASE | HEAVY) == set()


@pytest.mark.parametrize("words", [["runs"], ["show", "latest"]], ids=" ".join)
def test_who_looks_at_a_run_loads_nothing_that_carries_one_out(tmp_path: Path, words: list[str]) -> None:
    runs = Runs(Settings(state_dir=tmp_path))
    run = runs.create(
        Request(
            playbook="diagnose-server.yml",
            mode="diagnose",
            servers=["pbx"],
            named=["pbx"],
            inventory="lab",
            command=["diagnose-server", "pbx"],
        )
    )
    run.record.finished_at = now()
    run.finish(
        [
            Result(
                run_id=run.run_id,
                state="succeeded",
                playbook="diagnose-server.yml",
                mode="diagnose",
                server="pbx",
                started_at=run.record.started_at,
                finished_at=now(),
                verdict=Verdict(outcome="healthy"),
            )
        ],
        "",
    )
    found = loaded(tmp_path, *words)
    assert "sqlalchemy" in found
    assert found & (OF_RUNS | HEAVY) == set()


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_list_of_commands_says_what_each_says_itself(name: str) -> None:
    command = vars(get_command(commands.app))["commands"][name]
    assert " ".join(command.help.split()).startswith(commands.COMMANDS[name][1].rstrip("."))


def test_every_command_is_in_the_list() -> None:
    group = get_command(commands.app)
    modules = {module for module, _ in commands.COMMANDS.values()}
    folder = Path(commands.__file__).parent
    assert modules == {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert list(vars(group)["commands"]) == list(commands.COMMANDS)
