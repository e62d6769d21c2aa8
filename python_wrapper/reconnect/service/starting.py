"""From what a program, a person or an incident asked to a run that waits for a worker."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconnect.ansible.project import Project
from reconnect.errors import InputError
from reconnect.incidents import intake
from reconnect.incidents.client_report import ClientReport
from reconnect.result import now
from reconnect.runs.record import Asker
from reconnect.runs.request import Asked
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

if TYPE_CHECKING:
    from reconnect.runs.rows import Within


@dataclass(frozen=True)
class Started:
    """The run that answers the request, and whether it is a new one. With `problems` it only asks its incident for the
    input that is missing or invalid."""

    run: Run
    new: bool
    problems: list[str]


class Starter:
    """Makes runs; `wake` tells the worker that there is one."""

    def __init__(self, project: Project, settings: Settings) -> None:
        self._project = project
        self._settings = settings
        self._runs = Runs(settings)
        self.wake = threading.Event()

    def start(
        self,
        asked: Asked,
        reported: ClientReport,
        asker: Asker,
        allowed: Callable[[intake.Intake], None] = lambda taken: None,
        within: Within | None = None,
        answering: Callable[[intake.Intake], Run | None] = lambda taken: None,
    ) -> Started:
        """The run for this request, or the one that is under way for the same incident. `allowed` raises where it may
        not be; `answering` gives the run that answers it, if there is one; `within` writes into the transaction that
        makes a new one. Raises InputError."""
        taken = intake.take(asked, asked.words, self._project, self._settings, _quiet, reported=reported)
        allowed(taken)
        if (known := answering(taken)) is not None:
            return Started(known, False, [])
        if taken.problems:
            question = sorted(taken.problems)
            run, new = self._runs.claim(
                taken.request, None, within=within, ended_after=now(), question=question, asker=asker
            )
            self.wake.set()
            return Started(run, new, question)
        self._project.playbook(taken.request.playbook)
        run, new = self._runs.claim(taken.request, taken.reported, within=within, ended_after=now(), asker=asker)
        self.wake.set()
        return Started(run, new, [])


def checked_incident(name: str) -> str:
    """The name of an incident that a stranger gave. A file of this machine is none."""
    if name.partition(":")[0] == "file":
        raise InputError("An incident in a file is for the command line only. Give one that is in a tracker.")
    return name


def asker_of(name: str | None, trigger: str, trace_id: str | None = None) -> Asker:
    """Who asks, with a trace id of its own."""
    return Asker(name, trigger, trace_id or secrets.token_hex(16))


def _quiet(sentence: str) -> None:
    """What a person at a terminal would be told."""
