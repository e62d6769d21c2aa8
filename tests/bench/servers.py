"""What a further server costs the control node: CPU seconds of a diagnosis of three servers of the lab and of one.

It counts ansible-playbook and every process that it starts and waits for. ``--runs N`` sets the number of pairs,
``--project FOLDER`` measures another clone, for example the state before a change.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path

from measure import BIN, ROOT

SERVERS = ("pbx22", "pbx16", "pgsql")


def cpu_seconds(project: Path, servers: tuple[str, ...]) -> float:
    """CPU seconds of one diagnosis of these servers."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        play = [str(BIN / "ansible-playbook"), "-i", "inventories/lab", "playbooks/diagnose-server.yml"]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(project / "ansible.cfg"),
            "RECONNECT_RESULT_DIR": folder,
        }
        subprocess.run(
            [*play, "-l", ",".join(servers)],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=180,
            check=True,
        )
        if len(list(Path(folder).glob("evidence-*.json"))) != len(servers):
            raise SystemExit("not every server has evidence")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--project", type=Path, default=ROOT)
    options = parser.parse_args()
    taken = [
        (cpu_seconds(options.project, SERVERS[:1]), cpu_seconds(options.project, SERVERS))
        for _ in range(options.runs + 1)
    ][1:]
    further = [(three - one) / (len(SERVERS) - 1) for one, three in taken]
    print(f"one server {statistics.median(one for one, _ in taken):.2f} CPU s")
    print(f"each further {statistics.median(further):.2f} CPU s, from {min(further):.2f} to {max(further):.2f}")


if __name__ == "__main__":
    main()
