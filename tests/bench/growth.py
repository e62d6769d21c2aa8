"""What more of everything costs: servers of a run, runs in the store, accounts, contacts, bytes of a log. No lab.

Each figure is of a process of its own: CPU seconds, which hold on a busy machine as well, and its largest memory. The
servers are hosts of Ansible's local connection whose interpreter answers what a healthy server of the lab once did: it
leaves what a server costs the control node. ``--only WORD`` measures some, ``--json`` prints JSON, ``--project FOLDER``
takes the playbook of another clone.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from measure import BIN, ROOT, machine
from reconnect.runs.record import Wanted
from reconnect.runs.store import Runs
from store import filled

sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import answers, log
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import accounts
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import fitted, judge

EVIDENCE = ROOT / "tests" / "evidence"
#: What grows, and how far.
SIZES = {
    "servers": (1, 5, 20, 50, 200),
    "runs": (100, 100_000),
    "accounts": (1, 30, 300),
    "contacts": (10, 1_000, 100_000),
    "log": (1, 20, 200),
    "documents": (1, 10, 100),
}
SAID = {
    "servers": "servers in one diagnosis, without SSH",
    "runs": "runs in the store, for the newest 50 of one server",
    "accounts": "accounts in the registry, read and checked",
    "contacts": "contacts in Asterisk's answer, counted",
    "log": "MB of Asterisk's log, its last lines read and sorted",
    "documents": "documents of evidence, judged",
}
MEGABYTE = 1024 * 1024
_LINE = "[2026-01-01 00:00:00] NOTICE[12] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '<sip:1@a>' failed\n"
_ACCOUNT = '- username: "{0}"\n  virtual_number: "+39021{0}"\n  password: "{{{{ lookup(\'x\', username) }}}}"\n'


@dataclass(frozen=True)
class Point:
    """What one size costs."""

    what: str
    size: int
    cpu_seconds: float
    memory_mb: float


def _servers(folder: Path, size: int, project: Path) -> Callable[[], object]:
    recorded = json.loads(gzip.decompress((EVIDENCE / "healthy.pbx22.json.gz").read_bytes()))
    answer, interpreter, inventory = folder / "answer.json", folder / "interpreter", folder / "hosts"
    answer.write_text(json.dumps({name: recorded[name] for name in ("host", "asterisk", "database")}))
    interpreter.write_text(f"#!/bin/sh\ncat > /dev/null\ncat {answer}\n")
    interpreter.chmod(0o700)
    named = "\n".join(f"pbx{number}" for number in range(size))
    own = f'ansible_connection=local\nansible_python_interpreter={interpreter}\nreconnect_addresses=["127.0.0.1"]\n'
    inventory.write_text(f"[servers]\n{named}\n[servers:vars]\n{own}")
    return partial(
        subprocess.run,
        [str(BIN / "ansible-playbook"), "-i", str(inventory), "playbooks/diagnose-server.yml"],
        cwd=project,
        env={
            **os.environ,
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(project / "ansible.cfg"),
            "RECONNECT_RESULT_DIR": str(folder / "results"),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=1200,
        check=True,
    )


def _runs(folder: Path, size: int) -> Callable[[], object]:
    settings = filled(folder, size)
    return lambda: Runs(settings).newest(Wanted(server="pbx7"), 50)


def _accounts(folder: Path, size: int) -> Callable[[], object]:
    (folder / "accounts").mkdir()
    group = "group: {name: sales, server: pbx, profile: {name: sales}}\naccounts:\n"
    text = group + "".join(_ACCOUNT.format(1000 + number) for number in range(size))
    (folder / "accounts" / "sales.yml").write_text(text)
    return partial(accounts.load, {}, str(folder), {"pbx"})


def _contacts(_folder: Path, size: int) -> Callable[[], object]:
    events = [{"Event": "ContactList", "Uri": f"sip:{number}@a", "Status": "Reachable"} for number in range(size)]
    return partial(answers.parse_ami_contacts, events)


def _log(folder: Path, size: int) -> Callable[[], object]:
    file = folder / "messages.log"
    with file.open("w") as stream:
        for _ in range(size):
            stream.write(_LINE * (MEGABYTE // len(_LINE)))
    return lambda: log.parse_messages(log.read(str(file)), 0, time.time())


def _documents(_folder: Path, size: int) -> Callable[[], object]:
    files = sorted(EVIDENCE.glob("*.json.gz"))
    taken = [json.loads(gzip.decompress(files[number % len(files)].read_bytes())) for number in range(size)]
    return lambda: [judge(fitted(one)) for one in taken]


def point(what: str, size: int, project: Path) -> Point:
    """Measures one size, in a process of its own."""
    context = multiprocessing.get_context("fork")
    told: multiprocessing.SimpleQueue[tuple[float, float]] = context.SimpleQueue()
    process = context.Process(target=_measure, args=(what, size, project, told))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{what} {size}: not measured")
    return Point(what, size, *told.get())


def _measure(what: str, size: int, project: Path, told: multiprocessing.SimpleQueue[tuple[float, float]]) -> None:
    makers: dict[str, Callable[[Path, int], Callable[[], object]]] = {
        "servers": partial(_servers, project=project),
        "runs": _runs,
        "accounts": _accounts,
        "contacts": _contacts,
        "log": _log,
        "documents": _documents,
    }
    with tempfile.TemporaryDirectory() as folder:
        call = makers[what](Path(folder), size)
        before = _used()
        call()
        after = _used()
    told.put((after[0] - before[0], after[1]))


def _used() -> tuple[float, float]:
    """CPU seconds of this process and of those that it has waited for, and the memory of the largest in MB."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both), max(one.ru_maxrss for one in both) / 1024


def shown(points: list[Point]) -> Iterator[str]:
    """The figures as the table of the documentation."""
    yield "| what | size | CPU s | each further, CPU ms | memory, MB |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    first: dict[str, Point] = {}
    for one in points:
        base = first.setdefault(one.what, one)
        more = one.size - base.size
        further = f"{(one.cpu_seconds - base.cpu_seconds) / more * 1000:.3f}" if more else ""
        yield f"| {SAID[one.what]} | {one.size} | {one.cpu_seconds:.3f} | {further} | {one.memory_mb:.0f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SIZES, action="append")
    parser.add_argument("--most", type=int, help="leave out what is larger")
    parser.add_argument("--project", type=Path, default=ROOT)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    points = [
        point(what, size, options.project)
        for what in options.only or SIZES
        for size in SIZES[what]
        if options.most is None or size <= options.most
    ]
    if options.json:
        print(json.dumps({"machine": machine(), "points": [asdict(one) for one in points]}, indent=1))
        return
    print(", ".join(f"{name} {said}" for name, said in machine().items()))
    print("\n".join(shown(points)))


if __name__ == "__main__":
    main()
