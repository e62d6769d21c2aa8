"""Finds out how a server is set up, by the playbook inspect-server.yml; nothing is kept of it but the file."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from reconnect.ansible.isolation import Isolation
from reconnect.ansible.playbook import Play, PlayRunner, Watch
from reconnect.ansible.project import Project
from reconnect.errors import ReconnectError, UnreachableError
from reconnect.settings import Settings
from reconnect.text import one_line

#: A server answers within seconds, and Ansible starts within some.
SECONDS = 120.0
#: How ansible-playbook ends where a server cannot be reached.
_UNREACHABLE = 4


def inspect(server: str, source: Path, project: Project, settings: Settings) -> str:
    """The text of the file of variables. Raises ReconnectError when the server cannot be asked,
    UnreachableError when it cannot be reached."""
    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="reconnect-inspect-") as folder:
        file = Path(folder, "host_vars.yml")
        play = Play(
            playbook=project.playbook("inspect-server.yml"),
            inventory=source,
            hosts=[server],
            variables={"reconnect_inspect_file": str(file)},
            folders=[Path(folder)],
        )
        runner = PlayRunner(project, Path(folder).name, settings.stop_seconds, isolation=Isolation.of(settings))
        ended = runner.run(play, SECONDS, threading.Event(), Watch(output=said.append))
        if file.exists():
            return file.read_text(encoding="utf-8")
    # The last line that Ansible printed is the reason.
    reason = one_line(" ".join([*ended.errors, *said[-1:]]), 400) or f"the playbook {ended.ended.replace('_', ' ')}"
    kind = UnreachableError if ended.return_code == _UNREACHABLE else ReconnectError
    raise kind(f"Cannot inspect {server}: {reason}")
