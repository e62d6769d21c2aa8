"""A site: the service that the lab's tracker calls, its second level, and what of it fails now and then."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from e2e import rt
from reconnect.ansible.warm import command
from reconnect.engine.locks import file_of
from reconnect.runs.holders import holder_of
from reconnect.runs.store import Run, Runs
from reconnect.service.people import People
from trials import kept
from trials.tools import Lab, surroundings, until

Answer = TypeVar("Answer")
#: Seconds for which the tracker is away.
AWAY = 10
#: Seconds after which what does not answer is taken for broken.
PATIENCE = 120
#: No more runs than these are looked through for those of an incident.
NEWEST = 120
#: What somebody changed in the tracker lately.
RECENT = "LastUpdated > '3 minutes ago'"
POLICY = "incidents: {fix: true, watch: 20}\n"


class Site:
    """`reconnect serve` with its state in a folder, fed by hook and poller. Whatever fails comes back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "policy.yml").write_text(POLICY)
        polls = {"rt": {"seconds": 15, "ignore_user": rt.own()["user"]}}
        self._surroundings = surroundings(folder) | {"RECONNECT_SERVICE_POLLS": json.dumps(polls)}
        self._settings = kept.settings_of(folder)
        self._alone = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._token = ""

    def __enter__(self) -> Site:
        # The first poll looks back for two minutes, at incidents of others, too.
        until(lambda: not rt.ask(f"tickets?query={urllib.parse.quote(RECENT)}")["items"], 2 * PATIENCE)
        with self._alone:
            self._begin()
        self._token = People(self._settings).add_token("second-level", "second_level", [], 1, "month")
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)

    def _begin(self) -> None:
        self._process = rt.begin(self._folder, self._surroundings)
        until(rt.ready, PATIENCE)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """The service is killed; it is started again afterwards."""
        with self._alone:
            assert self._process is not None
            self._process.kill()
            self._process.wait()
            try:
                yield
            finally:
                self._begin()

    def runs_of(self, number: str) -> list[Run]:
        """The runs of an incident, the oldest first."""
        newest = Runs(self._settings).newest(limit=NEWEST)
        return [run for run in reversed(newest) if str(run.record.request.incident) == f"rt:{number}"]

    def kill_worker(self, number: str) -> None:
        """Kills the process that carries out a run of this incident, where one does."""
        for run in self.runs_of(number):
            known = run.kept()
            if run.record.finished_at or known is None or known.worker is None:
                continue
            holder = holder_of(file_of(self._settings.state, "worker", known.worker.rpartition(".")[2]))
            if holder is not None and command.WORK in holder.command:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(holder.pid, signal.SIGKILL)

    def approve(self, run: Run) -> None:
        """Second level says yes to the plan of a run, where one waits for that."""
        for one in patiently(lambda: self._api("approvals?state=pending")):
            if one["run_id"] == run.run_id:
                yes = {"decision": "approve", "plan_hash": one["plan_hash"]}
                self._api(f"approvals/{one['approval_id']}/decision", yes)

    def _api(self, path: str, body: dict[str, str] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{rt.SERVICE}/v1/{path}", data, headers)
        with rt.open_url(request) as answer:
            return json.load(answer)


def stop_tracker() -> None:
    """The tracker is stopped for a while."""
    lab = Lab()
    lab.run("tracker", "systemctl", "stop", "request-tracker.service")
    try:
        time.sleep(AWAY)  # the outage itself
    finally:
        lab.run("tracker", "systemctl", "start", "request-tracker.service")
        patiently(lambda: rt.ask("queue/1"))


def patiently(ask: Callable[[], Answer]) -> Answer:
    """The answer of a tracker or service that may be away for a while."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)  # between two attempts
