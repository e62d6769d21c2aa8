"""Nodes and workers on several machines with one PostgreSQL: each run is carried out and reported once, whatever ends a
worker, or keeps it from the database."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from reconnect.engine import presence
from reconnect.names import Incident
from reconnect.runs.store import Run, Runs
from reconnect.service import metrics
from reconnect.service.starting import asker_of

from ..conftest import Workplace, a_request, kept_port
from ..engine.test_durable import ended_once
from ..postgresql import NEEDED, Server
from .test_serve import answers

pytestmark = NEEDED

#: Notes on which process it was begun, and waits.
SLOW = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Begin
      ansible.builtin.raw: echo {{ reconnect_run_id }} >> {{ playbook_dir }}/../begun
    - name: Be busy
      ansible.builtin.raw: for _ in $(seq 1200); do test -e {{ playbook_dir }}/../go && exit; sleep 0.1; done; exit 1
    - name: End
      ansible.builtin.raw: echo {{ reconnect_run_id }} >> {{ playbook_dir }}/../ended
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: not_an_issue, user_message: "Ask your provider."}, findings: []}
"""


@dataclass
class Site:
    """Machines with one store, and what was begun and ended on their servers."""

    machines: list[Workplace]
    processes: contextlib.ExitStack

    @property
    def folder(self) -> Path:
        return self.machines[0].folder

    @property
    def runs(self) -> Runs:
        return Runs(self.machines[0].settings)

    def start(self, machine: Workplace, *words: str) -> subprocess.Popen[bytes]:
        """A process of the service, which ends with the test, and its runs with it."""
        log = self.processes.enter_context((self.folder / f"log-{len(self.logs())}").open("wb"))
        environment = {**machine.environment, "RECONNECT_INVENTORY": str(machine.inventory)}
        command = [sys.executable, "-m", "reconnect", *words]
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self.processes.callback(lambda: kill(process))
        return process

    def logs(self) -> list[Path]:
        return sorted(self.folder.glob("log-*"))

    def ask(self, server: str = "alpha") -> Run:
        """A run that waits, as that of an incident."""
        incident = Incident("file", str(self.folder / f"incident-{server}.md"))
        request = a_request(servers=[server], incident=incident, inventory=str(self.machines[0].inventory), timeout=300)
        return self.runs.create(request, asker=asker_of(None, "hook"))

    def incident(self, server: str = "alpha") -> Path:
        return self.folder / f"incident-{server}.md"

    def noted(self, name: str) -> list[str]:
        """The runs that `begun` or `ended`."""
        file = self.folder / name
        return file.read_text().split() if file.exists() else []

    def go(self) -> None:
        (self.folder / "go").touch()

    def worker_of(self, run: Run) -> str:
        """The name of the machine that has the run."""
        kept = run.kept()
        return (kept.worker or "") if kept else ""

    def is_done(self, run: Run) -> bool:
        record = run.read()
        return record.finished_at is not None and record.delivery == "delivered"

    def said(self) -> str:
        """What the processes logged, for an assertion."""
        return "\n".join(log.read_text() for log in self.logs())


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all that it began, as the end of its machine does."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


@pytest.fixture
def site(machines: list[Workplace]) -> Iterator[Site]:
    machines[0].playbook(SLOW)
    with contextlib.ExitStack() as processes:
        yield Site(machines, processes)


def test_two_nodes_and_two_workers_carry_out_each_run_once(site: Site, wait: Callable[..., Any]) -> None:
    servers = [f"pbx{number}" for number in range(6)]
    hosts = site.machines[0].inventory / "hosts"
    hosts.write_text(hosts.read_text().replace("alpha\nbeta", "\n".join(servers)))
    site.go()
    for machine in site.machines:
        site.start(machine, "worker", "--slots", "2")
    token = site.machines[0].reconnect("tokens", "add", "desk", "--role", "first_level").stdout.strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with contextlib.ExitStack() as ports:
        nodes = []
        for number in range(2):
            port = ports.enter_context(kept_port())
            # A node has a state folder of its own, too.
            state = {"XDG_STATE_HOME": str(site.folder / f"node{number}")}
            own = {"RECONNECT_SERVICE_PORT": str(port), "RECONNECT_SERVICE_METRICS_PORT": "0"}
            node = Workplace(site.folder, {**site.machines[0].environment, **state, **own})
            site.start(node, "serve", "--no-worker")
            nodes.append(f"http://127.0.0.1:{port}")
        wait(lambda: all(answers(f"{node}/readyz") for node in nodes))

        def ask(node: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
            content = json.dumps(body).encode() if body else None
            with urllib.request.urlopen(urllib.request.Request(node + path, content, headers), timeout=60) as answer:
                return dict(json.load(answer))

        asked = [
            ask(nodes[number % 2], "/v1/runs", {"playbook": "diagnose-server", "servers": [server]})["id"]
            for number, server in enumerate(servers)
        ]
        wait(lambda: len(site.noted("ended")) >= len(servers), 240)
        # Each node knows what the other one was asked.
        wait(
            lambda: all(
                ask(nodes[number % 2 - 1], f"/v1/runs/{run}")["state"] == "ended" for number, run in enumerate(asked)
            )
        )
    assert sorted(site.noted("begun")) == sorted(site.noted("ended")) == sorted(asked)
    assert site.said().count("a process takes the run") == len(asked)


@pytest.mark.attack("a worker is killed, and its machine never comes back")
def test_the_runs_of_a_killed_worker_are_taken_over_and_reported_once(site: Site, wait: Callable[..., Any]) -> None:
    here, there = site.machines
    run = site.ask()
    killed = site.start(here, "worker", "--slots", "1")
    wait(lambda: site.noted("begun"))
    first = site.worker_of(run)
    site.start(there, "worker", "--slots", "1")
    kill(killed)
    wait(lambda: len(site.noted("begun")) == 2)
    site.go()
    wait(lambda: site.is_done(run))
    assert site.worker_of(run) not in ("", first), site.said()
    assert (site.noted("ended"), run.read().begun) == ([run.run_id], 2)
    ended_once(site.incident())
    figures = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in metrics.Store(here.settings).collect()
        for sample in metric.samples
    }
    assert figures["reconnect_takeovers_total",] == 1
    assert figures["reconnect_workers", "lost"] == 1
    assert figures["reconnect_workers", "free"] + figures["reconnect_workers", "working"] == 1


class Wire:
    """A connection to the database that can be cut: nothing goes through it any more, and no end is told."""

    def __init__(self, server: Server) -> None:
        self._to = server.port
        self.is_cut = False
        self._sockets: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                theirs, _ = self._listener.accept()
                ours = socket.create_connection(("127.0.0.1", self._to))
                self._sockets.append((theirs, ours))
                for one, other in ((theirs, ours), (ours, theirs)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (said := one.recv(65536)) and not self.is_cut:
                other.sendall(said)
            if not self.is_cut:
                other.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """The database finds its sessions dead, as by their keepalives; the other side hears nothing."""
        self.is_cut = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for _, ours in self._sockets:
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        for theirs, _ in self._sockets:
            theirs.close()


@pytest.mark.attack("a worker is cut off from the database, and goes on with its playbook")
def test_a_worker_that_is_cut_off_ends_its_playbook_before_another_takes_over(
    site: Site,
    wait: Callable[..., Any],
    postgresql: Server,
    processes_named: Callable[[str], list[psutil.Process]],
) -> None:
    here, there = site.machines
    wire = Wire(postgresql)
    site.processes.callback(wire.close)
    address = here.environment["RECONNECT_DATABASE"].replace(f":{postgresql.port}/", f":{wire.port}/")
    run = site.ask()
    cut_off = site.start(Workplace(here.folder, {**here.environment, "RECONNECT_DATABASE": address}), "worker")
    wait(lambda: site.noted("begun"))
    first = site.worker_of(run)
    playbook = [
        one for one in psutil.Process(cut_off.pid).children(recursive=True) if "ansible" in " ".join(one.cmdline())
    ]
    assert playbook
    site.start(there, "worker")
    wire.cut()
    wait(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in playbook))
    assert site.worker_of(run) == first
    wait(lambda: len(site.noted("begun")) == 2)
    site.go()
    wait(lambda: site.is_done(run))
    assert site.worker_of(run) != first, site.said()
    assert site.noted("ended") == [run.run_id]
    ended_once(site.incident())


@pytest.mark.attack("the database is restarted in the middle of a run")
def test_a_run_goes_on_when_the_database_is_back(site: Site, wait: Callable[..., Any], postgresql: Server) -> None:
    here, there = site.machines
    run = site.ask()
    for machine in (here, there):
        site.start(machine, "worker")
    wait(lambda: site.noted("begun"))
    first = site.worker_of(run)
    stopped_at = time.monotonic()
    postgresql.stop()
    postgresql.start()
    wait(postgresql.answers)
    seconds = time.monotonic() - stopped_at
    site.go()
    wait(lambda: site.is_done(run), 180)
    assert site.noted("ended") == [run.run_id]
    if seconds < presence.LOST_SECONDS / 2:
        assert (site.noted("begun"), site.worker_of(run)) == ([run.run_id], first), site.said()
    ended_once(site.incident())
    wait(lambda: site.said().count("the process of the run ended") == site.said().count("a process takes the run"))
    assert '"exit_code": 1' not in site.said()


def test_a_run_is_cancelled_on_another_machine(site: Site, wait: Callable[..., Any]) -> None:
    from reconnect.ansible import project
    from reconnect.service import work

    run = site.ask()
    worker = site.start(site.machines[0], "worker")
    wait(lambda: site.noted("begun"))
    other = site.machines[1].settings.model_copy(update={"state_dir": site.folder / "elsewhere"})
    assert work.cancel(run, project.Project(site.folder), other)
    wait(lambda: run.read().finished_at)
    assert run.read().endings == {"alpha": "cancelled"}
    worker.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
