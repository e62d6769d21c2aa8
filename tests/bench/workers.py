"""What more workers are worth: real ones with one PostgreSQL, and a playbook that waits for as long as a run takes.

``RECONNECT_DATABASE`` names the database, which must be empty. For each number of workers so many runs wait that each
slot has its turn a few times. Efficiency is what w workers do of w times what one does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from measure import ROOT, place
from reconnect.runs.request import Request
from reconnect.runs.store import Run, Runs
from reconnect.service.starting import asker_of
from reconnect.settings import Settings, load

PLAYBOOK = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Wait
      ansible.builtin.raw: sleep {seconds}
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {{verdict: {{outcome: not_an_issue}}, findings: []}}
"""


def project(folder: Path, seconds: float, servers: int) -> None:
    """A project with that playbook, and an inventory of servers that are this machine."""
    (folder / "playbooks").mkdir()
    for name in ("collections", "plugins"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "ansible.cfg").write_text("[defaults]\ngathering = explicit\ncallback_plugins = plugins/callback\n")
    (folder / "playbooks" / "diagnose-server.yml").write_text(PLAYBOOK.format(seconds=seconds))
    (folder / "playbooks" / "cleanup.yml").write_text("- hosts: servers\n  gather_facts: false\n  tasks: []\n")
    names = "\n".join(f"pbx{number}" for number in range(servers))
    (folder / "inventory").write_text(f"[servers]\n{names}\n[servers:vars]\nansible_connection=local\n")


@contextlib.contextmanager
def working(folder: Path, number: int, slots: int) -> Iterator[None]:
    """So many workers, each with a state folder of its own; they end with their runs."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "reconnect", "worker", "--slots", str(slots)],
            cwd=folder,
            env={**os.environ, "RECONNECT_STATE_DIR": str(folder / f"worker-{one}")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for one in range(number)
    ]
    try:
        yield
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            worker.wait(60)


def ask(settings: Settings, folder: Path, server: str) -> Run:
    """A run of this server that waits for a worker."""
    request = Request(
        playbook="diagnose-server.yml",
        mode="diagnose",
        named=[server],
        servers=[server],
        inventory=str(folder / "inventory"),
        timeout=600,
        command=["diagnose-server", server],
    )
    return Runs(settings).create(request, asker=asker_of(None, "hook"))


def busy() -> float:
    """CPU seconds of the whole machine: runs are no children of this process."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def measured(settings: Settings, folder: Path, workers: int, slots: int, turns: int) -> tuple[float, float]:
    """Runs a second from the first one's begin to the last one's end, and the CPU seconds that each took; they hold
    where nothing else runs."""
    before = busy()
    runs = [ask(settings, folder, f"pbx{number}") for number in range(workers * slots * turns)]
    with working(folder, workers, slots):
        while any(run.read().finished_at is None for run in runs):
            time.sleep(0.2)
    cpu = busy() - before
    records = [run.read() for run in runs]
    failed = [record.run_id for record in records if record.exit_code != 0]
    if failed:
        raise SystemExit(f"{len(failed)} runs failed, the first is {failed[0]}")
    results = [result for run in runs for result in run.results()]
    ended, began = max(result.finished_at for result in results), min(result.started_at for result in results)
    return len(runs) / (ended - began).total_seconds(), cpu / len(runs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=16, help="how long the playbook waits")
    parser.add_argument("--slots", type=int, default=2, help="runs at once of each worker")
    parser.add_argument("--turns", type=int, default=3, help="runs of each slot, one after the other")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    with place() as folder:
        project(folder, given.seconds, max(given.workers) * given.slots * given.turns)
        os.environ |= {"RECONNECT_PROJECT": str(folder), "RECONNECT_INVENTORY": str(folder / "inventory")}
        os.environ["RECONNECT_STATE_DIR"] = str(folder / "asking")
        # All have the same warm processes, as if each worker's machine had its own for long.
        os.environ["XDG_RUNTIME_DIR"] = str(folder)
        settings = load()
        measured(settings, folder, 1, 1, 1)
        one = 0.0
        for workers in given.workers:
            rate, cpu = measured(settings, folder, workers, given.slots, given.turns)
            one = one or rate / workers
            print(
                f"{workers} workers × {given.slots} slots   {rate * 3600:6.0f} runs an hour   "
                f"efficiency {rate / workers / one:.2f}   {cpu:.1f} CPU s a run",
                flush=True,
            )


if __name__ == "__main__":
    main()
