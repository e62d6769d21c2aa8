"""Nodes and workers on several machines with one PostgreSQL: each run is carried out and reported once, whatever ends a
worker, or keeps it from the database."""

from __future__ import annotations

import contextlib
import json
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from reconnect.engine import presence
from reconnect.service import metrics

from ..conftest import Workplace, kept_port
from ..engine.test_durable import ended_once
from ..postgresql import NEEDED, Server
from ..sites import Site, Wire, kill
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
