"""A site on this machine: PostgreSQL, a node of the service, workers, and a steady supply of runs; all of it can fail.

Every process of a machine, and what it begins, has the machine's name in its environment: by that it is found and
killed, whoever became its parent. Nothing else is ever killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TypeVar

import psutil
from reconnect import machine
from reconnect.engine.locks import file_of
from reconnect.errors import StoreError
from reconnect.names import Incident
from reconnect.runs.holders import holder_of
from reconnect.runs.store import Run
from reconnect.service.starting import asker_of
from unit.reconnect.conftest import Workplace, a_request, a_workplace, kept_port, wait_for
from unit.reconnect.postgresql import Server, a_folder, a_name
from unit.reconnect.sites import Site, Wire

from .draw import Failure
from .records import Asked, Happened, Note, Stored

Answer = TypeVar("Answer")

#: It says what it does, twice a second, and is busy for 6 to 16 s.
PLAYBOOK = """
- hosts: servers
  gather_facts: false
  vars:
    say: >-
      say() { echo "{{ reconnect_run_id }} $1 $(date +%s.%N) $2 $KILLS_MACHINE {{ inventory_hostname }}"
      >> {{ playbook_dir }}/../notes; };
  tasks:
    - name: Begin
      ansible.builtin.raw: "{{ say }} id=$$-$(date +%s%N); say begin $id; echo $id"
      register: begun
    - name: Be busy
      ansible.builtin.raw: >-
        {{ say }} for _ in $(seq {{ range(12, 32) | random(seed=reconnect_run_id) }});
        do say tick {{ begun.stdout | trim }}; sleep 0.5; done
    - name: End
      ansible.builtin.raw: "{{ say }} say end {{ begun.stdout | trim }}"
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: not_an_issue, user_message: "Ask your provider."}, findings: []}
"""
MARK = "KILLS_MACHINE"
SERVERS = tuple(f"pbx{number}" for number in range(8))
SLOTS = 2
#: Seconds after which what does not answer is taken for broken.
PATIENCE = 120.0
#: Seconds that the runs may take to their end once nothing fails any more.
DRAIN = 150.0
#: RestartSec= of the worker's unit.
RESTART_SECONDS = 5.0
#: Seconds between two looks at the site.
LOOK = 0.25


class Machine:
    """A machine with a worker, its own state folder and its own wire to the database."""

    def __init__(self, name: str, site: Site, workplace: Workplace, database: Server, warm: bool) -> None:
        self.name = name
        self._site = site
        self.wire = Wire(database)
        address = workplace.environment["RECONNECT_DATABASE"].replace(f":{database.port}/", f":{self.wire.port}/")
        own = site.folder / name
        own.mkdir()
        environment = {"RECONNECT_DATABASE": address, "RECONNECT_STATE_DIR": str(own), MARK: name}
        self._workplace = Workplace(
            site.folder, {**workplace.environment, **environment, "RECONNECT_WARM": str(int(warm))}
        )
        self._state = own
        self._process: subprocess.Popen[bytes] | None = None
        #: When it is to be there again, by `time.monotonic`; None where it is there.
        self.back_at: float | None = None

    def start(self) -> None:
        """It is there again."""
        self.back_at = None
        self.wire.heal()
        if self._process is None or self._process.poll() is not None:
            self._process = self._site.start(self._workplace, "worker", "--slots", str(SLOTS))

    def look(self) -> None:
        """Has it be there when it is time; systemd starts a worker again that ended by itself."""
        if self.back_at is not None and time.monotonic() > self.back_at:
            self.start()
        elif self.back_at is None and self._process is not None and self._process.poll() is not None:
            self.back_at = time.monotonic() + RESTART_SECONDS

    def holder(self, worker: str) -> int | None:
        """The process that is this worker, where it is one of this machine."""
        if not (self._state / "machine").is_file() or not machine.is_here(self._state, worker):
            return None
        holder = holder_of(file_of(self._state, "worker", machine.number_of(worker)))
        return holder.pid if holder and holder.pid else None

    def kill_worker(self) -> None:
        """Kills the worker alone: its runs go on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """Kills everything, as the end of the machine does."""
        while found := marked(self.name):
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if self._process is not None:
                self._process.poll()
        if self._process is not None:
            self._process.wait()


def marked(name: str) -> list[psutil.Process]:
    """The processes of a machine."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == name and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


class Battered:
    """The site; failures happen one after the other, and what failed is there again after its time."""

    def __init__(self, folder: Path, database: Server, port: int, seed: int, workers: int, at_once: int) -> None:
        self._database = database
        self._rng = Random(f"kills/{seed}")
        self._at_once = at_once
        desk = a_workplace(folder, SERVERS)
        desk.playbook(PLAYBOOK)
        desk.environment["RECONNECT_DATABASE"] = f"{database.address}/{a_name()}"
        node = {"RECONNECT_SERVICE_PORT": str(port), "RECONNECT_SERVICE_METRICS_PORT": "0"}
        node |= {"RECONNECT_INVENTORY": str(desk.inventory)}
        self._node = Workplace(folder, {**desk.environment, **node, "XDG_STATE_HOME": str(folder / "node")})
        self._address = f"http://127.0.0.1:{port}"
        self._processes = contextlib.ExitStack()
        self._site = Site([desk], self._processes)
        token = secrets.token_hex(4)
        self._machines = [
            Machine(f"{token}-{number}", self._site, desk, database, warm=number > 0) for number in range(workers)
        ]
        self._service: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._asking = threading.Event()
        self._supply = threading.Thread(target=self._ask_on, daemon=True)
        self._token = ""
        self._asked: list[Asked] = []
        self.broken: BaseException | None = None

    # --- its life

    def __enter__(self) -> Battered:
        try:
            added = self._site.machines[0].reconnect("tokens", "add", "desk", "--role", "first_level")
            self._token = added.stdout.strip()
            self._serve()
            for one in self._machines:
                one.start()
            wait_for(self._ready, PATIENCE)
            self._supply.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for one in self._machines:
            one.kill()
            one.wire.close()
        self._processes.close()

    def _serve(self) -> None:
        self._service = self._site.start(self._node, "serve", "--no-worker")

    def _ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self._address}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def look(self) -> None:
        """Starts again what was away for long enough. Raises AssertionError where the supply ended."""
        if self.broken is not None:
            raise AssertionError("nobody asks for runs any more") from self.broken
        for one in self._machines:
            one.look()

    def drained(self) -> None:
        """Asks for no more; waits until all that was asked for has ended and been told, or for DRAIN seconds."""
        self._over.set()
        deadline = time.monotonic() + DRAIN
        self._supply.join(DRAIN)
        while time.monotonic() < deadline:
            self.look()
            if all(one.back_at is None for one in self._machines) and not self._open():
                return
            time.sleep(LOOK)

    # --- the supply

    def _open(self) -> list[tuple[str | None, Run]]:
        """The runs that have not ended or not been told, each with its worker."""
        return patiently(self._site.runs.waiting)

    def _ask_on(self) -> None:
        try:
            while not self._over.wait(LOOK):
                busy = {run.record.request.servers[0] for _, run in self._open()}
                if len(busy) < self._at_once:
                    free = [server for server in SERVERS if server not in busy]
                    self._ask(self._rng.choice(free))
        except BaseException as error:
            self.broken = error

    def _ask(self, server: str) -> None:
        """Asks for a run until somebody answers, by an incident and over the API in turn."""
        number, by_incident = len(self._asked), len(self._asked) % 2 == 0
        self._asked.append(Asked(number, server, None, by_incident))
        run = self._claim(number, server) if by_incident else self._request(number, server)
        self._asked[number] = Asked(number, server, run, by_incident)

    def _claim(self, number: int, server: str) -> str:
        # The path of the incident is its name: it is the same whenever it is asked again.
        desk, began = self._site.machines[0], datetime.now(UTC)
        incident = Incident("file", str(self._incident(number)))
        request = a_request(servers=[server], named=[server], incident=incident, inventory=str(desk.inventory))
        request.timeout = 300
        asker = asker_of(None, "hook")
        return patiently(lambda: self._site.runs.claim(request, None, ended_after=began, asker=asker))[0].run_id

    def _request(self, number: int, server: str) -> str:
        body = json.dumps({"playbook": "diagnose-server", "servers": [server]}).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"{self._address}/v1/runs", body, {**headers, "Idempotency-Key": f"kills-{number}"}
        )

        def ask() -> str:
            self._asking.set()
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return str(json.load(answer)["id"])
            finally:
                self._asking.clear()

        return patiently(ask)

    def _incident(self, number: int) -> Path:
        return self._site.folder / f"incident-{number}.md"

    # --- what fails

    def fail(self, failure: Failure, stop: threading.Event) -> Happened | None:
        """Has it happen after its time, as soon as there is something that it can hit; None once it is to `stop`."""
        until = time.monotonic() + failure.before
        while time.monotonic() < until and not stop.wait(LOOK):
            self.look()
        if failure.what == "database":
            return self._restart_database(failure)
        if failure.what == "service":
            return self._kill_service(failure)
        deadline = time.monotonic() + PATIENCE
        while not stop.wait(LOOK):
            self.look()
            found = self._target()
            if found is not None and (happened := self._fail_machine(failure, *found)) is not None:
                return happened
            if time.monotonic() > deadline:
                # What has stalled is lost, and is counted so.
                print(f"no worker has a run: {self._under_way()}", file=sys.stderr)
                break
        return None

    def _target(self) -> tuple[Machine, list[tuple[str, str]]] | None:
        """A machine with runs, and these with their workers, where enough others are there to take them over."""
        there = [one for one in self._machines if one.back_at is None]
        if len(there) < min(3, len(self._machines)):
            return None
        under_way = self._under_way()
        of = {one: [(worker, run) for worker, run in under_way if one.holder(worker)] for one in there}
        busy = [one for one in there if of[one]]
        return (target := self._rng.choice(busy), of[target]) if busy else None

    def _under_way(self) -> list[tuple[str, str]]:
        """The runs that a process carries out, each after its worker."""
        return [
            (worker, run.run_id)
            for worker, run in self._open()
            if worker and run.record.finished_at is None and any(one.holder(worker) for one in self._machines)
        ]

    def _fail_machine(self, failure: Failure, target: Machine, own: list[tuple[str, str]]) -> Happened | None:
        """What happened to the machine; None where the process of a run has just ended."""
        at = time.time()
        if failure.what == "run":
            own = [self._rng.choice(own)]
            if (pid := target.holder(own[0][0])) is None:
                return None
            os.kill(pid, signal.SIGKILL)
        else:
            {"machine": target.kill, "worker": target.kill_worker, "cut": target.wire.cut}[failure.what]()
            target.back_at = time.monotonic() + failure.away
        return Happened(failure, target.name, at, time.time(), tuple(run for _, run in own), failure.away)

    def _restart_database(self, failure: Failure) -> Happened:
        at = time.time()
        self._database.stop()
        time.sleep(failure.away)  # the outage itself
        self._database.start()
        wait_for(self._database.answers, PATIENCE)
        return Happened(failure, "", at, time.time(), (), time.time() - at)

    def _kill_service(self, failure: Failure) -> Happened:
        """Kills the node, while it is asked for a run where somebody asks soon."""
        assert self._service is not None
        if self._asking.wait(10):
            time.sleep(self._rng.uniform(0, 0.3))  # a moment of the request
        at = time.time()
        self._service.kill()
        self._service.wait()
        time.sleep(failure.away)  # the outage itself
        self._serve()
        wait_for(self._ready, PATIENCE)
        return Happened(failure, "", at, time.time(), (), time.time() - at)

    # --- what is known afterwards

    @property
    def asked(self) -> list[Asked]:
        return self._asked

    def notes(self) -> list[Note]:
        """What every playbook said and every worker logged, in its order."""
        file = self._site.folder / "notes"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return sorted([*(Note.parse(line) for line in lines), *self._logged()], key=lambda note: note.at)

    def _logged(self) -> Iterator[Note]:
        for line in self._site.said().splitlines():
            # What was killed may have left half a line.
            if '"run begins"' in line and line.endswith("}"):
                said = json.loads(line)
                yield Note(said["run"], "taken", datetime.fromisoformat(said["at"]).timestamp())

    def stored(self) -> Iterator[Stored]:
        """What became of every run."""
        incidents = {one.run: self._incident(one.number) for one in self._asked if one.by_incident}
        for run in patiently(self._site.runs.newest):
            record, incident = run.record, incidents.get(run.run_id)
            text = incident.read_text(encoding="utf-8") if incident and incident.exists() else ""
            yield Stored(
                run.run_id,
                record.request.servers[0],
                record.finished_at.timestamp() if record.finished_at else None,
                record.exit_code,
                record.delivery,
                len(run.results()),
                sum(event["kind"] == "ended" for event in run.events()),
                text.count("-report]"),
                text.count("-user]"),
                text.count("Status: closed (Not an issue)"),
            )

    def keep(self, folder: Path) -> None:
        """Keeps what playbooks and processes said, for whoever looks into a miss."""
        folder.mkdir(mode=0o700, parents=True)
        for file in [self._site.folder / "notes", *self._site.logs(), *self._site.folder.glob("incident-*")]:
            if file.exists():
                shutil.copy(file, folder)


@contextlib.contextmanager
def battered(folder: Path, seed: int, workers: int, at_once: int) -> Iterator[Battered]:
    """The site, with a PostgreSQL of its own."""
    with a_folder() as data, kept_port() as of_database, kept_port() as of_service:
        # docs/how-to/postgresql.md says how many the site needs.
        database = Server(data, of_database, 80 + workers * (20 + 10 * SLOTS))
        try:
            wait_for(database.answers)
            with Battered(folder, database, of_service, seed, workers, at_once) as site:
                yield site
        finally:
            database.stop()


def patiently(ask: Callable[[], Answer]) -> Answer:
    """The answer of a store or service that may be away for a while."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except (StoreError, OSError):
            # A refusal of the API is one, too: a request with the same key may be under way.
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK)  # between two attempts
