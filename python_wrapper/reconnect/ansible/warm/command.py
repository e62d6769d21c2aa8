"""The warm process of the command `reconnect` and of a service's runs. It loads little: a command starts with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reconnect import machine

if TYPE_CHECKING:
    from reconnect.ansible.project import Project
    from reconnect.settings import Settings

_PROGRAM = "reconnect"
#: The word by which a service has one run carried out, or without a run what was left: `reconnect.service.work`.
WORK = "carry-out"


def script() -> Path:
    """The command beside this interpreter, where it is installed there."""
    return Path(sys.executable).parent / _PROGRAM


def folder() -> Path:
    """The folder of the socket. A settings file is not read: that takes as long as many a command."""
    named = os.environ.get("RECONNECT_STATE_DIR")
    return machine.warm_folder(machine.state_folder(Path(named) if named else None))


def work(*words: str) -> list[str]:
    """The command that carries out runs of a service."""
    started = [str(script())] if script().is_file() else [sys.executable, "-P", "-m", "reconnect"]
    return [*started, WORK, *words]


def begin(project: Project, settings: Settings) -> None:
    """Starts the warm process for the next command, unless there is one."""
    from reconnect.ansible.warm.starting import Warm  # whoever begins one has loaded much anyway

    if settings.warm:
        Warm(folder(), project.collection).begin(_PROGRAM, os.environ)
