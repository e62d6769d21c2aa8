"""Runs a playbook with ansible-runner, within a time limit, and leaves no process behind.

ansible-runner's own time limit ends only one process group, so the time limit and every kind of ending are kept here.
Results never pass through here: events carry names, states and times alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import ansible_runner.interface
import psutil

from reconnect.processes import MARK, RunProcesses, adopt_orphans
from reconnect.project import Project
from reconnect.settings import is_secret
from reconnect.text import one_line

Ended = Literal["finished", "timed_out", "cancelled"]

#: How long processes may take to vanish after they were killed.
KILL_SECONDS = 10.0

_STEP_STATES = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_retry": "waiting",
}
_ERROR_LINE = re.compile(r"^(?:\[ERROR\]:|ERROR!)\s*(.+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class StepEnd:
    """A step that ended on a server; `seconds` is how long it took."""

    server: str
    step: str
    state: str
    seconds: float | None


@dataclass(frozen=True)
class Play:
    """What is to be run: a playbook on hosts of an inventory, with plain variables."""

    playbook: Path
    inventory: Path
    hosts: Sequence[str]
    variables: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    check: bool = False


@dataclass
class PlayEnd:
    """How a play ended. `started` tells whether any step ended; `errors` are Ansible's own words."""

    ended: Ended
    return_code: int | None
    started: bool
    errors: list[str]
    left_running: list[str]

    @property
    def by_itself(self) -> bool:
        """Whether ansible-playbook came to its own end, and so to the steps that always run, failed or not."""
        return self.ended == "finished" and self.return_code in range(9)


@dataclass(frozen=True)
class Watch:
    """Who watches a play: `step` is told of every step that ended, `output` of every line Ansible printed."""

    step: Callable[[StepEnd], None] = lambda step: None
    output: Callable[[str], None] = lambda line: None


class PlayRunner:
    """Runs plays of the run `run_id` in the private folder `work_dir`."""

    def __init__(self, project: Project, run_id: str, work_dir: Path, stop_seconds: float) -> None:
        self._project = project
        self._run_id = run_id
        self._work_dir = work_dir
        self._stop_seconds = stop_seconds
        self._processes = RunProcesses(run_id)

    def run(self, play: Play, seconds: float, cancelled: threading.Event, watch: Watch) -> PlayEnd:
        """Runs `play` for at most `seconds` or until `cancelled` is set; then nothing of it runs any more."""
        adopt_orphans()
        deadline = time.monotonic() + seconds
        seen = _Seen(watch)
        with _short_private_folder(self._run_id) as control_paths:
            runner = self._prepare(play, control_paths, seen)
            thread = threading.Thread(target=seen.guard, args=(runner.run,), daemon=True)
            thread.start()
            try:
                ended = self._wait(thread, deadline, cancelled, seen)
            finally:
                left = self._end(thread)
        return PlayEnd(
            ended=ended,
            return_code=runner.rc,
            started=seen.started,
            errors=seen.errors,
            left_running=[f"{process.pid}" for process in left],
        )

    def _wait(self, thread: threading.Thread, deadline: float, cancelled: threading.Event, seen: _Seen) -> Ended:
        """Waits for the end of the play, or ends ansible-playbook when it is time to."""
        while thread.is_alive():
            if cancelled.is_set() or time.monotonic() >= deadline:
                seen.stopping = True
                self._processes.terminate_oldest(self._stop_seconds)
                return "cancelled" if cancelled.is_set() else "timed_out"
            thread.join(0.05)
        return "finished"

    def _end(self, thread: threading.Thread) -> list[psutil.Process]:
        """Kills what still runs, also what ansible-runner was about to start; gives back what could not be killed."""
        deadline = time.monotonic() + KILL_SECONDS
        while True:
            left = self._processes.kill_all(KILL_SECONDS)
            thread.join(0.2)
            if not thread.is_alive() or time.monotonic() > deadline:
                self._processes.reap()
                return left

    def _prepare(self, play: Play, control_paths: Path, seen: _Seen) -> Any:
        private = Path(tempfile.mkdtemp(prefix="play-", dir=self._work_dir))
        runner = ansible_runner.interface.init_runner(
            private_data_dir=str(private),
            project_dir=str(self._project.root),
            playbook=str(play.playbook),
            inventory=str(play.inventory),
            limit=",".join(play.hosts),
            extravars=play.variables,
            envvars=self._environment(play, private, control_paths),
            cmdline="--check" if play.check else None,
            # Events are looked for at least this often, in seconds; the default is 5.
            settings={"pexpect_timeout": 1, "suppress_output_file": True, "suppress_ansible_output": True},
            fact_cache_type="memory",
            event_handler=seen.event,
            status_handler=seen.status,
            # Without one ansible-runner would install signal handlers of its own.
            cancel_callback=lambda: False,
        )
        for variable in [name for name in runner.config.env if is_secret(name)]:
            del runner.config.env[variable]
        return runner

    def _environment(self, play: Play, private: Path, control_paths: Path) -> dict[str, str]:
        local_temp = private / "tmp"
        local_temp.mkdir(mode=0o700)
        # ansible-runner turns host key checking off unless it is told otherwise.
        host_key_checking = os.environ.get(
            "ANSIBLE_HOST_KEY_CHECKING", self._project.option("defaults", "host_key_checking") or "True"
        )
        collections = [
            str(self._project.collections),
            os.environ.get("ANSIBLE_COLLECTIONS_PATH") or self._project.option("defaults", "collections_path"),
        ]
        return {
            **play.environment,
            MARK: self._run_id,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "ANSIBLE_CONFIG": str(self._project.ansible_cfg),
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(filter(None, collections)),
            "ANSIBLE_CALLBACK_PLUGINS": str(self._project.callbacks),
            "ANSIBLE_STDOUT_CALLBACK": "reconnect",
            "ANSIBLE_HOST_KEY_CHECKING": host_key_checking,
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control_paths),
            "ANSIBLE_LOCAL_TEMP": str(local_temp),
            "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "False",
            "ANSIBLE_NOCOLOR": "True",
            # Ansible starts with UTF-8 only, and error messages are compared in English.
            "LC_ALL": "C.UTF-8",
            # No result of any size enters an event: evidence and results come from their documents.
            "MAX_EVENT_RES": "0",
        }


class _Stopped(Exception):
    """The run was stopped before ansible-playbook had been started."""


class _Seen:
    """What ansible-runner tells while a play runs. Its calls come from another thread and must be quick."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.started = False
        self.stopping = False
        self.errors: list[str] = []

    def guard(self, run: Callable[[], object]) -> None:
        try:
            run()
        except _Stopped:
            pass
        except Exception as error:
            self.errors.append(f"ansible-runner failed: {one_line(error)}")

    def status(self, status: dict[str, Any], runner_config: Any) -> None:
        if status["status"] == "running":
            # The whole environment in clear text; it is written before and needed by nobody.
            Path(runner_config.artifact_dir, "command").unlink(missing_ok=True)
            if self.stopping:
                raise _Stopped

    def event(self, event: dict[str, Any]) -> bool:
        """Passes on what an event tells; False, so that ansible-runner keeps no copy on disk."""
        for line in str(event.get("stdout") or "").splitlines():
            line = _COLOUR.sub("", line)
            if (match := _ERROR_LINE.match(line)) and len(self.errors) < 3:
                self.errors.append(one_line(match[1]))
            self._watch.output(line)
        name = event.get("event", "")
        data = event.get("event_data") or {}
        if name == "runner_on_start":
            self.started = True
        if name in _STEP_STATES and "host" in data:
            state = "ignored" if name == "runner_on_failed" and data.get("ignore_errors") else _STEP_STATES[name]
            # The callback is silent about what only decides what comes next, notes something down, or still waits.
            if state in {"ok", "waiting"} and not event.get("stdout"):
                return False
            self._watch.step(StepEnd(data["host"], data.get("task", ""), state, data.get("duration")))
        return False


@contextlib.contextmanager
def _short_private_folder(run_id: str) -> Iterator[Path]:
    """A private folder with a path short enough for a Unix socket (108 bytes) with ssh's suffix on it."""
    folder = Path(tempfile.mkdtemp(prefix=f"reconnect-{run_id[-7:]}-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
