"""Runs a playbook with ansible-runner, within a time limit, and leaves no process behind.

ansible-runner's own time limit ends only one process group, so the limit and every kind of ending are handled here.
Results never pass through here: events have only names, states and times.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
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
import pexpect
import psutil

from reconnect.ansible.isolation import Isolation
from reconnect.ansible.processes import MARK, RunProcesses, adopt_orphans
from reconnect.ansible.project import Project
from reconnect.ansible.warm.starting import Warm
from reconnect.settings import is_secret
from reconnect.text import one_line

Ended = Literal["finished", "timed_out", "cancelled"]

#: What runs a playbook.
PROGRAM = "ansible-playbook"
#: Where ansible-runner and Ansible keep what they need while they run: in memory, so that no full disk ends a play.
MEMORY = Path("/dev/shm")
#: How long processes may take to vanish after they were killed.
KILL_SECONDS = 10.0

_STEP_STATES = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_retry": "waiting",
}
_ERROR_LINE = re.compile(r"^(?:\[ERROR\]:|ERROR!)\s*(.+)")
#: How the callback shows a step of a server: the server, its state, its seconds.
_SHOWN = re.compile(r"^(\S+) ➜ .+: (\w+)(?:  ([\d.]+) s)?$", re.MULTILINE)
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
    """A playbook to run on hosts of an inventory, with plain variables.

    `extra_vars`: what a person typed for Ansible's option of this name; `variables` go before them. `folders`: where
    the playbook reads and writes besides the project and the inventory.
    """

    playbook: Path
    inventory: Path
    hosts: Sequence[str]
    variables: dict[str, Any]
    extra_vars: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    folders: Sequence[Path] = ()
    check: bool = False


@dataclass
class PlayEnd:
    """How a play ended. `started`: whether a step began; `errors`: Ansible's own words."""

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
    """Who watches a play: `step` gets every step that ended, `output` every line that Ansible printed."""

    step: Callable[[StepEnd], None] = lambda step: None
    output: Callable[[str], None] = lambda line: None


class PlayRunner:
    """Runs plays of the run `run_id`: in a container of `isolation`, else by the process `warm`, else by itself."""

    def __init__(
        self,
        project: Project,
        run_id: str,
        stop_seconds: float,
        warm: Warm | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        self._project = project
        self._run_id = run_id
        self._stop_seconds = stop_seconds
        self._warm = None if isolation else warm
        self._isolation = isolation
        self._processes = RunProcesses(run_id)

    def run(self, play: Play, seconds: float, cancelled: threading.Event, watch: Watch) -> PlayEnd:
        """Runs `play` for at most `seconds` or until `cancelled` is set; then nothing of it runs any more."""
        adopt_orphans()
        deadline = time.monotonic() + seconds
        seen = _Seen(watch)
        with short_private_folder(self._run_id) as folder:
            runner = self._prepare(play, folder, seen)
            thread = threading.Thread(target=seen.guard, args=(runner.run,), daemon=True)
            thread.start()
            try:
                ended = self._wait(thread, deadline, cancelled, seen)
            finally:
                left = self._end(thread)
                if self._isolation is not None:
                    self._isolation.remove(runner.config.container_name)
        if self._warm is not None and ended == "finished":
            self._warm.begin(PROGRAM, runner.config.env)
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
        """Kills every process of the run, also one that ansible-runner is about to start; returns the survivors."""
        deadline = time.monotonic() + KILL_SECONDS
        while True:
            left = self._processes.kill_all(KILL_SECONDS)
            thread.join(0.2)
            if not thread.is_alive() or time.monotonic() > deadline:
                self._processes.reap()
                return left

    def _prepare(self, play: Play, folder: Path, seen: _Seen) -> Any:
        words = [word for one in play.extra_vars for word in ("--extra-vars", one)] + ["--check"] * play.check
        environment = self._environment(play, folder)
        isolated: dict[str, Any] = {}
        if self._isolation is not None:
            read = [self._project.root, play.inventory if play.inventory.is_dir() else play.inventory.parent]
            isolated = self._isolation.options(self._project.root, read, [folder, *play.folders])
        runner = ansible_runner.interface.init_runner(
            private_data_dir=str(folder),
            project_dir=str(self._project.root),
            playbook=str(play.playbook),
            inventory=str(play.inventory),
            limit=",".join(play.hosts),
            extravars=play.variables,
            envvars=environment if self._isolation is None else self._isolation.environment(environment),
            **isolated,
            cmdline=shlex.join(words) or None,
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
        if self._isolation is not None:
            runner.config.command = self._isolation.command(runner.config.command, play.inventory)
        if self._warm is not None and runner.config.command[0] == PROGRAM:
            runner.config.command = self._warm.command(runner.config.command)
        return runner

    def _environment(self, play: Play, folder: Path) -> dict[str, str]:
        local_temp = folder / "tmp"
        local_temp.mkdir(mode=0o700)
        # By default ansible-runner turns host key checking off.
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
            # Whatever another ansible.cfg says: no server sets a variable of the play.
            "ANSIBLE_INJECT_FACT_VARS": "False",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder),
            "ANSIBLE_LOCAL_TEMP": str(local_temp),
            "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "False",
            "ANSIBLE_NOCOLOR": "True",
            # Ansible starts with UTF-8 only, and error messages are compared in English.
            "LC_ALL": "C.UTF-8",
            # No result of any size enters an event: evidence and results come from their documents.
            "MAX_EVENT_RES": "0",
        }


def _spawn(self: Any, arguments: Any, _start: Callable[..., Any] = pexpect.spawn._spawnpty, **options: Any) -> Any:
    """Starts a program of ansible-runner's. Once that has ended, nothing is left to wait a tenth of a second for."""
    process = _start(self, arguments, **options)
    process.delayafterclose = 0
    return process


pexpect.spawn._spawnpty = _spawn


class _Stopped(Exception):
    """The run was stopped before ansible-playbook had been started."""


class _Seen:
    """The events of ansible-runner while a play runs. Its calls come from another thread and must be quick."""

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
            # The whole environment in clear text, and nothing reads it.
            Path(runner_config.artifact_dir, "command").unlink(missing_ok=True)
            if self.stopping:
                raise _Stopped

    def event(self, event: dict[str, Any]) -> bool:
        """Passes on an event; False, so that ansible-runner keeps no copy on disk."""
        text = _COLOUR.sub("", str(event.get("stdout") or ""))
        for line in text.splitlines():
            if (match := _ERROR_LINE.match(line)) and len(self.errors) < 3:
                self.errors.append(one_line(match[1]))
            self._watch.output(line)
        name = event.get("event", "")
        data = event.get("event_data") or {}
        if name == "runner_on_start":
            self.started = True
        if name in _STEP_STATES and "host" in data:
            state = "ignored" if name == "runner_on_failed" and data.get("ignore_errors") else _STEP_STATES[name]
            # The callback prints nothing for a step that only decides, notes something, or still waits.
            if state in {"ok", "waiting"} and not event.get("stdout"):
                return False
            step = data.get("task", "")
            shown = _SHOWN.findall(text)
            if len(shown) < 2:
                self._watch.step(StepEnd(data["host"], step, state, data.get("duration")))
                return False
            # One task worked for several servers.
            for server, its_state, seconds in shown:
                self._watch.step(StepEnd(server, step, its_state, float(seconds) if seconds else None))
        return False


@contextlib.contextmanager
def short_private_folder(run_id: str) -> Iterator[Path]:
    """A private folder with a path short enough for a Unix socket (108 bytes) with ssh's suffix on it."""
    base = MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else Path("/tmp")
    folder = Path(tempfile.mkdtemp(prefix=_prefix(run_id), dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_left(run_id: str) -> None:
    """Removes what a killed process of the run left in such folders: it may name secrets."""
    for base in (MEMORY, Path("/tmp")):
        for folder in base.glob(f"{_prefix(run_id)}*"):
            # It follows no link.
            shutil.rmtree(folder, ignore_errors=True)


def _prefix(run_id: str) -> str:
    return f"reconnect-{run_id[-7:]}-"
